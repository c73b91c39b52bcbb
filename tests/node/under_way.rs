//! What is under way has room of its own and no more: bodies that do not come, answers that nobody
//! reads.

use std::time::{Duration, Instant};

use crate::http::Client;
use crate::process::Node;

const MIB: usize = 1024 * 1024;
/// What others may wait for usually, and at worst on a machine that has more to do.
const SOON: Duration = Duration::from_millis(100);
const AT_WORST: Duration = Duration::from_secs(1);
/// What the allocator may keep of the room of answers until something else needs it, in MiB.
const KEPT_MIB: u64 = 16 + 8;

/// A connection that has begun to send a value of a MiB.
fn upload(node: &Node, key: usize, sent: usize) -> Client {
    let mut client = node.client();
    let head = format!("PUT /v1/default/idle-{key} HTTP/1.1\r\nhost: localhost\r\n");
    client.send(format!("{head}content-length: {MIB}\r\n\r\n").as_bytes()).unwrap();
    client.send(&vec![b'x'; sent]).unwrap();
    client
}

/// A connection on which a value was asked for, and of which the answer has begun to come.
fn reader(node: &Node, target: &str, more: &str) -> Client {
    let mut client = node.client();
    let head =
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
    client.send(head.as_bytes()).unwrap();
    client.receive_some().unwrap();
    client
}

/// The status and the body of what came until the connection ended.
fn whole(client: &mut Client) -> (String, Vec<u8>) {
    let mut answer = client.receive_all().unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap(), body)
}

fn assert_others_are_answered_soon(node: &Node) {
    let (small, large) = ("v".repeat(100), "v".repeat(MIB));
    for (method, target, body) in [
        ("PUT", "/v1/default/small", &*small),
        ("GET", "/v1/default/small", ""),
        ("PUT", "/v1/default/large", &*large),
    ] {
        let mut took: Vec<Duration> = (0..9)
            .map(|_| {
                let mut client = node.client();
                let asked = Instant::now();
                let answer = client.request(method, target, body);
                assert_eq!(answer.status / 100, 2, "{method} {target}: {answer:?}");
                asked.elapsed()
            })
            .collect();
        took.sort_unstable();
        assert!(took[4] < SOON && took[8] < AT_WORST, "{method} {target}: {took:?}");
    }
}

#[test]
fn uploads_of_which_nothing_comes_keep_nobody_waiting() {
    let node = Node::start(&[]);
    let eight: Vec<Client> = (0..8).map(|n| upload(&node, n, 0)).collect();
    assert_others_are_answered_soon(&node);
    let more: Vec<Client> = (8..800).map(|n| upload(&node, n, n % 2)).collect();
    assert_others_are_answered_soon(&node);
    drop((eight, more));
}

#[test]
fn uploads_that_stop_half_way_with_all_the_room_keep_nobody_waiting() {
    let node = Node::start(&[]);
    let stopped: Vec<Client> = (0..9).map(|n| upload(&node, n, MIB - 1)).collect();
    assert_others_are_answered_soon(&node);
    drop(stopped);
}

#[test]
fn more_uploads_at_once_than_there_is_room_for_are_all_stored() {
    let node = Node::start(&[]);
    let value = "v".repeat(MIB);
    std::thread::scope(|scope| {
        for n in 0..40 {
            let (node, value) = (&node, &value);
            scope.spawn(move || {
                let target = format!("/v1/default/upload-{n}");
                assert_eq!(node.client().request("PUT", &target, value).status, 201);
            });
        }
    });
}

#[test]
fn readers_who_do_not_read_cost_a_stated_amount_of_memory_and_give_it_back() {
    let node = Node::start(&["--memory", "64MiB", "--max-value", "16MiB", "--shards", "1"]);
    let value = "v".repeat(16_000_000);
    assert_eq!(node.client().request("PUT", "/v1/default/huge", &value).status, 201);
    assert_others_are_answered_soon(&node);
    let mib = |node: &Node| node.rss_kib() / 1024;
    let before = mib(&node);
    let readers: Vec<Client> = (0..100).map(|_| reader(&node, "/v1/default/huge", "")).collect();
    assert_others_are_answered_soon(&node);
    let during = mib(&node);
    drop(readers);
    let left = Instant::now();
    while before + KEPT_MIB < mib(&node) && left.elapsed() < Duration::from_secs(10) {}
    let after = mib(&node);
    let figures = format!("{before} MiB before, {during} with readers, {after} after");
    assert!(during <= 64 + 32, "{figures}");
    assert!(after <= before + KEPT_MIB, "{figures}");
}

#[test]
fn a_value_that_goes_out_in_pieces_arrives_whole() {
    let node = Node::start(&["--memory", "128MiB", "--max-value", "16MiB", "--shards", "1"]);
    let value: String = (0..16 * MIB / 16).map(|n| format!("{n:016x}")).collect();
    assert_eq!(node.client().request("PUT", "/v1/default/large", &value).status, 201);
    let json = format!(r#"{{"key":"json","data":{{"x":"{}"}}}}"#, &value[..12 * MIB]);
    assert_eq!(node.client().request("POST", "/api", &json).status, 200);
    // It has all the room.
    let _unread = reader(&node, "/v1/default/large", "");

    let (head, body) = whole(&mut reader(&node, "/v1/default/large", ""));
    assert!(head.contains(&format!("content-length: {}\r\n", value.len())), "{head}");
    assert!(body == value.as_bytes());
    let (head, body) =
        whole(&mut reader(&node, "/v1/default/large", "range: bytes=99999-9999999\r\n"));
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert!(body == value.as_bytes()[99_999..=9_999_999]);
    let (head, body) = whole(&mut reader(&node, "/api?key=json", ""));
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let expected = json[..json.len() - 1].to_owned() + r#","node":"smache@localhost"}"#;
    assert!(body == expected.as_bytes());
    let mut client = node.client();
    for _ in 0..3 {
        assert_eq!(client.request("HEAD", "/v1/default/large", "").status, 200);
        assert_eq!(client.request("GET", "/v1/default/large", "").body.len(), value.len());
    }
}

#[test]
fn a_value_that_is_gone_before_all_of_it_was_given_is_cut_and_never_mixed() {
    let node = Node::start(&["--memory", "128MiB", "--max-value", "16MiB", "--shards", "1"]);
    let old = "a".repeat(16 * MIB);
    assert_eq!(node.client().request("PUT", "/v1/default/large", &old).status, 201);
    // It has all the room, and what it has is its own.
    let mut first = reader(&node, "/v1/default/large", "");
    let mut second = reader(&node, "/v1/default/large", "");
    let new = "b".repeat(16 * MIB);
    assert_eq!(node.client().request("PUT", "/v1/default/large", &new).status, 204);
    assert!(whole(&mut first).1 == old.as_bytes());
    let (_, cut) = whole(&mut second);
    assert!(cut.len() < old.len() && cut.iter().all(|byte| *byte == b'a'), "{}", cut.len());
    assert!(whole(&mut reader(&node, "/v1/default/large", "")).1 == new.as_bytes());
}

#[test]
fn answers_that_are_no_value_have_room_of_their_own() {
    let node = Node::start(&["--memory", "128MiB", "--max-value", "16MiB", "--shards", "1"]);
    let body = format!(r#"{{"key":"a","data":{{"x":"{}"}}}}"#, "x".repeat(12 * MIB));
    let post = format!(
        "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut unread = node.client();
    unread.send(post.as_bytes()).unwrap();
    unread.receive_some().unwrap();
    let refused = node.client().request("POST", "/api", &body);
    assert_eq!((refused.status, refused.message().contains("may have been done")), (503, true));
    // Neither what is small nor a value has to do with it.
    assert_eq!(node.get("/status").status, 200);
    let (_, found) = whole(&mut reader(&node, "/api?key=a", ""));
    assert!(12 * MIB < found.len());
    drop(unread);
    let gone = Instant::now();
    while node.client().request("POST", "/api", &body).status != 200 {
        assert!(gone.elapsed() < Duration::from_secs(10));
    }
}
