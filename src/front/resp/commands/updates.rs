//! Values that are changed in place, and entries that get another end.

use super::super::asked::Asked;
use super::super::codec::{Output, Request};
use super::super::failure::Failure;
use super::super::session::Session;
use super::keys::{EndOption, Unit, number};
use super::strings::stored;
use super::{Waiting, decimal};
use crate::clock;
use crate::command::{
    Append, Changed, Condition, End, EndIs, Gives, Increment, Put, Reply, Swap, Take, Touch, Unfit,
};
use crate::entry::{Entry, Key, MediaType, Millis};
use crate::limits::RESP_ATTEMPTS_MAX;

const TOO_LARGE: Failure =
    Failure::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

pub(super) fn append<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    put_in(request, asked, 2, None)
}

pub(super) fn setrange<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let at = number(request.arg(2))?;
    let at = u64::try_from(at).map_err(|_| Failure::fixed("ERR offset is out of range"))?;
    match request.arg(3).is_empty() {
        true => super::strings::strlen(request, asked),
        false => put_in(request, asked, 3, Some(at)),
    }
}

/// Puts the bytes that are an argument into the value that is there.
fn put_in<'a>(
    request: Request<'a>,
    asked: &mut Asked<'a>,
    value: usize,
    at: Option<u64>,
) -> Result<(), Failure> {
    let append = Append {
        key: Key::new(request.kept(1))?,
        value: request.kept(value),
        at,
        media: MediaType::Bytes,
        expires_at: None,
        bytes_max: asked.value_bytes_max as u64,
        condition: Condition::Always,
    };
    asked.ask(request, append, tell_number);
    Ok(())
}

pub(super) fn incr<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    increment(request, asked, 1)
}

pub(super) fn decr<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    increment(request, asked, -1)
}

pub(super) fn incrby<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    increment(request, asked, number(request.arg(2))?)
}

pub(super) fn decrby<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let by = number(request.arg(2))?.checked_neg();
    increment(request, asked, by.ok_or(Failure::fixed("ERR decrement would overflow"))?)
}

fn increment<'a>(request: Request<'a>, asked: &mut Asked<'a>, by: i64) -> Result<(), Failure> {
    let increment = Increment {
        key: Key::new(request.kept(1))?,
        by,
        initial: 0,
        min: i64::MIN,
        max: i64::MAX,
        expires_at: None,
        condition: Condition::Always,
    };
    asked.ask(request, increment, tell_number);
    Ok(())
}

fn tell_number(reply: &Reply, out: &mut Output) -> Result<(), Failure> {
    out.integer(changed(reply)?.unwrap_or_default());
    Ok(())
}

/// What an update in place has to say; `None` if there was nothing to be changed.
fn changed(reply: &Reply) -> Result<Option<i64>, Failure> {
    match reply {
        Reply::Changed(Changed::Done { number, .. }) => Ok(Some(*number)),
        Reply::Changed(Changed::Unfit(Unfit::Overflow | Unfit::Bound(_))) => {
            Err(Failure::fixed("ERR increment or decrement would overflow"))
        }
        Reply::Changed(Changed::Unfit(_)) => Err(Failure::NOT_INTEGER),
        Reply::Changed(Changed::TooLarge) => Err(TOO_LARGE),
        _ => Ok(None),
    }
}

pub(super) fn getset<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let swap = Swap {
        key: Key::new(request.kept(1))?,
        value: request.kept(2),
        media: MediaType::Bytes,
        end: End::At(None),
        condition: Condition::Always,
        gives: Gives::Entry,
    };
    asked.ask(request, swap, tell_before);
    Ok(())
}

/// Tells the value that was there before another took its place.
pub(super) fn tell_before(reply: &Reply, out: &mut Output) -> Result<(), Failure> {
    let Reply::Swapped(before, became) = reply else {
        return Err(Failure::fixed("ERR the value before is not known"));
    };
    stored(&Reply::Stored(*became))?;
    tell_value(before.as_ref(), out);
    Ok(())
}

fn tell_value(entry: Option<&Entry>, out: &mut Output) {
    match entry {
        Some(entry) => out.bulk(&entry.value),
        None => out.null(),
    }
}

pub(super) fn getdel<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let key = Key::new(request.kept(1))?;
    let take = Take { key, condition: Condition::Always, gives: Gives::Entry };
    asked.ask(request, take, tell_entry);
    Ok(())
}

pub(super) fn getex<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    if request.len() == 2 {
        return asked.value(request, 1);
    }
    let mut end = EndOption::default();
    let mut at = 2;
    while at < request.len() {
        end.take(request, &mut at, b"persist")?;
        at += 1;
    }
    let expires_at = end.deadline(request, "getex")?;
    let touch = touch(request, expires_at, EndIs::Any, Gives::Entry)?;
    asked.ask(request, touch, tell_entry);
    Ok(())
}

fn tell_entry(reply: &Reply, out: &mut Output) -> Result<(), Failure> {
    match reply {
        Reply::Entry(entry) => tell_value(entry.as_ref(), out),
        reply => {
            changed(reply)?;
            out.null();
        }
    }
    Ok(())
}

fn touch(
    request: Request<'_>,
    expires_at: Option<Millis>,
    only: EndIs,
    gives: Gives,
) -> Result<Touch, Failure> {
    let key = Key::new(request.kept(1))?;
    Ok(Touch { key, expires_at, only, condition: Condition::Always, gives })
}

pub(super) fn persist<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let touch = touch(request, None, EndIs::Some, Gives::Nothing)?;
    asked.ask(request, touch, tell_changed);
    Ok(())
}

pub(super) fn expire<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    end_at(request, asked, Unit::Seconds, "expire")
}

pub(super) fn pexpire<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    end_at(request, asked, Unit::Millis, "pexpire")
}

pub(super) fn expireat<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    end_at(request, asked, Unit::DateSeconds, "expireat")
}

pub(super) fn pexpireat<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    end_at(request, asked, Unit::DateMillis, "pexpireat")
}

fn end_at<'a>(
    request: Request<'a>,
    asked: &mut Asked<'a>,
    unit: Unit,
    command: &str,
) -> Result<(), Failure> {
    let only = end_is(request)?;
    let time = unit.time(number(request.arg(2))?, clock::now());
    let time = time.ok_or_else(|| Failure::expire_time(command))?;
    // What has ended is not there, whenever that was.
    let end = Millis(u64::try_from(time).unwrap_or_default().max(1));
    let touch = touch(request, Some(end), only, Gives::Nothing)?;
    asked.ask(request, touch, tell_changed);
    Ok(())
}

/// What must hold of the end there is, as the words behind the new one say.
fn end_is(request: Request<'_>) -> Result<EndIs, Failure> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for word in request.from(3) {
        match &word.to_ascii_lowercase()[..] {
            b"nx" => nx = true,
            b"xx" => xx = true,
            b"gt" => gt = true,
            b"lt" => lt = true,
            _ => {
                let word = String::from_utf8_lossy(word);
                return Err(Failure::of(format!("ERR Unsupported option {word}")));
            }
        }
    }
    match (nx, xx, gt, lt) {
        (true, xx, gt, lt) if xx || gt || lt => Err(Failure::fixed(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        )),
        (_, _, true, true) => {
            Err(Failure::fixed("ERR GT and LT options at the same time are not compatible"))
        }
        (_, true, _, true) => {
            Err(Failure::fixed("ERR XX and LT options at the same time are not supported here"))
        }
        (true, ..) => Ok(EndIs::Never),
        // One that never ends is later than any, so that GT alone says the same as with XX.
        (_, _, true, _) => Ok(EndIs::Earlier),
        (_, _, _, true) => Ok(EndIs::Later),
        (_, true, ..) => Ok(EndIs::Some),
        (false, false, false, false) => Ok(EndIs::Any),
    }
}

fn tell_changed(reply: &Reply, out: &mut Output) -> Result<(), Failure> {
    out.flag(changed(reply)?.is_some());
    Ok(())
}

pub(super) fn incrbyfloat<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    Key::new(request.kept(1))?;
    decimal::Number::read(request.arg(2)).ok_or(NOT_FLOAT)?;
    asked.wait(request, |session, request, out| Box::pin(add_float(session, request, out)));
    Ok(())
}

const NOT_FLOAT: Failure = Failure::fixed("ERR value is not a valid float");

/// Adds to the number that is there, again if it has changed meanwhile.
async fn add_float(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let key = Key::new(request.kept(1))?;
    let by = decimal::Number::read(request.arg(2)).ok_or(NOT_FLOAT)?;
    for _ in 0..RESP_ATTEMPTS_MAX {
        let before = session.shared.cache.get(&key).await?;
        let number = before.as_ref().map_or(&b"0"[..], |entry| &entry.value);
        let number = decimal::Number::read(number).ok_or(NOT_FLOAT)?;
        let sum =
            number.plus(by).ok_or(Failure::fixed("ERR increment would produce NaN or Infinity"))?;
        let (media, expires_at, condition) = match before {
            Some(entry) => (entry.media, entry.expires_at, Condition::Version(entry.version)),
            None => (MediaType::Bytes, None, Condition::Absent),
        };
        let value = sum.into();
        let put = Put { key: key.clone(), value, media, expires_at, condition };
        let text = put.value.clone();
        if stored(&session.shared.cache.run_one(put.into()).await?)? {
            out.bulk(text);
            return Ok(());
        }
    }
    Err(Failure::CONTENDED)
}

/// A value in the place of another one, if it is that: `SET … IFEQ`.
pub(super) fn set_if_equal<'a>(
    session: &'a mut Session,
    request: Request<'a>,
    out: &'a mut Output,
) -> Waiting<'a> {
    Box::pin(async move {
        let options = super::strings::SetOptions::of(request)?;
        let wanted = options.if_equal.and_then(|at| request.get(at)).ok_or(Failure::SYNTAX)?;
        let key = Key::new(request.kept(1))?;
        for _ in 0..RESP_ATTEMPTS_MAX {
            let before = session.shared.cache.get(&key).await?;
            let Some(before) = before.filter(|entry| entry.value == wanted) else {
                out.null();
                return Ok(());
            };
            let put = Put {
                key: key.clone(),
                value: request.kept(2),
                media: MediaType::Bytes,
                expires_at: if options.keeps { before.expires_at } else { options.expires_at },
                condition: Condition::Version(before.version),
            };
            if stored(&session.shared.cache.run_one(put.into()).await?)? {
                out.simple("OK");
                return Ok(());
            }
        }
        Err(Failure::CONTENDED)
    })
}
