//! Which node has which slots, for clients that go straight to the owner of a key.
//!
//! Where other nodes are reached they say themselves. One that does not is given this node's own address,
//! which serves every key.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::super::codec::{Output, Request};
use super::super::failure::Failure;
use super::super::session::Session;
use super::keys::number;
use crate::cache::{MemberState, SlotOwner};
use crate::entry::{Key, SLOTS, Slot};
use crate::member::NodeName;

pub(super) async fn cluster(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let word = request.arg(1).to_ascii_lowercase();
    let wanted = match &word[..] {
        b"info" | b"nodes" | b"slots" | b"shards" | b"myid" => 2,
        b"keyslot" | b"countkeysinslot" => 3,
        _ => return Err(Failure::subcommand("cluster", request.arg(1))),
    };
    if request.len() != wanted {
        return Err(Failure::arity(&format!("cluster|{}", String::from_utf8_lossy(&word))));
    }
    match &word[..] {
        b"info" => out.text(&about(session)),
        b"nodes" => out.text(&nodes(session, &Addresses::of(session).await)),
        b"slots" => slots(session, &Addresses::of(session).await, out),
        b"shards" => shards(session, &Addresses::of(session).await, out),
        b"myid" => out.bulk(id_of(session.shared.cache.node())),
        b"keyslot" => out.count(Key::new(request.kept(2))?.slot().0.into()),
        _ => out.count(count(session, request.arg(2)).await?),
    }
    Ok(())
}

/// Where clients reach nodes.
struct Addresses {
    /// This one, by the way this client has taken.
    own: Address,
    others: BTreeMap<NodeName, Address>,
}

struct Address {
    host: String,
    port: u16,
}

impl Addresses {
    async fn of(session: &Session) -> Self {
        let local = session.client.local();
        let own = Address { host: local.ip().to_string(), port: local.port() };
        let others = session.shared.cache.resp_addrs().await.into_iter();
        let others = others.filter_map(|(name, addr)| Some((name, Address::read(&addr)?)));
        Self { own, others: others.collect() }
    }

    fn of_node(&self, name: &NodeName) -> &Address {
        self.others.get(name).unwrap_or(&self.own)
    }
}

impl Address {
    fn read(addr: &str) -> Option<Self> {
        let (host, port) = addr.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: port.parse().ok()? })
    }
}

/// How many keys the owner of a slot has of it. Others may have some that are on their way there.
async fn count(session: &Session, slot: &[u8]) -> Result<u64, Failure> {
    let slot = u16::try_from(number(slot)?).ok().filter(|slot| *slot < SLOTS);
    let slot = Slot(slot.ok_or(Failure::fixed("ERR Invalid slot"))?);
    let cache = &session.shared.cache;
    let owner = cache.owner(slot);
    let counts = cache.count_keys(Some(slot)).await;
    let count = counts.into_iter().find(|(node, _)| *node == owner).and_then(|(_, keys)| keys);
    count.ok_or_else(|| {
        Failure::of(format!("TRYAGAIN {owner} did not say in time how many keys it has"))
    })
}

/// What a node is called here: 40 hexadecimal digits that follow from its name.
fn id_of(name: &NodeName) -> String {
    let name = name.as_str().as_bytes();
    // The last eight are of another hash.
    format!("{:032x}{:08x}", xxh3_128(name), xxh3_64(name) >> 32)
}

/// The slots of an owner as runs, both ends included.
fn runs(owner: &SlotOwner) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = vec![];
    for slot in &owner.slots {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == slot.0 => *end = slot.0,
            _ => runs.push((slot.0, slot.0)),
        }
    }
    runs
}

fn about(session: &Session) -> String {
    let owners = session.shared.cache.slot_owners();
    let status = session.shared.cache.status();
    let assigned: usize = owners.iter().map(|owner| owner.slots.len()).sum();
    let state = if assigned == usize::from(SLOTS) { "ok" } else { "fail" };
    let members = &status.cluster.members;
    let is_suspect = |state| matches!(state, MemberState::Suspect | MemberState::Joining);
    let suspects = members.iter().filter(|member| is_suspect(member.state)).count();
    let size = owners.iter().filter(|owner| !owner.slots.is_empty()).count();
    let epoch = status.cluster.epoch;
    let lines = [
        ("cluster_enabled", 1),
        ("cluster_slots_assigned", assigned),
        ("cluster_slots_ok", assigned),
        ("cluster_slots_pfail", 0),
        ("cluster_slots_fail", usize::from(SLOTS) - assigned),
        ("cluster_known_nodes", members.len()),
        ("cluster_size", size),
        ("cluster_nodes_suspect", suspects),
    ];
    let lines = lines.iter().map(|(name, value)| format!("{name}:{value}\r\n"));
    let lines: String = lines.collect();
    format!("cluster_state:{state}\r\n{lines}cluster_current_epoch:{epoch}\r\n")
}

fn nodes(session: &Session, addresses: &Addresses) -> String {
    let here = session.shared.cache.node();
    let epoch = session.shared.cache.status().cluster.epoch;
    let mut text = String::new();
    for owner in session.shared.cache.slot_owners() {
        let flags = if owner.name == *here { "myself,master" } else { "master" };
        let id = id_of(&owner.name);
        let name = &owner.name;
        let Address { host, port } = addresses.of_node(name);
        // The name behind the comma is what Redis calls the hostname.
        let _ = write!(text, "{id} {host}:{port}@{port},{name} {flags} - 0 0 {epoch} connected");
        for (start, end) in runs(&owner) {
            let _ = match start == end {
                true => write!(text, " {start}"),
                false => write!(text, " {start}-{end}"),
            };
        }
        text.push('\n');
    }
    text
}

fn slots(session: &Session, addresses: &Addresses, out: &mut Output) {
    let owners = session.shared.cache.slot_owners();
    let runs_of =
        owners.iter().flat_map(|owner| runs(owner).into_iter().map(move |run| (run, owner)));
    let mut all: Vec<_> = runs_of.collect();
    all.sort_unstable_by_key(|(run, _)| *run);
    out.array(all.len());
    for ((start, end), owner) in all {
        out.array(3);
        out.count(start.into());
        out.count(end.into());
        out.array(4);
        let Address { host, port } = addresses.of_node(&owner.name);
        out.bulk(host);
        out.count((*port).into());
        out.bulk(id_of(&owner.name));
        out.array(0);
    }
}

fn shards(session: &Session, addresses: &Addresses, out: &mut Output) {
    let owners = session.shared.cache.slot_owners();
    out.array(owners.len());
    for owner in &owners {
        out.map(2);
        out.bulk("slots");
        let runs = runs(owner);
        out.array(2 * runs.len());
        for (start, end) in runs {
            out.count(start.into());
            out.count(end.into());
        }
        out.bulk("nodes");
        out.array(1);
        out.map(7);
        out.bulk("id");
        out.bulk(id_of(&owner.name));
        let Address { host, port } = addresses.of_node(&owner.name);
        out.bulk("port");
        out.count((*port).into());
        for (name, value) in [("ip", host), ("endpoint", host)] {
            out.bulk(name);
            out.bulk(value);
        }
        out.bulk("role");
        out.bulk("master");
        out.bulk("replication-offset");
        out.integer(0);
        out.bulk("health");
        out.bulk("online");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_told_in_runs() {
        let name = NodeName::new("a@test").unwrap();
        let slots = [0, 1, 2, 7, 9, 10].map(Slot).to_vec();
        let owner = SlotOwner { name: name.clone(), slots };
        assert_eq!(runs(&owner), [(0, 2), (7, 7), (9, 10)]);
        let id = id_of(&name);
        assert!(id.len() == 40 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        assert_ne!(id, id_of(&NodeName::new("b@test").unwrap()));
    }
}
