//! One part of a value, as the header `Range` asks for it (RFC 9110, 14.1.2).

use hyper::header::HeaderValue;

use crate::front::http::serve::Cursor;

/// The bytes from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// What a header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranged {
    /// All of it: the header asks for several parts, or is not one that is understood, and may then
    /// be passed over.
    Whole,
    /// One part.
    Part(Range),
    /// A part that does not exist.
    Outside,
}

impl Range {
    /// What `header` asks of a value of `length` bytes.
    pub(super) fn read(header: &HeaderValue, length: usize) -> Ranged {
        let Some((first, last)) = one_part(header) else { return Ranged::Whole };
        let (first, last) = match (first, last) {
            (Some(first), None) => (first, usize::MAX),
            (Some(first), Some(last)) if first <= last => (first, last),
            (None, Some(0)) => return Ranged::Outside,
            // Of nothing, all is the end, too, and there is no way to name it.
            (None, Some(_)) if length == 0 => return Ranged::Whole,
            (None, Some(suffix)) => (length.saturating_sub(suffix), usize::MAX),
            _ => return Ranged::Whole,
        };
        match first < length {
            true => Ranged::Part(Self { first, last: last.min(length - 1) }),
            false => Ranged::Outside,
        }
    }
}

/// Both numbers of the only part in a header, where they are; `None` for any other header.
fn one_part(header: &HeaderValue) -> Option<(Option<usize>, Option<usize>)> {
    let mut text = Cursor::new(header);
    let is_bytes = text.token()?.eq_ignore_ascii_case(b"bytes") && text.eat(b'=');
    let mut parts = vec![];
    text.list(&mut parts, |part| {
        let first = number(part.digits());
        part.eat(b'-').then(|| (first, number(part.digits())))
    })
    .ok()?;
    match parts[..] {
        [part] if is_bytes => Some(part),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.is_empty())?;
    // A number too large for us is past the end of every value.
    Some(digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, length: usize) -> Ranged {
        Range::read(&HeaderValue::from_static(text), length)
    }

    fn part(first: usize, last: usize) -> Ranged {
        Ranged::Part(Range { first, last })
    }

    #[test]
    fn one_part_is_cut_to_the_value() {
        assert_eq!(read("bytes=0-0", 10), part(0, 0));
        assert_eq!(read("bytes=2-5", 10), part(2, 5));
        assert_eq!(read("bytes=2-", 10), part(2, 9));
        assert_eq!(read("bytes=2-99", 10), part(2, 9));
        assert_eq!(read("bytes=-3", 10), part(7, 9));
        assert_eq!(read("bytes=-99", 10), part(0, 9));
        assert_eq!(read("bytes=0-99999999999999999999999", 10), part(0, 9));
        assert_eq!(read("Bytes= ,2-5\t,", 10), part(2, 5));
    }

    #[test]
    fn a_part_past_the_end_is_outside() {
        assert_eq!(read("bytes=10-", 10), Ranged::Outside);
        assert_eq!(read("bytes=-0", 10), Ranged::Outside);
        assert_eq!(read("bytes=0-", 0), Ranged::Outside);
        assert_eq!(read("bytes=-1", 0), Ranged::Whole);
    }

    #[test]
    fn what_is_not_one_part_of_bytes_is_passed_over() {
        for text in [
            "bytes=5-2",
            "bytes=",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=-",
            "bytes =0-1",
            "bytes=0 -1",
            "bytes=0-1 2",
            "bytes=0-1;",
            "bytes",
        ] {
            assert_eq!(read(text, 10), Ranged::Whole, "{text}");
        }
    }
}
