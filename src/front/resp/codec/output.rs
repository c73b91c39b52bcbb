//! Replies into bytes, in the second form of the protocol or the third.

use super::number::write_integer;

/// The form of the protocol that a client has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::front::resp) enum Protocol {
    /// What every client begins with.
    #[default]
    Resp2,
    /// With maps, sets, nulls and messages beside replies.
    Resp3,
}

/// Replies that are still to be sent.
#[derive(Debug, Default)]
pub(in crate::front::resp) struct Output {
    bytes: Vec<u8>,
    protocol: Protocol,
}

impl Protocol {
    /// Its number, as clients name it.
    pub(in crate::front::resp) fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

impl Output {
    /// The form that replies have.
    pub(in crate::front::resp) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Has the replies from here on in that form.
    pub(in crate::front::resp) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The bytes to be sent.
    pub(in crate::front::resp) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was sent, and gives back room over `room_max` bytes.
    pub(in crate::front::resp) fn clear(&mut self, room_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(room_max);
    }

    /// A short word that is no data, such as `OK`.
    pub(in crate::front::resp) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// What is wrong, with its code before it. Ends of lines in it become spaces.
    pub(in crate::front::resp) fn error(&mut self, text: impl AsRef<[u8]>) {
        let plain = text.as_ref().iter().map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            other => *other,
        });
        self.bytes.push(b'-');
        self.bytes.extend(plain);
        self.end();
    }

    /// A number.
    pub(in crate::front::resp) fn integer(&mut self, number: i64) {
        self.head(b':', number);
    }

    /// A number that cannot be negative, such as a count.
    pub(in crate::front::resp) fn count(&mut self, number: u64) {
        self.integer(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Whether something is so, as the number that commands of old answer.
    pub(in crate::front::resp) fn flag(&mut self, is_so: bool) {
        self.integer(i64::from(is_so));
    }

    /// Bytes.
    pub(in crate::front::resp) fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.bulk_head(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.end();
    }

    /// What stands before bytes, which are to follow with an [`Self::end`].
    pub(in crate::front::resp) fn bulk_head(&mut self, len: usize) {
        self.head(b'$', len as i64);
    }

    /// Nothing, where bytes could be.
    pub(in crate::front::resp) fn null(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Nothing, where an array could be.
    pub(in crate::front::resp) fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array of `len` replies, which are to follow.
    pub(in crate::front::resp) fn array(&mut self, len: usize) {
        self.head(b'*', len as i64);
    }

    /// The head of `len` names, a reply behind each.
    pub(in crate::front::resp) fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(2 * len),
            Protocol::Resp3 => self.head(b'%', len as i64),
        }
    }

    /// The head of `len` parts of what nobody asked for, such as a message.
    pub(in crate::front::resp) fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(len),
            Protocol::Resp3 => self.head(b'>', len as i64),
        }
    }

    /// The head of `len` replies that have no order.
    pub(in crate::front::resp) fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(len),
            Protocol::Resp3 => self.head(b'~', len as i64),
        }
    }

    /// A text for people to read.
    pub(in crate::front::resp) fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.head(b'=', text.len() as i64 + 4);
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.end();
            }
        }
    }

    /// The end of a line or of bytes.
    pub(in crate::front::resp) fn end(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, sign: u8, text: &[u8]) {
        self.bytes.push(sign);
        self.bytes.extend_from_slice(text);
        self.end();
    }

    fn head(&mut self, sign: u8, number: i64) {
        self.bytes.push(sign);
        write_integer(number, &mut self.bytes);
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Output)) -> String {
        let mut out = Output::default();
        out.set_protocol(protocol);
        write(&mut out);
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn each_form_of_the_protocol_has_its_own_words() {
        type Case = (&'static str, &'static str, fn(&mut Output));
        let cases: [Case; 10] = [
            ("+OK\r\n", "+OK\r\n", |out| out.simple("OK")),
            (":-7\r\n", ":-7\r\n", |out| out.integer(-7)),
            ("$2\r\nab\r\n", "$2\r\nab\r\n", |out| out.bulk("ab")),
            ("$-1\r\n", "_\r\n", Output::null),
            ("*-1\r\n", "_\r\n", Output::null_array),
            ("*4\r\n", "%2\r\n", |out| out.map(2)),
            ("*2\r\n", "~2\r\n", |out| out.set(2)),
            ("*3\r\n", ">3\r\n", |out| out.push(3)),
            ("$2\r\nab\r\n", "=6\r\ntxt:ab\r\n", |out| out.text("ab")),
            ("-ERR a  b\r\n", "-ERR a  b\r\n", |out| out.error("ERR a\r\nb")),
        ];
        for (second, third, write) in cases {
            assert_eq!(written(Protocol::Resp2, write), second);
            assert_eq!(written(Protocol::Resp3, write), third);
        }
    }
}
