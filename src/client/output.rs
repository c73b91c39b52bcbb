//! What goes to the terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use super::ClientError;
use crate::limits::CLIENT_MESSAGE_CHARS_MAX;

/// Whom a command prints for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// Prints `text` and a line end to standard output.
///
/// A reader that has seen enough and closed the pipe is no error.
pub(super) fn print(text: &str) -> Result<(), ClientError> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ClientError::Output(error)),
        _ => Ok(()),
    }
}

/// Prints bytes as they are.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), ClientError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ClientError::Output(error)),
        _ => Ok(()),
    }
}

/// Prints a remark to standard error. Nobody is left to be told if that fails.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "smache: {text}");
}

/// `text` with control characters written as escapes, so that a node or a key can neither break the
/// line nor steer the terminal.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// The message of an error answer: its `message`, or else the start of its body.
pub(super) fn error_message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct ErrorBody {
        message: String,
    }
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(error) => error.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    if text.is_empty() {
        return "no message".to_owned();
    }
    let start: String = text.chars().take(CLIENT_MESSAGE_CHARS_MAX).collect();
    visible(&start).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_escapes() {
        assert_eq!(visible("a\n\u{1b}[31mb\u{9b}"), "a\\n\\u{1b}[31mb\\u{9b}");
        assert_eq!(visible("größer 🦀"), "größer 🦀");
    }

    #[test]
    fn an_error_message_is_the_nodes_own_or_the_start_of_the_body() {
        assert_eq!(error_message(br#"{"message":"not\nhere","more":1}"#), "not\\nhere");
        assert_eq!(error_message(b" plain text "), "plain text");
        assert_eq!(error_message(b""), "no message");
        let shown = error_message("é".repeat(5_000).as_bytes());
        assert_eq!(shown.chars().count(), CLIENT_MESSAGE_CHARS_MAX);
    }
}
