//! The doors, one for each protocol: they turn bytes into commands and replies into bytes.
//!
//! What all of them have in common, a listener and how it closes, is in [`crate::door`].

pub mod http;
pub mod resp;
