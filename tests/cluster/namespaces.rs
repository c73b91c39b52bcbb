//! Nodes in network namespaces of their own, so that a link is cut as it is when a cable is pulled:
//! nothing is refused, nothing is closed, and no program is in the way.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::member::{Member, PATIENCE, agreed, keys_of, settle, wait_for, wait_until, write_all};
use crate::process::{Node, smache};

/// Names of what is made in the system begin so, and end with the number of this process.
const PREFIX: &str = "sm";

/// A switch with nodes at it, each in a namespace of its own; clients reach them on another way.
struct Network {
    id: u32,
    hosts: usize,
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output();
    match output.map_err(|reason| reason.to_string())? {
        done if done.status.success() => Ok(()),
        failed => Err(format!("ip {words}: {}", String::from_utf8_lossy(&failed.stderr).trim())),
    }
}

impl Network {
    /// A network of so many hosts; an error if this system does not let one be made.
    fn new(hosts: usize) -> Result<Self, String> {
        let id = std::process::id();
        let network = Self { id, hosts };
        let switch = network.name("s", 0);
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for host in 1..=hosts {
            network.add(host, &switch)?;
        }
        Ok(network)
    }

    fn add(&self, host: usize, switch: &str) -> Result<(), String> {
        let name = self.name("h", host);
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        // To the switch, for nodes.
        ip(&format!("link add eth0 netns {name} type veth peer name p{host} netns {switch}"))?;
        ip(&format!("-n {switch} link set p{host} master br0 up"))?;
        ip(&format!("-n {name} addr add {}/24 dev eth0", self.cluster_ip(host)))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        // To the tests, for clients.
        let outside = self.name("v", host);
        ip(&format!("link add ctl0 netns {name} type veth peer name {outside}"))?;
        ip(&format!("addr add {} dev {outside}", self.client_ip(host, 1)))?;
        ip(&format!("link set {outside} up"))?;
        ip(&format!("-n {name} addr add {} dev ctl0", self.client_ip(host, 2)))?;
        ip(&format!("-n {name} link set ctl0 up"))
    }

    fn name(&self, kind: &str, host: usize) -> String {
        format!("{PREFIX}{kind}{host}-{}", self.id)
    }

    fn cluster_ip(&self, host: usize) -> String {
        format!("10.77.0.{host}")
    }

    fn client_ip(&self, host: usize, side: usize) -> String {
        // Two tests at a time must not meet.
        format!("10.78.{}.{}/30", self.id % 256, 4 * host + side)
    }

    fn start(&self, host: usize, name: &str, join: &str) -> Member {
        let client_ip = self.client_ip(host, 2);
        let http = format!("{}:0", client_ip.split('/').next().unwrap());
        let words = ["serve", "--demo", "--insecure", "--memory", "64MiB", "--node", name];
        let program = smache(&words);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name("h", host)]).arg(program.get_program());
        command.args(program.get_args()).args(["--http", &http, "--join", join]);
        command.args(["--cluster", &format!("{}:4100", self.cluster_ip(host))]);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(std::process::Stdio::null());
        Member::of(name, Node::start_command(&mut command))
    }

    /// Pulls the cable of a host out of the switch, or puts it back.
    fn set(&self, host: usize, state: &str) {
        ip(&format!("-n {} link set p{host} {state}", self.name("s", 0))).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made need not be removed; what is in a namespace goes with it.
        for host in 1..=self.hosts {
            let _ = ip(&format!("link del {}", self.name("v", host)));
            let _ = ip(&format!("netns del {}", self.name("h", host)));
        }
        let _ = ip(&format!("netns del {}", self.name("s", 0)));
    }
}

#[test]
fn a_node_whose_cable_is_pulled_is_dead_within_3_s_and_back_when_it_is_plugged_in() {
    let network = match Network::new(3) {
        Ok(network) => network,
        Err(reason) => return eprintln!("SKIPPED: no network namespaces here: {reason}"),
    };
    let a = network.start(1, "a", "10.77.0.2:4100,10.77.0.3:4100");
    let b = network.start(2, "b", "10.77.0.1:4100,10.77.0.3:4100");
    let c = network.start(3, "c", "10.77.0.1:4100,10.77.0.2:4100");
    settle(&[&a, &b, &c]);
    let keys = keys_of("c", &a, 24);
    let kept = keys_of("a", &a, 24);
    write_all(&[&a, &b, &c], &[&keys[..], &kept].concat(), 1);

    network.set(3, "down");
    let cut = Instant::now();
    std::thread::scope(|scope| {
        let dead = scope.spawn(|| {
            wait_until("it is dead", Duration::from_secs(3), || {
                a.state_of("c") == "dead" && b.state_of("c") == "dead"
            })
        });
        write_all(&[&a, &b], &keys, 2);
        assert!(cut.elapsed() < Duration::from_secs(5), "{:?}", cut.elapsed());
        dead.join().unwrap();
    });
    wait_for("both sides serve", PATIENCE, || agreed(&[&a, &b]).and(agreed(&[&c])));
    write_all(&[&c], &kept, 3);

    network.set(3, "up");
    settle(&[&a, &b, &c]);
    for member in [&a, &b, &c] {
        assert!(keys.iter().all(|key| member.number(key) == Some(2)), "{}", member.name);
        assert!(kept.iter().all(|key| member.number(key) == Some(3)), "{}", member.name);
    }
}
