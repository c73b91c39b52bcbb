//! The supervisor with children that hang.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::{Instant, sleep, timeout};

use super::{ChildSpec, ChildState, Kind, Orders, Post, Supervisor};
use crate::limits::{CHILD_LATE_MAX, CHILD_START_TIMEOUT, CHILD_STOP_TIMEOUT};

enum Msg {
    Stop,
    Crash,
}

impl ractor::Message for Msg {}

/// What the actors of a child do, from outside.
#[derive(Clone, Default)]
struct Conduct {
    hangs_in_start: Arc<AtomicBool>,
    /// What an actor waits for when it is dropped.
    ends_after: Arc<Mutex<Option<Receiver<()>>>>,
    /// What an actor waits for in its start, without the runtime seeing it wait.
    starts_after: Arc<Mutex<Option<Receiver<()>>>>,
    starts: Arc<AtomicU32>,
    ends: Arc<AtomicU32>,
}

struct Child;

/// Waits in its drop.
struct State {
    ends_after: Option<Receiver<()>>,
    ends: Arc<AtomicU32>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(gate) = &self.ends_after {
            // Said to the runtime: a thread that is blocked behind its back keeps what it has just
            // woken, which is the supervisor.
            let _ = tokio::task::block_in_place(|| gate.recv());
        }
        self.ends.fetch_add(1, Ordering::Relaxed);
    }
}

impl Actor for Child {
    type Msg = Msg;
    type State = State;
    type Arguments = Conduct;

    async fn pre_start(
        &self,
        _me: ActorRef<Msg>,
        conduct: Conduct,
    ) -> Result<State, ActorProcessingErr> {
        conduct.starts.fetch_add(1, Ordering::Relaxed);
        if conduct.hangs_in_start.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let gate = conduct.starts_after.lock().unwrap().take();
        if let Some(gate) = gate {
            let _ = tokio::task::block_in_place(|| gate.recv());
        }
        let ends_after = conduct.ends_after.lock().unwrap().take();
        Ok(State { ends_after, ends: conduct.ends })
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        message: Msg,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Stop => me.stop(None),
            Msg::Crash => panic!("crashed on demand"),
        }
        Ok(())
    }
}

fn child(name: &str, conduct: &Conduct, post: &Post<Msg>) -> ChildSpec {
    let conduct = conduct.clone();
    let orders = Orders { first: None, crash: || Msg::Crash };
    let make = move || (Child, conduct.clone());
    ChildSpec::of_actor(name, Kind::Mover, post, &orders, make)
}

/// A supervisor with the children `odd` and `even`.
async fn start(odd: &Conduct, post: &Post<Msg>) -> Supervisor {
    let supervisor = Supervisor::start().await.unwrap();
    supervisor.add(child("odd", odd, post)).await.unwrap();
    supervisor.add(child("even", &Conduct::default(), &Post::default())).await.unwrap();
    supervisor
}

/// Waits until a child runs that was restarted so often.
async fn restarted(supervisor: &Supervisor, name: &str, restarts: u64) {
    let is_there = || {
        let tree = supervisor.tree();
        let child = tree.children.iter().find(|child| child.name == name);
        child.is_some_and(|child| child.state == ChildState::Running && child.restarts == restarts)
    };
    while !is_there() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A child whose first actor hangs in its end, until what is returned beside it is dropped.
fn hangs_in_its_end() -> (Sender<()>, Conduct) {
    let (release, gate) = mpsc::channel();
    let ends_after = Arc::new(Mutex::new(Some(gate)));
    (release, Conduct { ends_after, ..Conduct::default() })
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_in_its_start_keeps_no_other_from_being_restarted() {
    let odd = Conduct::default();
    let supervisor = start(&odd, &Post::default()).await;
    odd.hangs_in_start.store(true, Ordering::Relaxed);
    supervisor.crash("odd").await.unwrap();
    let began = Instant::now();
    supervisor.crash("even").await.unwrap();
    timeout(CHILD_START_TIMEOUT, restarted(&supervisor, "even", 1)).await.unwrap();
    assert!(began.elapsed() < CHILD_START_TIMEOUT);
    // It is tried again, and that it hung is forgotten.
    odd.hangs_in_start.store(false, Ordering::Relaxed);
    timeout(2 * CHILD_START_TIMEOUT, restarted(&supervisor, "odd", 2)).await.unwrap();
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_in_every_start_ends_the_node() {
    let odd = Conduct::default();
    let supervisor = start(&odd, &Post::default()).await;
    odd.hangs_in_start.store(true, Ordering::Relaxed);
    supervisor.crash("odd").await.unwrap();
    let limit = (CHILD_LATE_MAX + 1) * CHILD_START_TIMEOUT;
    let reason = timeout(limit, supervisor.failed()).await.unwrap();
    assert!(reason.starts_with("odd did not start in time"), "{reason}");
    assert_eq!(odd.starts.load(Ordering::Relaxed), 1 + CHILD_LATE_MAX);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_in_its_first_start_is_none() {
    let odd = Conduct::default();
    odd.hangs_in_start.store(true, Ordering::Relaxed);
    let supervisor = Supervisor::start().await.unwrap();
    let added = supervisor.add(child("odd", &odd, &Post::default()));
    assert!(timeout(2 * CHILD_START_TIMEOUT, added).await.unwrap().is_err());
    assert!(supervisor.tree().children.is_empty());
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_child_that_hangs_in_its_end_after_a_panic_is_waited_for_no_longer_than_allowed() {
    let (release, odd) = hangs_in_its_end();
    let supervisor = start(&odd, &Post::default()).await;
    supervisor.crash("odd").await.unwrap();
    supervisor.crash("even").await.unwrap();
    timeout(CHILD_STOP_TIMEOUT / 2, restarted(&supervisor, "even", 1)).await.unwrap();
    timeout(3 * CHILD_STOP_TIMEOUT, restarted(&supervisor, "odd", 1)).await.unwrap();
    drop(release);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_child_that_stops_by_itself_and_hangs_then_is_waited_for_no_longer_than_allowed() {
    let (release, odd) = hangs_in_its_end();
    let post = Post::default();
    let supervisor = start(&odd, &post).await;
    post.tell(Msg::Stop);
    timeout(3 * CHILD_STOP_TIMEOUT, restarted(&supervisor, "odd", 1)).await.unwrap();
    drop(release);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_starts_too_late_does_not_take_the_place_of_the_next() {
    let (odd, post) = (Conduct::default(), Post::default());
    let supervisor = start(&odd, &post).await;
    let (release, gate) = mpsc::channel();
    *odd.starts_after.lock().unwrap() = Some(gate);
    supervisor.crash("odd").await.unwrap();
    timeout(2 * CHILD_START_TIMEOUT, restarted(&supervisor, "odd", 2)).await.unwrap();
    let next = post.actor().unwrap().get_id();
    drop(release);
    let late_has_ended = async {
        while odd.ends.load(Ordering::Relaxed) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(CHILD_START_TIMEOUT, late_has_ended).await.unwrap();
    restarted(&supervisor, "odd", 2).await;
    assert_eq!(post.actor().unwrap().get_id(), next);
    assert_eq!(odd.starts.load(Ordering::Relaxed), 3);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_post_has_the_actor_that_runs_now_until_there_will_be_none() {
    let post = Post::default();
    let supervisor = start(&Conduct::default(), &post).await;
    let first = post.actor().unwrap().get_id();
    post.tell(Msg::Crash);
    restarted(&supervisor, "odd", 1).await;
    assert_ne!(post.actor().unwrap().get_id(), first);
    assert!(!post.is_closed());
    assert!(supervisor.remove("odd").await);
    assert!(post.is_closed() && post.actor().is_none());
    supervisor.stop().await;
}
