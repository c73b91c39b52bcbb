//! `POST /v1/{namespace}`: many operations in one call, over any keys and nodes.
//!
//! Operations are taken as they come and done in windows, each of which the facade sorts by shard and
//! node. What is answered is gathered up to a bound: a batch whose answers fit is answered whole, and
//! one whose answers do not goes on as the client reads, so that neither end ever holds all of it. While
//! answers wait some more of the body is read, for clients that send all of it before they read.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;
use warp::reply::Response;

use super::element::{Asked, refuse};
use super::elements::{Element, Elements, Form, NoArray};
use super::media::{essence, only_plain};
use super::native::Native;
use crate::cache::Cache;
use crate::command::{Command, Reply};
use crate::door::room::{Place, Room};
use crate::entry::{Key, Namespace, Slot};
use crate::front::http::serve::{Params, Parts, Refusal, find, flow, raw_json};
use crate::limits::{
    BATCH_AHEAD_BYTES_TOTAL_MAX, BATCH_ANSWER_BYTES_MAX, BATCH_COMMANDS_MAX,
    BATCH_ELEMENT_BYTES_MORE, BATCH_WINDOW_BYTES, BATCH_WINDOW_COMMANDS, BATCH_WINDOW_READS,
    BATCHES_MAX, HTTP_ANSWER_ROOM_TIMEOUT, HTTP_BODY_TIMEOUT,
};

const NDJSON: &str = "application/x-ndjson";

/// Batches that may be under way, of the whole process: each takes as much as a window and its answers.
static PLACES: Semaphore = Semaphore::const_new(BATCHES_MAX);

/// Room for what is read of batches while answers wait.
static AHEAD: Room = Room::new(BATCH_AHEAD_BYTES_TOTAL_MAX);

/// A batch under way.
struct Batch<S> {
    cache: Cache,
    namespace: Namespace,
    body: Pin<Box<S>>,
    /// What came of the body and was not looked at.
    piece: Bytes,
    ahead: Ahead,
    elements: Elements,
    window: Window,
    answers: Answers,
    /// Elements so far.
    count: usize,
    is_over: bool,
    _place: SemaphorePermit<'static>,
}

/// What came of a body while answers waited.
#[derive(Default)]
struct Ahead {
    pieces: VecDeque<(Result<Bytes, Refusal>, Option<Place<'static>>)>,
    /// Whether there was no room for the last of them.
    is_full: bool,
    /// Whether nothing comes any more.
    is_all: bool,
}

/// Elements that are about to be done.
#[derive(Default)]
struct Window {
    elements: VecDeque<Result<Asked, Refusal>>,
    bytes: usize,
    reads: usize,
    /// Slots that are read in it: what writes there waits for the next, as large values are read last.
    read: HashSet<Slot>,
}

/// What is answered and not sent yet.
struct Answers {
    form: Form,
    bytes: Vec<u8>,
    is_first: bool,
}

impl Native {
    /// `POST /v1/{namespace}`.
    pub(super) async fn batch<S, B>(
        &self,
        namespace: &Namespace,
        headers: &HeaderMap,
        parts: Parts<S>,
    ) -> Result<Response, Refusal>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf + Send,
    {
        Params::new(&parts.query).only(&[])?;
        only_plain(headers)?;
        let (form, answered) = forms(headers)?;
        let place = timeout(HTTP_ANSWER_ROOM_TIMEOUT, PLACES.acquire()).await;
        // The semaphore is never closed.
        let Ok(Ok(place)) = place else {
            return Err(Refusal::unavailable("too many batches are under way; try again"));
        };
        let element_bytes = 2 * self.cache.value_bytes_max() + BATCH_ELEMENT_BYTES_MORE;
        let mut batch = Batch {
            cache: self.cache.clone(),
            namespace: namespace.clone(),
            body: Box::pin(parts.body),
            piece: Bytes::new(),
            ahead: Ahead::default(),
            elements: Elements::new(form, element_bytes),
            window: Window::default(),
            answers: Answers { form: answered, bytes: vec![], is_first: true },
            count: 0,
            is_over: false,
            _place: place,
        };
        while !batch.is_over && batch.answers.bytes.len() < BATCH_ANSWER_BYTES_MAX {
            batch.step().await?;
        }
        let mut response = match batch.is_over {
            true => raw_json(StatusCode::OK, batch.answers.bytes),
            false => flow(batch.go_on()),
        };
        if answered == Form::Lines {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
        }
        Ok(response)
    }
}

impl<S, B> Batch<S>
where
    S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
    B: Buf + Send,
{
    /// Goes on beside the client, which gets what is answered when it has taken what was before it.
    fn go_on(mut self) -> mpsc::Receiver<Option<Bytes>> {
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let piece = std::mem::take(&mut self.answers.bytes);
                let Some(place) = self.place_in(&sender).await else {
                    // The client is gone. What was not done is not done.
                    return;
                };
                place.send(Some(piece.into()));
                if self.is_over {
                    // As above.
                    let _ = sender.send(None).await;
                    return;
                }
                if let Err(refusal) = self.step().await {
                    self.answers.add(|out| refuse(&refusal, out));
                    self.end();
                }
            }
        });
        pieces
    }

    /// Waits until the client has taken what was answered before, and reads on meanwhile; `None` if it is
    /// gone.
    async fn place_in<'s>(
        &mut self,
        sender: &'s mpsc::Sender<Option<Bytes>>,
    ) -> Option<mpsc::Permit<'s, Option<Bytes>>> {
        let mut place = std::pin::pin!(sender.reserve());
        loop {
            tokio::select! {
                biased;
                place = &mut place => return place.ok(),
                piece = self.body.next(), if self.ahead.takes_more() => {
                    let piece = piece.map(|piece| piece.map_err(|reason| broken(&reason)));
                    self.ahead.add(piece.map(|piece| piece.map(whole)));
                }
            }
        }
    }

    /// The next piece of the body; `None` at its end.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        if let Some(piece) = self.ahead.next() {
            return piece.map(Some);
        }
        if self.ahead.is_all {
            return Ok(None);
        }
        match timeout(HTTP_BODY_TIMEOUT, self.body.next()).await {
            Ok(piece) => {
                piece.transpose().map_err(|reason| broken(&reason)).map(|it| it.map(whole))
            }
            Err(_) => {
                let message = format!("nothing came of the body for {HTTP_BODY_TIMEOUT:?}");
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message))
            }
        }
    }

    /// Takes what has come, up to a window, and has it done.
    ///
    /// # Errors
    ///
    /// Why the batch ends here: of all of it, if nothing was answered.
    async fn step(&mut self) -> Result<(), Refusal> {
        let mut ended = None;
        while !self.window.is_full() && ended.is_none() {
            ended = match self.next_element().await {
                Ok(Some(element)) => {
                    let asked = self.read(element);
                    if let Ok(asked) = &asked
                        && self.window.must_end_before(&asked.command)
                    {
                        self.run().await;
                    }
                    let is_last = self.count == BATCH_COMMANDS_MAX;
                    self.count += 1;
                    self.window.add(asked, self.cache.value_bytes_max());
                    is_last.then_some(Ok(()))
                }
                Ok(None) => Some(Ok(())),
                Err(refusal) => Some(Err(refusal)),
            };
        }
        self.run().await;
        match ended {
            None => Ok(()),
            Some(Err(refusal)) if self.answers.is_first => Err(refusal),
            Some(end) => {
                if let Err(refusal) = end {
                    self.answers.add(|out| refuse(&refusal, out));
                }
                self.end();
                Ok(())
            }
        }
    }

    fn end(&mut self) {
        self.answers.end();
        self.is_over = true;
    }

    /// The next element of the body; `None` at its end.
    async fn next_element(&mut self) -> Result<Option<Element>, Refusal> {
        loop {
            let mut left = &self.piece[..];
            let element = self.elements.next(&mut left).map_err(|NoArray| no_array())?;
            let taken = self.piece.len() - left.len();
            self.piece.advance(taken);
            if element.is_some() {
                return Ok(element);
            }
            match self.next_piece().await? {
                None => return self.elements.end().map_err(|NoArray| no_array()),
                Some(piece) => self.piece = piece,
            }
        }
    }

    fn read(&self, element: Element) -> Result<Asked, Refusal> {
        if BATCH_COMMANDS_MAX <= self.count {
            let message = format!(
                "the batch is too long; allowed: {BATCH_COMMANDS_MAX} operations, which were done"
            );
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        let bytes_max = self.cache.value_bytes_max();
        match element {
            Element::Whole(text) => Asked::read(&text, &self.namespace, bytes_max),
            Element::TooLong => {
                let message = format!("element is too long; allowed: values of {bytes_max} bytes");
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message))
            }
        }
    }

    /// Has the window done, and adds what is answered.
    async fn run(&mut self) {
        let Window { elements, .. } = std::mem::take(&mut self.window);
        let asked = elements.iter().filter_map(|element| element.as_ref().ok());
        let commands: Vec<_> = asked.map(|asked| asked.command.clone()).collect();
        let mut replies = match self.cache.run(commands).await {
            Ok(replies) => replies.into_iter(),
            // A window is no more than one call may be.
            Err(error) => vec![Err(error); elements.len()].into_iter(),
        };
        for element in elements {
            let done = match element {
                Err(refusal) => Err(refusal),
                Ok(asked) => match replies.next() {
                    Some(Ok(reply)) => self.answer(&asked, reply).await,
                    Some(Err(error)) => Err(error.into()),
                    None => Err(Refusal::unavailable("the operation was not answered")),
                },
            };
            if let Err(refusal) = done {
                self.answers.add(|out| refuse(&refusal, out));
            }
        }
    }

    async fn answer(&mut self, asked: &Asked, reply: Reply) -> Result<(), Refusal> {
        let bytes_max = self.cache.value_bytes_max();
        let (reply, _held) = match (reply, &asked.command) {
            // It is larger than what is read together.
            (Reply::Number(_), Command::Find(large)) => find_large(&self.cache, &large.key).await?,
            (reply, _) => (reply, None),
        };
        self.answers.try_add(|out| asked.answer(reply, bytes_max, out))
    }
}

fn whole(mut piece: impl Buf) -> Bytes {
    piece.copy_to_bytes(piece.remaining())
}

fn broken(reason: &warp::Error) -> Refusal {
    Refusal::bad_request(format!("body is broken: {reason}"))
}

impl Ahead {
    fn takes_more(&self) -> bool {
        !self.is_all && !self.is_full
    }

    /// Keeps what came of the body, or that it is over.
    fn add(&mut self, piece: Option<Result<Bytes, Refusal>>) {
        self.is_all |= !matches!(piece, Some(Ok(_)));
        let Some(piece) = piece else { return };
        let place = AHEAD.try_take(piece.as_ref().map_or(0, Bytes::len));
        self.is_full = place.is_none();
        self.pieces.push_back((piece, place));
    }

    fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        let (piece, _place) = self.pieces.pop_front()?;
        self.is_full = false;
        Some(piece)
    }
}

/// A value that is large, with what it has of the room for such.
async fn find_large(
    cache: &Cache,
    key: &Key,
) -> Result<(Reply, Option<crate::front::http::serve::Value>), Refusal> {
    let Some(found) = find(cache, key).await? else { return Ok((Reply::Entry(None), None)) };
    let found = found.whole().await?;
    Ok((Reply::Entry(Some(found.entry.clone())), Some(found)))
}

impl Window {
    fn is_full(&self) -> bool {
        BATCH_WINDOW_COMMANDS <= self.elements.len()
            || BATCH_WINDOW_BYTES <= self.bytes
            || BATCH_WINDOW_READS <= self.reads
    }

    fn must_end_before(&self, command: &Command) -> bool {
        !command.is_read() && command.slot().is_some_and(|slot| self.read.contains(&slot))
    }

    fn add(&mut self, element: Result<Asked, Refusal>, bytes_max: usize) {
        if let Ok(asked) = &element {
            self.bytes += asked.command.bytes();
            self.reads += asked.weight(bytes_max);
            if asked.command.is_read() {
                self.read.extend(asked.command.slot());
            }
        }
        self.elements.push_back(element);
    }
}

impl Answers {
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        // It never fails.
        let _ = self.try_add(|out| {
            write(out);
            Ok(())
        });
    }

    /// Adds an answer; nothing if it cannot be made.
    fn try_add(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let len = self.bytes.len();
        match (self.form, self.is_first) {
            (Form::Lines, _) => {}
            (Form::Array, true) => self.bytes.push(b'['),
            (Form::Array, false) => self.bytes.push(b','),
        }
        let written = write(&mut self.bytes);
        match &written {
            Ok(()) => {
                self.is_first = false;
                if self.form == Form::Lines {
                    self.bytes.push(b'\n');
                }
            }
            Err(_) => self.bytes.truncate(len),
        }
        written
    }

    fn end(&mut self) {
        match (self.form, self.is_first) {
            (Form::Lines, _) => {}
            (Form::Array, true) => self.bytes.extend_from_slice(b"[]"),
            (Form::Array, false) => self.bytes.push(b']'),
        }
    }
}

/// How elements come, and how they are answered: as they come, unless the client says otherwise.
fn forms(headers: &HeaderMap) -> Result<(Form, Form), Refusal> {
    let comes = match essence(headers, &CONTENT_TYPE)?.as_deref() {
        Some(NDJSON) => Form::Lines,
        _ => Form::Array,
    };
    let accepted = essence(headers, &ACCEPT)?;
    let goes = match accepted.as_deref() {
        Some(NDJSON) => Form::Lines,
        Some("application/json") => Form::Array,
        _ => comes,
    };
    Ok((comes, goes))
}

fn no_array() -> Refusal {
    let message = "body is not a JSON array; allowed: [{\"op\":…,\"key\":…},…], or a JSON object a \
                   line as application/x-ndjson; what was answered before was done";
    Refusal::bad_request(message)
}
