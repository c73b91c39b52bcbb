//! A cluster that falls into two and becomes one again.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;

use crate::load::{Load, Loss};
use crate::member::{Member, PATIENCE, agreed, cluster, settle, wait_for, wait_until};

const KEYS: usize = 120;

fn disturb(one: &[&Member], other: &[&Member], how: &str) {
    for one in one {
        for other in other {
            one.disturb(other, how);
            other.disturb(one, how);
        }
    }
}

/// Writes the keys of one kind through one node.
fn write(member: &Member, kind: &str, n: u64) {
    let mut client = member.client();
    for at in 0..KEYS {
        let body = format!(r#"{{"key":"{kind}-{at}","data":{{"n":{n}}}}}"#);
        let answer = client.request("POST", "/api", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn delete(member: &Member, kind: &str) {
    let mut client = member.client();
    for at in 0..KEYS {
        assert_eq!(client.request("DELETE", &format!("/api?key={kind}-{at}"), "").status, 200);
    }
}

/// What is found under the keys of one kind.
fn read(member: &Member, kind: &str) -> BTreeSet<Option<u64>> {
    let mut client = member.client();
    let mut number = |at: usize| {
        let answer = client.request("GET", &format!("/api?key={kind}-{at}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"]["n"].as_u64()
    };
    (0..KEYS).map(&mut number).collect()
}

/// Whether every key has what was written last, wherever that was.
fn all_newest(member: &Member) -> Result<(), String> {
    for (kind, n) in [
        ("before", Some(1)),
        ("deleted-there", None),
        ("deleted-unseen", None),
        ("here-last", Some(3)),
        ("there-last", Some(3)),
        ("written-again", Some(3)),
        ("only-here", Some(3)),
        ("only-there", Some(3)),
    ] {
        let found = read(member, kind);
        if found != [n].into() {
            return Err(format!("{kind} at {} is {found:?}", member.name));
        }
    }
    Ok(())
}

#[test]
fn two_halves_become_one_again_and_the_newest_write_wins_everywhere() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    let kinds = ["before", "here-last", "there-last", "deleted-there", "deleted-unseen"];
    for kind in kinds.into_iter().chain(["written-again"]) {
        write(&a, kind, 1);
    }
    disturb(&[&a, &b], &[&c], "cut");
    wait_for("both halves serve", PATIENCE, || agreed(&[&a, &b]).and(agreed(&[&c])));
    for first in ["there-last", "written-again"] {
        write(&a, first, 2);
    }
    write(&c, "here-last", 2);
    write(&c, "deleted-there", 2);
    delete(&c, "deleted-there");
    // Of most of these it knows nothing: they are on the other side.
    delete(&c, "deleted-unseen");
    delete(&c, "written-again");
    for last in ["here-last", "written-again"] {
        write(&b, last, 3);
    }
    write(&c, "there-last", 3);
    write(&c, "only-there", 3);
    write(&a, "only-here", 3);
    disturb(&[&a, &b], &[&c], "heal");
    wait_for("they are one again", Duration::from_secs(8), || agreed(&[&a, &b, &c]));
    for member in [&a, &b, &c] {
        wait_for("the newest is everywhere", Duration::from_secs(2), || all_newest(member));
    }
    for at in 0..KEYS {
        let key = format!("before-{at}");
        let owners = [&a, &b, &c].map(|member| member.owner_of(&key));
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
    }
    // Each is at one node only; two kinds are gone, and that is still remembered.
    let count = (a.entries() + b.entries() + c.entries()) as usize;
    assert!((6 * KEYS..=8 * KEYS).contains(&count), "{count}");
}

/// Who joins has not seen it go, and has to remember deletions all the same.
#[test]
fn what_is_deleted_at_a_node_that_joins_while_another_is_lost_stays_deleted_when_that_one_is_back()
{
    let [a, b] = cluster(["a", "b"]);
    write(&a, "kept", 1);
    b.signal(Signal::STOP);
    wait_until("it is taken for dead", PATIENCE, || a.state_of("b") == "dead");
    let c = Member::start("c", &[&a.addr]);
    settle(&[&a, &c]);
    delete(&c, "kept");
    b.signal(Signal::CONT);
    settle(&[&a, &b, &c]);
    for member in [&a, &b, &c] {
        assert_eq!(read(member, "kept"), [None].into(), "{}", member.name);
    }
}

#[test]
fn a_link_that_is_cut_for_a_moment_costs_time_and_no_key() {
    let [a, b, c] = cluster(["a", "b", "c"]);
    write(&a, "kept", 1);
    let load = Load::start(&[&a, &b, &c], Loss::Never);
    for _ in 0..3 {
        disturb(&[&a], &[&b], "cut");
        wait_until("nothing is heard", PATIENCE, || 600 < a.heard_ms(&b));
        disturb(&[&a], &[&b], "heal");
        load.go_on();
    }
    settle(&[&a, &b, &c]);
    let tally = load.finish();
    assert_eq!((tally.missing, tally.stale), (0, 0), "{tally}");
    assert_eq!(read(&b, "kept"), [Some(1)].into());
}

/// A node is heard by nobody, or hears nobody.
fn cut_in_one_direction(how: &str) {
    let [a, b, c] = cluster(["a", "b", "c"]);
    write(&a, "kept", 1);
    a.disturb(&c, how);
    b.disturb(&c, how);
    wait_for("the others serve", PATIENCE, || agreed(&[&a, &b]));
    write(&b, "new", 2);
    a.disturb(&c, "heal");
    b.disturb(&c, "heal");
    wait_for("they are one again", Duration::from_secs(8), || agreed(&[&a, &b, &c]));
    for member in [&a, &b, &c] {
        let two = Duration::from_secs(2);
        wait_until("all is there", two, || {
            read(member, "kept") == [Some(1)].into() && read(member, "new") == [Some(2)].into()
        });
    }
}

#[test]
fn a_node_to_whom_nothing_comes_through_is_left_out_and_taken_in_again() {
    cut_in_one_direction("cut-send");
}

#[test]
fn a_node_from_whom_nothing_comes_through_is_left_out_and_taken_in_again() {
    cut_in_one_direction("cut-receive");
}
