//! One connection: requests are read, done and answered in their order, until one side ends it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::Shared;
use super::codec::{Decoded, Decoder, Output};
use super::listening::Listening;
use super::session::Session;
use super::wire::{Lost, Wire};
use crate::door::room::Place;
use crate::door::{Phase, Phases};
use crate::limits::{
    RESP_INPUT_BYTES_SMALL, RESP_INPUT_ROOM_TIMEOUT, RESP_INPUT_STALL_TIMEOUT, RESP_LINGER_TIMEOUT,
    RESP_OUTPUT_BYTES_KEPT, RESP_READ_BYTES, RESP_READ_BYTES_MAX, RESP_REQUEST_STALL_TIMEOUT,
    RESP_STRANGER_TIMEOUT, RESP_WRITE_STALL_TIMEOUT,
};

/// What a client is told for which there is no place, in Redis's words.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

/// The same where there is no room for what it sends.
const CROWDED: &[u8] = b"-TRYAGAIN too many large requests come in at a time\r\n";

/// A connection and what is known of its client.
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) session: Session,
    pub(super) out: Output,
}

/// What has come in and is no request yet.
struct Input<'a> {
    shared: &'a Shared,
    bytes: BytesMut,
    decoder: Decoder,
    /// The room it has taken, and how many bytes that is.
    place: Place<'a>,
    room_bytes: usize,
}

/// What came of waiting for a client.
enum Heard {
    /// Bytes.
    Something,
    /// Messages for a client that listens.
    News,
    /// The end of what it sends.
    End,
    /// The door is about to close, and everything sent before has had time to come.
    Called,
    /// Nothing, for too long.
    Silence,
}

/// Serves a connection until the client, a deadline or the door ends it.
pub(super) async fn serve(shared: &Arc<Shared>, phases: &Phases, stream: TcpStream) {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        // It is gone already.
        return;
    };
    let listed = shared.clients.add(peer, local);
    let session = Session::new(Arc::clone(shared), Arc::clone(&listed.client));
    let connection = Connection { wire: Wire::new(stream), session, out: Output::default() };
    let mut phase = phases.watch();
    tokio::select! {
        biased;
        () = closed(phases.watch()) => {}
        () = connection.run(phases, &mut phase) => {}
    }
}

async fn closed(mut phase: watch::Receiver<Phase>) {
    // The sender is with the door, which outlives its connections; if not, it is closed too.
    let _ = phase.wait_for(|phase| *phase == Phase::Closed).await;
}

/// Tells a client that there is no place for it.
pub(super) async fn refuse(phases: &Phases, stream: TcpStream) {
    tokio::select! {
        () = closed(phases.watch()) => {}
        () = Wire::new(stream).close_after(FULL) => {}
    }
}

impl Connection {
    async fn run(mut self, phases: &Phases, phase: &mut watch::Receiver<Phase>) {
        let shared = Arc::clone(&self.session.shared);
        let mut input = Input::new(&shared);
        match self.talk(phases, phase, &mut input).await {
            Ok(()) => self.wire.close_after(&[]).await,
            Err(Lost::Crowded) => self.wire.close_after(CROWDED).await,
            Err(Lost::Stalled) => shared.counts.stalled.count(),
            Err(Lost::Behind(reason)) => {
                info!(client = self.session.client.id, %reason, "a client that listens is closed");
            }
            Err(Lost::Broken(reason)) => debug!(%reason, "connection ended"),
        }
    }

    /// Answers requests until there are to be no more.
    async fn talk(
        &mut self,
        phases: &Phases,
        phase: &mut watch::Receiver<Phase>,
        input: &mut Input<'_>,
    ) -> Result<(), Lost> {
        let opened = Instant::now();
        loop {
            let (limits, requests_max) = self.session.limits();
            let decoded = input.decode(&limits, requests_max);
            let (is_broken, is_more) = (decoded.broken, decoded.requests().len() == requests_max);
            if decoded.requests().len() != 0 || is_broken.is_some() {
                self.answer(&decoded).await?;
                drop(decoded);
                input.rest();
                self.send().await?;
                if is_broken.is_some() || self.session.is_over {
                    return Ok(());
                }
                if is_more {
                    continue;
                }
                // With the last answer, so that a client sees it before it sends more.
                if phases.is_leaving() && input.bytes.is_empty() {
                    return Ok(());
                }
            }
            let stranger = (!self.session.is_known()).then(|| opened + RESP_STRANGER_TIMEOUT);
            let listening = self.session.listening.as_ref();
            match input.hear(&self.wire, phase, stranger, listening).await? {
                Heard::Something => self.session.client.is_active(),
                Heard::News => self.deliver().await?,
                Heard::Called => return self.deliver().await,
                Heard::End | Heard::Silence => return Ok(()),
            }
        }
    }

    /// Does what was decoded, and says what is wrong with what follows it.
    async fn answer(&mut self, decoded: &Decoded) -> Result<(), Lost> {
        self.run_all(decoded).await?;
        if let Some(malformed) = decoded.broken
            && !self.session.is_over
        {
            self.session.shared.counts.malformed.count();
            self.out.error(format!("ERR Protocol error: {malformed}"));
        }
        Ok(())
    }

    /// Sends all replies there are.
    pub(super) async fn send(&mut self) -> Result<(), Lost> {
        if !self.out.bytes().is_empty() {
            self.wire.send(self.out.bytes(), RESP_WRITE_STALL_TIMEOUT).await?;
            self.out.clear(RESP_OUTPUT_BYTES_KEPT);
        }
        Ok(())
    }
}

impl<'a> Input<'a> {
    fn new(shared: &'a Shared) -> Self {
        let (bytes, decoder) = (BytesMut::new(), Decoder::default());
        Self { shared, bytes, decoder, place: Place::default(), room_bytes: 0 }
    }

    fn decode(&mut self, limits: &super::codec::Limits, requests_max: usize) -> Decoded {
        self.decoder.decode(&mut self.bytes, limits, requests_max)
    }

    /// Gives back what the requests have taken that are done.
    fn rest(&mut self) {
        if 0 < self.room_bytes {
            self.place = Place::default();
            self.room_bytes = 0;
        }
        if self.bytes.is_empty() {
            // Also a buffer that has grown: it is made anew for what comes.
            self.bytes = BytesMut::new();
        }
    }

    /// Waits for more of the client and reads it.
    async fn hear(
        &mut self,
        wire: &Wire,
        phase: &mut watch::Receiver<Phase>,
        stranger: Option<Instant>,
        listening: Option<&Listening>,
    ) -> Result<Heard, Lost> {
        loop {
            let patience = self.patience();
            let silence = patience.map(|patience| Instant::now() + patience);
            let silence = silence.into_iter().chain(stranger).min();
            let is_draining = Phase::Draining <= *phase.borrow();
            let called = is_draining.then(|| Instant::now() + RESP_LINGER_TIMEOUT);
            tokio::select! {
                biased;
                heard = wire.heard() => {
                    heard?;
                    match self.read(wire).await? {
                        Some(0) => return Ok(Heard::End),
                        Some(_) => return Ok(Heard::Something),
                        None => {}
                    }
                }
                () = news(listening) => return Ok(Heard::News),
                () = until(silence) => return Ok(Heard::Silence),
                () = until(called) => return Ok(Heard::Called),
                changed = phase.changed() => {
                    // The sender is with the door.
                    if changed.is_err() {
                        return Ok(Heard::Called);
                    }
                }
            }
        }
    }

    /// How long nothing may come; `None` for as long as the client likes.
    fn patience(&self) -> Option<Duration> {
        match (self.bytes.is_empty(), self.room_bytes) {
            (true, _) => None,
            (false, 0) => Some(RESP_REQUEST_STALL_TIMEOUT),
            (false, _) => Some(RESP_INPUT_STALL_TIMEOUT),
        }
    }

    /// Reads what has come. A large request takes room for what has come of it first.
    async fn read(&mut self, wire: &Wire) -> Result<Option<usize>, Lost> {
        let begun = self.bytes.len();
        let over = (begun + RESP_READ_BYTES_MAX).saturating_sub(RESP_INPUT_BYTES_SMALL);
        if RESP_INPUT_BYTES_SMALL <= begun && self.room_bytes < over {
            let more = over - self.room_bytes;
            let room = &self.shared.input;
            if !Box::pin(room.grow(&mut self.place, more, RESP_INPUT_ROOM_TIMEOUT)).await {
                return Err(Lost::Crowded);
            }
            self.room_bytes = over;
        }
        // As much as a request is known to want, so that large ones are not copied time and again.
        let wanted = self.decoder.wanted(begun).clamp(RESP_READ_BYTES, RESP_READ_BYTES_MAX);
        let is_full = begun == 0 && self.bytes.capacity() < RESP_READ_BYTES;
        if is_full || self.bytes.capacity() - begun < wanted / 4 {
            self.bytes.reserve(wanted);
        }
        Ok(wire.read(&mut self.bytes)?)
    }
}

async fn news(listening: Option<&Listening>) {
    match listening {
        Some(listening) => listening.heard().await,
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
