//! The protocols between the writer and readers, in every order and with every stale value that the
//! memory model allows: `RUSTFLAGS="--cfg smache_loom" cargo test --release --lib loom`.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use super::NewEntry;
use super::block::{Blocks, Place, Role};
use super::chain::Chains;
use super::index::{Index, Item, Position};
use super::record::{Head, Run, View};
use super::sync::{AtomicU64, Ordering};
use crate::entry::{Key, Version};

/// Switches of threads that are not forced, at most. Loom's authors: two or three find nearly all.
const PREEMPTIONS: usize = 3;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

fn key() -> Key {
    Key::new("a").expect("one byte")
}

/// Writes a record of so many words of the same byte and returns its item.
fn write(blocks: &Blocks, place: Place, byte: u8, words: usize, rest: &[(u32, usize)]) -> Item {
    let value = vec![byte; words * 8 - 1];
    let new = NewEntry::of(&value);
    let head = Head::new(&key(), &new, Version(byte.into())).expect("a short record");
    let first_len = head.words() - rest.iter().map(|(_, len)| len).sum::<usize>();
    let run = Run { place, first_len, rest: rest.to_vec() };
    run.write(blocks, &head, &key(), &new);
    if let Some((next, _)) = rest.first() {
        blocks.set_next(blocks.split(place).0, *next);
    }
    Item::new(Position(0), 0, place)
}

/// Reads as readers do. What it returns was checked; `None` means that something moved.
fn read(blocks: &Blocks, slot: &AtomicU64) -> Option<u8> {
    let item = Item(slot.load(Ordering::Acquire));
    if item.0 == 0 {
        return None;
    }
    let is_named = || item.is_same(slot.load(Ordering::Acquire));
    let view = View::open(blocks, item.place(), is_named)?;
    let entry = view.is_of(&key()).then(|| view.entry());
    if !view.is_whole() {
        return None;
    }
    let value = entry.expect("the slot names records of this key only").value;
    let first = *value.first().expect("a value is not empty");
    assert!(value.iter().all(|byte| *byte == first), "torn: {value:?}");
    Some(first)
}

#[test]
fn a_value_read_while_its_block_is_recycled_is_whole_or_refused() {
    check(|| {
        let blocks = Arc::new(Blocks::new(3, 16));
        [1, 2].into_iter().for_each(|block| blocks.open(block, Role::Small(1)));
        let first = write(&blocks, blocks.place(1, 0), 1, 2, &[]);
        let slot = Arc::new(AtomicU64::new(first.0));
        let reader = {
            let (blocks, slot) = (Arc::clone(&blocks), Arc::clone(&slot));
            thread::spawn(move || read(&blocks, &slot))
        };
        // Replaced, recycled, and the same word names another record in the same place.
        let second = write(&blocks, blocks.place(2, 0), 2, 2, &[]);
        slot.store(second.0, Ordering::Release);
        blocks.retire(1);
        blocks.open(1, Role::Small(2));
        let third = write(&blocks, blocks.place(1, 0), 3, 2, &[]);
        slot.store(third.0, Ordering::Release);
        assert!(matches!(reader.join().expect("no panic"), None | Some(1..=3)));
    });
}

#[test]
fn a_value_that_goes_on_in_a_block_that_is_recycled_is_whole_or_refused() {
    check(|| {
        let blocks = Arc::new(Blocks::new(4, 4));
        (1..4).for_each(|block| blocks.open(block, Role::Small(1)));
        let first = write(&blocks, blocks.place(1, 0), 1, 3, &[(2, 1)]);
        let slot = Arc::new(AtomicU64::new(first.0));
        let reader = {
            let (blocks, slot) = (Arc::clone(&blocks), Arc::clone(&slot));
            thread::spawn(move || read(&blocks, &slot))
        };
        // Its second block is recycled before its first one, which stays as it is.
        let second = write(&blocks, blocks.place(3, 0), 2, 2, &[]);
        slot.store(second.0, Ordering::Release);
        blocks.retire(2);
        blocks.open(2, Role::Small(2));
        blocks.words(2)[0].store(u64::MAX, Ordering::Relaxed);
        assert!(matches!(reader.join().expect("no panic"), None | Some(1..=2)));
    });
}

/// An index of one part and one block of groups.
struct Small {
    blocks: Blocks,
    index: Index,
}

/// The position of the `nth` item of the first bucket of 32; from the eighth on, of the second of 64.
fn position(nth: u32) -> Position {
    Position(nth << 23)
}

fn small(items: u32) -> (Arc<Small>, Chains) {
    let blocks = Blocks::new(4, 256);
    (0..3).for_each(|block| blocks.make(block));
    let index = Index::new(&blocks);
    let mut chains = Chains::default();
    chains.add_groups(&index, 1);
    for nth in 1..=items {
        let item = Item::new(position(nth), 0, Place(1_000 + u64::from(nth)));
        chains.add(&blocks, &index, 0, item);
    }
    (Arc::new(Small { blocks, index }), chains)
}

/// Searches as readers do: `None` means that something moved and it would search again.
fn search(small: &Small, nth: u32) -> Option<bool> {
    let bucket = small.index.layout().bucket_of(position(nth));
    let mut chain = small.index.chain(&small.blocks, bucket);
    if chain.any(|(_, item)| item.place() == Place(1_000 + u64::from(nth))) {
        return Some(true);
    }
    let is_same = small.index.layout().bucket_of(position(nth)) == bucket;
    (chain.is_intact() && is_same).then_some(false)
}

fn search_while(
    items: u32,
    searched: u32,
    change: impl Fn(&Small, &mut Chains) + Copy + Send + Sync + 'static,
) {
    check(move || {
        let (small, mut chains) = small(items);
        let reader = {
            let small = Arc::clone(&small);
            thread::spawn(move || search(&small, searched))
        };
        change(&small, &mut chains);
        assert_ne!(reader.join().expect("no panic"), Some(false), "missed item {searched}");
        assert_eq!(search(&small, searched), Some(true));
    });
}

#[test]
fn an_item_that_moves_from_its_group_into_a_hole_is_not_missed() {
    search_while(9, 9, |small, chains| {
        chains.remove(&small.blocks, &small.index, 0, Place(1_002));
    });
    search_while(10, 9, |small, chains| {
        chains.remove(&small.blocks, &small.index, 0, Place(1_002));
        chains.remove(&small.blocks, &small.index, 0, Place(1_003));
    });
}

#[test]
fn an_item_that_gives_way_to_a_link_is_not_missed() {
    search_while(8, 8, |small, chains| {
        let item = Item::new(position(10), 0, Place(1_010));
        chains.add(&small.blocks, &small.index, 0, item);
        chains.remove(&small.blocks, &small.index, 0, Place(1_010));
    });
}

#[test]
fn an_item_whose_bucket_moves_while_the_index_grows_is_not_missed() {
    for searched in [1, 9] {
        search_while(9, searched, |small, chains| {
            if small.index.home(1) == 0 {
                small.index.set_home(1, 2);
            }
            // Only the first bucket is interesting; the others are empty and have moved.
            let layout = small.index.layout();
            small.index.set_layout(layout.moved_to(1));
            chains.move_bucket(&small.blocks, &small.index);
        });
    }
}
