//! A client of the Redis protocol that hides nothing: it sends what it is told and shows what came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A reply as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Self>),
    /// Anything of the third form of the protocol, with its sign.
    Third(u8, Vec<Self>),
}

pub struct RespClient {
    stream: BufReader<TcpStream>,
}

impl RespClient {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, words: &[&str]) -> Reply {
        self.ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    pub fn ask_bytes(&mut self, words: &[&[u8]]) -> Reply {
        self.send_raw(&encode(words));
        self.reply()
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("the connection ended before a reply")
    }

    /// The next reply; `None` at the end of the connection.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let mut line = vec![];
        self.stream.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\r\n")?;
        let (sign, text) = (line[0], String::from_utf8_lossy(&line[1..]).into_owned());
        Some(match sign {
            b'+' => Reply::Simple(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(text.parse().unwrap()),
            b'_' => Reply::Null,
            b'$' | b'=' => match text.parse::<i64>().unwrap() {
                -1 => Reply::Null,
                len => {
                    let mut bytes = vec![0; usize::try_from(len).unwrap() + 2];
                    self.stream.read_exact(&mut bytes).ok()?;
                    assert_eq!(bytes.split_off(bytes.len() - 2), b"\r\n");
                    Reply::Bulk(bytes)
                }
            },
            b'*' if text == "-1" => Reply::Null,
            b'*' => Reply::Array(self.replies(text.parse().unwrap())?),
            b'%' => Reply::Third(sign, self.replies(2 * text.parse::<usize>().unwrap())?),
            b'~' | b'>' => Reply::Third(sign, self.replies(text.parse().unwrap())?),
            _ => panic!("a reply begins with {line:?}"),
        })
    }

    fn replies(&mut self, count: usize) -> Option<Vec<Reply>> {
        (0..count).map(|_| self.try_reply()).collect()
    }
}

pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// A word of a program that is not installed here: the test that needs it is skipped, and says so.
pub fn is_installed(program: &str) -> bool {
    let ran = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    let is_there = ran.is_ok_and(|status| status.success());
    if !is_there {
        // Not `eprintln`, which is kept from everybody where a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is not installed");
    }
    is_there
}

/// A real Redis to compare with.
pub struct Redis {
    child: Child,
    addr: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Redis {
    /// Starts one; `None` where there is none to be started.
    pub fn start() -> Option<Self> {
        if !is_installed("redis-server") {
            return None;
        }
        // Free a moment ago; a test that meets somebody on it fails loudly.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &addr.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { child, addr, _directory: directory };
        let began = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(began.elapsed() < PATIENCE, "redis-server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(redis)
    }

    pub fn client(&self) -> RespClient {
        RespClient::connect(self.addr)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
