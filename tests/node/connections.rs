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

/// The answer to what is no request, which is the last one, says when it was made, and has a message.
fn refusal_of(node: &Node, pieces: &[&[u8]]) -> (u16, String) {
    let mut client = node.client();
    for piece in pieces {
        // A refusal may come before all is sent.
        let _ = client.send(piece);
    }
    let refused = client.receive().unwrap();
    assert_eq!(refused.header("connection"), Some("close"), "{refused:?}");
    assert!(refused.header("date").is_some_and(|date| date.ends_with(" GMT")), "{refused:?}");
    let message = refused.message();
    assert_eq!(client.receive_all().unwrap(), b"");
    (refused.status, message)
}

#[test]
fn what_is_no_request_is_refused_with_a_message() {
    let node = Node::start(&[]);
    for (request, status, message) in [
        ("\x00\x01\x02 what is this\r\n\r\n", 400, "malformed"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "malformed"),
        ("GET / HTTP/1.0\r\nno colon\r\n\r\n", 400, "malformed"),
        ("GET / HTTP/9.9\r\n\r\n", 505, "allowed: HTTP/1.1"),
        ("GET / HTTP/1.2\r\nhost: localhost\r\n\r\n", 505, "allowed: HTTP/1.1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "allowed: HTTP/1.1"),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400, "content-length"),
        ("GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400, "content-length"),
        ("GET / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n", 400, "content-length"),
        ("GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", 400, "content-length"),
    ] {
        let (got, said) = refusal_of(&node, &[request.as_bytes()]);
        assert!((got, said.contains(message)) == (status, true), "{request:?}: {got} {said}");
    }
    // Also behind an answer of ours, which looks the same to whoever looks at bytes.
    let mut client = node.client();
    client
        .send(b"DELETE / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nx\r\n\r\n")
        .unwrap();
    assert_eq!(client.receive().unwrap().status, 405);
    assert_eq!(client.receive().unwrap().status, 400);
    assert_eq!(node.get("/").status, 200);
}

#[test]
fn a_limit_of_a_header_holds_in_whatever_pieces_it_comes() {
    let node = Node::start(&[]);
    let field = |bytes: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nhost: localhost\r\nx: ", "\r\n\r\n");
        format!("{start}{}{end}", "v".repeat(bytes - start.len() - end.len()))
    };
    let target = |bytes: usize| {
        format!("GET /api?key={} HTTP/1.1\r\nhost: localhost\r\n\r\n", "k".repeat(bytes - 9))
    };
    let fields: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, status, message) in [
        (field(129 * 1024), 431, "131072 bytes"),
        (field(131_073), 431, "131072 bytes"),
        (field(300_000), 431, "131072 bytes"),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"), 431, "100 fields"),
        (target(65_535), 414, "65534 bytes"),
        (target(131_072), 414, "65534 bytes"),
        (target(200_000), 414, "65534 bytes"),
    ] {
        for piece_bytes in [usize::MAX, 65_536, 4_096, 1_000] {
            let pieces: Vec<_> = request.as_bytes().chunks(piece_bytes).collect();
            let (got, said) = refusal_of(&node, &pieces);
            let context =
                format!("{:.20} {} by {piece_bytes}: {got} {said}", request, request.len());
            assert!((got, said.contains(message)) == (status, true), "{context}");
        }
    }
    for piece_bytes in [usize::MAX, 1_000] {
        let mut client = node.client();
        let request = field(131_072);
        request.as_bytes().chunks(piece_bytes).for_each(|piece| client.send(piece).unwrap());
        assert_eq!(client.receive().unwrap().status, 200);
    }
}

#[test]
fn a_coding_of_the_body_that_is_not_undone_is_refused() {
    let node = Node::start(&[]);
    for coding in [
        "gzip, chunked",
        "deflate, chunked",
        "x",
        "chunked, chunked",
        "chunked\r\ntransfer-encoding: chunked",
        "gzip",
        "identity",
    ] {
        let mut client = node.client();
        let head = "PUT /v1/default/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding:";
        client.send(format!("{head} {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n").as_bytes()).unwrap();
        let refused = client.receive().unwrap();
        assert_eq!(
            (refused.status, refused.header("connection")),
            (501, Some("close")),
            "{coding}"
        );
        assert!(refused.message().contains("allowed: chunked"), "{refused:?}");
    }
    assert_eq!(node.get("/v1/default/k").status, 404);
    let mut client = node.client();
    for coding in ["chunked", "Chunked"] {
        let head = "PUT /v1/default/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding:";
        client.send(format!("{head} {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n").as_bytes()).unwrap();
        let stored = client.receive().unwrap();
        assert_eq!((stored.status / 100, stored.header("connection")), (2, None), "{coding}");
    }
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
    for hosts in ["", "host: a\r\nhost: a\r\n", "host: a b\r\n"] {
        let mut client = node.client();
        let head = "GET /status HTTP/1.1\r\nauthorization: Bearer open-sesame\r\n";
        client.send(format!("{head}{hosts}\r\n").as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap().status, 400, "{hosts:?}");
    }
    let right = [("authorization", "Bearer open-sesame"), ("host", "cache.example")];
    assert_eq!(client.request_with("GET", "/status", &right, "").status, 200);
}
