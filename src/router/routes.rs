//! Where everything is: the published meeting point of those who decide it and those who go there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::command::{Command, Reply};
use crate::error::Error;
use crate::member::{NodeId, NodeName, View};
use crate::partition::{PartitionMap, Slot};
use crate::peer::message::Refusal;
use crate::peer::{Link, LinkError, Outcome};

/// Where everything is.
#[derive(Clone)]
pub struct Routes {
    /// Who owns what.
    pub map: Arc<PartitionMap>,
    /// The way to each member of the map, in its order; `None` for this node and for those that
    /// cannot be reached.
    pub links: Vec<Option<Link>>,
    /// Who may still have some of a slot that is ours. Shared by slots with the same.
    pub sources: HashMap<Slot, Arc<[Source]>>,
}

/// A node that may still have some of a slot.
#[derive(Clone)]
pub struct Source {
    /// Which node.
    pub id: NodeId,
    /// The way there, if there is one.
    pub link: Option<Link>,
}

impl Routes {
    /// The routes of a node that is alone and sees nobody but itself in `view`.
    #[must_use]
    pub fn alone(view: &View) -> Self {
        Self { map: Arc::new(PartitionMap::new(view)), links: vec![], sources: HashMap::new() }
    }

    /// The place of the owner of a slot among the members, if it can be reached.
    pub(super) fn index(&self, slot: Slot) -> Option<usize> {
        let index = usize::from(self.map.owner_index(slot)?);
        self.links.get(index)?.as_ref().map(|_| index)
    }

    /// The way to the owner of a slot, if it can be reached.
    #[must_use]
    pub fn link(&self, slot: Slot) -> Option<&Link> {
        self.links[self.index(slot)?].as_ref()
    }

    /// The way to a member.
    #[must_use]
    pub fn link_to(&self, id: &NodeId) -> Option<&Link> {
        self.links.iter().flatten().find(|link| link.peer() == id)
    }

    /// What the owner of a slot is called.
    #[must_use]
    pub fn owner_name(&self, slot: Slot) -> Option<NodeName> {
        self.map.owner(slot).map(|owner| owner.name.clone())
    }

    /// Has a member do commands.
    pub(super) async fn run(&self, at: usize, commands: Vec<Command>) -> Vec<Result<Reply, Error>> {
        let Some(link) = self.links.get(at).and_then(Option::as_ref) else {
            let unreachable = || Err(Error::Unreachable { owner: "nobody".into() });
            return commands.iter().map(|_| unreachable()).collect();
        };
        let outcomes = link.run(&commands).await.into_iter().zip(&commands);
        let slot = |command: &Command| command.slot().unwrap_or(Slot(0));
        outcomes.map(|(outcome, command)| answer_of(outcome, slot(command), link)).collect()
    }
}

/// What came of a command that went over a link, in the words of the cache.
pub(super) fn answer_of(outcome: Outcome, slot: Slot, link: &Link) -> Result<Reply, Error> {
    let owner = || link.peer().name.as_str().into();
    match outcome {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(Refusal::Failed(error))) => Err(error),
        Ok(Err(Refusal::Moved { .. })) => Err(Error::NotHere { slot: slot.0 }),
        Ok(Err(Refusal::Unread)) => Err(Error::Unanswered { owner: owner() }),
        Ok(Err(Refusal::Later)) | Err(LinkError::NotSent) => {
            Err(Error::Unreachable { owner: owner() })
        }
        Err(LinkError::Unanswered) => Err(Error::Unanswered { owner: owner() }),
    }
}
