//! The entry of one key under another one.
//!
//! Within a slot that is one step of its writer. From one slot to another there are two, and who looks
//! between them sees the entry twice; what depends on both keys at once is refused then.

use super::super::asked::Asked;
use super::super::codec::{Output, Request};
use super::super::failure::Failure;
use super::super::session::Session;
use super::Waiting;
use super::keys::number;
use super::strings::stored;
use crate::command::{Changed, Condition, Gives, Put, Rename, Reply, Source, Take};
use crate::entry::{Entry, Key};
use crate::limits::RESP_ATTEMPTS_MAX;

const NO_KEY: Failure = Failure::fixed("ERR no such key");
const TOO_LARGE: Failure = Failure::fixed("ERR the entry is too large for the memory of its shard");

pub(super) fn rename<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let (from, to) = (Key::new(request.kept(1))?, Key::new(request.kept(2))?);
    match Rename::new(from, to, Source::Ends, Condition::Always) {
        Ok(rename) => asked.ask(request, rename, |reply, out| match done(reply)? {
            Outcome::Done => {
                out.simple("OK");
                Ok(())
            }
            Outcome::Absent | Outcome::Refused => Err(NO_KEY),
        }),
        Err(_) => asked.wait(request, rename_across),
    }
    Ok(())
}

pub(super) fn renamenx<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let (from, to) = (Key::new(request.kept(1))?, Key::new(request.kept(2))?);
    let rename = Rename::new(from, to, Source::Ends, Condition::Absent);
    let rename = rename.map_err(|_| Failure::CROSS_SLOT)?;
    asked.ask(request, rename, |reply, out| match done(reply)? {
        Outcome::Absent => Err(NO_KEY),
        outcome => {
            out.flag(outcome == Outcome::Done);
            Ok(())
        }
    });
    Ok(())
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Absent,
    Refused,
}

fn done(reply: &Reply) -> Result<Outcome, Failure> {
    match reply {
        Reply::Changed(Changed::Done { .. }) => Ok(Outcome::Done),
        Reply::Changed(Changed::Absent) => Ok(Outcome::Absent),
        Reply::Changed(Changed::TooLarge) => Err(TOO_LARGE),
        _ => Ok(Outcome::Refused),
    }
}

/// Puts the entry where it goes and then has it end where it was, again if it has changed meanwhile.
fn rename_across<'a>(
    session: &'a mut Session,
    request: Request<'a>,
    out: &'a mut Output,
) -> Waiting<'a> {
    Box::pin(async move {
        let (from, to) = (Key::new(request.kept(1))?, Key::new(request.kept(2))?);
        let cache = &session.shared.cache;
        for attempt in 0..RESP_ATTEMPTS_MAX {
            let Some(entry) = cache.get(&from).await? else {
                // Somebody has ended it behind the first step, which stands.
                if attempt == 0 {
                    return Err(NO_KEY);
                }
                out.simple("OK");
                return Ok(());
            };
            let version = entry.version;
            stored(&cache.run_one(put(to.clone(), entry, Condition::Always).into()).await?)?;
            let condition = Condition::Version(version);
            let take = Take { key: from.clone(), condition, gives: Gives::Nothing };
            if let Reply::Flag(_) = cache.run_one(take.into()).await? {
                out.simple("OK");
                return Ok(());
            }
        }
        Err(Failure::CONTENDED)
    })
}

/// The entry of one key under another one as well.
pub(super) fn copy<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let (from, to, condition) = read_copy(request)?;
    match Rename::new(from, to, Source::Stays, condition) {
        Ok(copy) => asked.ask(request, copy, |reply, out| {
            out.flag(done(reply)? == Outcome::Done);
            Ok(())
        }),
        Err(_) => asked.wait(request, copy_across),
    }
    Ok(())
}

fn read_copy(request: Request<'_>) -> Result<(Key, Key, Condition), Failure> {
    let (from, to) = (Key::new(request.kept(1))?, Key::new(request.kept(2))?);
    let mut condition = Condition::Absent;
    let mut words = request.from(3);
    while let Some(word) = words.next() {
        match &word.to_ascii_lowercase()[..] {
            b"replace" => condition = Condition::Always,
            b"db" => match number(words.next().ok_or(Failure::SYNTAX)?)? {
                0 => {}
                _ => return Err(Failure::fixed("ERR DB index is out of range")),
            },
            _ => return Err(Failure::SYNTAX),
        }
    }
    if from == to {
        return Err(Failure::fixed("ERR source and destination objects are the same"));
    }
    Ok((from, to, condition))
}

/// The same as the entry is when it is read.
fn copy_across<'a>(
    session: &'a mut Session,
    request: Request<'a>,
    out: &'a mut Output,
) -> Waiting<'a> {
    Box::pin(async move {
        let (from, to, condition) = read_copy(request)?;
        let cache = &session.shared.cache;
        let is_copied = match cache.get(&from).await? {
            Some(entry) => stored(&cache.run_one(put(to, entry, condition).into()).await?)?,
            None => false,
        };
        out.flag(is_copied);
        Ok(())
    })
}

fn put(key: Key, entry: Entry, condition: Condition) -> Put {
    let Entry { value, media, expires_at, .. } = entry;
    Put { key, value, media, expires_at, condition }
}
