//! Requests that are nearly right, by the thousand, over sockets of their own.
//!
//! Whatever comes, a node answers in HTTP or closes, in time, and an answer is the one to its own
//! request: each connection ends with a request that is right and whose answer nothing else can be.
//! `SMACHE_MUTATIONS` is how many requests there are, `SMACHE_MUTATIONS_SEED` a run to repeat;
//! `scripts/mutations.sh` makes a million.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::process::Node;

/// Takes a few seconds.
const REQUESTS: u64 = 20_000;
const WORKERS: u64 = 8;
/// The longest deadline of a node, for a body, and some more.
const PATIENCE: Duration = Duration::from_secs(15);
/// Who is silent for so long with nothing to do waits for more of a request.
const QUIET: Duration = Duration::from_millis(100);

/// What is right, before it is changed.
const REQUESTS_THAT_ARE_RIGHT: [&str; 20] = [
    "GET /api?key=a HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /%61pi?id=7&x HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nAccept: */*\r\n\r\n",
    "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 28\r\n\r\n{\"key\":\"a\",\"data\":{\"n\":1.0}}",
    "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 21\r\n\r\n{\"key\":\"a\",\"data\":{}}",
    "PUT /api HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n15\r\n{\"key\":\"a\",\"data\":{}}\r\n0\r\n\r\n",
    "DELETE /api?key=a HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "POST /api/cmd HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{\"id\":1,\"cmd\":{\"query\":\"ONLY\",\"keys\":[\"a\",\"bcd\"]}}",
    "GET /api/cmd?id=1&cmd[query]=ONLY&cmd[keys][]=a HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "PUT /v1/a/k?ttl=30s HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/css\r\ncontent-length: 4\r\n\r\na#b\n",
    "PUT /v1/a/k HTTP/1.1\r\nhost: localhost\r\ncache-control: x=\"a, b\", max-age=30\r\ncontent-length: 1\r\n\r\nv",
    "PUT /v1/a/k HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nv",
    "GET /v1/a/k HTTP/1.1\r\nhost: localhost\r\nrange: bytes=0-1\r\nif-range: \"a\"\r\n\r\n",
    "GET /v1/a/k%20/l HTTP/1.1\r\nhost: localhost\r\nif-none-match: W/\"a\", \"b\"\r\n\r\n",
    "GET /v1/a/k HTTP/1.1\r\nhost: localhost\r\nif-match: \"a\"\r\nif-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    "HEAD /v1/a/k HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "DELETE /v1/a?key=k&key=l HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET http://localhost/status HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /explain?key=a&namespace=b HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
];

/// What is put into them.
const PIECES: [&str; 32] = [
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    "\u{7f}",
    "\u{e9}",
    "#",
    "%",
    "%00",
    "%2e",
    "..",
    "//",
    "?",
    "&",
    "=",
    "\"",
    ",",
    "\\",
    ":",
    "HTTP/1.0",
    "HTTP/2.0",
    "content-length: 3\r\n",
    "content-length: 99999999999999999999\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "connection: close\r\n",
    "if-match: *\r\n",
    "0\r\n\r\n",
    "-1",
];

/// Numbers that look random; Steele and others, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let first = self.below(bytes.len() + 1);
        first..bytes.len().min(first + self.below(24))
    }

    fn request(&mut self) -> Vec<u8> {
        let right = REQUESTS_THAT_ARE_RIGHT[self.below(REQUESTS_THAT_ARE_RIGHT.len())];
        let mut request = right.as_bytes().to_vec();
        // Half of them stay as they are, so that others come behind them.
        for _ in 1..self.below(4) {
            self.mutate(&mut request);
        }
        request
    }

    fn mutate(&mut self, request: &mut Vec<u8>) {
        let at = self.below(request.len() + 1);
        match self.below(6) {
            0 if at < request.len() => request[at] = self.below(256) as u8,
            1 => {
                let piece = PIECES[self.below(PIECES.len())].bytes();
                request.splice(at..at, piece);
            }
            // A line of its own, where fields are.
            2 => {
                let lines = request.windows(2).position(|end| end == b"\r\n");
                let at = lines.map_or(at, |line| line + 2);
                let piece = PIECES[24 + self.below(PIECES.len() - 24)].bytes();
                request.splice(at..at, piece);
            }
            3 => drop(request.drain(self.range(request))),
            4 => {
                let copied = request[self.range(request)].to_vec();
                request.splice(at..at, copied);
            }
            _ => {
                let many = self.below(200);
                let byte = request.get(at).copied().unwrap_or(b'0');
                request.splice(at..at, std::iter::repeat_n(byte, many));
            }
        }
    }
}

/// What came of one connection.
struct Heard {
    bytes: Vec<u8>,
    /// An answer may be cut where the client had sent what nobody read.
    is_reset: bool,
}

fn converse(addr: SocketAddr, sent: &[u8], marker: &str, random: &mut Random) -> Heard {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let cut = random.below(sent.len());
    for piece in [&sent[..cut], &sent[cut..]] {
        // It may have closed already; what it said before is what counts.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut heard = Heard { bytes: vec![], is_reset: false };
    let mut has_ended = random.below(4) == 0;
    if has_ended {
        drop(stream.shutdown(Shutdown::Write));
    }
    let began = Instant::now();
    let mut chunk = [0; 16 * 1_024];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return heard,
            Ok(read) => heard.bytes.extend_from_slice(&chunk[..read]),
            Err(quiet) if matches!(quiet.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(began.elapsed() < PATIENCE, "it neither answers nor closes");
                if !has_ended {
                    has_ended = true;
                    drop(stream.shutdown(Shutdown::Write));
                }
                continue;
            }
            Err(_) => {
                heard.is_reset = true;
                return heard;
            }
        }
        if !has_ended && contains(&heard.bytes, marker.as_bytes()) {
            has_ended = true;
            drop(stream.shutdown(Shutdown::Write));
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// All answers in `bytes`. Which of them are to `HEAD`, and have a length and no body, is what makes
/// the rest come out right.
fn answers(bytes: &[u8], may_be_cut: bool) -> Result<Vec<Answer>, String> {
    if bytes.is_empty() {
        return Ok(vec![]);
    }
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return if may_be_cut { Ok(vec![]) } else { Err("a head does not end".to_owned()) };
    };
    let (status, length, is_json) = head(&bytes[..end])?;
    let rest = &bytes[end + 4..];
    let with = |body: &[u8], rest: &[u8]| {
        let mut all = answers(rest, may_be_cut)?;
        all.insert(0, Answer { status, body: body.to_vec() });
        Ok::<_, String>(all)
    };
    if rest.len() < length {
        return match rest.is_empty() || rest.starts_with(b"HTTP/1.") {
            true => with(b"", rest),
            false if may_be_cut => Ok(vec![]),
            false => Err("a body is cut".to_owned()),
        };
    }
    let (body, after) = rest.split_at(length);
    let is_right = !is_json || serde_json::from_slice::<Value>(body).is_ok();
    match with(body, after) {
        Ok(all) if is_right => Ok(all),
        wrong => with(b"", rest).map_err(|_| wrong.err().unwrap_or("a body is no JSON".to_owned())),
    }
}

/// Status, length of the body and whether that is JSON, of a head without its empty line.
fn head(head: &[u8]) -> Result<(u16, usize, bool), String> {
    let text = std::str::from_utf8(head).map_err(|_| "a head is not text")?;
    let wrong = |what: &str| format!("{what}: {text:?}");
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let digits = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let status = digits.and_then(|rest| rest.get(..3)?.parse().ok()).ok_or(wrong("status"))?;
    let (mut length, mut is_json) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or(wrong("no field"))?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
            return Err(wrong("a field is wrong"));
        }
        match &*name.to_ascii_lowercase() {
            "content-length" => {
                let before = length.replace(value.parse().map_err(|_| wrong("length"))?);
                if before.is_some() {
                    return Err(wrong("two lengths"));
                }
            }
            "transfer-encoding" => return Err(wrong("no answer is sent in chunks")),
            "content-type" => is_json = value == "application/json",
            _ => {}
        }
    }
    match (status, length) {
        (100..200 | 204 | 304, None | Some(0)) => Ok((status, 0, false)),
        (100..200 | 204 | 304, Some(_)) => Err(wrong("a length without a body")),
        (_, None) => Err(wrong("no length")),
        (_, Some(length)) => Ok((status, length, is_json)),
    }
}

/// Sends some requests and the marker, and returns whether that was answered.
fn connection(addr: SocketAddr, number: u64, random: &mut Random) -> (u64, bool) {
    let requests: Vec<_> = (0..1 + random.below(4)).map(|_| random.request()).collect();
    let marker = format!("\"key\":\"marker-{number}\"");
    let mut sent = requests.concat();
    let target = format!("/api?key=marker-{number}");
    sent.extend_from_slice(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
    let heard = converse(addr, &sent, &marker, random);
    let shown = || {
        let (sent, heard) = (sent.escape_ascii(), heard.bytes.escape_ascii());
        format!("connection {number}\nsent: {sent}\nheard: {heard}")
    };
    let answers = match answers(&heard.bytes, heard.is_reset) {
        Ok(answers) => answers,
        Err(wrong) => panic!("{wrong}; {}", shown()),
    };
    let is_marked = |answer: &Answer| contains(&answer.body, marker.as_bytes());
    let marked = answers.iter().position(is_marked);
    // Nothing comes after it, and nobody else gets it.
    assert!(marked.is_none_or(|at| at + 1 == answers.len()), "{}", shown());
    let failed = answers.iter().find(|answer| answer.status == 500 || answer.status == 503);
    assert!(failed.is_none(), "{failed:?}; {}", shown());
    (requests.len() as u64, marked.is_some())
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn mutated_requests_are_answered_or_closed_in_time_and_never_for_another() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_of("SMACHE_MUTATIONS_SEED").unwrap_or(since.as_millis() as u64);
    let requests = number_of("SMACHE_MUTATIONS").unwrap_or(REQUESTS);
    eprintln!("seed {seed}, {requests} requests");
    let node = Node::start(&[]);
    let boot_id = node.get("/status").json()["boot_id"].clone();
    let kept = r#"{"key":"nobody-asks-for-this","data":{"kept":true}}"#;
    assert_eq!(node.post("/api", kept).status, 200);
    let (made, connections, marked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (node, made, connections, marked) = (&node, &made, &connections, &marked);
            let mut random = Random(seed.wrapping_mul(WORKERS).wrapping_add(worker));
            scope.spawn(move || {
                for number in 0.. {
                    if requests <= made.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = number * WORKERS + worker;
                    let (requests, is_marked) = connection(node.addr(), number, &mut random);
                    made.fetch_add(requests, Ordering::Relaxed);
                    connections.fetch_add(1, Ordering::Relaxed);
                    marked.fetch_add(u64::from(is_marked), Ordering::Relaxed);
                }
            });
        }
    });
    let [made, connections, marked] = [made, connections, marked].map(AtomicU64::into_inner);
    let mut report = String::new();
    write!(report, "{made} requests, {marked} of {connections} connections to their end").unwrap();
    eprintln!("{report}");
    // Otherwise little would be tried but the first mutated request.
    assert!(connections / 10 < marked, "{report}");
    assert_eq!(node.get("/status").json()["boot_id"], boot_id);
    let tree = node.get("/supervision").json();
    let children = tree["children"].as_array().unwrap();
    assert!(children.iter().all(|child| child["restarts"] == 0), "{tree}");
    assert_eq!(node.lines("panicked"), Vec::<String>::new());
    let found = node.get("/api?key=nobody-asks-for-this").json();
    assert_eq!(found["data"]["kept"], true);
}
