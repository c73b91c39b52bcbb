//! The supervisor as others hold it: children are added, removed and stopped, and the tree is seen.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorRef, SpawnErr};
use tokio::sync::watch;
use tracing::warn;

use super::actor::{SupervisorActor, SupervisorArgs, SupervisorMsg};
use super::child::ChildSpec;
use super::tree::Tree;
use crate::clock;
use crate::limits::{CHILD_STOP_TIMEOUT, SUPERVISOR_CALL_TIMEOUT};

/// A supervisor as others hold it. Clones are the same supervisor.
#[derive(Clone)]
pub struct Supervisor {
    actor: ActorRef<SupervisorMsg>,
    tree: Arc<ArcSwap<Tree>>,
    fatal: watch::Receiver<Option<String>>,
}

/// Why a child was not crashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrashError {
    /// There is no child of that name.
    #[error("no child is named {name:?}; allowed: {allowed}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        allowed: String,
    },
    /// The supervisor did not answer, as the node is stopping.
    #[error("the supervisor is stopping")]
    Stopping,
}

impl Supervisor {
    /// Starts a supervisor that has no children yet.
    ///
    /// # Errors
    ///
    /// What the actor system said when it did not start the actor.
    pub async fn start() -> Result<Self, SpawnErr> {
        let tree = Tree { since: clock::now(), restarts: 0, children: vec![] };
        let tree = Arc::new(ArcSwap::from_pointee(tree));
        let (fatal_tx, fatal) = watch::channel(None);
        let args = SupervisorArgs { tree: Arc::clone(&tree), fatal: fatal_tx };
        let (actor, _task) = Actor::spawn(None, SupervisorActor, args).await?;
        Ok(Self { actor, tree, fatal })
    }

    /// Starts a child, to be restarted from now on. Children stop in the reverse of this order.
    ///
    /// # Errors
    ///
    /// What the child said when it did not start, or that the supervisor is stopping; there is no
    /// such child then.
    pub async fn add(&self, child: ChildSpec) -> Result<(), SpawnErr> {
        match self.actor.call(|reply| SupervisorMsg::Add { child, reply }, None).await {
            Ok(CallResult::Success(answer)) => answer,
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => {
                Err(SpawnErr::StartupFailed("the supervisor is stopping".into()))
            }
        }
    }

    /// Stops a child for good, and returns whether there was one of that name.
    pub async fn remove(&self, name: &str) -> bool {
        let remove = |reply| SupervisorMsg::Remove { name: name.to_owned(), reply };
        let removed = self.actor.call(remove, None).await;
        // A supervisor that is stopping stops all children.
        matches!(removed, Ok(CallResult::Success(true)))
    }

    /// The tree as it is.
    #[must_use]
    pub fn tree(&self) -> Arc<Tree> {
        self.tree.load_full()
    }

    /// Makes the child of that name panic, for demonstrations.
    ///
    /// # Errors
    ///
    /// [`CrashError`]; nothing was crashed.
    pub async fn crash(&self, name: &str) -> Result<(), CrashError> {
        let crash = |reply| SupervisorMsg::Crash { name: name.to_owned(), reply };
        match self.actor.call(crash, Some(SUPERVISOR_CALL_TIMEOUT)).await {
            Ok(CallResult::Success(answer)) => answer,
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Err(CrashError::Stopping),
        }
    }

    /// Waits until restarting does not help any more and returns why.
    pub async fn failed(&self) -> String {
        let mut fatal = self.fatal.clone();
        // An error means that the supervisor itself is gone, which is fatal too.
        match fatal.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the root supervisor ended".to_owned(),
        }
    }

    /// Stops the children, the last started first, and then the supervisor.
    pub async fn stop(&self) {
        let stopped = self.actor.call(SupervisorMsg::StopChildren, None).await;
        if stopped.is_err() {
            warn!("the supervisor was gone before it was stopped");
        }
        if self.actor.stop_and_wait(None, Some(CHILD_STOP_TIMEOUT)).await.is_err() {
            warn!("the supervisor did not stop in time");
        }
    }
}
