//! Values: reading them and putting others in their place.

use bytes::Bytes;

use super::super::asked::{Asked, Replies};
use super::super::codec::{Output, Request};
use super::super::failure::Failure;
use super::keys::{EndOption, Unit, deadline, number};
use super::updates;
use crate::command::{Command, Condition, End, Get, Gives, Put, Reply, Stored, Swap, Together};
use crate::entry::{Key, MediaType, Millis};

pub(super) fn get<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked.value(request, 1)
}

pub(super) fn mget<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let keys = request.len() - 1;
    // A key that cannot be is found before anything of the reply is written.
    for at in 1..=keys {
        Key::new(request.kept(at))?;
    }
    asked.say(request, move |out| out.array(keys));
    (1..=keys).try_for_each(|at| asked.value(request, at))
}

pub(super) fn strlen<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked.known(request, 1, |known, out| {
        out.count(known.map_or(0, |known| known.value_bytes as u64));
    })
}

pub(super) fn getrange<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let (start, end) = (number(request.arg(2))?, number(request.arg(3))?);
    let key = Key::new(request.kept(1))?;
    asked.ask(request, Get { key }, move |reply, out| {
        match reply {
            Reply::Entry(Some(entry)) => out.bulk(part(&entry.value, start, end)),
            _ => out.bulk(b""),
        }
        Ok(())
    });
    Ok(())
}

/// The bytes from `start` to `end`, both included, where what is negative counts from the end.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    let len = value.len() as i64;
    if start < 0 && end < 0 && end < start {
        return &[];
    }
    let from_start = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if end < start { &[] } else { value.get(start as usize..=end as usize).unwrap_or_default() }
}

pub(super) fn set<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let SetOptions { expires_at, condition, keeps, gives, if_equal } = SetOptions::of(request)?;
    if if_equal.is_some() {
        Key::new(request.kept(1))?;
        asked.wait(request, updates::set_if_equal);
        return Ok(());
    }
    if keeps || gives == Gives::Entry {
        let key = Key::new(request.kept(1))?;
        let (value, media) = (request.kept(2), MediaType::Bytes);
        let end = if keeps { End::Kept } else { End::At(expires_at) };
        let swap = Swap { key, value, media, end, condition, gives };
        asked.ask(request, swap, move |reply, out| match (gives, reply) {
            (Gives::Nothing, Reply::Swapped(_, became)) => {
                tell_stored(&Reply::Stored(*became), out)
            }
            (_, reply) => updates::tell_before(reply, out),
        });
        return Ok(());
    }
    let put = put(request, 1, 2, expires_at, condition)?;
    asked.ask(request, put, tell_stored);
    Ok(())
}

fn tell_stored(reply: &Reply, out: &mut Output) -> Result<(), Failure> {
    match stored(reply)? {
        true => out.simple("OK"),
        false => out.null(),
    }
    Ok(())
}

/// What stands behind the key and the value of a `SET`.
#[derive(Debug, Default)]
pub(super) struct SetOptions {
    pub(super) expires_at: Option<Millis>,
    condition: Condition,
    /// Whether the end there is stays.
    pub(super) keeps: bool,
    gives: Gives,
    /// The argument that the value must be which is there.
    pub(super) if_equal: Option<usize>,
}

impl SetOptions {
    pub(super) fn of(request: Request<'_>) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut end = EndOption::default();
        let mut at = 3;
        while let Some(word) = request.get(at) {
            let is_free = |condition| {
                options.if_equal.is_none()
                    && [Condition::Always, condition].contains(&options.condition)
            };
            match &word.to_ascii_lowercase()[..] {
                b"nx" if is_free(Condition::Absent) => options.condition = Condition::Absent,
                b"xx" if is_free(Condition::Present) => options.condition = Condition::Present,
                b"get" => options.gives = Gives::Entry,
                b"ifeq" if is_free(Condition::Always) && at + 1 < request.len() => {
                    at += 1;
                    options.if_equal = Some(at);
                }
                _ => end.take(request, &mut at, b"keepttl")?,
            }
            at += 1;
        }
        options.keeps = end == EndOption::Word;
        options.expires_at = end.deadline(request, "set")?;
        // What was there before is what it must have been.
        match options {
            Self { if_equal: Some(_), gives: Gives::Entry, .. } => Err(Failure::SYNTAX),
            options => Ok(options),
        }
    }
}

pub(super) fn setnx<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let put = put(request, 1, 2, None, Condition::Absent)?;
    asked.ask(request, put, |reply, out| {
        out.flag(stored(reply)?);
        Ok(())
    });
    Ok(())
}

pub(super) fn setex<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    set_until(request, asked, Unit::Seconds, "setex")
}

pub(super) fn psetex<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    set_until(request, asked, Unit::Millis, "psetex")
}

fn set_until<'a>(
    request: Request<'a>,
    asked: &mut Asked<'a>,
    unit: Unit,
    name: &'static str,
) -> Result<(), Failure> {
    let end = deadline(request.arg(2), unit, name)?;
    let put = put(request, 1, 3, Some(end), Condition::Always)?;
    asked.ask(request, put, |reply, out| {
        stored(reply)?;
        out.simple("OK");
        Ok(())
    });
    Ok(())
}

pub(super) fn mset<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    if request.len().is_multiple_of(2) {
        return Err(Failure::arity("mset"));
    }
    let keys = (1..request.len()).step_by(2);
    let put = |at| put(request, at, at + 1, None, Condition::Always);
    let puts = keys.map(put).collect::<Result<Vec<Command>, _>>()?;
    let count = puts.len();
    asked.ask_all(request, puts, move |replies, out| all_stored(count, replies, out));
    Ok(())
}

/// Values of keys of one slot, all of them or none: others could be of other nodes.
pub(super) fn msetnx<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    if request.len().is_multiple_of(2) {
        return Err(Failure::arity("msetnx"));
    }
    let keys = (1..request.len()).step_by(2);
    let absent = |at| Ok::<_, Failure>((Key::new(request.kept(at))?, None));
    let watched = keys.clone().map(absent).collect::<Result<Vec<_>, _>>()?;
    let put = |at| put(request, at, at + 1, None, Condition::Always);
    let puts = keys.map(put).collect::<Result<Vec<Command>, _>>()?;
    asked.ask(request, Together::new(watched, puts)?, |reply, out| {
        let is_done = match reply {
            Reply::List(replies) => {
                replies.iter().try_for_each(|reply| stored(reply).map(drop))?;
                true
            }
            _ => false,
        };
        out.flag(is_done);
        Ok(())
    });
    Ok(())
}

fn all_stored(count: usize, replies: &mut Replies<'_>, out: &mut Output) -> Result<(), Failure> {
    for _ in 0..count {
        stored(&replies.next()?)?;
    }
    out.simple("OK");
    Ok(())
}

fn put(
    request: Request<'_>,
    key: usize,
    value: usize,
    expires_at: Option<Millis>,
    condition: Condition,
) -> Result<Command, Failure> {
    let key = Key::new(request.kept(key))?;
    let value: Bytes = request.kept(value);
    Ok(Put { key, value, media: MediaType::Bytes, expires_at, condition }.into())
}

/// Whether a value was stored; not if its condition did not hold.
pub(super) fn stored(reply: &Reply) -> Result<bool, Failure> {
    match reply {
        Reply::Stored(Stored::Created(_) | Stored::Replaced(_) | Stored::Unchanged(_)) => Ok(true),
        Reply::Stored(Stored::TooLarge) => {
            Err(Failure::fixed("ERR the entry is too large for the memory of its shard"))
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_both_ends() {
        let value = b"This is a string";
        for (start, end, expected) in [
            (0, 3, "This"),
            (-3, -1, "ing"),
            (0, -1, "This is a string"),
            (10, 100, "string"),
            (5, 3, ""),
            (-1, -3, ""),
            (-100, 1, "Th"),
            (100, 200, ""),
            (0, -100, "T"),
            (i64::MIN, i64::MAX, "This is a string"),
        ] {
            assert_eq!(part(value, start, end), expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(part(b"", 0, -1), b"");
    }
}
