//! Bytes back to back in words, as a record holds them.

use super::{Head, NewEntry};
use crate::entry::{Key, MediaType};

/// Gives the words of a record to `put`, in order: its head, then all its bytes.
#[inline]
pub(crate) fn write(head: &Head, key: &Key, new: &NewEntry<'_>, mut put: impl FnMut(u64)) {
    head.write(&mut put);
    let mut packer = Packer { put, open: 0, open_len: 0 };
    packer.bytes(key.namespace().as_bytes());
    packer.bytes(key.as_bytes());
    if let MediaType::Other(text) = new.media {
        packer.bytes(text);
    }
    packer.bytes(new.tags.as_bytes());
    packer.bytes(new.value);
    packer.finish();
}

/// Makes words of bytes.
struct Packer<F> {
    put: F,
    /// Bytes that do not fill a word yet, and how many.
    open: u64,
    open_len: usize,
}

impl<F: FnMut(u64)> Packer<F> {
    fn bytes(&mut self, bytes: &[u8]) {
        let (whole, tail) = bytes.as_chunks::<8>();
        match self.open_len {
            0 => whole.iter().for_each(|chunk| (self.put)(u64::from_le_bytes(*chunk))),
            len => {
                for chunk in whole {
                    let word = u64::from_le_bytes(*chunk);
                    (self.put)(self.open | word << (8 * len));
                    self.open = word >> (64 - 8 * len);
                }
            }
        }
        for byte in tail {
            self.open |= u64::from(*byte) << (8 * self.open_len);
            self.open_len += 1;
            if self.open_len == 8 {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        if 0 < self.open_len {
            (self.put)(self.open);
        }
        (self.open, self.open_len) = (0, 0);
    }
}
