//! The map of slots: how long one takes, how evenly it shares and what a change of members moves.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on failed"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use smache::member::{Boot, Member, NodeId, NodeName, Standing, View};
use smache::partition::{PartitionMap, SLOTS, Slot};

fn view(count: usize, weight: impl Fn(usize) -> u32) -> View {
    let member = |n: usize| Member {
        id: NodeId { name: NodeName::new(&format!("smache-{n}")).unwrap(), boot: Boot(1) },
        addr: String::new(),
        http: String::new(),
        incarnation: 1,
        standing: Standing::Alive,
        weight: weight(n),
    };
    View::new(1, (0..count).map(member))
}

/// The shortest of some computations, which is the least disturbed one.
fn time(compute: impl Fn() -> PartitionMap) -> Duration {
    let run = |_| {
        let began = Instant::now();
        black_box(compute());
        began.elapsed()
    };
    (0..7).map(run).min().unwrap_or_default()
}

fn main() {
    for count in [10, 100, 1_000] {
        let new = |view: View| time(|| PartitionMap::new(black_box(&view)));
        let equal = new(view(count, |_| 1024));
        let mixed = new(view(count, |n| 256 << (n % 4)));
        let unlike = new(view(count, |n| 1000 + n as u32));
        println!(
            "map of {count} nodes: {equal:.1?}, four weights {mixed:.1?}, all unlike {unlike:.1?}"
        );
        let before = PartitionMap::new(&view(count, |n| 1000 + n as u32));
        let change = |to: usize| {
            let after = view(to, |n| 1000 + n as u32);
            time(|| before.renewed(black_box(&after)))
        };
        let (join, loss) = (change(count + 1), change(count - count / 10));
        println!("  renewed as one joins: {join:.1?}, as a tenth is lost: {loss:.1?}");
    }
    for count in [3, 16, 100] {
        let shares = PartitionMap::new(&view(count, |_| 1024)).shares();
        let even = f64::from(SLOTS) / count as f64;
        let part = |share: Option<&u16>| 100.0 * f64::from(*share.unwrap()) / even - 100.0;
        let (least, most) = (part(shares.iter().min()), part(shares.iter().max()));
        println!("shares of {count} equal nodes: {least:+.1} % to {most:+.1} %");
    }
    for count in [3, 16, 100] {
        let before = PartitionMap::new(&view(count, |_| 1024));
        let after = PartitionMap::new(&view(count + 1, |_| 1024));
        let is_moved = |slot: &Slot| before.owner(*slot) != after.owner(*slot);
        let moved = (0..SLOTS).map(Slot).filter(is_moved).count();
        let came = after.slots_of(&NodeName::new(&format!("smache-{count}")).unwrap()).len();
        let due = f64::from(SLOTS) / (count + 1) as f64;
        let percent = 100.0 * moved as f64 / due - 100.0;
        println!(
            "join to {count} nodes: {moved} slots moved, {came} to the new one, {percent:+.1} % of its even share"
        );
    }
}
