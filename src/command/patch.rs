//! `Patch`: a change to a value that is JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Access, Condition, Scope, Verb};
use crate::document::{Change, DocumentError};
use crate::entry::{Key, octets};

/// A change to a value that is JSON: all of it or nothing. What became of it is a
/// [`Reply::Changed`](super::Reply::Changed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Of which entry.
    pub key: Key,
    /// The text of the patch.
    #[serde(with = "octets")]
    pub patch: Bytes,
    /// How it is to be read.
    pub form: PatchForm,
    /// Bytes that the value may have then.
    pub bytes_max: u64,
    /// What must hold of the entry, if it is there.
    pub condition: Condition,
}

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatchForm {
    /// As RFC 7396 says: `application/merge-patch+json`.
    Merge,
    /// As RFC 6902 says: `application/json-patch+json`.
    Operations,
}

impl PatchForm {
    /// Reads a patch of this form.
    ///
    /// # Errors
    ///
    /// [`DocumentError::NotPatch`].
    pub fn read(self, patch: &[u8]) -> Result<Change, DocumentError> {
        match self {
            Self::Merge => Change::merge(patch),
            Self::Operations => Change::operations(patch),
        }
    }
}

impl Verb for Patch {
    const NUMBER: u16 = 11;
    const SINCE: u16 = 5;

    fn scope(&self) -> Scope<'_> {
        Scope::Key(&self.key, Access::Write)
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.patch.len()
    }
}
