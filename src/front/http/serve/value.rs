//! Values on their way to clients, and what they may take of memory until these have read them.
//!
//! A small value is copied out whole, and so is a large one while there is room. Where there is none, a
//! value of this node is left in the table and goes out in pieces, of which a connection has one at a
//! time; a value of another node, which comes whole, waits for room before it is asked for again. So
//! readers who do not read cost a stated number of bytes, and keep nobody else from reading.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Body;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response as Answer;

use super::answer::{NO_STORE, Refusal};
use super::json::ValidJson;
use crate::cache::{Cache, Found};
use crate::door::room::{Place, Room};
use crate::entry::{Entry, Key, MediaType, Version};
use crate::limits::{
    HTTP_ANSWER_BYTES_SMALL, HTTP_ANSWER_BYTES_TOTAL_MAX, HTTP_ANSWER_ROOM_TIMEOUT,
};

/// Bytes that large values may take together, all connections of the process.
static ROOM: Room = Room::new(HTTP_ANSWER_BYTES_TOTAL_MAX);

/// The same for large answers that are made and are no value as it lies.
static MADE: Room = Room::new(HTTP_ANSWER_BYTES_TOTAL_MAX);

/// An entry that was found for a client.
pub(crate) struct Value {
    /// What was found; its value is empty if that is given in pieces.
    pub(crate) entry: Entry,
    /// Bytes of the value.
    pub(crate) len: usize,
    held: Held,
}

/// Where a value is.
enum Held {
    /// In the entry, and small.
    Free,
    /// In the entry, and in the room.
    Placed(Arc<Place<'static>>),
    /// In the table.
    Left(Box<(Cache, Key)>),
}

/// A part of a value that is given piece by piece, and what comes before and after it.
#[derive(Clone)]
pub(super) struct Pieces {
    cache: Cache,
    key: Key,
    version: Version,
    before: Vec<u8>,
    part: Range<usize>,
    after: Vec<u8>,
}

/// Marks an answer whose bytes are in the room.
#[derive(Clone, Copy)]
struct InRoom;

/// Bytes, and the room they are in.
struct Placed<T>(
    T,
    #[expect(dead_code, reason = "it is given back with the bytes")] Arc<Place<'static>>,
);

impl<T: AsRef<[u8]>> AsRef<[u8]> for Placed<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// The place of an answer of which nothing is in the room yet; `None` for one that needs none.
///
/// # Errors
///
/// 503 if there is no room: it takes some already, so that it cannot wait.
pub(super) fn place_of<B: Body>(response: &Response<B>) -> Result<Option<Place<'static>>, Refusal> {
    let bytes = response.body().size_hint().lower();
    if bytes <= HTTP_ANSWER_BYTES_SMALL as u64 || response.extensions().get::<InRoom>().is_some() {
        return Ok(None);
    }
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(HTTP_ANSWER_BYTES_TOTAL_MAX);
    MADE.try_take(bytes).map(Some).ok_or_else(|| {
        let message =
            "too many bytes of answers are under way; what was asked for may have been done";
        Refusal::unavailable(message)
    })
}

/// Bytes that give `place` back once the system has them.
pub(super) fn in_room(bytes: Bytes, place: Place<'static>) -> Bytes {
    Bytes::from_owner(Placed(bytes, Arc::new(place)))
}

/// Whether somebody waits for room that values on their way have.
pub(super) fn is_room_wanted() -> bool {
    ROOM.is_wanted()
}

/// The entry under a key; `None` if it is absent.
///
/// # Errors
///
/// As [`Cache::get`], and 503 where the value is of another node and there is no room for it.
#[inline]
pub(crate) async fn find(cache: &Cache, key: &Key) -> Result<Option<Value>, Refusal> {
    match cache.find(key, HTTP_ANSWER_BYTES_SMALL).await? {
        Some(Found { entry, value_bytes }) if value_bytes <= HTTP_ANSWER_BYTES_SMALL => {
            Ok(Some(Value { entry, len: value_bytes, held: Held::Free }))
        }
        Some(large) => Box::pin(find_large(cache, key, large)).await,
        None => Ok(None),
    }
}

async fn find_large(cache: &Cache, key: &Key, found: Found) -> Result<Option<Value>, Refusal> {
    let mut found = Some(found);
    // What was waited for, and how many bytes it is for.
    let mut waited: Option<(Place<'static>, usize)> = None;
    while let Some(Found { entry, value_bytes: len }) = found {
        let room = len.min(HTTP_ANSWER_BYTES_TOTAL_MAX);
        let place = match waited.take() {
            Some((place, bytes)) if room <= bytes => Some(place),
            // A value that is larger than all the room stays where it is, if it can.
            _ if entry.value.is_empty() && room < len => None,
            _ => ROOM.try_take(room),
        };
        match (place, entry.value.is_empty()) {
            (Some(place), false) => return Ok(Some(Value::placed(entry, len, place))),
            (Some(place), true) => {
                if let Some(value) = cache.part(key, entry.version, 0, len) {
                    return Ok(Some(Value::placed(Entry { value, ..entry }, len, place)));
                }
                // It was written again meanwhile.
            }
            (None, true) => {
                let held = Held::Left(Box::new((cache.clone(), key.clone())));
                return Ok(Some(Value { entry, len, held }));
            }
            (None, false) => {
                // What waits has nothing.
                drop(entry);
                let place = ROOM.take(room, HTTP_ANSWER_ROOM_TIMEOUT).await.ok_or_else(crowded)?;
                waited = Some((place, room));
            }
        }
        found = cache.find(key, HTTP_ANSWER_BYTES_SMALL).await?;
    }
    Ok(None)
}

impl Value {
    fn placed(entry: Entry, len: usize, place: Place<'static>) -> Self {
        let place = Arc::new(place);
        let value = Bytes::from_owner(Placed(entry.value, Arc::clone(&place)));
        Self { entry: Entry { value, ..entry }, len, held: Held::Placed(place) }
    }

    /// The value with all its bytes in the entry, for who makes something of them.
    ///
    /// # Errors
    ///
    /// 503 if there is no room, 404 if the value has gone meanwhile.
    pub(crate) async fn whole(self) -> Result<Self, Refusal> {
        let Held::Left(from) = self.held else { return Ok(self) };
        let (cache, key) = *from;
        let room = self.len.min(HTTP_ANSWER_BYTES_TOTAL_MAX);
        let place = ROOM.take(room, HTTP_ANSWER_ROOM_TIMEOUT).await.ok_or_else(crowded)?;
        let value = cache.part(&key, self.entry.version, 0, self.len);
        let value =
            value.ok_or_else(|| Refusal::unavailable("the value has changed; try again"))?;
        Ok(Self::placed(Entry { value, ..self.entry }, self.len, place))
    }

    /// An answer of some bytes of the value.
    pub(crate) fn part(&self, part: Range<usize>) -> Answer {
        match &self.held {
            Held::Free | Held::Placed(_) => self.answer(self.entry.value.slice(part)),
            Held::Left(from) => self.pieces(from, vec![], part, vec![]),
        }
    }

    /// Whether the value can be put into JSON without being looked at.
    pub(crate) fn is_json(&self) -> bool {
        self.entry.media == MediaType::Json
    }

    /// An answer of the value as JSON between `before` and `after`, for nobody to keep; `None` for a
    /// value that is neither JSON nor text, or text that is not all here.
    pub(crate) fn enclosed(&self, mut before: Vec<u8>, after: &[&[u8]]) -> Option<Answer> {
        let mut response = match &self.held {
            Held::Left(_) if !self.is_json() => return None,
            Held::Left(from) => self.pieces(from, before, 0..self.len, after.concat()),
            Held::Free | Held::Placed(_) => {
                let value = ValidJson::of_entry(&self.entry)?;
                before.extend_from_slice(value.as_str().as_bytes());
                after.iter().for_each(|part| before.extend_from_slice(part));
                self.answer(self.held_too(before))
            }
        };
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        Some(response)
    }

    /// What was made of the value, which has its place from then on.
    fn held_too(&self, made: Vec<u8>) -> Bytes {
        match &self.held {
            Held::Placed(place) => Bytes::from_owner(Placed(made, Arc::clone(place))),
            Held::Free | Held::Left(..) => made.into(),
        }
    }

    fn answer(&self, bytes: Bytes) -> Answer {
        let mut answer = Answer::new(bytes.into());
        if let Held::Placed(_) = self.held {
            answer.extensions_mut().insert(InRoom);
        }
        answer
    }

    fn pieces(
        &self,
        from: &(Cache, Key),
        before: Vec<u8>,
        part: Range<usize>,
        after: Vec<u8>,
    ) -> Answer {
        let ((cache, key), version) = (from.clone(), self.entry.version);
        let mut response = Answer::new(Bytes::new().into());
        response.extensions_mut().insert(Pieces { cache, key, version, before, part, after });
        response
    }
}

impl Pieces {
    /// Bytes that are still to come.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.part.len() + self.after.len()
    }

    /// The next of them; `None` if the value is not there any more.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let len = self.part.len().min(HTTP_ANSWER_BYTES_SMALL);
        let value = match len {
            0 => Bytes::new(),
            _ => self.cache.part(&self.key, self.version, self.part.start, len)?,
        };
        // A version has one length.
        if value.len() != len {
            return None;
        }
        self.part.start += len;
        let is_last = self.part.is_empty() && !self.after.is_empty();
        if self.before.is_empty() && !is_last {
            return Some(value);
        }
        let mut piece = std::mem::take(&mut self.before);
        piece.extend_from_slice(&value);
        if is_last {
            piece.append(&mut self.after);
        }
        Some(piece.into())
    }
}

fn crowded() -> Refusal {
    Refusal::unavailable("too many bytes of answers are under way; try again")
}
