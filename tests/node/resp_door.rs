//! The RESP door from outside: what any Redis client sees.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::Signal;

use crate::process::{Node, smache};
use crate::resp::{Redis, Reply, RespClient, encode, is_installed};

fn start(flags: &[&str]) -> (Node, SocketAddr) {
    let node = Node::start(&[&["--resp", "127.0.0.1:0"], flags].concat());
    let addr = addr_of(&node);
    (node, addr)
}

fn addr_of(node: &Node) -> SocketAddr {
    let line = node.wait_for_line("node is ready");
    line.split("resp=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

fn ok() -> Reply {
    Reply::Simple("OK".to_owned())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn error(reply: &Reply) -> &str {
    match reply {
        Reply::Error(text) => text,
        other => panic!("no error: {other:?}"),
    }
}

/// Commands whose replies are the same in Redis, to the last byte.
const SCRIPT: &str = include_str!("resp_script.txt");

#[test]
fn scripted_commands_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start() else { return };
    for hello in [&["PING"][..], &["HELLO", "3"]] {
        let (_node, addr) = start(&[]);
        let (mut ours, mut theirs) = (RespClient::connect(addr), redis.client());
        ours.ask(hello);
        theirs.ask(hello);
        theirs.ask(&["FLUSHALL"]);
        for line in SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let line = format!("{line}\r\n");
            ours.send_raw(line.as_bytes());
            theirs.send_raw(line.as_bytes());
            assert_eq!(ours.reply(), theirs.reply(), "{hello:?} {line}");
        }
    }
}

/// Numbers that follow from a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

const KEYS: [&str; 6] = ["a", "b", "{a}2", "{b}3", "other", "key with space"];
const VALUES: [&str; 10] =
    ["", "1", "-7", "10.5", "hello", "9223372036854775807", "x\r\ny", " 1", "0", "a longer value"];
const NUMBERS: [&str; 9] = ["0", "1", "-1", "3", "100", "-100", "x", "9223372036854775807", "1.5"];
/// Times that are wrong, or long enough not to end before the test does.
const TIMES: [&str; 5] = ["1000000", "0", "-1", "x", "9223372036854775807"];
const OPTIONS: [&str; 7] = ["NX", "XX", "EX", "PX", "100000", "0", "nonsense"];

/// Names of commands, and what their arguments are drawn from.
const SHAPES: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v o",
    "SET k v o o",
    "SET k v EX 1000",
    "SETNX k v",
    "SETEX k t v",
    "PSETEX k t v",
    "STRLEN k",
    "GETRANGE k n n",
    "SUBSTR k n n",
    "MGET k k k",
    "MSET k v k v",
    "MSET k v k",
    "DEL k",
    "DEL k k",
    "UNLINK k k k",
    "EXISTS k",
    "EXISTS k k k",
    "TOUCH k k",
    "TYPE k",
    "TTL k",
    "EXPIRETIME k",
    "PING",
    "PING v",
    "ECHO v",
    "PING",
    "GET",
    "SET k",
    "GET k k",
    "NOSUCH k v",
    "COMMAND GETKEYS MSET k v k v",
    "APPEND k v",
    "SETRANGE k n v",
    "INCR k",
    "DECR k",
    "INCRBY k n",
    "DECRBY k n",
    "GETSET k v",
    "GETDEL k",
    "GETEX k",
    "GETEX k EX 1000",
    "GETEX k PERSIST",
    "SET k v GET",
    "SET k v KEEPTTL",
    "EXPIRE k 1000",
    "EXPIRE k 2000 x",
    "PERSIST k",
    "COPY k k",
    "COPY k k REPLACE",
];

fn draw(dice: &mut Dice) -> Vec<&'static str> {
    let shape = SHAPES[dice.roll(SHAPES.len())];
    let word = |word| match word {
        "k" => dice.one(&KEYS),
        "v" => dice.one(&VALUES),
        "n" => dice.one(&NUMBERS),
        "t" => dice.one(&TIMES),
        "o" => dice.one(&OPTIONS),
        "x" => dice.one(&["NX", "XX"]),
        other => other,
    };
    shape.split(' ').map(word).collect()
}

/// Seconds that were asked for one after the other may differ by one.
fn is_same(words: &[&str], ours: &Reply, theirs: &Reply) -> bool {
    match (words[0], ours, theirs) {
        ("TTL" | "EXPIRETIME", Reply::Integer(ours), Reply::Integer(theirs)) => {
            (ours - theirs).abs() <= 1
        }
        _ => ours == theirs,
    }
}

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start() else { return };
    let (_node, addr) = start(&["--shards", "2"]);
    let (mut ours, mut theirs) = (RespClient::connect(addr), redis.client());
    for seed in 1..=8 {
        let mut dice = Dice(seed);
        for round in 0..60 {
            let commands: Vec<_> = (0..=dice.roll(40)).map(|_| draw(&mut dice)).collect();
            let encoded = |words: &Vec<&str>| {
                encode(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
            };
            let bytes: Vec<u8> = commands.iter().flat_map(encoded).collect();
            ours.send_raw(&bytes);
            theirs.send_raw(&bytes);
            for words in &commands {
                let (one, other) = (ours.reply(), theirs.reply());
                let is_same = is_same(words, &one, &other);
                assert!(is_same, "seed {seed} round {round} {words:?}\n{one:?}\n{other:?}");
            }
        }
    }
}

#[test]
fn an_entry_is_the_same_through_every_door() {
    let (node, addr) = start(&[]);
    let mut client = RespClient::connect(addr);
    assert_eq!(client.ask(&["SET", "a", "text", "EX", "100"]), ok());
    let read = node.get("/v1/default/a");
    assert_eq!((read.status, &*read.body), (200, "text"));
    assert_eq!(node.get("/api?key=a").json()["data"], "text");
    assert_eq!(node.post("/api", r#"{"key":"b","data":{"n":1}}"#).status, 200);
    assert_eq!(client.ask(&["GET", "b"]), bulk(r#"{"n":1}"#));
    assert_eq!(client.ask(&["TTL", "b"]), Reply::Integer(-1));
    assert_eq!(client.ask(&["DEL", "b", "a", "c"]), Reply::Integer(2));
    assert_eq!(node.get("/v1/default/a").status, 404);
    assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(0));
}

#[test]
fn replies_are_in_the_order_of_requests_however_these_come() {
    let (_node, addr) = start(&["--shards", "3"]);
    let mut client = RespClient::connect(addr);
    let mut bytes = vec![];
    for n in 0..4_000 {
        let (key, value) = (format!("key-{}", n % 50), format!("value-{n}"));
        bytes.extend(encode(&[b"SET", key.as_bytes(), value.as_bytes()]));
        bytes.extend(encode(&[b"GET", key.as_bytes()]));
        bytes.extend(format!("PING {n}\r\n").into_bytes());
    }
    let mut writer = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (single, rest) = bytes.split_at(3_000);
            single.chunks(1).for_each(|piece| writer.write_all(piece).unwrap());
            rest.chunks(7_919).for_each(|piece| writer.write_all(piece).unwrap());
        });
        for n in 0..4_000 {
            assert_eq!(client.reply(), ok());
            assert_eq!(client.reply(), bulk(&format!("value-{n}")));
            assert_eq!(client.reply(), bulk(&n.to_string()));
        }
    });
}

#[test]
fn values_are_any_bytes_up_to_the_largest_and_too_large_ones_are_refused_alone() {
    let (_node, addr) = start(&[]);
    let mut client = RespClient::connect(addr);
    let large: Vec<u8> = (0..1_048_576_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(client.ask_bytes(&[b"SET", b"k", &large]), ok());
    assert_eq!(client.ask(&["STRLEN", "k"]), Reply::Integer(1_048_576));
    assert_eq!(client.ask(&["GET", "k"]), Reply::Bulk(large.clone()));
    assert_eq!(
        client.ask(&["MGET", "no", "k"]),
        Reply::Array(vec![Reply::Null, Reply::Bulk(large.clone())])
    );
    let refused = client.ask_bytes(&[b"SET", b"k", &[&large[..], b"x"].concat()]);
    assert_eq!(error(&refused), "ERR value has 1048577 bytes; allowed: up to 1048576");
    assert_eq!(client.ask(&["PING"]), Reply::Simple("PONG".to_owned()));
}

#[test]
fn what_is_no_request_is_named_and_ends_the_connection_after_what_came_before() {
    let (_node, addr) = start(&[]);
    for (bytes, message) in [
        ("*1\r\n$4\r\nPING\r\n*x\r\n", "ERR Protocol error: invalid multibulk length"),
        ("PING\r\n*1\r\n!\r\n", "ERR Protocol error: expected '$', got '!'"),
        ("PING\r\nSET a \"b\r\n", "ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut client = RespClient::connect(addr);
        client.send_raw(bytes.as_bytes());
        assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()));
        assert_eq!(error(&client.reply()), message);
        assert_eq!(client.try_reply(), None);
    }
}

#[test]
fn a_web_page_reaches_nothing() {
    let (_node, addr) = start(&[]);
    for head in ["POST / HTTP/1.1", "GET / HTTP/1.1", "PUT / HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        let mut client = RespClient::connect(addr);
        let request =
            format!("{head}\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nSET pwned yes\r\n");
        client.send_raw(request.as_bytes());
        while client.try_reply().is_some() {}
    }
    assert_eq!(RespClient::connect(addr).ask(&["GET", "pwned"]), Reply::Null);
}

#[test]
fn with_a_token_a_stranger_can_say_who_it_is_and_nothing_else() {
    let command = &mut smache(&["serve", "--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"]);
    let node = Node::start_command(command.env("SMACHE_TOKEN", "secret"));
    let addr = addr_of(&node);
    let mut client = RespClient::connect(addr);
    let refused = client.ask(&["GET", "a"]);
    assert_eq!(error(&refused), "NOAUTH Authentication required.");
    for wrong in [
        &["AUTH", "nope"][..],
        &["AUTH", "other", "secret"],
        &["HELLO", "3", "AUTH", "default", "x"],
    ] {
        let wrong = client.ask(wrong);
        assert_eq!(error(&wrong), "WRONGPASS invalid username-password pair or user is disabled.");
    }
    assert!(error(&client.ask(&["HELLO", "3"])).starts_with("NOAUTH HELLO must be called"));
    client
        .send_raw(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
    assert_eq!((client.reply(), client.reply()), (ok(), ok()));
    assert_eq!(client.ask(&["RESET"]), Reply::Simple("RESET".to_owned()));
    assert_eq!(error(&client.ask(&["GET", "a"])), "NOAUTH Authentication required.");
    let mut third = RespClient::connect(addr);
    let hello = third.ask(&["HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me"]);
    assert!(matches!(hello, Reply::Third(b'%', _)), "{hello:?}");
    assert_eq!(third.ask(&["CLIENT", "GETNAME"]), bulk("me"));
    for (bytes, message) in [
        ("*11\r\n", "ERR Protocol error: unauthenticated multibulk length"),
        ("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length"),
    ] {
        let mut stranger = RespClient::connect(addr);
        stranger.send_raw(bytes.as_bytes());
        assert_eq!(error(&stranger.reply()), message);
        assert_eq!(stranger.try_reply(), None);
    }
}

#[test]
fn clients_that_never_read_cost_what_one_may_and_nobody_else_waits() {
    const CLIENTS: usize = 100;
    let (node, addr) = start(&[]);
    let mut other = RespClient::connect(addr);
    assert_eq!(other.ask_bytes(&[b"SET", b"k", &[b'x'; 10_000]]), ok());
    let before = node.rss_kib();
    let request = encode(&[b"GET", b"k"]).repeat(4_000);
    let mut streams: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for stream in &mut streams {
        stream.set_nonblocking(true).unwrap();
    }
    let mut taken = 0;
    // Each asks for 40 MB a round, as long as anything of that is taken.
    for _ in 0..5 {
        for stream in &mut streams {
            match stream.write(&request) {
                Ok(bytes) => taken += bytes,
                Err(reason) => assert_eq!(reason.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(other.ask(&["STRLEN", "k"]), Reply::Integer(10_000));
    }
    assert!(CLIENTS * request.len() <= taken, "only {taken} bytes of requests were taken");
    let grown = node.rss_kib().saturating_sub(before);
    assert!(grown < CLIENTS as u64 * 256 + 8_192, "{grown} KiB more for {CLIENTS} clients");
}

#[test]
fn a_drain_answers_what_was_asked_and_ends() {
    let (mut node, addr) = start(&[]);
    let mut idle = RespClient::connect(addr);
    assert_eq!(idle.ask(&["SET", "a", "1"]), ok());
    node.signal(Signal::TERM);
    assert_eq!(idle.try_reply(), None, "a connection without a request is closed");
    let (status, _) = node.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_node_for_demonstrations_can_be_ended_and_no_other() {
    let (_node, addr) = start(&[]);
    assert!(error(&RespClient::connect(addr).ask(&["SHUTDOWN"])).starts_with("NOPERM"));
    let (mut demo, addr) = start(&["--demo"]);
    let mut client = RespClient::connect(addr);
    client.send_raw(&encode(&[b"SHUTDOWN", b"NOSAVE"]));
    assert_eq!(client.try_reply(), None);
    assert_eq!(demo.wait().0.code(), Some(0));
}

#[test]
fn a_door_that_crashes_keeps_its_clients() {
    let (node, addr) = start(&["--demo"]);
    let mut client = RespClient::connect(addr);
    assert_eq!(node.post("/supervision/door-resp/crash", "").status, 202);
    node.wait_for_line("crashed on demand");
    assert_eq!(client.ask(&["SET", "a", "1"]), ok());
    assert_eq!(RespClient::connect(addr).ask(&["GET", "a"]), bulk("1"));
}

#[test]
fn clients_are_told_of_themselves_and_of_commands() {
    let (_node, addr) = start(&[]);
    let mut client = RespClient::connect(addr);
    assert_eq!(client.ask(&["CLIENT", "SETNAME", "worker"]), ok());
    assert_eq!(client.ask(&["CLIENT", "SETINFO", "lib-name", "tests"]), ok());
    let Reply::Bulk(line) = client.ask(&["CLIENT", "INFO"]) else { panic!("no line") };
    let line = String::from_utf8(line).unwrap();
    for part in ["name=worker", "cmd=client", "resp=2", "lib-name=tests"] {
        assert!(line.contains(part), "{line}");
    }
    let _other = RespClient::connect(addr).ask(&["PING"]);
    let Reply::Integer(count) = client.ask(&["COMMAND", "COUNT"]) else { panic!("no count") };
    let Reply::Array(all) = client.ask(&["COMMAND"]) else { panic!("no commands") };
    assert_eq!(all.len() as i64, count);
    let Reply::Bulk(info) = client.ask(&["INFO", "server"]) else { panic!("no info") };
    assert!(info.starts_with(b"# Server\r\nredis_version:7."), "{info:?}");
    assert_eq!(client.ask(&["CLUSTER", "KEYSLOT", "{user}1"]), Reply::Integer(5_474));
    let Reply::Array(slots) = client.ask(&["CLUSTER", "SLOTS"]) else { panic!("no slots") };
    let Reply::Array(run) = &slots[0] else { panic!("no run") };
    assert_eq!(run[..2], [Reply::Integer(0), Reply::Integer(16_383)]);
}

#[test]
fn keys_are_listed_scanned_and_deleted_all_at_once() {
    let (_node, addr) = start(&["--shards", "3"]);
    let mut client = RespClient::connect(addr);
    assert_eq!(client.ask(&["RANDOMKEY"]), Reply::Null);
    let mut wanted = BTreeSet::new();
    for n in 0..500 {
        let key = format!("user:{n}");
        assert_eq!(client.ask(&["SET", &key, "1"]), ok());
        assert_eq!(client.ask(&["SET", &format!("other:{n}"), "1"]), ok());
        wanted.insert(key);
    }
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let scan = ["SCAN", &cursor, "MATCH", "user:*", "COUNT", "50"];
        let Reply::Array(page) = client.ask(&scan) else { panic!("no page") };
        let [Reply::Bulk(next), Reply::Array(keys)] = &page[..] else { panic!("{page:?}") };
        found.extend(keys.iter().map(text));
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, wanted);
    let Reply::Array(keys) = client.ask(&["KEYS", "user:1?"]) else { panic!("no keys") };
    assert_eq!(keys.len(), 10);
    assert_eq!(error(&client.ask(&["SCAN", "77777"])), "ERR invalid cursor");
    assert!(text(&client.ask(&["RANDOMKEY"])).contains(':'));
    assert_eq!(client.ask(&["FLUSHALL"]), ok());
    assert_eq!(client.ask(&["KEYS", "*"]), Reply::Array(vec![]));
    assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(0));
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn redis_cli_sets_and_gets() {
    if !is_installed("redis-cli") {
        return;
    }
    let (_node, addr) = start(&[]);
    let port = addr.port().to_string();
    let run = |words: &[&str]| {
        let out = Command::new("redis-cli").args(["-p", &port]).args(words).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(run(&["set", "greeting", "hello there"]), "OK");
    assert_eq!(run(&["get", "greeting"]), "hello there");
    assert_eq!(run(&["-3", "mget", "greeting", "none"]), "hello there");
    assert_eq!(run(&["-c", "get", "greeting"]), "hello there");
    assert!(run(&["nonsense"]).starts_with("ERR unknown command 'nonsense'"));
}
