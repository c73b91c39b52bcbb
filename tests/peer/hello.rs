//! Connections of who does not know the cookie: garbage, forgeries, what others said, and what the node
//! itself said.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smache::limits::HELLO_CONNECTIONS_MAX;

use crate::node::resident_kib_of;
use crate::process::Process;

const CONNECTIONS: usize = 10_000;
const THREADS: usize = 16;
const ACCEPT: u8 = 3;

/// What both sides said in a HELLO that went well, frame by frame.
struct Heard {
    hello: Vec<u8>,
    answer: Vec<u8>,
    proof: Vec<u8>,
    accept: Vec<u8>,
}

fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 3];
    stream.read_exact(&mut frame)?;
    frame.resize(3 + usize::from(u16::from_be_bytes([frame[1], frame[2]])), 0);
    stream.read_exact(&mut frame[3..])?;
    Ok(frame)
}

/// Has `dialer` dial `node` through here, and listens.
fn overhear(dialer: &mut Process, node: SocketAddr) -> Heard {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    dialer.begin(&format!("dial {}", listener.local_addr().unwrap()));
    let (mut from, _) = listener.accept().unwrap();
    let mut to = TcpStream::connect(node).unwrap();
    let pass = |from: &mut TcpStream, to: &mut TcpStream| {
        let frame = read_frame(from).unwrap();
        to.write_all(&frame).unwrap();
        frame
    };
    let hello = pass(&mut from, &mut to);
    let answer = pass(&mut to, &mut from);
    let proof = pass(&mut from, &mut to);
    let accept = pass(&mut to, &mut from);
    assert_eq!(accept[0], ACCEPT);
    Heard { hello, answer, proof, accept }
}

/// What is sent to what the node has answered.
type Second<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;

/// What is sent first, and then.
fn attack(n: usize, heard: &Heard) -> (Vec<u8>, Second<'_>) {
    let mut random = n as u64 + 1;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as u8
    };
    let mut forged = heard.hello.clone();
    let len = forged.len();
    // Another nonce, which is at the end.
    forged[len - 32..].iter_mut().for_each(|byte| *byte = next());
    let proof: Vec<u8> = [2, 0, 32].into_iter().chain((0..32).map(|_| next())).collect();
    match n % 8 {
        0 => ((0..n % 300).map(|_| next()).collect(), Box::new(|_| vec![])),
        // The longest frame that is announced, without its end.
        1 => (vec![1, 15, 250, 7, 7], Box::new(|_| vec![])),
        2 => (forged, Box::new(move |_| proof.clone())),
        3 => (heard.hello.clone(), Box::new(|_| heard.proof.clone())),
        // What it said itself, as if it were ours.
        4 => (heard.answer.clone(), Box::new(|_| heard.accept.clone())),
        5 => (forged, Box::new(|answer| answer.to_vec())),
        6 => {
            let of_accept = [&[2, 0, 32], &heard.accept[3..35]].concat();
            (forged, Box::new(move |_| of_accept.clone()))
        }
        _ => {
            let at = n % len;
            forged[at] ^= 1 << (n % 8);
            let cut = forged[..len - n % 7].to_vec();
            (cut, Box::new(|_| heard.proof.clone()))
        }
    }
}

/// Whether the node accepted the connection.
fn is_accepted(addr: SocketAddr, n: usize, heard: &Heard) -> bool {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (first, second) = attack(n, heard);
    // The node may have closed it by then.
    drop(stream.write_all(&first));
    if [0, 1, 7].contains(&(n % 8)) {
        // It may wait for the rest of a frame, which is a matter of its patience.
        drop(stream.write_all(&second(&[])));
        drop(stream.shutdown(Shutdown::Write));
    }
    let Ok(answer) = read_frame(&mut stream) else { return false };
    drop(stream.write_all(&second(&answer)));
    drop(stream.shutdown(Shutdown::Write));
    let mut said = vec![answer];
    while let Ok(frame) = read_frame(&mut stream) {
        said.push(frame);
    }
    said.iter().any(|frame| frame[0] == ACCEPT)
}

#[test]
fn ten_thousand_forged_hellos_let_nobody_in() {
    let mut node = Process::start("first@test", 1);
    let mut dialer = Process::start("second@test", 2);
    let heard = overhear(&mut dialer, node.addr);
    drop(dialer);
    node.until("peers", str::is_empty);
    let (addr, next, accepted) = (node.addr, AtomicUsize::new(0), AtomicUsize::new(0));
    let before = resident_kib_of(node.pid());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if CONNECTIONS <= n {
                        return;
                    }
                    if is_accepted(addr, n, &heard) {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let grew = resident_kib_of(node.pid()).saturating_sub(before);
    println!("{CONNECTIONS} in {:?}, {grew} KiB more", began.elapsed());
    assert_eq!(accepted.load(Ordering::Relaxed), 0);
    assert_eq!(node.tell("peers"), "");
    assert!(grew < 16 * 1024, "{grew} KiB");
    let mut right = Process::start("third@test", 3);
    assert_eq!(right.tell(&format!("dial {addr}")), "dialed first@test 41");
}

#[test]
fn connections_that_say_nothing_are_bounded_and_closed() {
    let mut node = Process::start("first@test", 1);
    let silent: Vec<_> =
        (0..HELLO_CONNECTIONS_MAX + 100).map(|_| TcpStream::connect(node.addr).unwrap()).collect();
    // Those over the limit are closed at once, the others when their time is up.
    let began = Instant::now();
    for (n, mut stream) in silent.into_iter().enumerate().rev() {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "connection {n}");
        if n == HELLO_CONNECTIONS_MAX {
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        }
    }
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    let mut right = Process::start("second@test", 2);
    assert_eq!(right.tell(&format!("dial {}", node.addr)), "dialed first@test 41");
    node.until("peers", |peers| !peers.is_empty());
}
