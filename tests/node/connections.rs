//! Clients that are slow, silent, foreign or too many.

use std::time::{Duration, Instant};

use crate::http::Client;
use crate::process::{Node, smache};

#[test]
fn silent_and_half_open_connections_are_closed_and_disturb_nobody() {
    let node = Node::start(&[]);
    let began = Instant::now();
    let mut connections: Vec<Client> = (0..300).map(|_| node.client()).collect();
    for (index, connection) in connections.iter_mut().enumerate() {
        let sent: &[u8] = match index % 3 {
            0 => b"",
            1 => b"GET /api?key=a HTTP/1.1\r\nhost: local",
            _ => b"POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
        };
        connection.send(sent).unwrap();
    }
    let mut client = node.client();
    for _ in 0..100 {
        let asked = Instant::now();
        assert_eq!(client.request("GET", "/api?key=a", "").status, 200);
        assert!(asked.elapsed() < Duration::from_secs(1));
    }
    for (index, mut connection) in connections.into_iter().enumerate() {
        if index % 3 == 2 {
            let given_up = connection.receive().unwrap();
            assert_eq!(given_up.status, 408);
            assert!(given_up.message().contains("within 10 s"));
        }
        assert!(connection.is_closed());
    }
    let took = began.elapsed();
    assert!(Duration::from_secs(5) <= took && took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn garbage_and_oversized_heads_are_refused() {
    let node = Node::start(&[]);
    let mut garbage = node.client();
    garbage.send(b"\x00\x01\x02 what is this\r\n\r\n").unwrap();
    let refused = garbage.receive().unwrap();
    assert_eq!((refused.status, refused.message().contains("malformed")), (400, true));
    assert!(garbage.is_closed());
    for wrong in ["GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = node.client();
        client.send(wrong.as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap().status, 400, "{wrong}");
    }

    let mut long_target = node.client();
    long_target
        .send(format!("GET /api?key={} HTTP/1.1\r\n", "k".repeat(70_000)).as_bytes())
        .unwrap();
    long_target.send(b"host: localhost\r\n\r\n").unwrap();
    let refused = long_target.receive().unwrap();
    assert_eq!((refused.status, refused.message().contains("65534")), (414, true));

    let mut many = node.client();
    let headers: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    many.send(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes()).unwrap();
    let refused = many.receive().unwrap();
    assert_eq!((refused.status, refused.message().contains("100 fields")), (431, true));
    assert_eq!(node.get("/").status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let requests: String =
        (0..50).map(|n| format!("GET /api?key={n} HTTP/1.1\r\nhost: localhost\r\n\r\n")).collect();
    client.send(requests.as_bytes()).unwrap();
    for n in 0..50 {
        assert_eq!(client.receive().unwrap().json()["key"], n.to_string());
    }
}

#[test]
fn a_request_is_answered_whatever_comes_after_it() {
    let node = Node::start(&[]);
    let body = r#"{"key":"a","data":{}}"#;
    for after in ["\r\n", "G", "garbage garbage\r\n\r\n"] {
        let mut client = node.client();
        let head = "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 21\r\n\r\n";
        client.send(format!("{head}{body}{after}").as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap().status, 200, "{after:?}");
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let node = Node::start(&[]);
    let value = format!(r#"{{"key":"a","data":{{"x":"{}"}}}}"#, "x".repeat(1_000_000));
    assert_eq!(node.post("/api", &value).status, 200);
    let mut client = node.client();
    let requests = "GET /api?key=a HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    client.send(requests.as_bytes()).unwrap();
    // The first answer is there, the others wait with the requests.
    assert_eq!(client.receive().unwrap().status, 200);
    let hits = node.get("/status").json()["requests"]["hits"].as_u64().unwrap();
    assert!(hits < 100, "{hits}");
}

#[test]
fn a_web_page_cannot_reach_a_local_node() {
    let node = Node::start(&[]);
    let mut client = node.client();
    let foreign_host = client.request_with("GET", "/api?key=a", &[("host", "evil.example")], "");
    assert_eq!((foreign_host.status, foreign_host.message().contains("allowed:")), (403, true));
    let body = r#"{"key":"a","data":{}}"#;
    let origin = [("origin", "https://evil.example")];
    assert_eq!(client.request_with("POST", "/api", &origin, body).status, 403);
    // A body that is refused unread may end its connection.
    let mut client = node.client();
    assert_eq!(client.request("GET", "/status", "").json()["requests"]["writes"], 0);
    let own = [("origin", "http://localhost:8000")];
    assert_eq!(client.request_with("POST", "/api", &own, body).status, 200);
}

#[test]
fn with_a_token_everything_but_health_needs_it() {
    let mut command = smache(&["serve", "--http", "127.0.0.1:0"]);
    let node = Node::start_command(command.env("SMACHE_TOKEN", "open-sesame"));
    let mut client = node.client();
    for path in ["/", "/healthcheck", "/livez", "/readyz"] {
        assert_eq!(client.request("GET", path, "").status, 200, "{path}");
    }
    for path in ["/api?key=a", "/status", "/supervision", "/metrics", "/nowhere"] {
        let refused = client.request("GET", path, "");
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    let wrong = [("authorization", "Bearer open-sesam")];
    assert_eq!(client.request_with("GET", "/status", &wrong, "").status, 401);
    let right = [("authorization", "Bearer open-sesame"), ("host", "cache.example")];
    assert_eq!(client.request_with("GET", "/status", &right, "").status, 200);
}
