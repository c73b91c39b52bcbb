//! Keys: whether they are there, how long, and their end.

use super::super::asked::{Asked, Known, Replies};
use super::super::codec::{Output, Request, number::integer};
use super::super::failure::Failure;
use crate::clock;
use crate::command::{Command, Delete, Find, Reply};
use crate::entry::{Key, Millis};

/// What a time is counted in, and from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Seconds since 1970.
    DateSeconds,
    /// Milliseconds since 1970.
    DateMillis,
}

impl Unit {
    /// The unit that an option in small letters names.
    pub(super) fn of_option(word: &[u8]) -> Option<Self> {
        match word {
            b"ex" => Some(Self::Seconds),
            b"px" => Some(Self::Millis),
            b"exat" => Some(Self::DateSeconds),
            b"pxat" => Some(Self::DateMillis),
            _ => None,
        }
    }

    /// The time that is `count` of this at `now`, which may be negative; `None` beyond 64 bits.
    pub(super) fn time(self, count: i64, now: Millis) -> Option<i64> {
        let now = i64::try_from(now.0).ok()?;
        match self {
            Self::Seconds => count.checked_mul(1_000)?.checked_add(now),
            Self::Millis => count.checked_add(now),
            Self::DateSeconds => count.checked_mul(1_000),
            Self::DateMillis => Some(count),
        }
    }
}

/// The number that an argument is.
pub(super) fn number(text: &[u8]) -> Result<i64, Failure> {
    integer(text).ok_or(Failure::NOT_INTEGER)
}

/// The end of an entry that a command says, which is after nothing at all.
pub(super) fn deadline(text: &[u8], unit: Unit, command: &str) -> Result<Millis, Failure> {
    let count = number(text)?;
    let time = unit.time(count, clock::now()).filter(|_| 0 < count);
    let time = time.and_then(|time| u64::try_from(time).ok());
    time.map(Millis).ok_or_else(|| Failure::expire_time(command))
}

/// What options say of the end of an entry. One may be said again, two different ones may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EndOption {
    #[default]
    Unsaid,
    /// The word that takes no argument: `KEEPTTL` or `PERSIST`.
    Word,
    /// A time, and which argument says how long.
    Time(Unit, usize),
}

impl EndOption {
    /// Takes the option at `at`, if it is one of the end, and moves `at` to the last of its arguments.
    pub(super) fn take(
        &mut self,
        request: Request<'_>,
        at: &mut usize,
        without_argument: &[u8],
    ) -> Result<(), Failure> {
        let word = request.arg(*at).to_ascii_lowercase();
        let said = match Unit::of_option(&word) {
            Some(unit) if *at + 1 < request.len() => {
                *at += 1;
                Self::Time(unit, *at)
            }
            None if word == without_argument => Self::Word,
            _ => return Err(Failure::SYNTAX),
        };
        match (*self, said) {
            (Self::Time(before, _), Self::Time(unit, _)) if before != unit => Err(Failure::SYNTAX),
            (Self::Word, Self::Time(..)) | (Self::Time(..), Self::Word) => Err(Failure::SYNTAX),
            _ => {
                *self = said;
                Ok(())
            }
        }
    }

    /// The end of an entry that was said as a time.
    pub(super) fn deadline(
        self,
        request: Request<'_>,
        command: &str,
    ) -> Result<Option<Millis>, Failure> {
        match self {
            Self::Time(unit, at) => deadline(request.arg(at), unit, command).map(Some),
            Self::Unsaid | Self::Word => Ok(None),
        }
    }
}

pub(super) fn del<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let delete = |at| Ok(Delete { key: Key::new(request.kept(at))? }.into());
    count(request, asked, delete)
}

pub(super) fn exists<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    if request.len() == 2 {
        return asked.known(request, 1, |known, out| out.flag(known.is_some()));
    }
    let look = |at| Ok(Find { key: Key::new(request.kept(at))?, bytes_max: 0 }.into());
    count(request, asked, look)
}

/// Has a command done for each key, and answers for how many there was something.
fn count<'a>(
    request: Request<'a>,
    asked: &mut Asked<'a>,
    command: impl Fn(usize) -> Result<Command, Failure>,
) -> Result<(), Failure> {
    let commands = (1..request.len()).map(command).collect::<Result<Vec<_>, _>>()?;
    let keys = commands.len();
    asked.ask_all(request, commands, move |replies, out| {
        out.count(count_found(keys, replies)?);
        Ok(())
    });
    Ok(())
}

fn count_found(keys: usize, replies: &mut Replies<'_>) -> Result<u64, Failure> {
    let mut found = 0;
    for _ in 0..keys {
        found += match replies.next()? {
            Reply::Flag(true) | Reply::Entry(Some(_)) | Reply::Number(_) => 1,
            _ => 0,
        };
    }
    Ok(found)
}

pub(super) fn kind<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked.known(request, 1, |known, out| {
        out.simple(known.map_or("none", |_| "string"));
    })
}

pub(super) fn ttl<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked
        .known(request, 1, |known, out| tell_end(known, out, |end| seconds(end.left(clock::now()))))
}

pub(super) fn pttl<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked.known(request, 1, |known, out| tell_end(known, out, |end| end.left(clock::now())))
}

pub(super) fn expiretime<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked.known(request, 1, |known, out| tell_end(known, out, |end| seconds(end.0)))
}

pub(super) fn pexpiretime<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    asked.known(request, 1, |known, out| tell_end(known, out, |end| end.0))
}

/// Milliseconds in whole seconds, rounded as Redis does.
fn seconds(millis: u64) -> u64 {
    millis.saturating_add(500) / 1_000
}

fn tell_end(known: Option<Known<'_>>, out: &mut Output, tell: fn(Millis) -> u64) {
    match known.map(|known| known.entry.expires_at) {
        None => out.integer(-2),
        Some(None) => out.integer(-1),
        Some(Some(end)) => out.count(tell(end)),
    }
}

pub(super) fn object<'a>(request: Request<'a>, asked: &mut Asked<'a>) -> Result<(), Failure> {
    let word = request.arg(1).to_ascii_lowercase();
    if !matches!(&word[..], b"encoding" | b"freq" | b"idletime" | b"refcount") {
        return Err(Failure::subcommand("object", request.arg(1)));
    }
    if request.len() != 3 {
        return Err(Failure::arity(&format!("object|{}", String::from_utf8_lossy(&word))));
    }
    match &word[..] {
        b"encoding" => asked.known(request, 2, |known, out| match known {
            None => out.null(),
            Some(known) => out.bulk(encoding(known)),
        }),
        b"idletime" => asked.known(request, 2, |known, out| match known {
            None => out.null(),
            Some(Known { entry, .. }) => {
                let age = clock::cluster(clock::now()).since(entry.version.millis());
                out.integer(age.max(0) / 1_000);
            }
        }),
        b"refcount" => asked.known(request, 2, |known, out| match known {
            None => out.null(),
            Some(_) => out.integer(1),
        }),
        _ => Err(Failure::fixed(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
             that when switching between policies at runtime LRU and LFU data will take some time to \
             adjust.",
        )),
    }
}

/// How Redis would keep a value: what small ones are is told by their bytes.
fn encoding(Known { entry, value_bytes }: Known<'_>) -> &'static str {
    const EMBEDDED_BYTES_MAX: usize = 44;
    match value_bytes {
        _ if value_bytes == entry.value.len() && integer(&entry.value).is_some() => "int",
        0..=EMBEDDED_BYTES_MAX => "embstr",
        _ => "raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_time_to_come_or_none() {
        let now = clock::now().0;
        let after = |text: &str, unit| deadline(text.as_bytes(), unit, "set").map(|end| end.0);
        assert!((now + 5_000..now + 10_000).contains(&after("5", Unit::Seconds).unwrap()));
        assert!((now + 5_000..now + 10_000).contains(&after("5000", Unit::Millis).unwrap()));
        assert_eq!(after("5", Unit::DateSeconds), Ok(5_000));
        assert_eq!(after("5", Unit::DateMillis), Ok(5));
        for wrong in ["0", "-1", "9223372036854775807"] {
            let failure = Failure::expire_time("set");
            assert_eq!(after(wrong, Unit::Seconds), Err(failure), "{wrong}");
        }
        assert_eq!(after("1.5", Unit::Seconds), Err(Failure::NOT_INTEGER));
    }
}
