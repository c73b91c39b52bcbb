//! Conditions and updates in place across nodes: whoever is asked, the owner's writer decides.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::member::{Member, cluster, keys_of, settle};
use crate::process::next_program;

const CLIENTS: usize = 64;
const ROUNDS: usize = 10;

#[test]
fn of_64_clients_at_two_nodes_each_that_is_told_so_has_written() {
    let members = cluster(["a", "b"]);
    for owner in &members {
        let key = keys_of(&owner.name, &members[0], 1).remove(0);
        let (target, done) = (format!("/v1/default/{key}"), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for n in 0..CLIENTS {
                let (mut client, target, done) = (members[n % 2].client(), &target, &done);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let read = client.request("GET", target, "");
                        let (name, etag) = match read.status {
                            404 => ("if-none-match", "*"),
                            _ => ("if-match", read.header("etag").unwrap()),
                        };
                        let n = read.body.parse::<u64>().unwrap_or(0) + 1;
                        let headers = [(name, etag)];
                        let put = client.request_with("PUT", target, &headers, &n.to_string());
                        match put.status {
                            201 | 204 => _ = done.fetch_add(1, Ordering::Relaxed),
                            status => assert_eq!(status, 412, "{put:?}"),
                        }
                    }
                });
            }
        });
        for member in &members {
            let number = member.get(&target).body;
            assert_eq!(number, done.load(Ordering::Relaxed).to_string(), "at {}", member.name);
        }
    }
}

#[test]
fn counters_patches_and_taking_are_one_thing_wherever_they_are_asked_for() {
    let members = cluster(["a", "b"]);
    let key = keys_of("b", &members[0], 1).remove(0);
    let counter = format!("/v1/default/{key}");
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (mut client, counter) = (members[n % 2].client(), &counter);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let answer = client.request("POST", &format!("{counter}?op=incr"), "");
                    assert_eq!(answer.status, 200, "{answer:?}");
                }
            });
        }
    });
    let total = (CLIENTS * ROUNDS).to_string();
    assert_eq!(members[0].get(&counter).body, total);
    let mut client = members[0].client();
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = client.request_with("PATCH", &counter, &merge, r#"{"n":1.50}"#);
    assert_eq!((patched.status, patched.header("smache-node")), (204, Some("b")), "{patched:?}");
    let wrong = client.request("POST", &format!("{counter}?op=incr"), "");
    assert_eq!(wrong.status, 409, "{wrong:?}");
    let taken = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..8)
            .map(|n| {
                let (mut client, counter) = (members[n % 2].client(), &counter);
                scope.spawn(move || client.request("POST", &format!("{counter}?op=take"), ""))
            })
            .collect();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .filter(|taken| taken.status == 200)
            .map(|taken| taken.body)
            .collect::<Vec<_>>()
    });
    assert_eq!(taken, [r#"{"n":1.50}"#]);
}

#[test]
fn a_put_that_an_older_node_knows_is_sent_to_it_with_its_condition() {
    // The next build speaks all that this one does: what both know is done by either.
    let Some(next) = next_program() else { return };
    let old = Member::start("old", &[]);
    let new = Member::start_build(&next, "new", "127.0.0.1:0", &[&old.addr]);
    settle(&[&old, &new]);
    for (asked, owner) in [(&old, "new"), (&new, "old")] {
        let target = format!("/v1/default/{}", keys_of(owner, asked, 1)[0]);
        let mut client = asked.client();
        let absent = [("if-none-match", "*")];
        assert_eq!(client.request_with("PUT", &target, &absent, "1").status, 201);
        assert_eq!(client.request_with("PUT", &target, &absent, "2").status, 412);
        assert_eq!(client.request("POST", &format!("{target}?op=incr"), "").body, "{\"value\":2}");
    }
}
