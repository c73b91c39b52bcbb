//! Slots: the key space cut into 16,384 parts, exactly as Redis Cluster cuts it.
//!
//! A slot is what moves between nodes, and all keys of one slot share one shard, so that clients who
//! know Redis Cluster can go straight to an owner and commands on keys of one slot have one writer.

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

/// One part of the key space, below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// The slot of a key: CRC16 (XMODEM) of the key, or of what stands in its first `{tag}`.
///
/// A `{` without a `}` after it, or with nothing in between, is not a tag. Redis Cluster
/// specification, "Key distribution model" and "Hash tags".
#[must_use]
pub(super) const fn slot_of(key: &[u8]) -> Slot {
    Slot(crc16(tag_of(key)) % SLOTS)
}

/// What stands in the first `{tag}` of a key, or all of it.
const fn tag_of(key: &[u8]) -> &[u8] {
    let Some(open) = find(key, 0, b'{') else { return key };
    match find(key, open + 1, b'}') {
        Some(close) if open + 1 < close => key.split_at(close).0.split_at(open + 1).1,
        Some(_) | None => key,
    }
}

/// Where `byte` stands first from `at` on.
const fn find(bytes: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    while at < bytes.len() {
        if bytes[at] == byte {
            return Some(at);
        }
        at += 1;
    }
    None
}

const fn crc16(bytes: &[u8]) -> u16 {
    let mut crc: u16 = 0;
    let mut at = 0;
    while at < bytes.len() {
        crc = (crc << 8) ^ CRC16_TABLE[((crc >> 8) as u8 ^ bytes[at]) as usize];
        at += 1;
    }
    crc
}

const CRC16_POLYNOMIAL: u16 = 0x1021;

const CRC16_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ CRC16_POLYNOMIAL };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"foo"), Slot(12_182));
        assert_eq!(slot_of(b"somekey"), Slot(11_058));
    }

    #[test]
    fn a_tag_alone_decides_the_slot() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(tag_of(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(tag_of(b"foo{bar"), b"foo{bar");
    }
}
