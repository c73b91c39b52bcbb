//! How a node ends.

use std::time::Duration;

use rustix::process::Signal;

use crate::http::Client;
use crate::process::Node;

#[test]
fn a_drain_answers_what_has_begun_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = Node::start(&[]);
        let mut idle = node.client();
        assert_eq!(idle.request("GET", "/", "").status, 200);
        let mut silent = node.client();
        let body = br#"{"key":"a","data":{"n":1}}"#;
        let mut busy = node.client();
        let head = format!(
            "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        busy.send(head.as_bytes()).unwrap();
        busy.send(&body[..10]).unwrap();
        // The node has seen the header once it counts the connection as busy; asking on the same
        // door after it is enough, as connections are accepted in order.
        assert_eq!(node.get("/").status, 200);

        node.signal(signal);
        node.wait_for_line("draining");
        assert!(idle.is_closed() && silent.is_closed());
        busy.send(&body[10..]).unwrap();
        let answer = busy.receive().unwrap();
        assert_eq!((answer.status, &*answer.body), (200, r#"{"data":{"n":1}}"#));
        assert_eq!(answer.header("connection"), Some("close"));
        let (status, took) = node.wait();
        assert!(status.success() && took < Duration::from_secs(1), "{status:?} {took:?}");
    }
}

/// A request whose body never comes, and that the node has begun to read.
pub fn begin_endless_request(node: &Node) -> Client {
    let mut client = node.client();
    client.send(b"POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{").unwrap();
    // Connections are accepted in order.
    assert_eq!(node.get("/").status, 200);
    client
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_drain() {
    let mut node = Node::start(&[]);
    let mut endless = begin_endless_request(&node);
    node.signal(Signal::TERM);
    node.wait_for_line("draining");
    let refused = node.get("/readyz");
    assert_eq!((refused.status, refused.message().contains("draining")), (503, true));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let (status, took) = node.wait();
    assert!(status.success() && took < Duration::from_secs(5), "{status:?} {took:?}");
    assert!(endless.is_closed());
}
