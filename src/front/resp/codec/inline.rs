//! Requests as people type them: words on a line, with quotes, as Redis splits them.

use super::decoder::{Malformed, Span};

/// Splits a line into its words and adds where they are in it. A word in quotes is written over where it
/// stands: it never gets longer. A zero byte ends the line.
///
/// # Errors
///
/// [`Malformed::Quotes`] if a quote is not closed, or something stands right behind one.
pub(super) fn split(line: &mut [u8], base: usize, spans: &mut Vec<Span>) -> Result<(), Malformed> {
    // As in Redis, for which a line is a string of C.
    let len = memchr::memchr(0, line).unwrap_or(line.len());
    let line = &mut line[..len];
    let (mut read, mut write) = (0, 0);
    loop {
        while line.get(read).is_some_and(|byte| is_space(*byte)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        // What was read so far is not looked at any more.
        let start = write;
        (read, write) = word(line, read, write)?;
        spans.push(Span::new(base + start, write - start));
    }
}

/// Reads one word from `read` on, writes it from `write` on, and returns where both have got to.
fn word(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), Malformed> {
    let mut quote = None;
    loop {
        let Some(&byte) = line.get(read) else {
            return if quote.is_none() { Ok((read, write)) } else { Err(Malformed::Quotes) };
        };
        let (taken, len) = match (quote, byte) {
            (None, b' ' | b'\n' | b'\r' | b'\t') => return Ok((read, write)),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                read += 1;
                continue;
            }
            (Some(open), byte) if byte == open => {
                // Behind a quote there is a space, or nothing.
                return match line.get(read + 1) {
                    Some(next) if !is_space(*next) => Err(Malformed::Quotes),
                    _ => Ok((read + 1, write)),
                };
            }
            (Some(b'"'), b'\\') => escape(&line[read..]),
            (Some(b'\''), b'\\') if line.get(read + 1) == Some(&b'\'') => (b'\'', 2),
            _ => (byte, 1),
        };
        line[write] = taken;
        write += 1;
        read += len;
    }
}

/// The byte that an escape stands for, and how long it is. A backslash that nothing follows is itself.
fn escape(text: &[u8]) -> (u8, usize) {
    let hex = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match text.get(1) {
        Some(b'x') if hex(2).is_some() && hex(3).is_some() => {
            let value = hex(2).unwrap_or_default() * 16 + hex(3).unwrap_or_default();
            // Two digits are a byte.
            (value as u8, 4)
        }
        Some(b'n') => (b'\n', 2),
        Some(b'r') => (b'\r', 2),
        Some(b't') => (b'\t', 2),
        Some(b'b') => (8, 2),
        Some(b'a') => (7, 2),
        Some(other) => (*other, 2),
        None => (b'\\', 1),
    }
}

/// As C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut line = text.as_bytes().to_vec();
        let mut spans = vec![];
        split(&mut line, 0, &mut spans)?;
        Ok(spans.iter().map(|span| line[span.range()].to_vec()).collect())
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ", &[]),
            ("get a", &[b"get".as_slice(), b"a"]),
            (" set  a\t\"b c\" ", &[b"set", b"a", b"b c"]),
            (r#"set a "\x41\n\"\q" 'it\'s \n'"#, &[b"set", b"a", b"A\n\"q", br"it's \n"]),
            (r#"a"b""#, &[b"ab"]),
            (r#""""#, &[b""]),
            (r#""\x4""#, &[b"x4"]),
            ("get a\0 b", &[b"get", b"a"]),
            ("\0 a", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|word| word.to_vec()).collect();
            assert_eq!(words(text), Ok(expected), "{text}");
        }
        for text in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""a\"#, "\"a\0\""] {
            assert_eq!(words(text), Err(Malformed::Quotes), "{text}");
        }
    }
}
