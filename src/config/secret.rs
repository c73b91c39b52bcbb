//! Secrets: kept out of arguments, logs and errors.

use std::fmt;

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret from here on.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The bytes, for comparing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
