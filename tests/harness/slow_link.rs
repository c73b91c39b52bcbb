//! A link of its own length between a client and a node: what is sent arrives so much later, in both
//! directions, and so does the end of either side.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What is passed on at a time, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What came in on one side, and when it is to go out on the other.
enum Passed {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// Where the near end of the link to `node` is.
pub fn slow_link(node: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(node) else { continue };
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            pass(&client, &server, delay);
            pass(&server, &client, delay);
        }
    });
    near
}

fn pass(from: &TcpStream, to: &TcpStream, delay: Duration) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Passed)>(64);
    thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let passed = match from.read(&mut piece) {
                Ok(0) => Passed::End,
                Ok(read) => {
                    piece.truncate(read);
                    Passed::Bytes(piece)
                }
                Err(_) => Passed::Reset,
            };
            let is_over = !matches!(passed, Passed::Bytes(_));
            if sender.send((Instant::now() + delay, passed)).is_err() || is_over {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, passed) in receiver {
            // The length of the link, which is what this is for.
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let is_broken = match passed {
                Passed::Bytes(bytes) => to.write_all(&bytes).is_err(),
                Passed::End => to.shutdown(Shutdown::Write).is_err(),
                Passed::Reset => true,
            };
            if is_broken {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    });
}
