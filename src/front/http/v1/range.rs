//! One part of a value, as the header `Range` asks for it (RFC 9110, 14.1.2).

use hyper::header::HeaderValue;

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
        let text = header.to_str().ok().and_then(|text| text.strip_prefix("bytes="));
        let Some((first, last)) = text.and_then(|text| text.trim().split_once('-')) else {
            return Ranged::Whole;
        };
        let (first, last) = match (number(first), number(last)) {
            (Some(Some(first)), Some(None)) => (first, usize::MAX),
            (Some(Some(first)), Some(Some(last))) if first <= last => (first, last),
            (Some(None), Some(Some(0))) => return Ranged::Outside,
            (Some(None), Some(Some(suffix))) => (length.saturating_sub(suffix), usize::MAX),
            _ => return Ranged::Whole,
        };
        match first < length {
            true => Ranged::Part(Self { first, last: last.min(length - 1) }),
            false => Ranged::Outside,
        }
    }
}

/// A number, or nothing where there is none; `None` for anything else.
fn number(text: &str) -> Option<Option<usize>> {
    match text.as_bytes() {
        [] => Some(None),
        // A number too large for us is past the end of every value.
        digits if digits.iter().all(u8::is_ascii_digit) => {
            Some(Some(text.parse().unwrap_or(usize::MAX)))
        }
        _ => None,
    }
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
    }

    #[test]
    fn a_part_past_the_end_is_outside() {
        assert_eq!(read("bytes=10-", 10), Ranged::Outside);
        assert_eq!(read("bytes=-0", 10), Ranged::Outside);
        assert_eq!(read("bytes=0-", 0), Ranged::Outside);
    }

    #[test]
    fn what_is_not_one_part_of_bytes_is_passed_over() {
        for text in ["bytes=5-2", "bytes=", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=-"] {
            assert_eq!(read(text, 10), Ranged::Whole, "{text}");
        }
    }
}
