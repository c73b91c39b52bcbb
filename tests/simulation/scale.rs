//! A crowd joins, and loses a tenth of itself; `cargo bench --bench scale` does it in full size.

use std::time::Duration;

use crate::crowd::{Course, Crowd};
use crate::number;

const NODES: u64 = 60;

#[test]
fn many_join_at_once_and_a_tenth_is_lost_at_once() {
    let count = number("SMACHE_NODES").unwrap_or(NODES) as usize;
    let mut crowd = Crowd::new(count);
    let joined = crowd.agree(Duration::from_secs(30));
    crowd.settle(Duration::from_secs(2));
    crowd.lose_a_tenth();
    let lost = crowd.agree(Duration::from_secs(10));
    println!("{joined:?}\n{lost:?}");
    for Course { nodes, agreed, settled, sent } in [joined, lost] {
        assert!(agreed < Duration::from_secs(2));
        assert!(settled < Duration::from_secs(4));
        assert!(sent.views < 100 * nodes as u64);
    }
}
