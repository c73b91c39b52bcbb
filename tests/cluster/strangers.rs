//! Who connects and is not of the cluster: other secrets, other clusters, and whatever else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::load::{Load, Loss};
use crate::member::{Member, PATIENCE, cluster, settle, wait_until};

/// What a node may grow by, whatever strangers send.
const GROWTH_KIB: u64 = 8 * 1024;

fn with_cookie(name: &str, join: &[&str], cookie: &str) -> Member {
    Member::start_with(name, "127.0.0.1:0", join, &[("SMACHE_COOKIE", cookie)])
}

fn connect(member: &Member) -> TcpStream {
    let stream = TcpStream::connect(&member.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that a node sends to a stranger until it ends the connection.
fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = vec![];
    // However it ends it, it does not leave it open.
    if let Err(end) = stream.read_to_end(&mut bytes) {
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    }
    bytes
}

#[test]
fn a_node_with_another_cookie_is_refused_and_both_say_so() {
    let a = with_cookie("a", &[], "open-sesame");
    let b = with_cookie("b", &[&a.addr], "open-sesame");
    settle(&[&a, &b]);
    let load = Load::start(&[&a, &b], Loss::Never);
    for (name, cookie) in [("c", Some("open-barley")), ("d", None)] {
        let secret: Vec<_> = cookie.map(|cookie| ("SMACHE_COOKIE", cookie)).into_iter().collect();
        let stranger = Member::begin(name, &[&a.addr], &secret);
        let line = stranger.wait_for_line("wrong cookie");
        assert!(line.contains("127.0.0.1") && !line.contains("open"), "{line}");
        wait_until("its status says why", PATIENCE, || {
            let peer = stranger.status()["cluster"]["peers"][0].clone();
            peer["connected"] == false
                && peer["reason"].as_str().is_some_and(|r| r.contains("cookie"))
        });
        assert_eq!(stranger.get("/readyz").status, 503);
        assert_eq!(a.state_of(name), "unknown");
    }
    // However often they tried.
    let lines = a.lines("wrong cookie");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("127.0.0.1") && !lines[0].contains("open"), "{lines:?}");
    load.finish().assert_clean();
}

#[test]
fn what_is_no_node_is_turned_away_with_one_line_and_no_growth() {
    let [a, b] = cluster(["a", "b"]);
    let load = Load::start(&[&a, &b], Loss::Never);
    load.go_on();
    let before = a.rss_kib();
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        &[0xFF; 64],
        &[1, 255, 255],
        b"\x01\0\x04abcd",
    ] {
        for _ in 0..50 {
            let mut stream = connect(&a);
            stream.write_all(garbage).unwrap();
            // It need not read all of it before it closes.
            drop(stream.shutdown(std::net::Shutdown::Write));
            assert!(read_all(&stream).len() < 1_024);
        }
    }
    let endless = std::thread::scope(|scope| {
        let flood = || {
            let mut stream = connect(&a);
            let chunk = [1; 64 * 1024];
            // Ends as soon as the node does not take any more.
            (0..10_000).take_while(|_| stream.write_all(&chunk).is_ok()).count()
        };
        let floods: Vec<_> = (0..8).map(|_| scope.spawn(flood)).collect();
        floods.into_iter().map(|flood| flood.join().unwrap()).max()
    });
    assert!(endless < Some(1_000), "{endless:?}");
    let lines = a.lines("not a node");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("127.0.0.1"), "{lines:?}");
    let after = a.rss_kib();
    assert!(after < before + GROWTH_KIB, "{before} KiB, then {after} KiB");
    load.finish().assert_clean();
}

#[test]
fn silent_connections_keep_nobody_from_joining_and_are_closed() {
    let a = Member::start("a", &[]);
    let before = a.rss_kib();
    let silent: Vec<_> = (0..500).map(|_| connect(&a)).collect();
    let b = Member::start("b", &[&a.addr]);
    settle(&[&a, &b]);
    let after = a.rss_kib();
    assert!(after < before + GROWTH_KIB, "{before} KiB, then {after} KiB");
    // Whoever says nothing at all is not waited for longer than for a HELLO.
    assert!(silent.iter().all(|stream| read_all(stream).is_empty()));
}

/// The hello a node says to whom it dials.
fn hello_of(name: &str) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _dialer = Member::begin(name, &[&listener.local_addr().unwrap().to_string()], &[]);
    let (mut stream, _) = listener.accept().unwrap();
    let mut header = [0; 3];
    stream.read_exact(&mut header).unwrap();
    let mut hello = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
    stream.read_exact(&mut hello).unwrap();
    [&header[..], &hello].concat()
}

#[test]
fn a_node_of_another_cluster_is_refused_by_its_name() {
    let a = Member::start("a", &[]);
    let mut hello = hello_of("x");
    let ours = b"smache";
    // The first one begins the hello; the other is the name of the cluster.
    let at = hello.windows(ours.len()).rposition(|window| window == ours).unwrap();
    assert!(8 < at, "{hello:?}");
    hello[at..at + ours.len()].copy_from_slice(b"others");
    let mut stream = connect(&a);
    stream.write_all(&hello).unwrap();
    let answer = String::from_utf8_lossy(&read_all(&stream)).into_owned();
    assert!(answer.contains("smache") && answer.len() < 1_024, "{answer}");
    let line = a.wait_for_line("other cluster");
    assert!(line.contains("127.0.0.1"), "{line}");
    settle(&[&a]);
}

#[test]
fn a_hello_that_was_heard_elsewhere_opens_nothing() {
    let a = with_cookie("a", &[], "open-sesame");
    let hello = hello_of("x");
    let mut stream = connect(&a);
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(&hello).unwrap();
    let mut answer = [0; 4 * 1024];
    let read = stream.read(&mut answer).unwrap();
    // Its own words do not prove anything, and neither does nothing at all.
    stream.write_all(&answer[..read]).unwrap();
    drop(stream.write_all(&[0; 64]));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read_all(&stream);
    a.wait_for_line("no session with a peer");
    assert_eq!(a.state_of("x"), "unknown");
    settle(&[&a]);
}
