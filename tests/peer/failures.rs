//! Peers that are cut off, hang or die.

use rustix::process::Signal;

use crate::process::{Process, pair};

/// The milliseconds that are said first.
fn millis(said: &str) -> u64 {
    said.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_is_under_way_fails_at_once_when_the_peer_dies() {
    let (mut first, mut second) = pair();
    first.begin("get second@test slow");
    assert_eq!(second.hear(), "began to be slow");
    second.signal(Signal::KILL);
    let said = first.hear();
    assert!(said.contains("Unanswered"), "{said}");
    assert!(millis(&said) < 500, "{said}");
    first.until("peers", str::is_empty);
    assert_eq!(first.tell("get second@test a"), "no link");
    first.until("events", |events| events.contains("closed second@test"));
}

#[test]
fn a_peer_that_hangs_costs_a_deadline_and_little_memory() {
    let (mut first, second) = pair();
    second.signal(Signal::STOP);
    let said = first.tell("get second@test a");
    assert!(said.contains("Unanswered"), "{said}");
    assert!((1_900..2_600).contains(&millis(&said)), "{said}");
    let said = first.tell("flood second@test 6");
    let grew: u64 = said.strip_prefix("grew ").unwrap().parse().unwrap();
    println!("{grew} MiB more at most");
    assert!(grew <= 32, "{grew} MiB");
    // It takes nothing any more: the connection is given up.
    first.until("peers", str::is_empty);
    second.signal(Signal::CONT);
    let dial = format!("dial {}", second.addr);
    first.until(&dial, |said| said.starts_with("dialed"));
    assert!(first.tell("put second@test a 10").contains("Stored"));
}

#[test]
fn a_cut_connection_goes_on_where_it_was_when_it_heals() {
    let (mut first, _second) = pair();
    for cut in ["cut", "cut-send", "cut-receive"] {
        first.tell(&format!("chaos second@test {cut}"));
        let said = first.tell("get second@test a");
        assert!(said.contains("Unanswered"), "{cut}: {said}");
        first.tell("chaos second@test heal");
        let said = first.until("get second@test a", |said| said.contains("Entry"));
        assert!(millis(&said) < 1_000, "{cut}: {said}");
    }
    first.tell("chaos second@test delay");
    let said = first.tell("get second@test a");
    assert!(200 <= millis(&said), "{said}");
}

#[test]
fn a_new_connection_is_cut_like_the_old_one() {
    let (mut first, second) = pair();
    first.tell("chaos second@test cut");
    first.tell("close second@test");
    first.until("peers", str::is_empty);
    let said = first.tell(&format!("dial {}", second.addr));
    // Whichever side lost its patience first.
    assert!(
        ["error nobody answered in time", "error the connection ended early"].contains(&&*said)
    );
    first.tell("chaos second@test heal");
    assert!(first.tell(&format!("dial {}", second.addr)).starts_with("dialed"));
}

#[test]
fn an_answer_that_is_lost_is_told_so() {
    let (mut first, _second) = pair();
    let said = first.tell("get second@test panic");
    assert!(said.contains("Unanswered"), "{said}");
    assert!(millis(&said) < 500, "{said}");
    assert!(first.tell("put second@test a 10").contains("Stored"));
}

#[test]
fn who_is_not_wanted_is_told_why() {
    let mut first = Process::start("first@test", 1);
    let dial = format!("dial {}", first.addr);
    let refused =
        |name, boot, vars: &[(&str, &str)]| Process::start_with(name, boot, vars).tell(&dial);
    let cookie = [("PEER_TEST_COOKIE", "another")];
    assert_eq!(refused("second@test", 2, &cookie), "error refused by the peer: wrong cookie");
    assert_eq!(refused("second@test", 2, &[]), "error refused by the peer: wrong cookie");
    let cluster = [("PEER_TEST_COOKIE", "secret"), ("PEER_TEST_CLUSTER", "elsewhere")];
    let said = refused("second@test", 2, &cluster);
    assert_eq!(said, "error refused by the peer: other cluster elsewhere, here smache");
    let right = [("PEER_TEST_COOKIE", "secret")];
    let said = refused("unwanted@test", 2, &right);
    assert_eq!(said, "error refused by the peer: name in use by 127.0.0.1:1, heard 0 ms ago");
    // The dialer hears it from itself first, or from the other side.
    assert!(first.tell(&dial).contains("is this node itself"));
    assert_eq!(first.tell("peers"), "");
}
