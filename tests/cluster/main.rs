//! Clusters of real nodes, which are joined, drained, killed, stopped and cut off under load.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "what a failed test shows, and what was skipped")]
#![allow(unreachable_pub, reason = "nobody uses a test")]

mod alone;
mod any_node;
mod batches;
mod checker;
mod clocks;
mod detours;
mod failures;
#[path = "../harness/http.rs"]
#[allow(dead_code, reason = "the suites share it, and none needs all of it")]
mod http;
mod ids;
mod joining;
mod leaving;
#[allow(dead_code, reason = "a bench shares it")]
mod load;
mod member;
mod namespaces;
mod observing;
mod partition;
mod policies;
#[path = "../harness/process.rs"]
#[allow(dead_code, reason = "the suites share it, and none needs all of it")]
mod process;
mod protocols;
#[path = "../simulation/random.rs"]
#[allow(dead_code, reason = "the suites share it, and none needs all of it")]
mod random;
mod redis_clients;
mod publishing;
mod replacing;
#[path = "../harness/resp.rs"]
#[allow(dead_code, reason = "the suites share it, and none needs all of it")]
mod resp;
mod states;
mod strangers;
mod supervision;
mod updates;
mod upgrading;
mod wide;
