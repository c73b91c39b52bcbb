//! Sessions that go well.

use std::time::{Duration, Instant, SystemTime};

use crate::process::{Process, pair};

#[test]
fn commands_cross_a_session_in_both_directions() {
    let (mut first, mut second) = pair();
    assert_eq!(first.tell("peers"), "second@test#0000000000000002");
    assert_eq!(second.tell("peers"), "first@test#0000000000000001");
    assert!(first.tell("put second@test a 10").contains("Stored(Created"));
    assert!(first.tell("get second@test a").contains("Entry(Some"));
    assert!(second.tell("get first@test a").contains("Entry(None)"));
    assert!(second.tell("ping first@test").contains("Pong"));
    assert_eq!(first.tell("many second@test 5000 10"), "put 5000 got 5000");
    assert_eq!(second.tell("push first@test 3000 1000"), "pushed 3000");
}

#[test]
fn the_largest_values_cross_alone_and_in_batches() {
    let (mut first, _second) = pair();
    for bytes in [1 << 20, 64 << 20] {
        assert!(first.tell(&format!("put second@test large {bytes}")).contains("Stored(Created"));
        assert!(first.tell("get second@test large").contains("Entry(Some"));
    }
    let over = first.tell(&format!("put second@test large {}", 65 << 20));
    assert!(over.contains("NotSent"), "{over}");
    assert!(first.tell("get second@test large").contains("Entry(Some"));
}

#[test]
fn reads_whose_replies_do_not_fit_into_one_message_are_all_answered() {
    let (mut first, _second) = pair();
    assert_eq!(first.tell("many second@test 60 300000"), "put 60 got 60");
}

#[test]
fn two_nodes_that_dial_each_other_at_once_have_one_session() {
    let mut first = Process::start("first@test", 1);
    let mut second = Process::start("second@test", 2);
    for round in 0..50 {
        let began = Instant::now();
        first.begin(&format!("dial {}", second.addr));
        second.begin(&format!("dial {}", first.addr));
        let said = [first.hear(), second.hear()];
        let is_dialed = |said: &&String| said.starts_with("dialed");
        assert!(1 <= said.iter().filter(is_dialed).count(), "round {round}: {said:?}");
        for said in said.iter().filter(|said| !is_dialed(said)) {
            assert!(said.contains("already connected"), "round {round}: {said}");
        }
        first.until("peers", |peers| peers == "second@test#0000000000000002");
        second.until("peers", |peers| peers == "first@test#0000000000000001");
        assert!(began.elapsed() < Duration::from_secs(1), "round {round}: {:?}", began.elapsed());
        assert!(first.tell("ping second@test").contains("Pong"), "round {round}");
        assert!(second.tell("ping first@test").contains("Pong"), "round {round}");
        let opened = |events: String| events.matches("opened").count();
        assert_eq!(opened(first.tell("events")), round + 1);
        assert_eq!(opened(second.tell("events")), round + 1);
        first.tell("close second@test");
        first.until("peers", str::is_empty);
        second.until("peers", str::is_empty);
    }
}

#[test]
fn a_node_that_was_started_again_takes_the_place_of_its_old_self() {
    let (mut first, mut old) = pair();
    let mut new = Process::start("second@test", 3);
    assert_eq!(new.tell(&format!("dial {}", first.addr)), "dialed first@test 41");
    first.until("peers", |peers| peers == "second@test#0000000000000003");
    assert!(first.tell("events").contains("closed second@test: replaced by a newer connection"));
    old.until("peers", str::is_empty);
    assert!(first.tell("ping second@test").contains("Pong"));
}

#[test]
fn actors_that_crash_are_started_again_and_commands_go_on() {
    let (mut first, mut second) = pair();
    for child in ["link-second@test", "door-peer"] {
        assert_eq!(first.tell(&format!("crash {child}")), "Ok(())");
        first.until("put second@test a 10", |said| said.contains("Stored"));
        second.until("put first@test a 10", |said| said.contains("Stored"));
        assert_eq!(first.tell("peers"), "second@test#0000000000000002", "{child}");
    }
    assert_eq!(second.tell("crash door-peer"), "Ok(())");
    first.until("put second@test a 10", |said| said.contains("Stored"));
}

#[test]
fn sessions_end_with_the_actor_that_carries_them_and_can_be_made_again() {
    let (mut first, mut second) = pair();
    assert_eq!(first.tell("crash node-server"), "Ok(())");
    first.until("events", |events| events.contains("node-server was started again"));
    first.until("peers", str::is_empty);
    second.until("peers", str::is_empty);
    let said = first.tell(&format!("dial {}", second.addr));
    assert_eq!(said, "dialed second@test 41");
    assert!(first.tell("put second@test a 10").contains("Stored"));
}

#[test]
fn a_batch_is_done_in_order_for_each_slot_whatever_is_refused_or_put_off() {
    let (mut first, _second) = pair();
    let said = first.tell("moody second@test 40");
    assert!(said.starts_with("done 120000 unsure 0 lost 0 again "), "{said}");
    assert!(!said.ends_with(" again 0"), "nothing was refused: {said}");
    assert!(first.tell("get second@test disorder").contains("Entry(None)"));
}

/// The number behind a word.
fn number(said: &str, word: &str) -> u64 {
    let mut words = said.split(' ').skip_while(|other| *other != word);
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_is_acknowledged_is_in_order_and_stays_however_often_the_session_is_cut() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let first_seed = since.as_millis() as u64;
    for seed in first_seed..first_seed + 3 {
        let (mut first, second) = pair();
        let said = first.tell(&format!("moody-cut second@test 20 {} {seed}", second.addr));
        eprintln!("seed {seed}: {said}");
        assert_eq!(number(&said, "lost"), 0, "seed {seed}: {said}");
        assert!(0 < number(&said, "done") && 3 < number(&said, "cuts"), "seed {seed}: {said}");
        // The last cut may be just behind it.
        let dial = format!("dial {}", second.addr);
        let is_linked = |said: &str| said.starts_with("dialed") || said.contains("already");
        first.until(&dial, is_linked);
        let said = first.until("get second@test disorder", |said| said.contains("Entry("));
        assert!(said.contains("Entry(None)"), "seed {seed}: {said}");
    }
}
