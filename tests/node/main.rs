//! Real nodes in processes of their own, asked over real sockets, crashed, drained and killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "nobody uses a test")]

mod api;
mod command_line;
mod connections;
mod drain;
mod http;
mod native;
mod process;
mod supervision;
