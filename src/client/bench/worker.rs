//! A thread that drives its share of the clients.
//!
//! Each has a runtime of its own: clients never move between threads, and nothing wakes a thread
//! but its own sockets. What is left is a write and a read for each request or pipeline of them.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::client::Client;
use super::stage::Stage;
use super::tally::Tally;

/// A handle to the thread, which ends when the handle is dropped.
pub(super) struct Worker {
    assignments: mpsc::Sender<Assignment>,
}

/// A stage for a thread to do.
struct Assignment {
    stage: Arc<Stage>,
    tally: Arc<Mutex<Tally>>,
    done: oneshot::Sender<()>,
}

impl Worker {
    /// Starts a thread for `clients`.
    pub(super) fn start(clients: Vec<Client>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (assignments, inbox) = mpsc::channel(1);
        thread::Builder::new()
            .name("smache-bench".to_owned())
            .spawn(move || work(&runtime, clients, inbox))?;
        Ok(Self { assignments })
    }

    /// Has the thread do its part of `stage`. The receiver hears when it is done.
    pub(super) async fn assign(
        &self,
        stage: &Arc<Stage>,
        tally: &Arc<Mutex<Tally>>,
    ) -> oneshot::Receiver<()> {
        let (done, heard) = oneshot::channel();
        let assignment = Assignment { stage: stage.clone(), tally: tally.clone(), done };
        // A thread that is gone drops `done`, which the receiver hears as well.
        let _ = self.assignments.send(assignment).await;
        heard
    }
}

fn work(runtime: &Runtime, mut clients: Vec<Client>, mut inbox: mpsc::Receiver<Assignment>) {
    runtime.block_on(async {
        while let Some(Assignment { stage, tally, done }) = inbox.recv().await {
            let mut tasks = JoinSet::new();
            for client in clients.drain(..) {
                tasks.spawn(client.work(stage.clone(), tally.clone()));
            }
            tokio::select! {
                () = collect(&mut tasks, &mut clients) => {}
                // Clients still under way are dropped with their connections.
                () = stage.aborted() => tasks.shutdown().await,
            }
            let _ = done.send(());
        }
    });
}

async fn collect(tasks: &mut JoinSet<Client>, clients: &mut Vec<Client>) {
    while let Some(client) = tasks.join_next().await {
        clients.extend(client);
    }
}
