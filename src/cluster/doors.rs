//! Where clients reach other nodes: asked when somebody wants to know, and kept for as long as the node
//! runs, as its doors stay where they are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::future::join_all;

use super::Cluster;
use crate::member::{NodeId, NodeName};
use crate::peer::Link;
use crate::peer::message::{Doors, Request, Response};
use crate::peer::protocol::PROTOCOL_OF_HUB;

/// Where clients reach this node and others.
#[derive(Default)]
pub(super) struct Addresses {
    /// This node, once its doors are open.
    own: OnceLock<Doors>,
    others: Mutex<BTreeMap<NodeId, Doors>>,
}

impl Addresses {
    /// Where clients reach this node, as it tells others.
    pub(super) fn own(&self) -> Doors {
        self.own.get().cloned().unwrap_or_default()
    }

    fn others(&self) -> MutexGuard<'_, BTreeMap<NodeId, Doors>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Says where clients of Redis's protocol reach this node.
    pub fn set_resp_addr(&self, addr: &str) {
        // Doors open once.
        let _ = self.shared.addresses.own.set(Doors { resp: addr.to_owned() });
    }

    /// The host by which other nodes reach this one.
    #[must_use]
    pub fn host(&self) -> String {
        let addr = self.shared.transport().me().addr;
        addr.rsplit_once(':').map_or_else(String::new, |(host, _)| host.to_owned())
    }

    /// Where clients of Redis's protocol reach other nodes, as far as these say so in time.
    pub async fn resp_addrs(&self) -> BTreeMap<NodeName, String> {
        let routes = self.shared.router.routes();
        let links: Vec<_> = routes.links.iter().flatten().cloned().collect();
        join_all(links.iter().map(async |link| self.ask_doors(link).await)).await;
        let mut others = self.shared.addresses.others();
        others.retain(|id, _| routes.map.members().iter().any(|member| member.id == *id));
        others.iter().map(|(id, doors)| (id.name.clone(), doors.resp.clone())).collect()
    }

    async fn ask_doors(&self, link: &Link) {
        let id = link.peer();
        let is_known = self.shared.addresses.others().contains_key(id);
        if is_known || link.protocol() < PROTOCOL_OF_HUB {
            return;
        }
        // Who says nothing, or has no such door yet, is asked again the next time.
        if let Ok(Response::Doors(doors)) = link.ask(Request::Doors).await
            && !doors.resp.is_empty()
        {
            self.shared.addresses.others().insert(id.clone(), doors);
        }
    }
}
