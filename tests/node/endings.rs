//! How connections end: nobody is reset who is still owed an answer, and who is told that a connection
//! stays may send the next request on it.

use std::time::Duration;

use rustix::process::Signal;

use crate::http::{Client, Response};
use crate::process::Node;
use crate::slow_link::slow_link;

/// A link that is as long as one to the next town and back.
const DELAY: Duration = Duration::from_millis(20);
const MIB: usize = 1024 * 1024;

/// A request without a body, to be closed after it or not.
fn head(method: &str, target: &str, more: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n")
}

/// The answer to a request after which the client sends nothing more.
fn ask_and_end(node: &Node, method: &str, target: &str, body: &str) -> Response {
    let length = format!("content-length: {}\r\n", body.len());
    let mut client = node.client();
    client.send((head(method, target, &length) + body).as_bytes()).unwrap();
    client.end_sending();
    client.receive_for(method).unwrap_or_else(|reason| panic!("{method} {target}: {reason}"))
}

/// How many bytes of body came, before whatever end.
fn body_bytes(answer: &[u8]) -> usize {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    answer.len() - end - 4
}

#[test]
fn a_client_that_ends_what_it_sends_is_answered() {
    let node = Node::start(&[]);
    for n in 0..100 {
        let target = format!("/v1/default/half-{n}");
        assert_eq!(ask_and_end(&node, "PUT", &target, "value").status, 201);
        assert_eq!(ask_and_end(&node, "GET", &target, "").body, "value");
        assert_eq!(ask_and_end(&node, "DELETE", &target, "").status, 204);
        let body = format!(r#"{{"key":"half-{n}","data":{{"n":{n}}}}}"#);
        assert_eq!(ask_and_end(&node, "POST", "/api", &body).status, 200);
    }
}

#[test]
fn a_client_that_ends_what_it_sends_is_answered_for_keys_of_another_node() {
    let first = Node::start(&["--cluster", "127.0.0.1:0", "--node", "a@test"]);
    let addr = first.get("/status").json()["cluster"]["members"][0]["addr"].clone();
    let join = ["--cluster", "127.0.0.1:0", "--join", addr.as_str().unwrap(), "--node", "b@test"];
    let second = Node::start(&join);
    let mut others = 0;
    for n in 0..200 {
        let target = format!("/v1/default/half-{n}");
        let put = ask_and_end(&second, "PUT", &target, "value");
        assert_eq!(put.status, 201, "{put:?}");
        others += usize::from(put.header("smache-node") == Some("a@test"));
        assert_eq!(ask_and_end(&second, "GET", &target, "").body, "value");
        assert_eq!(ask_and_end(&second, "DELETE", &target, "").status, 204);
    }
    assert!(0 < others, "no key was of the other node");
}

#[test]
fn a_large_answer_comes_whole_to_a_client_that_has_ended_what_it_sends() {
    let node = Node::start(&["--memory", "128MiB", "--max-value", "16MiB", "--shards", "1"]);
    let value = "v".repeat(16 * MIB);
    assert_eq!(node.client().request("PUT", "/v1/default/large", &value).status, 201);
    let link = slow_link(node.addr(), DELAY);
    for addr in [node.addr(), link] {
        let mut client = Client::connect(addr);
        client.send(head("GET", "/v1/default/large", "").as_bytes()).unwrap();
        client.end_sending();
        assert_eq!(body_bytes(&client.receive_all().unwrap()), value.len());
    }
}

#[test]
fn all_that_was_sent_before_the_end_is_answered_in_order() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let requests: String = (0..50).map(|n| head("GET", &format!("/api?key={n}"), "")).collect();
    client.send(requests.as_bytes()).unwrap();
    client.end_sending();
    for n in 0..50 {
        assert_eq!(client.receive().unwrap().json()["key"], n.to_string());
    }
    assert_eq!(client.receive_all().unwrap(), b"");
}

#[test]
fn a_request_that_is_cut_short_is_told_so() {
    let node = Node::start(&[]);
    for cut in [
        "GET /api?key=a HTTP/1.1\r\nhost: loc",
        "PUT /v1/a/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nshort",
    ] {
        let mut client = node.client();
        client.send(cut.as_bytes()).unwrap();
        client.end_sending();
        let refused = client.receive().unwrap();
        assert_eq!((refused.status, refused.header("connection")), (400, Some("close")), "{cut}");
    }
    assert_eq!(node.get("/v1/a/k").status, 404);
}

#[test]
fn an_answer_is_not_cut_by_what_the_client_has_sent_in_vain() {
    let node = Node::start(&["--max-value", "4MiB"]);
    let value = "v".repeat(MIB);
    assert_eq!(node.client().request("PUT", "/v1/default/large", &value).status, 201);
    let link = slow_link(node.addr(), DELAY);
    let body = "b".repeat(100_000);
    let stray = head("GET", "/v1/default/large", "connection: close\r\n") + "\r\n";
    let next = head("GET", "/v1/default/large", "connection: close\r\n")
        + &head("GET", "/v1/default/large", "");
    let unread = head("GET", "/v1/default/large", "content-length: 100000\r\n") + &body;
    let old = "GET /v1/default/large HTTP/1.0\r\n\r\n\r\n".to_owned();
    for (sent, addr) in [&stray, &next, &unread, &old]
        .into_iter()
        .flat_map(|sent| [(sent, link), (sent, node.addr())])
    {
        let mut client = Client::connect(addr);
        client.send(sent.as_bytes()).unwrap();
        let answer = client.receive_all().unwrap();
        assert_eq!(body_bytes(&answer), value.len(), "{:.60}", sent);
        let head = String::from_utf8_lossy(&answer[..answer.len() - value.len()]).into_owned();
        assert!(head.contains("connection: close\r\n"), "{head}");
    }
}

#[test]
fn a_refusal_of_a_body_that_nobody_reads_arrives_and_says_that_it_is_the_last() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let link = slow_link(node.addr(), DELAY);
    let body = "b".repeat(300_000);
    for (method, target, more, status) in [
        ("PUT", "/v1/no%20good/k", "", 400),
        ("PUT", "/v1/default/k", "origin: http://evil.example\r\n", 403),
        ("POST", "/nowhere", "", 404),
        ("PATCH", "/api", "", 405),
        ("PUT", "/v1/default/k", "", 413),
        ("PUT", "/v1/default/k", "cache-tag: a\r\n", 501),
        ("GET", "/api?key=a", "", 200),
    ] {
        for version in ["1.1", "1.0"] {
            let mut client = Client::connect(link);
            let head = format!(
                "{method} {target} HTTP/{version}\r\nhost: localhost\r\nconnection: keep-alive\r\n\
                 {more}content-length: {}\r\n\r\n",
                body.len()
            );
            client.send((head + &body).as_bytes()).unwrap();
            let answer = client.receive().unwrap();
            assert_eq!(answer.status, status, "{method} {target} {version}");
            let said: Vec<_> =
                answer.head.lines().filter(|l| l.starts_with("connection:")).collect();
            assert_eq!(said, ["connection: close"], "{method} {target} {version}");
            assert_eq!(client.receive_all().unwrap(), b"");
        }
    }
}

#[test]
fn a_connection_that_is_not_said_to_close_takes_the_next_request() {
    let node = Node::start(&["--max-value", "1KiB"]);
    let link = slow_link(node.addr(), Duration::from_millis(1));
    let (small, large) = ("b".repeat(600), "b".repeat(40_000));
    let mut client = Client::connect(link);
    let mut closed = 0;
    for n in 0..400 {
        let (method, target, body) = match n % 8 {
            0 => ("PUT", "/v1/default/k", &*small),
            1 => ("PUT", "/v1/default/k", &*large),
            2 => ("PUT", "/v1/default/k?tll=1", &*small),
            3 => ("POST", "/api", "{"),
            4 => ("PATCH", "/v1/default/k", ""),
            5 => ("GET", "/v1/default/k", &*large),
            6 => ("DELETE", "/nowhere", &*small),
            _ => ("GET", "/api?key=k", ""),
        };
        let answer = client.try_request(method, target, &[], body);
        let answer = answer.unwrap_or_else(|reason| panic!("{n} {method} {target}: {reason}"));
        if answer.header("connection") == Some("close") {
            closed += 1;
            client = Client::connect(link);
        }
    }
    assert_eq!(closed, 200, "those whose body nobody reads");
}

#[test]
fn an_old_client_is_told_what_becomes_of_its_connection() {
    let node = Node::start(&[]);
    let mut stays = node.client();
    for _ in 0..3 {
        stays.send(b"GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n").unwrap();
        assert_eq!(stays.receive().unwrap().header("connection"), Some("keep-alive"));
    }
    let mut ends = node.client();
    ends.send(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(ends.receive().unwrap().header("connection"), Some("close"));
    assert_eq!(ends.receive_all().unwrap(), b"");
}

#[test]
fn what_was_sent_before_a_drain_could_be_known_of_is_answered() {
    let mut node = Node::start(&[]);
    let link = slow_link(node.addr(), DELAY);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(link)).collect();
    for client in &mut clients {
        assert_eq!(client.request("GET", "/", "").header("connection"), None);
    }
    node.signal(Signal::TERM);
    node.wait_for_line("draining");
    // What is sent now arrives when the node has long been draining.
    for (n, client) in clients.iter_mut().enumerate() {
        let body = format!(r#"{{"key":"{n}","data":{{}}}}"#);
        let length = format!("content-length: {}\r\n", body.len());
        client.send((head("POST", "/api", &length) + &body).as_bytes()).unwrap();
    }
    for client in &mut clients {
        let answer = client.receive().unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert_eq!(client.receive_all().unwrap(), b"");
    }
    let (status, took) = node.wait();
    assert!(status.success() && took < Duration::from_secs(1), "{status:?} {took:?}");
}
