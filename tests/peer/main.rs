//! Nodes in processes of their own, connected over real sockets, cut off, stopped and killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "nobody uses a test")]

mod codec;
mod failures;
mod hello;
mod node;
mod process;
mod sessions;
