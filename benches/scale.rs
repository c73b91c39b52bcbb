//! What a crowd of nodes costs: joining, the loss of a tenth, and the full mesh at rest.
//!
//! `SMACHE_NODES=1000` runs one size alone.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on failed"
)]
#![allow(unreachable_pub, reason = "modules of a test are used here too")]

#[path = "../tests/simulation/crowd.rs"]
mod crowd;
#[path = "../tests/simulation/random.rs"]
#[allow(dead_code, reason = "the simulator uses more of it")]
mod random;

use std::time::{Duration, Instant};

use smache::limits::HEARTBEAT_INTERVAL;

use crate::crowd::{Course, Crowd};

/// Bytes of a heartbeat besides its bit for each member: fingerprint and epoch, and the frame of a
/// request on the wire.
const BEAT_BYTES: usize = 16;
const FRAME_BYTES: usize = 60;

/// Bytes of a record of a member in a view, about.
const RECORD_BYTES: u64 = 90;

fn main() {
    let sizes = match std::env::var("SMACHE_NODES").ok().and_then(|count| count.parse().ok()) {
        Some(count) => vec![count],
        None => vec![10, 100, 300, 1_000],
    };
    mesh();
    println!("\nsent per node; seconds are simulated but the last ones");
    println!(
        "nodes  change      agreed  settled  heartbeats  views  records      KB  claims  refused  took"
    );
    for count in sizes {
        let mut crowd = Crowd::new(count);
        let (course, took) = time(|| crowd.agree(Duration::from_secs(60)));
        print(&course, "all join", took);
        crowd.settle(Duration::from_secs(2));
        crowd.lose_a_tenth();
        let (course, took) = time(|| crowd.agree(Duration::from_secs(60)));
        print(&course, "tenth lost", took);
    }
}

fn time(work: impl FnOnce() -> Course) -> (Course, Duration) {
    let began = Instant::now();
    (work(), began.elapsed())
}

fn print(course: &Course, change: &str, took: Duration) {
    let Course { nodes, agreed, settled, sent } = course;
    let per_node = |sum: u64| sum / *nodes as u64;
    println!(
        "{nodes:>5}  {change:<10} {:>6.2} s {:>6.2} s {:>11} {:>6} {:>8} {:>7} {:>7} {:>8} {:>4.0} s",
        agreed.as_secs_f64(),
        settled.as_secs_f64(),
        per_node(sent.beats),
        per_node(sent.views),
        per_node(sent.records),
        per_node(sent.records * RECORD_BYTES / 1_000),
        per_node(sent.claims),
        per_node(sent.refusals),
        took.as_secs_f64(),
    );
}

/// What a node sends and receives when nothing happens. A heartbeat is answered with one.
fn mesh() {
    println!("at rest  per node: links  pings/s sent  pings/s received  bytes each  KB/s each way");
    for count in [10, 100, 1_000_usize] {
        let links = count - 1;
        let pings = links as f64 / HEARTBEAT_INTERVAL.as_secs_f64();
        let bytes = BEAT_BYTES + count.div_ceil(8) + FRAME_BYTES;
        // Pings and the answers to those of others go out, and the same comes in.
        let rate = 2.0 * pings * bytes as f64 / 1_000.0;
        println!(
            "{count:>5} nodes {links:>13} {pings:>13.0} {pings:>17.0} {bytes:>11} {rate:>14.1}"
        );
    }
}
