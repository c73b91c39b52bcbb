//! The actor that starts children, restarts those that end, and never waits for any of them: one
//! that hangs in its start or its end keeps nobody else from being restarted.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::budget::RestartBudget;
use super::child::{ChildSpec, Ended, NotStarted, Running};
use super::supervisor::CrashError;
use super::tree::{Child, ChildState, Tree};
use crate::clock::{self, Millis};
use crate::limits::{CHILD_LATE_MAX, RESTART_WINDOW, RESTARTS_MAX};

pub(super) enum SupervisorMsg {
    Add {
        child: ChildSpec,
        reply: RpcReplyPort<Result<(), SpawnErr>>,
    },
    Remove {
        name: String,
        reply: RpcReplyPort<bool>,
    },
    Crash {
        name: String,
        reply: RpcReplyPort<Result<(), CrashError>>,
    },
    StopChildren(RpcReplyPort<()>),
    /// A child that is new was started, or was not.
    Added(ChildSpec, Outcome, RpcReplyPort<Result<(), SpawnErr>>),
    /// A child that had ended was started again, or was not.
    Restarted(ChildId, Outcome),
}

// Never sent to another process.
impl ractor::Message for SupervisorMsg {}

/// Which child, as one may be added under the name of one that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChildId(u64);

type Outcome = Result<Running, NotStarted>;

pub(super) struct SupervisorActor;

pub(super) struct SupervisorArgs {
    pub(super) tree: Arc<ArcSwap<Tree>>,
    pub(super) fatal: watch::Sender<Option<String>>,
}

pub(super) struct SupervisorState {
    me: ActorRef<SupervisorMsg>,
    children: Vec<SupervisedChild>,
    /// Children there ever were.
    added: u64,
    /// Whether nothing is started any more.
    is_stopping: bool,
    budget: RestartBudget,
    restarts: u64,
    since: Millis,
    tree: Arc<ArcSwap<Tree>>,
    fatal: watch::Sender<Option<String>>,
}

struct SupervisedChild {
    id: ChildId,
    spec: ChildSpec,
    /// `None` while it is started again, and once it is over.
    running: Option<Running>,
    /// Starts in a row that were not over in time.
    late: u32,
    shown: Child,
}

impl SupervisorState {
    /// Has a child started. It is one once it runs.
    fn add(&self, child: ChildSpec, reply: RpcReplyPort<Result<(), SpawnErr>>) {
        let (me, start) = (self.me.clone(), child.begin(self.me.get_cell()));
        tokio::spawn(async move {
            let outcome = start.await;
            // A supervisor that is gone took the child with it.
            drop(me.cast(SupervisorMsg::Added(child, outcome, reply)));
        });
    }

    fn added(&mut self, spec: ChildSpec, outcome: Outcome) -> Result<(), SpawnErr> {
        let mut running = outcome.map_err(NotStarted::into_spawn_err)?;
        if self.is_stopping {
            running.kill();
            return Err(SpawnErr::StartupFailed("the supervisor is stopping".into()));
        }
        running.settle();
        let shown = Child {
            name: spec.name.clone(),
            kind: spec.kind,
            state: ChildState::Running,
            restarts: 0,
            since: clock::now(),
        };
        let id = ChildId(self.added);
        self.added += 1;
        self.children.push(SupervisedChild { id, spec, running: None, late: 0, shown });
        self.runs(self.children.len() - 1, running);
        Ok(())
    }

    /// Takes over a child that was started.
    fn runs(&mut self, at: usize, running: Running) {
        let (cell, has_ended) = (running.cell.clone(), running.has_ended());
        self.children[at].running = Some(running);
        self.publish();
        // What was said of it then was said of nobody.
        if has_ended {
            self.restart(&cell, "ended at once", None);
        }
    }

    /// Starts the child again that was `cell`. What it left may still be about to be dropped.
    fn restart(&mut self, cell: &ActorCell, reason: &str, left: Option<JoinHandle<()>>) {
        let is_it = |child: &SupervisedChild| {
            child.running.as_ref().is_some_and(|r| r.cell.get_id() == cell.get_id())
        };
        let Some(at) = self.children.iter().position(is_it) else { return };
        warn!(child = self.children[at].shown.name, reason, "child ended, starting it again");
        let last = self.children[at].running.take().map(|running| Ended { running, left });
        self.start_again(at, reason, last);
    }

    /// Starts a child again once the `last` of it is over, unless the budget is spent.
    fn start_again(&mut self, at: usize, reason: &str, last: Option<Ended>) {
        if self.is_stopping {
            return;
        }
        if !self.budget.spend(Instant::now(), &self.children[at].shown.name) {
            let window_s = RESTART_WINDOW.as_secs();
            let who = self.budget.spenders().into_iter();
            let who: Vec<_> = who.map(|(child, count)| format!("{child} {count}")).collect();
            let who = who.join(", ");
            let reason = format!(
                "children ended more than {RESTARTS_MAX} times in {window_s} s ({who}), the last of \
                 them {}: {reason}",
                self.children[at].shown.name
            );
            return self.give_up(at, reason);
        }
        self.restarts += 1;
        let child = &mut self.children[at];
        child.shown.restarts += 1;
        child.shown.state = ChildState::Restarting;
        let (id, name) = (child.id, child.shown.name.clone());
        let (me, start) = (self.me.clone(), child.spec.begin(self.me.get_cell()));
        self.publish();
        tokio::spawn(async move {
            if let Some(last) = last {
                last.over(&name).await;
            }
            let outcome = start.await;
            drop(me.cast(SupervisorMsg::Restarted(id, outcome)));
        });
    }

    fn restarted(&mut self, id: ChildId, outcome: Outcome) {
        let at = self.children.iter().position(|child| child.id == id);
        match (at.filter(|_| !self.is_stopping), outcome) {
            (Some(at), Ok(mut running)) => {
                running.settle();
                let child = &mut self.children[at];
                child.late = 0;
                child.shown.state = ChildState::Running;
                child.shown.since = clock::now();
                self.runs(at, running);
            }
            (Some(at), Err(reason)) => self.not_restarted(at, &reason),
            // It was removed meanwhile, or all are about to stop.
            (None, Ok(running)) => running.kill(),
            (None, Err(_)) => {}
        }
    }

    fn not_restarted(&mut self, at: usize, reason: &NotStarted) {
        let child = &mut self.children[at];
        warn!(child = child.shown.name, %reason, "child did not start");
        child.late = match reason {
            NotStarted::TooLate => child.late + 1,
            NotStarted::Failed(_) => 0,
        };
        match child.late < CHILD_LATE_MAX {
            true => self.start_again(at, &reason.to_string(), None),
            false => {
                let name = &child.shown.name;
                let reason = format!("{name} {reason}, {CHILD_LATE_MAX} times in a row");
                self.give_up(at, reason);
            }
        }
    }

    fn give_up(&mut self, at: usize, reason: String) {
        self.children[at].shown.state = ChildState::Stopped;
        self.publish();
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

    /// What it reports when it ends is of nobody any more.
    fn remove(&mut self, name: &str, reply: RpcReplyPort<bool>) {
        let Some(at) = self.children.iter().position(|child| child.shown.name == name) else {
            return drop(reply.send(false));
        };
        let mut child = self.children.remove(at);
        self.publish();
        tokio::spawn(async move {
            child.stop().await;
            let _ = reply.send(true);
        });
    }

    /// Stops all, one after the other: what was started last needs those before it. Nothing is
    /// restarted from then on, so that here a child may be waited for.
    async fn stop_children(&mut self) {
        self.is_stopping = true;
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
        if let Some(running) = self.running.take() {
            running.stop(&self.shown.name).await;
        }
    }
}

impl Actor for SupervisorActor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        me: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        Ok(SupervisorState {
            me,
            children: vec![],
            added: 0,
            is_stopping: false,
            budget: RestartBudget::new(RESTARTS_MAX, RESTART_WINDOW),
            restarts: 0,
            since: clock::now(),
            tree: args.tree,
            fatal: args.fatal,
        })
    }

    async fn handle(
        &self,
        _me: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Add { child, reply } => state.add(child, reply),
            SupervisorMsg::Remove { name, reply } => state.remove(&name, reply),
            SupervisorMsg::Crash { name, reply } => {
                let _ = reply.send(state.crash(&name));
            }
            SupervisorMsg::StopChildren(reply) => {
                state.stop_children().await;
                let _ = reply.send(());
            }
            SupervisorMsg::Added(child, outcome, reply) => {
                let _ = reply.send(state.added(child, outcome));
            }
            SupervisorMsg::Restarted(id, outcome) => state.restarted(id, outcome),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, reason) => {
                state.restart(&cell, &reason.to_string(), None);
            }
            SupervisionEvent::ActorTerminated(cell, last_state, reason) => {
                // The next one needs what it holds, and it may hang in giving it back.
                let left = tokio::spawn(async move { drop(last_state) });
                state.restart(&cell, reason.as_deref().unwrap_or("stopped"), Some(left));
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => {}
        }
        Ok(())
    }
}
