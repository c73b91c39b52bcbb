//! Whether the nodes are one cluster in which nothing moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::{Expected, Stage, lock};
use crate::http::Client;
use crate::member::{Sight, agreed_in};

/// Pause between two looks.
const GLANCE: Duration = Duration::from_millis(100);
/// Who takes longer is not calm.
const PATIENCE: Duration = Duration::from_secs(1);

/// Notes moments of calm until told to end: two looks in a row at which all agree, and between which
/// nothing was done to them.
pub fn note_calm(stage: &Mutex<Stage>, is_over: &AtomicBool) {
    let mut before: Option<Expected> = None;
    while !is_over.load(Ordering::Relaxed) {
        let (expected, now) = {
            let stage = lock(stage);
            (stage.expected(), stage.now())
        };
        let is_calm = expected.as_ref().is_some_and(|expected| look(expected).is_ok());
        let mut stage = lock(stage);
        if is_calm && before == expected && stage.expected() == expected {
            stage.note_calm(now);
        }
        drop(stage);
        before = expected.filter(|_| is_calm);
        std::thread::sleep(GLANCE);
    }
}

/// Waits until these nodes agree and returns how long that took, or what they see otherwise.
///
/// # Errors
///
/// If they do not in time: what each sees.
pub fn agree(stage: &Mutex<Stage>, within: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    loop {
        lock(stage).look();
        let expected = lock(stage).expected();
        let seen = expected.map_or(Err("a node is about to end".to_owned()), |all| look(&all));
        match seen {
            Ok(()) => return Ok(began.elapsed()),
            Err(reason) if within < began.elapsed() => return Err(reason),
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}

/// Waits until these nodes agree how many keys each of them has, which they do when nobody writes.
///
/// # Errors
///
/// If they do not in time: what each counts.
pub fn agree_on_keys(stage: &Mutex<Stage>, within: Duration) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let expected = lock(stage).expected().map_or(vec![], |expected| expected.nodes);
        let counts = |(name, addr): &(String, SocketAddr)| {
            (name.clone(), status(*addr).as_ref().map(keys_in))
        };
        let keys: Vec<_> = expected.iter().map(counts).collect();
        let is_same = keys.windows(2).all(|two| two[0].1 == two[1].1);
        if is_same && keys.iter().all(|(_, counts)| counts.is_some()) {
            return Ok(());
        }
        if within < began.elapsed() {
            return Err(format!("{keys:?}"));
        }
        std::thread::sleep(GLANCE);
    }
}

/// Whether the nodes agree about members and slots.
fn look(expected: &Expected) -> Result<(), String> {
    let mut sights = vec![];
    for (name, addr) in &expected.nodes {
        let status = status(*addr).ok_or_else(|| format!("{name} says nothing"))?;
        sights.push((name.clone(), Sight::of(&status)));
    }
    agreed_in(&sights)
}

fn status(addr: SocketAddr) -> Option<Value> {
    let mut client = Client::try_connect_within(addr, PATIENCE).ok()?;
    let answer = client.try_request("GET", "/status", &[], "").ok()?;
    (answer.status == 200).then(|| answer.json())
}

/// How many keys each living member has.
fn keys_in(status: &Value) -> BTreeMap<String, Option<u64>> {
    let members = status["cluster"]["members"].as_array().into_iter().flatten();
    let living = members.filter(|member| member["state"] != "dead" && member["state"] != "left");
    living.map(|member| (member["node"].to_string(), member["keys"].as_u64())).collect()
}
