//! Nodes of a cluster, what they say of each other, and the waiting for it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smache::partition::SLOTS;

use crate::http::Client;
use crate::process::{Node, command_of, smache};

/// Longer than a cluster takes for anything; only a broken one is waited for that long.
pub const PATIENCE: Duration = Duration::from_secs(20);
const SERVE: &[&str] = &["serve", "--demo", "--http", "127.0.0.1:0"];
const GLANCE: Duration = Duration::from_millis(5);
/// Keys whose owners are compared to find out whether slots are where they belong.
const OWNERS_ASKED: usize = 48;

/// One node of a cluster.
pub struct Member {
    pub name: String,
    /// Where other nodes reach it.
    pub addr: String,
    node: Node,
}

/// A cluster as one of its nodes sees it.
#[derive(PartialEq, Eq)]
pub struct Sight {
    pub epoch: u64,
    pub moving: u64,
    /// Which run, its state, and its slots.
    pub members: BTreeMap<String, (String, String, u64)>,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, {} moving;", self.epoch, self.moving)?;
        self.members.iter().try_for_each(|(name, (boot, state, slots))| {
            write!(f, " {name}#{boot:.4} {state} {slots}")
        })
    }
}

impl Sight {
    /// What a node's `/status` says.
    pub fn of(status: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members = status["cluster"]["members"].as_array().unwrap().iter().map(|member| {
            let slots = member["slots"].as_u64().unwrap();
            (text(&member["node"]), (text(&member["boot_id"]), text(&member["state"]), slots))
        });
        Self {
            epoch: status["cluster"]["epoch"].as_u64().unwrap(),
            moving: status["cluster"]["moving"].as_u64().unwrap(),
            members: members.collect(),
        }
    }
}

impl Deref for Member {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

impl Member {
    /// Starts a node that looks for others at `join`.
    pub fn start(name: &str, join: &[&str]) -> Self {
        Self::start_at(name, "127.0.0.1:0", join)
    }

    pub fn start_at(name: &str, addr: &str, join: &[&str]) -> Self {
        Self::start_with(name, addr, join, &[])
    }

    /// As [`Self::start_at`], with settings that come from the environment.
    pub fn start_with(name: &str, addr: &str, join: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::start_command(smache(SERVE), name, addr, join, settings)
    }

    /// One that Redis clients reach, and where they do.
    pub fn start_redis(name: &str, join: &[&str]) -> (Self, SocketAddr) {
        let settings = [("SMACHE_RESP", "127.0.0.1:0")];
        let member = Self::start_with(name, "127.0.0.1:0", join, &settings);
        let line = member.lines("node is ready").pop().unwrap();
        let addr = line.split("resp=\"").nth(1).unwrap().split('"').next().unwrap();
        let addr = addr.parse().unwrap();
        (member, addr)
    }

    /// As [`Self::start_at`], of another build.
    pub fn start_build(program: &OsStr, name: &str, addr: &str, join: &[&str]) -> Self {
        Self::start_command(command_of(program, SERVE), name, addr, join, &[])
    }

    /// Starts a node that need not find a cluster, and waits until it answers, ready or not.
    pub fn begin(name: &str, join: &[&str], settings: &[(&str, &str)]) -> Self {
        let http = free_addr();
        let mut command = smache(&["serve", "--demo", "--http", &http]);
        command.args(["--node", name, "--cluster", "127.0.0.1:0", "--join", &join.join(",")]);
        command.env("SMACHE_MEMORY", "64MiB").envs(settings.iter().copied());
        let addr: SocketAddr = http.parse().unwrap();
        let node = Node::begin(&mut command, addr);
        wait_until("it answers", PATIENCE, || TcpStream::connect(addr).is_ok());
        Self::of(name, node)
    }

    fn start_command(
        mut command: Command,
        name: &str,
        addr: &str,
        join: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        command.args(["--node", name, "--cluster", addr, "--join", &join.join(",")]);
        command.env("SMACHE_MEMORY", "64MiB").envs(settings.iter().copied());
        Self::of(name, Node::start_command(&mut command))
    }

    pub fn of(name: &str, node: Node) -> Self {
        let status = node.get("/status").json();
        let members = status["cluster"]["members"].as_array().unwrap();
        let own = members.iter().find(|member| member["node"] == name).unwrap();
        Self { name: name.to_owned(), addr: own["addr"].as_str().unwrap().to_owned(), node }
    }

    pub fn status(&self) -> Value {
        self.get("/status").json()
    }

    pub fn sight(&self) -> Sight {
        Sight::of(&self.status())
    }

    pub fn entries(&self) -> u64 {
        let status = self.status();
        let shards = status["shards"].as_array().unwrap().iter();
        shards.map(|shard| shard["entries"].as_u64().unwrap()).sum()
    }

    /// What this node thinks of another; "unknown" if it does not know it.
    pub fn state_of(&self, name: &str) -> String {
        let member = self.sight().members.remove(name);
        member.map_or_else(|| "unknown".to_owned(), |(_, state, _)| state)
    }

    /// How long ago this node heard another, in milliseconds.
    pub fn heard_ms(&self, other: &Self) -> u64 {
        let status = self.status();
        let mut members = status["cluster"]["members"].as_array().unwrap().iter();
        let its = members.find(|member| member["node"] == *other.name);
        its.and_then(|member| member["heard_ms"].as_u64()).unwrap_or(u64::MAX)
    }

    /// Disturbs the connections of this node to another, in both directions.
    pub fn disturb(&self, peer: &Self, how: &str) {
        let answer = self.post(&format!("/cluster/chaos?peer={}&do={how}", peer.name), "");
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    pub fn crash(&self, child: &str) {
        let answer = self.post(&format!("/supervision/{child}/crash"), "");
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// The children of this node's root, by name: state and restarts.
    pub fn children(&self) -> BTreeMap<String, (String, u64)> {
        let tree = self.get("/supervision").json();
        let child = |child: &Value| {
            let text = |name: &str| child[name].as_str().unwrap().to_owned();
            (text("name"), (text("state"), child["restarts"].as_u64().unwrap()))
        };
        tree["children"].as_array().unwrap().iter().map(child).collect()
    }

    /// The owner of a key, as this node sees it.
    pub fn owner_of(&self, key: &str) -> String {
        let explained = self.get(&format!("/explain?key={key}")).json();
        explained["owner"].as_str().unwrap().to_owned()
    }

    /// Writes a number under a key; a status other than 200 with its message is the error.
    pub fn put(&self, key: &str, n: u64) -> Result<(), String> {
        let answer = self.post("/api", &json!({"key": key, "data": {"n": n}}).to_string());
        match answer.status {
            200 => Ok(()),
            status => Err(format!("{status} {}", answer.body)),
        }
    }

    /// The number under a key.
    pub fn number(&self, key: &str) -> Option<u64> {
        let answer = self.get(&format!("/api?key={key}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"]["n"].as_u64()
    }

    /// Ends the process at once, without a word to anybody.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.wait();
    }

    /// Has the node hand over what it has, and waits until it has ended by itself.
    pub fn drain(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let (status, _) = self.wait();
        assert!(status.success(), "{status:?}");
    }
}

/// Starts nodes of these names one after the other and waits until they are one cluster.
pub fn cluster<const N: usize>(names: [&str; N]) -> [Member; N] {
    let mut join: Vec<String> = vec![];
    let members = names.map(|name| {
        let member = Member::start(name, &join.iter().map(String::as_str).collect::<Vec<_>>());
        join.push(member.addr.clone());
        member
    });
    settle(&members.each_ref());
    members
}

/// Waits until these nodes, and nobody else, are a cluster in which nothing moves, and all of them
/// see it the same way.
pub fn settle(members: &[&Member]) {
    wait_for("the nodes agree", PATIENCE, || agreed(members));
}

/// Whether these nodes are a cluster in which nothing moves, and all of them see it the same way;
/// what they see otherwise.
pub fn agreed(members: &[&Member]) -> Result<(), String> {
    let sights: Vec<_> =
        members.iter().map(|member| (member.name.clone(), member.sight())).collect();
    agreed_in(&sights)?;
    agreed_on_owners(members)
}

/// Whether nodes with these names, who see the cluster like this, are all of it, nothing moves, and
/// they see it the same way; what they see otherwise.
pub fn agreed_in(sights: &[(String, Sight)]) -> Result<(), String> {
    let is_alive = |sight: &Sight, name: &str| {
        sight.members.get(name).is_some_and(|(_, state, slots)| state == "alive" && 0 < *slots)
    };
    let slots = |sight: &Sight| sight.members.values().map(|(.., slots)| slots).sum::<u64>();
    let is_whole = |(_, sight): &(String, Sight)| {
        let others = sight.members.iter().filter(|(name, (_, state, _))| {
            !is_gone(state) && !sights.iter().any(|(known, _)| known == *name)
        });
        sight.moving == 0
            && slots(sight) == u64::from(SLOTS)
            && others.count() == 0
            && sights.iter().all(|(name, _)| is_alive(sight, name))
    };
    let living = |sight: &Sight| {
        let living = sight.members.iter().filter(|(_, (_, state, _))| !is_gone(state));
        (sight.epoch, living.map(|(name, of)| (name.clone(), of.clone())).collect::<Vec<_>>())
    };
    let is_same = sights.windows(2).all(|two| living(&two[0].1) == living(&two[1].1));
    match sights.iter().all(is_whole) && is_same {
        true => Ok(()),
        false => Err(sights.iter().map(|(by, sight)| format!("\n    {by} sees {sight}")).collect()),
    }
}

/// Whether all name the same owners: a slot that was not handed over yet still is with its old one.
fn agreed_on_owners(members: &[&Member]) -> Result<(), String> {
    let mut clients: Vec<_> = members.iter().map(|member| member.client()).collect();
    for key in (0..OWNERS_ASKED).map(|n| format!("sample-{n}")) {
        let owner = |client: &mut Client| {
            client.request("GET", &format!("/explain?key={key}"), "").json()["owner"].clone()
        };
        let owners: Vec<_> = clients.iter_mut().map(owner).collect();
        if owners.iter().any(|owner| *owner != owners[0]) {
            return Err(format!("{key} is with {owners:?}"));
        }
    }
    Ok(())
}

/// Tries until it works, and returns how long that took; panics with the last reason.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let began = Instant::now();
    loop {
        // What was seen before the time was over says nothing, however long it took to look.
        let is_last = within < began.elapsed();
        match attempt() {
            Ok(done) => return (done, began.elapsed()),
            Err(reason) if is_last => {
                panic!("not within {within:?}: {what}: {reason}")
            }
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}

/// As [`wait_for`], for what is or is not.
pub fn wait_until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    wait_for(what, within, || if is_so() { Ok(()) } else { Err(String::new()) }).1
}

/// So many keys that `owner` has, as `at` sees it.
pub fn keys_of(owner: &str, at: &Member, count: usize) -> Vec<String> {
    let keys = (0..).map(|n| format!("{owner}-{n}"));
    keys.filter(|key| at.owner_of(key) == owner).take(count).collect()
}

/// Writes all keys at once through the nodes in turn, until each write was acknowledged, and
/// returns how long that took.
pub fn write_all(members: &[&Member], keys: &[String], n: u64) -> Duration {
    let began = Instant::now();
    let addrs: Vec<SocketAddr> = members.iter().map(|member| member.addr()).collect();
    std::thread::scope(|scope| {
        for (at, key) in keys.iter().enumerate() {
            let addr = addrs[at % addrs.len()];
            let body = json!({"key": key, "data": {"n": n}}).to_string();
            scope.spawn(move || {
                let mut client = Client::connect(addr);
                wait_for("the write is acknowledged", PATIENCE, || {
                    let answer = client.request("POST", "/api", &body);
                    if answer.status == 200 { Ok(()) } else { Err(answer.body) }
                });
            });
        }
    });
    began.elapsed()
}

/// Whether a member in that state takes part no more.
pub fn is_gone(state: &str) -> bool {
    ["dead", "left"].contains(&state)
}

/// A port at which nobody listens.
pub fn free_addr() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
