//! A door with the least protocol there is: it says one word and waits for the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Door, Listener, Phase, Phases, Places, Protocol, Serving};
use crate::supervision::Supervisor;

const LIMIT: Duration = Duration::from_secs(10);

/// Closes its connections from the phase of this on.
struct Greeting(Phase);

impl Protocol for Greeting {
    fn serve(&self, mut stream: TcpStream, phases: Phases) -> Serving {
        let last = self.0;
        Box::pin(async move {
            let _ = stream.write_all(b"welcome").await;
            let _ = phases.watch().wait_for(|phase| last <= *phase).await;
        })
    }

    fn refuse(&self, mut stream: TcpStream, _phases: Phases) -> Serving {
        Box::pin(async move {
            let _ = stream.write_all(b"full").await;
        })
    }
}

async fn open(places_max: usize, last: Phase) -> (Door, Arc<Places>, Supervisor) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let places = Arc::new(Places::new(places_max, 1));
    let (door, spec) = Door::new("greeting", listener, Arc::clone(&places), Greeting(last));
    let supervisor = Supervisor::start().await.unwrap();
    supervisor.add(spec).await.unwrap();
    (door, places, supervisor)
}

/// What a new connection is told first, and the connection.
async fn visit(door: &Door) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(door.addr()).await.unwrap();
    let mut word = vec![0; 16];
    let read = timeout(LIMIT, stream.read(&mut word)).await.unwrap().unwrap();
    word.truncate(read);
    (String::from_utf8(word).unwrap(), stream)
}

async fn has_ended(stream: &mut TcpStream) -> bool {
    timeout(LIMIT, stream.read(&mut [0])).await.unwrap().unwrap() == 0
}

#[tokio::test]
async fn a_connection_over_the_cap_is_told_so_and_counted() {
    let (door, places, supervisor) = open(1, Phase::Draining).await;
    let (word, _first) = visit(&door).await;
    assert_eq!(word, "welcome");
    let (word, mut second) = visit(&door).await;
    assert_eq!(word, "full");
    assert!(has_ended(&mut second).await);
    assert_eq!((places.open(), places.accepted(), places.refused()), (1, 2, 1));
    supervisor.stop().await;
}

#[tokio::test]
async fn a_door_that_drains_waits_for_its_connections_and_takes_none_any_more() {
    let (door, places, supervisor) = open(2, Phase::Draining).await;
    let (_, mut stream) = visit(&door).await;
    door.leave();
    let (word, _second) = visit(&door).await;
    assert_eq!(word, "welcome", "it takes connections while it is leaving");
    timeout(LIMIT, door.drain(LIMIT)).await.unwrap();
    assert!(has_ended(&mut stream).await);
    assert_eq!(places.open(), 0);
    supervisor.stop().await;
}

/// To its client it is established, and may have been asked something.
#[tokio::test]
async fn a_connection_that_waits_while_the_door_shuts_is_served_and_one_that_comes_later_is_refused()
 {
    let (door, _, supervisor) = open(2, Phase::Closed).await;
    let mut waiting = std::net::TcpStream::connect(door.addr()).unwrap();
    door.shut();
    timeout(LIMIT, door.drain(LIMIT / 100)).await.unwrap();
    let mut word = [0; 7];
    std::io::Read::read_exact(&mut waiting, &mut word).unwrap();
    assert_eq!(&word, b"welcome");
    let late = TcpStream::connect(door.addr()).await;
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_connection_that_does_not_end_holds_up_the_drain_no_longer_than_allowed() {
    let (door, _, supervisor) = open(1, Phase::Closed).await;
    let (_, mut stream) = visit(&door).await;
    timeout(LIMIT, door.drain(Duration::from_millis(10))).await.unwrap();
    assert!(has_ended(&mut stream).await);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_door_that_crashes_keeps_its_port_and_its_connections() {
    let (door, places, supervisor) = open(2, Phase::Draining).await;
    let (_, mut first) = visit(&door).await;
    supervisor.crash("door-greeting").await.unwrap();
    let (word, _second) = visit(&door).await;
    assert_eq!((word.as_str(), places.open()), ("welcome", 2));
    timeout(LIMIT, door.drain(LIMIT)).await.unwrap();
    assert!(has_ended(&mut first).await);
    supervisor.stop().await;
}
