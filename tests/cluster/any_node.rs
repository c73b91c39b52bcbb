//! Any node takes any request, and what it answers does not depend on which one was asked.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::member::{Member, PATIENCE, cluster, settle, wait_until};

#[test]
fn every_node_writes_reads_and_deletes_every_key() {
    let members = cluster(["a", "b", "c"]);
    let mut owners = BTreeSet::new();
    for n in 0..60 {
        let key = format!("key-{n}");
        members[n % 3].put(&key, n as u64).unwrap();
        let owner = members[0].owner_of(&key);
        for member in &members {
            let found = member.get(&format!("/api?key={key}")).json();
            assert_eq!(found["data"]["n"].as_u64(), Some(n as u64));
            assert_eq!(found["node"], *owner);
            assert_eq!(member.owner_of(&key), owner);
            let is_here = member.get(&format!("/explain?key={key}")).json()["present"] == true;
            assert_eq!(is_here, member.name == owner);
        }
        owners.insert(owner);
        let gone = members[(n + 1) % 3].client().request("DELETE", &format!("/api?key={key}"), "");
        assert_eq!(gone.json()["deleted"], true);
        assert!(members.iter().all(|member| member.number(&key).is_none()));
    }
    assert_eq!(owners.len(), 3);
}

#[test]
fn the_native_api_and_queries_are_the_same_at_every_node() {
    let members = cluster(["a", "b"]);
    for n in 0..20 {
        let target = format!("/v1/pictures/folder/{n}");
        let headers = [("content-type", "image/png"), ("cache-control", "max-age=100")];
        let put = members[n % 2].client().request_with("PUT", &target, &headers, "bytes");
        assert_eq!(put.status, 201);
        for member in &members {
            let got = member.get(&target);
            assert_eq!((got.status, &*got.body), (200, "bytes"));
            assert_eq!(got.header("content-type"), Some("image/png"));
            assert_eq!(got.header("etag"), put.header("etag"));
            assert_eq!(got.header("smache-node"), put.header("smache-node"));
            assert!(got.header("cache-control").is_some_and(|left| left.starts_with("max-age=")));
            let etag = put.header("etag").unwrap();
            let known = [("if-none-match", etag)];
            assert_eq!(member.client().request_with("GET", &target, &known, "").status, 304);
        }
        let id = 1_000 + n;
        let body = format!(r#"{{"id":{id},"data":{{"color":"blue","n":{n}}}}}"#);
        assert_eq!(members[n % 2].post("/api", &body).status, 200);
        let query = format!(r#"{{"id":{id},"cmd":{{"query":"ONLY","keys":["color"]}}}}"#);
        for member in &members {
            assert_eq!(member.post("/api/cmd", &query).body, r#"{"values":["blue"]}"#);
        }
    }
}

/// Has the clients end, also if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks a node for new ids until told to stop; those that were given, and how many were not.
fn take_ids(
    member: &Member,
    is_over: &AtomicBool,
    ids: &Mutex<Vec<u64>>,
    failed: &Mutex<Vec<String>>,
) {
    let mut client = member.client();
    while !is_over.load(Ordering::Relaxed) {
        let Ok(answer) = client.try_request("POST", "/api", &[], r#"{"id":null,"data":{}}"#) else {
            // It leaves; the client of another node goes on.
            return;
        };
        match (answer.status, answer.json()["id"].as_u64()) {
            (200, Some(id)) => ids.lock().unwrap().push(id),
            _ => failed.lock().unwrap().push(format!("{answer:?}")),
        }
        std::thread::sleep(Duration::from_micros(500));
        if answer.header("connection") == Some("close") {
            return;
        }
    }
}

#[test]
fn no_id_is_given_twice_while_nodes_join_and_leave() {
    let [mut first, mut second] = cluster(["a", "b"]);
    let (ids, failed) = (Mutex::<Vec<u64>>::default(), Mutex::<Vec<String>>::default());
    let some_more = || {
        let given = || ids.lock().unwrap().len();
        let before = given();
        wait_until("ids are given", PATIENCE, || before + 50 < given());
    };
    for name in ["c", "d", "e"] {
        let third = Member::start(name, &[&first.addr]);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let end = End(&is_over);
            for member in [&first, &second, &third] {
                scope.spawn(|| take_ids(member, &is_over, &ids, &failed));
            }
            some_more();
            settle(&[&first, &second, &third]);
            some_more();
            first.signal(rustix::process::Signal::TERM);
            wait_until("it has left", PATIENCE, || second.state_of(&first.name) == "left");
            some_more();
            drop(end);
        });
        assert!(first.wait().0.success());
        settle(&[&second, &third]);
        (first, second) = (second, third);
    }
    let (ids, failed) = (ids.into_inner().unwrap(), failed.into_inner().unwrap());
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(ids.len(), ids.iter().collect::<HashSet<_>>().len(), "{} ids", ids.len());
}

#[test]
fn what_was_to_expire_or_was_deleted_stays_so_when_it_moves() {
    const KEYS: usize = 60;
    let ttl = Duration::from_secs(4);
    let mut a = Member::start("a", &[]);
    let mut written = a.client();
    let began = Instant::now();
    for n in 0..KEYS {
        for (kind, query) in
            [("short", "?ttl=4s"), ("long", "?ttl=100s"), ("gone", ""), ("kept", "")]
        {
            let put = written.request("PUT", &format!("/v1/x/{kind}-{n}{query}"), "v");
            assert_eq!(put.status, 201);
        }
        assert_eq!(written.request("DELETE", &format!("/v1/x/gone-{n}"), "").status, 204);
    }
    let is_written = Instant::now();
    let b = Member::start("b", &[&a.addr]);
    settle(&[&a, &b]);
    let count = |members: &[&Member], kind: &str| {
        let status = |n: usize| members[n % members.len()].get(&format!("/v1/x/{kind}-{n}")).status;
        (0..KEYS).filter(|n| status(*n) == 200).count()
    };
    assert_eq!((count(&[&a, &b], "gone"), count(&[&a, &b], "kept")), (0, KEYS));
    for n in 0..KEYS {
        let long = b.get(&format!("/v1/x/long-{n}"));
        let left = long.header("cache-control").and_then(|left| left.strip_prefix("max-age="));
        let left: u64 = left.unwrap().parse().unwrap();
        assert!((80..=100).contains(&left), "{left}");
    }
    a.drain();
    settle(&[&b]);
    assert_eq!((count(&[&b], "gone"), count(&[&b], "kept")), (0, KEYS));
    assert_eq!(count(&[&b], "long"), KEYS);
    if began.elapsed() < ttl - Duration::from_secs(1) {
        assert_eq!(count(&[&b], "short"), KEYS);
    }
    wait_until("the short ones end", PATIENCE, || count(&[&b], "short") == 0);
    let lived = is_written.elapsed();
    assert!(
        ttl - Duration::from_millis(50) <= is_written.elapsed() + (is_written - began),
        "{lived:?}"
    );
    assert!(lived < ttl + Duration::from_secs(1), "{lived:?}");
}

#[test]
fn keys_are_counted_on_every_node_and_deleted_together_from_any() {
    let members = cluster(["a", "b", "c"]);
    for n in 0..60 {
        members[n % 3].put(&format!("{{t{}}}{n}", n % 5), n as u64).unwrap();
    }
    let counted = |member: &Member| {
        let status = member.get("/status").json();
        let members = status["cluster"]["members"].as_array().unwrap();
        members.iter().map(|member| member["keys"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(members.iter().all(|member| counted(member) == 60));
    let explained = members[1].get("/explain?key=%7Bt3%7D").json();
    let of_slot = explained["slot_keys"].as_object().unwrap();
    assert_eq!(of_slot.values().filter_map(|keys| keys.as_u64()).sum::<u64>(), 12);
    assert_eq!(of_slot[explained["owner"].as_str().unwrap()], 12);
    let keys: String = (0..70).map(|n| format!("&key=%7Bt{}%7D{n}", n % 5)).collect();
    let deleted = members[2].client().request("DELETE", &format!("/v1/default?{}", &keys[1..]), "");
    assert_eq!((deleted.status, deleted.json()["deleted"].as_u64()), (200, Some(60)));
    assert!(members.iter().all(|member| counted(member) == 0));
}
