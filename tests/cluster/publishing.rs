//! Publish, subscribe and transactions of Redis clients across the nodes of a cluster.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::member::{Member, settle};
use crate::resp::{Reply, RespClient};

const PATIENCE: Duration = Duration::from_secs(20);

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn listen(addr: SocketAddr, words: &[&str]) -> RespClient {
    let mut client = RespClient::connect(addr);
    assert!(matches!(client.ask(words), Reply::Array(_)));
    client
}

/// The numbers that a client hears until its connection ends or it has heard `last`.
fn numbers(client: &mut RespClient, last: Option<usize>) -> Vec<usize> {
    let mut heard = vec![];
    while let Some(reply) = client.try_reply() {
        let Reply::Array(parts) = reply else { panic!("no message: {reply:?}") };
        let Some(Reply::Bulk(text)) = parts.last() else { panic!("no message: {parts:?}") };
        heard.push(String::from_utf8_lossy(text).parse().unwrap());
        if heard.last().copied() == last {
            break;
        }
    }
    heard
}

#[test]
fn a_message_comes_once_and_in_order_to_all_who_listen_on_all_nodes() {
    const MESSAGES: usize = 2_000;
    const CLIENTS: usize = 10;
    let (a, a_addr) = Member::start_redis("a", &[]);
    let (b, b_addr) = Member::start_redis("b", &[&a.addr]);
    settle(&[&a, &b]);
    let by_name = |addr| listen(addr, &["SUBSCRIBE", "numbers"]);
    let by_pattern = |addr| listen(addr, &["PSUBSCRIBE", "n?mbers"]);
    let mut clients: Vec<_> = (0..CLIENTS)
        .flat_map(|_| [by_name(a_addr), by_name(b_addr), by_pattern(a_addr), by_pattern(b_addr)])
        .collect();
    // Said as soon as those who listen know that they do.
    let mut publisher = RespClient::connect(a_addr);
    for n in 0..MESSAGES {
        let told = publisher.ask(&["PUBLISH", "numbers", &n.to_string()]);
        assert_eq!(told, Reply::Integer(2 * CLIENTS as i64), "those of this node are counted");
    }
    let expected: Vec<_> = (0..MESSAGES).collect();
    for client in &mut clients {
        assert_eq!(numbers(client, Some(MESSAGES - 1)), expected);
    }
    // Nobody listens any more: nothing is sent there.
    drop(clients);
    let mut at_b = RespClient::connect(b_addr);
    let began = Instant::now();
    while at_b.ask(&["PUBSUB", "NUMSUB", "numbers"])
        != Reply::Array(vec![bulk("numbers"), Reply::Integer(0)])
    {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn nobody_hears_a_message_twice_or_misses_one_when_another_node_goes() {
    let (a, a_addr) = Member::start_redis("a", &[]);
    let (mut b, b_addr) = Member::start_redis("b", &[&a.addr]);
    let (mut c, c_addr) = Member::start_redis("c", &[&a.addr]);
    settle(&[&a, &b, &c]);
    let mut at_a = listen(a_addr, &["SUBSCRIBE", "numbers"]);
    let mut at_b = listen(b_addr, &["SUBSCRIBE", "numbers"]);
    let mut at_c = listen(c_addr, &["PSUBSCRIBE", "*"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let published = scope.spawn(|| {
            let (mut publisher, mut count) = (RespClient::connect(a_addr), 0);
            while !is_over.load(Ordering::Relaxed) {
                let told = publisher.ask(&["PUBLISH", "numbers", &count.to_string()]);
                assert_eq!(told, Reply::Integer(1));
                count += 1;
            }
            assert_eq!(publisher.ask(&["PUBLISH", "numbers", "1000000"]), Reply::Integer(1));
            count
        });
        let heard = scope.spawn(|| numbers(&mut at_a, Some(1_000_000)));
        b.signal(rustix::process::Signal::TERM);
        let heard_at_b = numbers(&mut at_b, None);
        while b.has_ended().is_none() {}
        c.signal(rustix::process::Signal::KILL);
        let heard_at_c = numbers(&mut at_c, None);
        while c.has_ended().is_none() {}
        is_over.store(true, Ordering::Relaxed);
        let (published, mut heard) = (published.join().unwrap(), heard.join().unwrap());
        assert_eq!(heard.pop(), Some(1_000_000));
        assert_eq!(heard, Vec::from_iter(0..published));
        for heard in [heard_at_b, heard_at_c] {
            assert!(!heard.is_empty());
            assert_eq!(heard, Vec::from_iter(0..heard.len()), "all of it up to the end");
        }
    });
}

#[test]
fn what_happens_to_a_key_is_told_on_every_node() {
    let (a, a_addr) = Member::start_redis("a", &[]);
    let (b, b_addr) = Member::start_redis("b", &[&a.addr]);
    settle(&[&a, &b]);
    let (mut at_a, mut at_b) = (RespClient::connect(a_addr), RespClient::connect(b_addr));
    let set = ["CONFIG", "SET", "notify-keyspace-events", "E$g"];
    assert_eq!(at_b.ask(&set), Reply::Simple("OK".to_owned()));
    let mut listener = listen(b_addr, &["PSUBSCRIBE", "__keyevent@0__:*"]);
    let event = |event: &str, key: &str| {
        let channel = format!("__keyevent@0__:{event}");
        let pattern = bulk("__keyevent@0__:*");
        Reply::Array(vec![bulk("pmessage"), pattern, bulk(&channel), bulk(key)])
    };
    for n in 0..20 {
        let key = format!("key-{n}");
        assert_eq!(at_a.ask(&["SET", &key, "1"]), Reply::Simple("OK".to_owned()));
        assert_eq!(listener.reply(), event("set", &key));
        assert_eq!(at_b.ask(&["DEL", &key]), Reply::Integer(1));
        assert_eq!(listener.reply(), event("del", &key));
    }
}

#[test]
fn transactions_are_done_once_and_together_while_their_slots_move() {
    const SLOTS: usize = 8;
    let (a, a_addr) = Member::start_redis("a", &[]);
    let is_over = AtomicBool::new(false);
    let key = |slot: usize, name: &str| format!("{{{slot}}}{name}");
    let add = |addr: SocketAddr| {
        let (mut client, mut done) = (RespClient::connect(addr), vec![0_i64; SLOTS]);
        let mut turn = 0;
        while !is_over.load(Ordering::Relaxed) {
            let slot = turn % SLOTS;
            turn += 1;
            let [one, other] = ["one", "other"].map(|name| key(slot, name));
            let words = format!("MULTI\r\nINCR {one}\r\nDECR {other}\r\nEXEC\r\n");
            client.send_raw(words.as_bytes());
            (0..3).for_each(|_| drop(client.reply()));
            match client.reply() {
                Reply::Array(both) => {
                    assert_eq!(both.len(), 2, "{both:?}");
                    done[slot] += 1;
                }
                // Nothing changed, as it says: what it did all the same would be seen in the sums.
                Reply::Error(text) if text.starts_with("TRYAGAIN") => {}
                other => panic!("{other:?}"),
            }
        }
        done
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| add(a_addr));
        let (mut b, b_addr) = Member::start_redis("b", &[&a.addr]);
        let second = scope.spawn(move || add(b_addr));
        let (c, _) = Member::start_redis("c", &[&a.addr]);
        settle(&[&a, &b, &c]);
        is_over.store(true, Ordering::Relaxed);
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        b.signal(rustix::process::Signal::TERM);
        while b.has_ended().is_none() {}
        let mut client = RespClient::connect(a_addr);
        for slot in 0..SLOTS {
            let sum = first[slot] + second[slot];
            let values = ["one", "other"].map(|name| client.ask(&["GET", &key(slot, name)]));
            assert_eq!(values, [sum, -sum].map(|sum| bulk(&sum.to_string())), "{slot}");
            assert!(0 < sum, "{slot}");
        }
    });
}

#[test]
fn clients_are_told_where_the_owners_of_slots_are_reached() {
    let (a, a_addr) = Member::start_redis("a", &[]);
    let (b, b_addr) = Member::start_redis("b", &[&a.addr]);
    settle(&[&a, &b]);
    for addr in [a_addr, b_addr] {
        let mut client = RespClient::connect(addr);
        let Reply::Array(slots) = client.ask(&["CLUSTER", "SLOTS"]) else { panic!("no slots") };
        let mut ports: Vec<_> = slots.iter().map(port_of).collect();
        ports.sort_unstable();
        ports.dedup();
        let mut expected = [a_addr.port(), b_addr.port()].map(i64::from);
        expected.sort_unstable();
        assert_eq!(ports, expected);
        let Reply::Bulk(nodes) = client.ask(&["CLUSTER", "NODES"]) else { panic!("no nodes") };
        let nodes = String::from_utf8(nodes).unwrap();
        for other in [a_addr, b_addr] {
            assert!(nodes.contains(&format!(" {other}@")), "{nodes}");
        }
    }
}

fn port_of(run: &Reply) -> i64 {
    let Reply::Array(run) = run else { panic!("no run: {run:?}") };
    let Reply::Array(node) = &run[2] else { panic!("no node: {run:?}") };
    match node[1] {
        Reply::Integer(port) => port,
        ref other => panic!("no port: {other:?}"),
    }
}
