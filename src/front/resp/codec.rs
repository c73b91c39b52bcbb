//! The Redis protocol as bytes: requests out of them, replies into them. It is pure.

pub(super) mod decoder;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod inline;
pub(super) mod number;
pub(super) mod output;

pub(super) use decoder::{Decoded, Decoder, Limits, Request};
pub(super) use output::{Output, Protocol};

#[cfg(test)]
mod tests;
