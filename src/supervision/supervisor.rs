//! The supervisor: an actor that starts its children in order and restarts those that end.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ractor::rpc::CallResult;
use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent,
};
use tokio::sync::watch;
use tracing::{error, warn};

use super::budget::RestartBudget;
use super::child::{ChildSpec, Running};
use super::tree::{Child, ChildState, Tree};
use crate::clock::{self, Millis};
use crate::limits::{CHILD_STOP_TIMEOUT, RESTART_WINDOW, RESTARTS_MAX, SUPERVISOR_CALL_TIMEOUT};

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

enum SupervisorMsg {
    Add { child: ChildSpec, reply: RpcReplyPort<Result<(), SpawnErr>> },
    Remove { name: String, reply: RpcReplyPort<bool> },
    Crash { name: String, reply: RpcReplyPort<Result<(), CrashError>> },
    StopChildren(RpcReplyPort<()>),
}

// Never sent to another process.
impl ractor::Message for SupervisorMsg {}

struct SupervisorActor;

struct SupervisorArgs {
    tree: Arc<ArcSwap<Tree>>,
    fatal: watch::Sender<Option<String>>,
}

struct SupervisorState {
    children: Vec<SupervisedChild>,
    budget: RestartBudget,
    restarts: u64,
    since: Millis,
    tree: Arc<ArcSwap<Tree>>,
    fatal: watch::Sender<Option<String>>,
}

struct SupervisedChild {
    spec: ChildSpec,
    running: Option<Running>,
    shown: Child,
}

impl SupervisorState {
    async fn add(&mut self, spec: ChildSpec, me: &ActorRef<SupervisorMsg>) -> Result<(), SpawnErr> {
        let running = (spec.start)(me.get_cell()).await?;
        let shown = Child {
            name: spec.name.clone(),
            kind: spec.kind,
            state: ChildState::Running,
            restarts: 0,
            since: clock::now(),
        };
        self.children.push(SupervisedChild { spec, running: Some(running), shown });
        self.publish();
        Ok(())
    }

    /// Starts the child again that was `cell`, unless the budget is spent.
    async fn restart(&mut self, cell: &ActorCell, reason: &str, me: &ActorRef<SupervisorMsg>) {
        let is_it = |child: &SupervisedChild| {
            child.running.as_ref().is_some_and(|r| r.cell.get_id() == cell.get_id())
        };
        let Some(at) = self.children.iter().position(is_it) else {
            return;
        };
        let name = self.children[at].shown.name.clone();
        warn!(child = name, reason, "child ended, starting it again");
        self.children[at].shown.state = ChildState::Restarting;
        self.publish();
        if let Some(old) = self.children[at].running.take() {
            // What the old one held (its table's writer) is free only when its task is over.
            let _ = old.task.await;
        }
        while self.budget.spend(Instant::now()) {
            let child = &mut self.children[at];
            self.restarts += 1;
            child.shown.restarts += 1;
            match (child.spec.start)(me.get_cell()).await {
                Ok(running) => {
                    child.running = Some(running);
                    child.shown.state = ChildState::Running;
                    child.shown.since = clock::now();
                    self.publish();
                    return;
                }
                Err(reason) => warn!(child = name, %reason, "child did not start"),
            }
        }
        self.give_up(at, reason);
    }

    fn give_up(&mut self, at: usize, reason: &str) {
        self.children[at].shown.state = ChildState::Stopped;
        self.publish();
        let name = &self.children[at].shown.name;
        let window_s = RESTART_WINDOW.as_secs();
        let reason =
            format!("{name} ended more than {RESTARTS_MAX} times in {window_s} s: {reason}");
        error!(reason, "restart budget spent");
        self.fatal.send_replace(Some(reason));
    }

    fn crash(&self, name: &str) -> Result<(), CrashError> {
        let Some(child) = self.children.iter().find(|child| child.shown.name == name) else {
            let names: Vec<_> = self.children.iter().map(|c| c.shown.name.as_str()).collect();
            let allowed = names.join(", ");
            return Err(CrashError::Unknown { name: name.to_owned(), allowed });
        };
        if let Some(running) = &child.running {
            (running.crash)();
        }
        Ok(())
    }

    async fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.children.iter().position(|child| child.shown.name == name) else {
            return false;
        };
        // What it reports when it ends is of nobody any more.
        self.children.remove(at).stop().await;
        self.publish();
        true
    }

    async fn stop_children(&mut self) {
        for child in self.children.iter_mut().rev() {
            child.stop().await;
        }
        self.publish();
    }

    fn publish(&self) {
        let children = self.children.iter().map(|child| child.shown.clone()).collect();
        self.tree.store(Arc::new(Tree { since: self.since, restarts: self.restarts, children }));
    }
}

impl SupervisedChild {
    async fn stop(&mut self) {
        self.shown.state = ChildState::Stopped;
        let Some(Running { cell, task, .. }) = self.running.take() else { return };
        if cell.stop_and_wait(None, Some(CHILD_STOP_TIMEOUT)).await.is_err() {
            warn!(child = self.shown.name, "child did not stop in time and is killed");
            task.abort();
        }
    }
}

impl Actor for SupervisorActor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        _me: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        Ok(SupervisorState {
            children: vec![],
            budget: RestartBudget::new(RESTARTS_MAX, RESTART_WINDOW),
            restarts: 0,
            since: clock::now(),
            tree: args.tree,
            fatal: args.fatal,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Add { child, reply } => {
                let _ = reply.send(state.add(child, &me).await);
            }
            SupervisorMsg::Remove { name, reply } => {
                let _ = reply.send(state.remove(&name).await);
            }
            SupervisorMsg::Crash { name, reply } => {
                let _ = reply.send(state.crash(&name));
            }
            SupervisorMsg::StopChildren(reply) => {
                state.stop_children().await;
                let _ = reply.send(());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, reason) => {
                state.restart(&cell, &reason.to_string(), &me).await;
            }
            SupervisionEvent::ActorTerminated(cell, last_state, reason) => {
                // The next one needs what it holds.
                drop(last_state);
                state.restart(&cell, reason.as_deref().unwrap_or("stopped"), &me).await;
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => {}
        }
        Ok(())
    }
}
