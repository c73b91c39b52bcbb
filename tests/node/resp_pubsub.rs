//! Publish, subscribe and transactions of Redis clients at one node.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::process::Node;
use crate::resp::{Reply, RespClient, encode};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(flags: &[&str]) -> (Node, SocketAddr) {
    let node = Node::start(&[&["--resp", "127.0.0.1:0"], flags].concat());
    let line = node.wait_for_line("node is ready");
    let addr = line.split("resp=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    (node, addr)
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn ok() -> Reply {
    Reply::Simple("OK".to_owned())
}

fn message(channel: &str, text: &str) -> Vec<Reply> {
    vec![bulk("message"), bulk(channel), bulk(text)]
}

fn pmessage(pattern: &str, channel: &str, text: &str) -> Vec<Reply> {
    vec![bulk("pmessage"), bulk(pattern), bulk(channel), bulk(text)]
}

#[test]
fn a_message_comes_once_for_each_channel_and_pattern_that_means_it() {
    let (_node, addr) = start(&[]);
    let (mut second, mut third) = (RespClient::connect(addr), RespClient::connect(addr));
    let mut other = RespClient::connect(addr);
    second.send_raw(b"SUBSCRIBE news sport\r\nPSUBSCRIBE n?ws*\r\n");
    for (word, name, count) in
        [("subscribe", "news", 1), ("subscribe", "sport", 2), ("psubscribe", "n?ws*", 3)]
    {
        let told = vec![bulk(word), bulk(name), Reply::Integer(count)];
        assert_eq!(second.reply(), Reply::Array(told));
    }
    third.ask(&["HELLO", "3"]);
    let told = vec![bulk("subscribe"), bulk("news"), Reply::Integer(1)];
    assert_eq!(third.ask(&["SUBSCRIBE", "news"]), Reply::Third(b'>', told));
    assert_eq!(other.ask(&["PUBLISH", "news", "first"]), Reply::Integer(3));
    assert_eq!(other.ask(&["PUBLISH", "newspaper", "second"]), Reply::Integer(1));
    assert_eq!(other.ask(&["PUBLISH", "weather", "third"]), Reply::Integer(0));
    assert_eq!(second.reply(), Reply::Array(message("news", "first")));
    assert_eq!(second.reply(), Reply::Array(pmessage("n?ws*", "news", "first")));
    assert_eq!(second.reply(), Reply::Array(pmessage("n?ws*", "newspaper", "second")));
    assert_eq!(third.reply(), Reply::Third(b'>', message("news", "first")));
    // The third form of the protocol knows messages from replies: other commands go on.
    assert_eq!(third.ask(&["SET", "a", "1"]), ok());
    assert_eq!(other.ask(&["PUBSUB", "NUMPAT"]), Reply::Integer(1));
    let numbers = vec![bulk("news"), Reply::Integer(2), bulk("none"), Reply::Integer(0)];
    assert_eq!(other.ask(&["PUBSUB", "NUMSUB", "news", "none"]), Reply::Array(numbers));
    drop(second);
    let began = Instant::now();
    while other.ask(&["PUBSUB", "CHANNELS"]) != Reply::Array(vec![bulk("news")]) {
        assert!(began.elapsed() < PATIENCE, "a client that is gone is listed still");
    }
    assert_eq!(other.ask(&["PUBLISH", "news", "last"]), Reply::Integer(1));
    assert_eq!(third.reply(), Reply::Third(b'>', message("news", "last")));
}

#[test]
fn what_was_said_before_a_client_left_comes_before_it_is_told_that_it_has() {
    let (_node, addr) = start(&[]);
    let (mut listener, mut other) = (RespClient::connect(addr), RespClient::connect(addr));
    for round in 0..50 {
        listener.ask(&["SUBSCRIBE", "a"]);
        let text = round.to_string();
        assert_eq!(other.ask(&["PUBLISH", "a", &text]), Reply::Integer(1));
        listener.send_raw(b"UNSUBSCRIBE a\r\n");
        assert_eq!(listener.reply(), Reply::Array(message("a", &text)));
        let told = vec![bulk("unsubscribe"), bulk("a"), Reply::Integer(0)];
        assert_eq!(listener.reply(), Reply::Array(told));
    }
}

#[test]
fn a_client_that_does_not_take_its_messages_is_closed_and_others_get_theirs() {
    const MESSAGES: usize = 600;
    let (node, addr) = start(&[]);
    let mut lazy: Vec<_> = (0..20).map(|_| RespClient::connect(addr)).collect();
    let (mut eager, mut other) = (RespClient::connect(addr), RespClient::connect(addr));
    for client in lazy.iter_mut().chain([&mut eager]) {
        client.ask(&["SUBSCRIBE", "a"]);
    }
    let before = node.rss_kib();
    for n in 0..MESSAGES {
        let text = format!("{n:060000}");
        assert!(matches!(other.ask(&["PUBLISH", "a", &text]), Reply::Integer(1..)));
        assert_eq!(eager.reply(), Reply::Array(message("a", &text)));
    }
    node.wait_for_line("a client that listens is closed");
    // 36 MB were said, of which each may have 8 that wait and the socket some more, once for all.
    let grown = node.rss_kib().saturating_sub(before);
    assert!(grown < 64 * 1_024, "{grown} KiB more");
    for client in &mut lazy {
        let mut got = 0;
        while let Some(reply) = client.try_reply() {
            assert_eq!(reply, Reply::Array(message("a", &format!("{got:060000}"))));
            got += 1;
        }
        assert!(got < MESSAGES, "{got} messages");
    }
    assert_eq!(other.ask(&["PUBLISH", "a", "last"]), Reply::Integer(1));
    assert_eq!(eager.reply(), Reply::Array(message("a", "last")));
}

#[test]
fn changes_of_keys_are_told_to_those_who_listen_as_the_node_is_set() {
    let (node, addr) = start(&["--shards", "3"]);
    let (mut listener, mut other) = (RespClient::connect(addr), RespClient::connect(addr));
    listener.ask(&["PSUBSCRIBE", "*"]);
    let set = |other: &mut RespClient, events: &str| {
        assert_eq!(other.ask(&["CONFIG", "SET", "notify-keyspace-events", events]), ok());
    };
    assert_eq!(other.ask(&["SET", "unseen", "1"]), ok());
    set(&mut other, "KEA");
    assert_eq!(other.ask(&["SET", "k", "1"]), ok());
    let expected = |channel: &str, text: &str| Reply::Array(pmessage("*", channel, text));
    assert_eq!(listener.reply(), expected("__keyspace@0__:k", "set"));
    assert_eq!(listener.reply(), expected("__keyevent@0__:set", "k"));
    set(&mut other, "Exg");
    assert_eq!(other.ask(&["SET", "k", "2", "PX", "50"]), ok());
    assert_eq!(listener.reply(), expected("__keyevent@0__:expired", "k"));
    assert_eq!(other.ask(&["DEL", "unseen", "none"]), Reply::Integer(1));
    assert_eq!(listener.reply(), expected("__keyevent@0__:del", "unseen"));
    // Of other namespaces Redis's clients know nothing.
    assert_eq!(node.client().request("PUT", "/v1/other/k", "1").status, 201);
    assert_eq!(node.client().request("DELETE", "/v1/other/k", "").status, 204);
    assert_eq!(node.client().request("PUT", "/v1/default/k", "1").status, 201);
    assert_eq!(node.client().request("DELETE", "/v1/default/k", "").status, 204);
    assert_eq!(listener.reply(), expected("__keyevent@0__:del", "k"));
    set(&mut other, "");
    assert_eq!(other.ask(&["DEL", "k"]), Reply::Integer(0));
    assert_eq!(other.ask(&["PUBLISH", "last", "one"]), Reply::Integer(1));
    assert_eq!(listener.reply(), expected("last", "one"));
}

#[test]
fn what_a_transaction_does_is_seen_at_once_or_not_at_all() {
    const ROUNDS: usize = 300;
    let (_node, addr) = start(&["--shards", "2"]);
    let mut reader = RespClient::connect(addr);
    assert_eq!(reader.ask(&["MSET", "{t}a", "0", "{t}b", "0"]), ok());
    let writers: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = RespClient::connect(addr);
                for _ in 0..ROUNDS {
                    client.send_raw(b"MULTI\r\nINCR {t}a\r\nDECR {t}b\r\nEXEC\r\n");
                    (0..3).for_each(|_| drop(client.reply()));
                    assert!(matches!(client.reply(), Reply::Array(both) if both.len() == 2));
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        reader.send_raw(b"MULTI\r\nGET {t}a\r\nGET {t}b\r\nEXEC\r\n");
        (0..3).for_each(|_| drop(reader.reply()));
        let Reply::Array(both) = reader.reply() else { panic!("no values") };
        assert_eq!(number(&both[0]), -number(&both[1]));
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(number(&reader.ask(&["GET", "{t}a"])), 3 * ROUNDS as i64);
}

#[test]
fn a_transaction_is_done_only_while_nobody_has_changed_what_it_watches() {
    const ROUNDS: usize = 200;
    let (_node, addr) = start(&[]);
    let add = move || {
        let (mut client, mut done) = (RespClient::connect(addr), 0);
        while done < ROUNDS {
            assert_eq!(client.ask(&["WATCH", "n"]), ok());
            let next = match client.ask(&["GET", "n"]) {
                Reply::Null => 1,
                found => number(&found) + 1,
            };
            assert_eq!(client.ask(&["MULTI"]), ok());
            client.ask(&["SET", "n", &next.to_string()]);
            match client.ask(&["EXEC"]) {
                Reply::Array(_) => done += 1,
                Reply::Null => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(add)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(number(&RespClient::connect(addr).ask(&["GET", "n"])), 3 * ROUNDS as i64);
}

#[test]
fn what_cannot_be_done_together_is_refused_and_nothing_of_it_is_done() {
    let (_node, addr) = start(&[]);
    let mut client = RespClient::connect(addr);
    let error = |reply: Reply| match reply {
        Reply::Error(text) => text,
        other => panic!("no error: {other:?}"),
    };
    const SLOTS: &str = "CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(error(client.ask(&["MSETNX", "a", "1", "b", "2"])), SLOTS);
    assert_eq!(error(client.ask(&["WATCH", "a", "b"])), SLOTS);
    client.send_raw(b"MULTI\r\nSET a 1\r\nSET b 2\r\n");
    (0..3).for_each(|_| drop(client.reply()));
    assert_eq!(error(client.ask(&["EXEC"])), SLOTS);
    assert_eq!(error(client.ask(&["EXEC"])), "ERR EXEC without MULTI");
    assert_eq!(client.ask(&["EXISTS", "a", "b"]), Reply::Integer(0));
    client.ask(&["MULTI"]);
    let refused = error(client.ask(&["FLUSHALL"]));
    assert_eq!(refused, "ERR Command not allowed inside a transaction");
    assert!(error(client.ask(&["EXEC"])).starts_with("EXECABORT"));
    let large = "x".repeat(1_000_000);
    client.ask(&["MULTI"]);
    client.ask(&["SET", "a", &large]);
    (0..9).for_each(|_| drop(client.ask(&["GET", "a"])));
    assert!(error(client.ask(&["EXEC"])).ends_with("nothing changed"));
    assert_eq!(client.ask(&["EXISTS", "a"]), Reply::Integer(0));
    client.send_raw(&encode(&[b"MULTI"]));
    client.send_raw(&encode(&[b"SET", b"a", large.as_bytes()]));
    client.send_raw(&encode(&[b"GET", b"a"]));
    client.send_raw(&encode(&[b"EXEC"]));
    (0..3).for_each(|_| drop(client.reply()));
    assert_eq!(client.reply(), Reply::Array(vec![ok(), bulk(&large)]));
}

fn number(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(number) => *number,
        Reply::Bulk(text) => String::from_utf8_lossy(text).parse().unwrap(),
        other => panic!("no number: {other:?}"),
    }
}
