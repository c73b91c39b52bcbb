//! What is not about keys: done by this node, or by every node, each for itself.

use futures_util::future::join_all;
use tokio::time::timeout;

use super::routes::answer_of;
use super::{Hop, Router};
use crate::command::{Access, Command, NodeReply, Reply, Scope};
use crate::entry::Millis;
use crate::error::Error;
use crate::limits::EVERY_NODE_TIMEOUT;
use crate::member::{Member, NodeName};
use crate::partition::Slot;
use crate::peer::Link;

impl Router {
    /// Has a command done that is about no key: by all shards of this node, or by all nodes. What
    /// another node sent is done here only: it asked all of them itself.
    pub(super) async fn run_wide(
        &self,
        command: &Command,
        hop: Hop,
        now: Millis,
    ) -> Result<Reply, Error> {
        match (command.scope(), hop) {
            (Scope::EveryNode(_), Hop::First) => {
                Ok(Reply::Many(self.run_everywhere(command, now).await))
            }
            (
                Scope::EveryNode(_)
                | Scope::Here(_)
                | Scope::Key(..)
                | Scope::Slot(..)
                | Scope::Whole(..),
                Hop::First | Hop::Last,
            ) => self.run_here(command, now).await,
        }
    }

    /// Has every shard of this node do a command, and joins what they say.
    async fn run_here(&self, command: &Command, now: Millis) -> Result<Reply, Error> {
        let parts = self.inner.shards.iter().map(async |shard| match shard.read(command, now) {
            Some(reply) => Ok(reply),
            None => shard.write_one(command.clone()).await,
        });
        let parts: Result<Vec<_>, _> = join_all(parts).await.into_iter().collect();
        let joined = parts?.into_iter().reduce(Reply::join);
        // There is one shard at least.
        joined.ok_or(Error::Down { shard: 0 })
    }

    /// Has every member do a command for itself, and returns what each said, in the order of their
    /// names. One that does not answer in time holds nobody up.
    async fn run_everywhere(&self, command: &Command, now: Millis) -> Vec<NodeReply> {
        let routes = self.routes();
        let members: Vec<_> = match routes.map.members() {
            [] => vec![(self.inner.me.name.clone(), None)],
            members => members.iter().map(|member| self.way_to(member, &routes.links)).collect(),
        };
        let replies = members.into_iter().map(async |(node, link)| {
            let reply = match link {
                None if node == self.inner.me.name => self.run_here(command, now).await,
                None => Err(Error::Unreachable { owner: node.as_str().into() }),
                Some(link) => self.run_at(&link, &node, command).await,
            };
            NodeReply { node, reply }
        });
        join_all(replies).await
    }

    fn way_to(&self, member: &Member, links: &[Option<Link>]) -> (NodeName, Option<Link>) {
        let link = links.iter().flatten().find(|link| *link.peer() == member.id);
        (member.id.name.clone(), link.cloned())
    }

    async fn run_at(
        &self,
        link: &Link,
        node: &NodeName,
        command: &Command,
    ) -> Result<Reply, Error> {
        let owner = || node.as_str().into();
        match timeout(EVERY_NODE_TIMEOUT, link.run_one(command)).await {
            Ok(outcome) => answer_of(outcome, Slot(0), link),
            Err(_) if command.scope().access() == Access::Read => {
                Err(Error::Unreachable { owner: owner() })
            }
            Err(_) => Err(Error::Unanswered { owner: owner() }),
        }
    }
}
