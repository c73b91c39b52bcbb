//! The supervision tree as others see it: plain data, published at every change.

use serde::{Serialize, Serializer};

use crate::clock::{self, Millis};

/// The root and its children, in start order.
#[derive(Clone, Debug)]
pub struct Tree {
    /// When the supervisor started.
    pub since: Millis,
    /// Restarts of all children together.
    pub restarts: u64,
    /// The children, in start order.
    pub children: Vec<Child>,
}

/// One supervised actor.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its name, unique in the tree.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it does now.
    pub state: ChildState,
    /// How often it was started again.
    pub restarts: u64,
    /// When it was started last.
    pub since: Millis,
}

/// What an actor is in the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Starts and restarts others.
    Supervisor,
    /// Writes one table.
    Shard,
    /// Finds other nodes and watches them.
    Discovery,
    /// Keeps the slots this node holds.
    Keeper,
    /// Sends entries to their owners.
    Mover,
    /// Sends what is published to other nodes.
    Hub,
    /// Tells what happens to entries.
    Feed,
    /// Accepts connections of one protocol.
    Door,
    /// Carries sessions with other nodes.
    Server,
    /// Sends commands to one peer.
    Link,
}

/// What an actor does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChildState {
    /// It ended and is about to start again.
    Restarting,
    /// It takes messages.
    Running,
    /// It is over and will not start again.
    Stopped,
}

/// A line of the tree as it is shown: times as how long ago, in milliseconds.
#[derive(Serialize)]
struct Shown {
    name: String,
    kind: Kind,
    state: ChildState,
    restarts: u64,
    since_ms: u64,
    children: Vec<Shown>,
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let now = clock::now();
        let age_ms = |since: Millis| now.0.saturating_sub(since.0);
        let show = |child: &'_ Child| Shown {
            name: child.name.clone(),
            kind: child.kind,
            state: child.state,
            restarts: child.restarts,
            since_ms: age_ms(child.since),
            children: vec![],
        };
        let root = Shown {
            name: "root".to_owned(),
            kind: Kind::Supervisor,
            state: ChildState::Running,
            restarts: self.restarts,
            since_ms: age_ms(self.since),
            children: self.children.iter().map(show).collect(),
        };
        root.serialize(serializer)
    }
}
