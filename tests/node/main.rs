//! Real nodes in processes of their own, asked over real sockets, crashed, drained and killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "nobody uses a test")]
#![allow(clippy::print_stderr, reason = "what a failed test shows")]

mod api;
mod batches;
mod caching;
mod command_line;
mod connections;
mod drain;
mod endings;
mod fields;
#[path = "../harness/http.rs"]
#[allow(dead_code, reason = "the suites share it, and none needs all of it")]
mod http;
mod listing;
mod logs;
mod metrics;
mod mutations;
mod native;
mod openapi;
mod policies;
#[path = "../harness/process.rs"]
#[allow(dead_code, reason = "the suites share it, and none needs all of it")]
mod process;
#[path = "../harness/resp.rs"]
mod resp;
mod resp_door;
mod resp_pubsub;
mod signals;
#[path = "../harness/slow_link.rs"]
mod slow_link;
mod supervision;
mod under_way;
mod updates;
