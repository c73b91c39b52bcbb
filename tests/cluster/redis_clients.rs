//! Redis clients at the nodes of a cluster: any node serves any key.

use crate::member::{Member, settle};
use crate::resp::{Reply, RespClient, encode};

const KEYS: usize = 300;

fn key(n: usize) -> String {
    format!("key-{n}")
}

/// Sends all of it at once, and returns the replies.
fn pipeline(client: &mut RespClient, requests: &[Vec<String>]) -> Vec<Reply> {
    let encoded =
        |words: &Vec<String>| encode(&words.iter().map(String::as_bytes).collect::<Vec<_>>());
    let bytes: Vec<u8> = requests.iter().flat_map(encoded).collect();
    client.send_raw(&bytes);
    requests.iter().map(|_| client.reply()).collect()
}

fn all(words: impl Fn(usize) -> Vec<String>) -> Vec<Vec<String>> {
    (0..KEYS).map(words).collect()
}

fn count(client: &mut RespClient, words: &[&str]) -> i64 {
    match client.ask(words) {
        Reply::Integer(count) => count,
        other => panic!("no number: {other:?}"),
    }
}

#[test]
fn every_node_serves_redis_clients_every_key_also_when_another_one_goes() {
    let (a, a_addr) = Member::start_redis("a", &[]);
    let (mut b, b_addr) = Member::start_redis("b", &[&a.addr]);
    settle(&[&a, &b]);
    let (mut at_a, mut at_b) = (RespClient::connect(a_addr), RespClient::connect(b_addr));
    let set = all(|n| vec!["SET".to_owned(), key(n), n.to_string()]);
    let ok = Reply::Simple("OK".to_owned());
    assert!(pipeline(&mut at_a, &set).iter().all(|reply| *reply == ok));
    let get = all(|n| vec!["GET".to_owned(), key(n)]);
    let expected: Vec<_> = (0..KEYS).map(|n| Reply::Bulk(n.to_string().into_bytes())).collect();
    assert_eq!(pipeline(&mut at_b, &get), expected);
    assert_eq!(count(&mut at_b, &["DBSIZE"]), KEYS as i64);

    let slots = at_a.ask(&["CLUSTER", "SHARDS"]);
    let Reply::Array(shards) = &slots else { panic!("no shards: {slots:?}") };
    assert_eq!(shards.len(), 2);
    assert_ne!(at_a.ask(&["CLUSTER", "MYID"]), at_b.ask(&["CLUSTER", "MYID"]));
    for n in 0..20 {
        let slot = count(&mut at_a, &["CLUSTER", "KEYSLOT", &key(n)]).to_string();
        let words = ["CLUSTER", "COUNTKEYSINSLOT", &slot];
        let keys = count(&mut at_a, &words);
        assert!(1 <= keys && keys == count(&mut at_b, &words), "{keys} in {slot}");
    }

    b.signal(rustix::process::Signal::TERM);
    while b.has_ended().is_none() {
        assert_eq!(pipeline(&mut at_a, &get), expected);
    }
    assert_eq!(at_b.try_reply(), None);
    assert_eq!(b.lines("did not end in time"), Vec::<String>::new());
    assert_eq!(pipeline(&mut at_a, &get), expected);
    assert_eq!(count(&mut at_a, &["DBSIZE"]), KEYS as i64);
}
