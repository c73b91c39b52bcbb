//! Clusters of two builds, as there are for as long as an upgrade takes: the one under test, and one
//! that speaks a protocol and has a verb more.

use serde_json::json;

use crate::http::Response;
use crate::load::{Load, Loss, Plan};
use crate::member::{Member, cluster, keys_of, settle};
use crate::process::next_program;

/// Keys that are there from the beginning, and are only read.
const FILLED: usize = 4_000;
/// Requests while the cluster is of one mixture of builds.
const REQUESTS: u64 = 2_000;

/// Asks for a key by the verb that only the next build has.
fn peek(at: &Member, key: &str) -> Response {
    at.get(&format!("/v1/default/{key}?peek"))
}

fn fill(at: &Member) {
    let mut client = at.client();
    for n in 0..FILLED {
        let body = json!({"key": format!("fill-{n}"), "data": {"n": n}}).to_string();
        assert_eq!(client.request("POST", "/api", &body).status, 200);
    }
}

/// Restarts the nodes one after the other, each of which hands over what it has, and looks after
/// each what the nodes can do for each other: `is_next` says which are of the next build.
fn replace_all(
    members: &mut [Member; 3],
    load: &Load,
    start: impl Fn(&str, &str, &[&str]) -> Member,
    is_next: impl Fn(usize, usize) -> bool,
) {
    for at in 0..members.len() {
        let (name, addr, http) =
            (members[at].name.clone(), members[at].addr.clone(), members[at].addr());
        members[at].drain();
        load.remove(http);
        let others = members.iter().filter(|other| other.name != name);
        let others: Vec<_> = others.map(|other| other.addr.as_str()).collect();
        let again = start(&name, &addr, &others);
        load.add(&again);
        members[at] = again;
        settle(&members.each_ref());
        load.go_on_for(REQUESTS);
        assert_mixture(members, |member| is_next(member, at));
    }
}

/// Peeks at every node for a key of every node: only the next build has a door for that, and only a
/// node of that build does it.
fn assert_mixture(members: &[Member; 3], is_next: impl Fn(usize) -> bool) {
    for (asked, at) in members.iter().enumerate() {
        for (owner, of) in members.iter().enumerate() {
            let mut keys = (0..FILLED).map(|n| format!("fill-{n}"));
            let key = keys.find(|key| at.owner_of(key) == of.name).unwrap();
            let expected = match (is_next(asked), is_next(owner)) {
                (false, _) => 400,
                (true, false) => 501,
                (true, true) => 200,
            };
            let answer = peek(at, &key);
            assert_eq!(answer.status, expected, "{} for {}: {answer:?}", at.name, of.name);
        }
    }
}

#[test]
fn a_cluster_is_upgraded_node_by_node_and_back_under_load_without_a_failed_request() {
    let Some(next) = next_program() else { return };
    let mut members = cluster(["a", "b", "c"]);
    fill(&members[0]);
    let plan = Plan { filled: FILLED, ..Load::gentle(Loss::Never) };
    let load = Load::start_plan(&members.each_ref(), plan);
    let upgrade =
        |name: &str, addr: &str, join: &[&str]| Member::start_build(&next, name, addr, join);
    replace_all(&mut members, &load, upgrade, |member, replaced| member <= replaced);
    replace_all(&mut members, &load, Member::start_at, |member, replaced| replaced < member);
    let answered = load.answered();
    let tally = load.finish();
    eprintln!("{answered} requests: {tally}");
    tally.assert_clean();
    for n in 0..FILLED {
        assert_eq!(members[n % 3].number(&format!("fill-{n}")), Some(n as u64));
    }
}

#[test]
fn a_verb_that_an_older_node_does_not_know_is_refused_alone_and_names_that_node_and_its_version() {
    let Some(next) = next_program() else { return };
    let old = Member::start("old", &[]);
    let new = Member::start_build(&next, "new", "127.0.0.1:0", &[&old.addr]);
    settle(&[&old, &new]);
    let (theirs, own) = (keys_of("old", &new, 20), keys_of("new", &new, 20));
    for (n, key) in (0..).zip(theirs.iter().chain(&own)) {
        new.put(key, n).unwrap();
    }
    let version = old.status()["version"].as_str().unwrap().to_owned();
    let load = Load::start(&[&old, &new], Loss::Never);
    // One connection for all of it: what is refused ends neither it nor the session behind it.
    let mut client = new.client();
    for (n, (theirs, own)) in (0_u64..).zip(theirs.iter().zip(&own)) {
        let mut get = |target: &str| client.request("GET", target, "");
        let refused = get(&format!("/v1/default/{theirs}?peek"));
        assert_eq!(refused.status, 501, "{refused:?}");
        let reason = refused.message();
        assert!(reason.contains(&format!("old runs smache {version}")), "{reason}");
        let read = get(&format!("/api?key={theirs}"));
        assert_eq!(read.json()["data"]["n"].as_u64(), Some(n), "{read:?}");
        let peeked = get(&format!("/v1/default/{own}?peek"));
        assert_eq!((peeked.status, &*peeked.body), (200, &*json!({"n": n + 20}).to_string()));
    }
    // The older node has no door for it either.
    assert_eq!(peek(&old, &own[0]).status, 400);
    load.go_on();
    load.finish().assert_clean();
    settle(&[&old, &new]);
}
