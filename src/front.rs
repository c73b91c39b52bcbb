//! The doors: each turns the bytes of one protocol into commands and replies into bytes.

pub mod http;
