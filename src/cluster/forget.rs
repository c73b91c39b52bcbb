//! Forgetting a member that is dead or has left, on the word of whoever runs the cluster.

use ractor::rpc::CallResult;

use super::message::DiscoveryMsg;
use super::{Cluster, Shared};
use crate::limits::FORGET_TIMEOUT;
use crate::member::{NodeName, PeerState};

/// Why a member is not forgotten. Nothing changed, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// There is no cluster here.
    #[error("this node is alone; allowed: on a node started with --cluster")]
    Alone,
    /// There is no member of that name.
    #[error("no member is called {name:.100}; allowed, as they are dead or have left: {allowed}")]
    Unknown {
        /// The name.
        name: String,
        /// Who can be forgotten.
        allowed: String,
    },
    /// It takes part.
    #[error("{name} takes part ({state}); allowed, as they are dead or have left: {allowed}")]
    Lives {
        /// The name.
        name: String,
        /// What is thought of it.
        state: &'static str,
        /// Who can be forgotten.
        allowed: String,
    },
    /// The actor that keeps the members did not answer.
    #[error("the members cannot be changed now; it may happen yet")]
    Busy,
}

impl Cluster {
    /// Has everybody forget a member that is dead or has left: it is not shown, not dialled, and not
    /// waited for any more. If it is back nevertheless, it is a member again.
    ///
    /// # Errors
    ///
    /// [`ForgetError`].
    pub async fn forget(&self, name: &str) -> Result<(), ForgetError> {
        let name = self.shared.forgettable(name)?;
        let Some(discovery) = self.shared.discovery.actor() else { return Err(ForgetError::Busy) };
        let forget = |reply| DiscoveryMsg::Forget(name, reply);
        match discovery.call(forget, Some(FORGET_TIMEOUT)).await {
            Ok(CallResult::Success(())) => Ok(()),
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Err(ForgetError::Busy),
        }
    }
}

impl Shared {
    fn forgettable(&self, name: &str) -> Result<NodeName, ForgetError> {
        let roster = self.roster();
        let own = &self.me.name;
        let is_gone = |state| matches!(state, PeerState::Dead | PeerState::Left);
        let states: Vec<_> =
            roster.states(self.now()).map(|(member, state, _)| (&member.id.name, state)).collect();
        let gone = states.iter().filter(|(of, state)| *of != own && is_gone(*state));
        let gone: Vec<_> = gone.map(|(of, _)| of.as_str()).collect();
        let allowed = if gone.is_empty() { "none".to_owned() } else { gone.join(", ") };
        let name = name.to_owned();
        match states.iter().find(|(of, _)| of.as_str() == name) {
            None => Err(ForgetError::Unknown { name, allowed }),
            Some((of, state)) if *of != own && is_gone(*state) => Ok((*of).clone()),
            Some((_, state)) => Err(ForgetError::Lives { name, state: state.name(), allowed }),
        }
    }
}
