//! Nodes that meet nodes of other protocols, as in an upgrade that skips a version.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use smache::limits::FORM_AFTER;
use smache::peer::protocol::Protocols;

use crate::member::{Member, PATIENCE, settle, wait_until};

/// What a node says of itself that speaks the protocols 201 and 202 only.
const STRANGE: &[u8] = b"\x01\0\x0csmache\0\xc9\0\xca\0\0";
const REFUSE: u8 = 4;

/// A node that speaks other protocols, until it is dropped.
struct Stranger {
    addr: String,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u8>>>,
}

fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 3];
    stream.read_exact(&mut frame)?;
    frame.resize(3 + usize::from(u16::from_be_bytes([frame[1], frame[2]])), 0);
    stream.read_exact(&mut frame[3..])?;
    Ok(frame)
}

impl Stranger {
    /// Answers every hello with `answer`.
    fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let is_over = Arc::<AtomicBool>::default();
        let ends = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut told = vec![];
            while !ends.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut stream, _)) => told = meet(&mut stream, answer),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            told
        });
        Self { addr, is_over, thread: Some(thread) }
    }

    /// Goes, and returns what it was told last.
    fn end(mut self) -> Vec<u8> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Hears who it is, answers, and returns what is said to that.
fn meet(stream: &mut TcpStream, answer: &[u8]) -> Vec<u8> {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read_frame(stream).unwrap();
    stream.write_all(answer).unwrap();
    read_frame(stream).unwrap_or_default()
}

/// Waits until a node has said that it waits, and looks at what it says otherwise.
fn assert_waiting(node: &Member, place: &str, range: &str) {
    let line = node.wait_for_line("waiting: there may be a cluster");
    assert!(line.contains(place) && line.contains(range), "{line}");
    // Long after it would have begun a cluster.
    std::thread::sleep(2 * FORM_AFTER);
    let ready = node.get("/readyz");
    assert_eq!((ready.status, ready.body.contains("starting")), (503, true), "{ready:?}");
    let status = node.get("/status").json();
    let (peer, own) = (&status["cluster"]["peers"][0], &status["cluster"]["members"][0]);
    assert_eq!(status["state"], "starting");
    assert_eq!((&own["state"], &own["slots"]), (&"joining".into(), &0.into()), "{status}");
    assert!(peer["reason"].as_str().unwrap().contains(range), "{peer}");
    let write = node.post("/api", r#"{"key":"key","data":{"n":1}}"#);
    assert!(500 <= write.status, "{write:?}");
    assert_eq!(node.lines("waiting: there may be a cluster").len(), 1);
}

#[test]
fn a_node_that_finds_other_protocols_only_waits_until_they_are_gone() {
    let stranger = Stranger::start(STRANGE);
    let node = Member::begin("a", &[&stranger.addr], &[]);
    assert_waiting(&node, &stranger.addr, "201..=202");
    // It said why to the other, with its own range.
    let told = stranger.end();
    let text = String::from_utf8_lossy(&told[4..]).into_owned();
    assert_eq!(told[0], REFUSE);
    assert!(text.contains("201..=202") && text.contains(&Protocols::OURS.to_string()), "{text}");
    node.wait_for_line("node is ready");
    settle(&[&node]);
}

#[test]
fn a_node_that_is_refused_for_its_protocol_waits_and_joins_who_comes_after() {
    // As the versions before say it.
    let stranger = Stranger::start(b"\x04\0\x14\x032..2, here 201..202");
    let addr = stranger.addr.clone();
    let node = Member::begin("b", &[&addr], &[]);
    assert_waiting(&node, &addr, "201..202");
    stranger.end();
    let first = Member::start_at("a", &addr, &[]);
    node.wait_for_line("node is ready");
    settle(&[&first, &node]);
}

#[test]
fn a_node_that_waits_ends_when_it_is_told_to() {
    let stranger = Stranger::start(STRANGE);
    let mut node = Member::begin("a", &[&stranger.addr], &[]);
    node.wait_for_line("waiting: there may be a cluster");
    node.signal(rustix::process::Signal::TERM);
    let (status, _) = node.wait();
    assert!(status.success(), "{status:?}");
    stranger.end();
}

#[test]
fn a_node_of_another_protocol_is_refused_in_its_own_log_too() {
    let node = Member::start("a", &[]);
    let mut stream = TcpStream::connect(&node.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(STRANGE).unwrap();
    let told = read_frame(&mut stream).unwrap();
    assert_eq!(told[0], REFUSE);
    let line = node.wait_for_line("no common protocol");
    assert!(line.contains("201..=202") && line.contains(&Protocols::OURS.to_string()), "{line}");
    wait_until("it is still alone", PATIENCE, || node.sight().members.len() == 1);
}
