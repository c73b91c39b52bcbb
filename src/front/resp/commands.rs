//! Every command there is, a line each. What clients are told of commands, how many arguments each has
//! and where its keys are follow from these lines.

mod about;
mod cluster;
mod decimal;
mod keys;
mod listing;
pub(super) mod pubsub;
mod renaming;
mod server;
mod session;
mod strings;
mod updates;

use std::future::Future;
use std::pin::Pin;

use super::asked::Asked;
use super::codec::{Output, Request};
use super::failure::Failure;
use super::session::Session;
use super::transaction;

/// A command as clients know it.
pub(super) struct Row {
    /// Its name, in small letters.
    pub(super) name: &'static str,
    /// Arguments with the name; negative if that is the least of them.
    pub(super) arity: i32,
    /// What Redis calls its flags.
    pub(super) flags: &'static [&'static str],
    /// Where its keys are.
    pub(super) keys: Keys,
    /// What kind of command it is.
    pub(super) group: Group,
    /// The version of Redis that first had it.
    pub(super) since: &'static str,
    /// What it does, in a few words.
    pub(super) summary: &'static str,
    /// How it is done.
    pub(super) run: Run,
}

/// Where the keys of a command are among its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// The first; 0 if there are none.
    pub(super) first: usize,
    /// The last; negative counts from the end.
    pub(super) last: i32,
    /// From one to the next.
    pub(super) step: usize,
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Cluster,
    Connection,
    Generic,
    PubSub,
    Server,
    String,
    Transactions,
}

/// How a command is done.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// With others, in one batch.
    Asks(for<'a> fn(Request<'a>, &mut Asked<'a>) -> Result<(), Failure>),
    /// By this connection, once all before it is answered.
    Here(fn(&mut Session, Request<'_>, &mut Output) -> Result<(), Failure>),
    /// The same, and it may take a while.
    Waits(Wait),
    /// All that was queued is done together.
    Executes,
}

/// Does a command that takes a while.
pub(super) type Wait = for<'a> fn(&'a mut Session, Request<'a>, &'a mut Output) -> Waiting<'a>;

/// A command that takes a while.
pub(super) type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

const NONE: Keys = Keys { first: 0, last: 0, step: 0 };
const ONE: Keys = Keys { first: 1, last: 1, step: 1 };
const ALL: Keys = Keys { first: 1, last: -1, step: 1 };
const PAIRS: Keys = Keys { first: 1, last: -1, step: 2 };
const BOTH: Keys = Keys { first: 1, last: 2, step: 1 };
const SECOND: Keys = Keys { first: 2, last: 2, step: 1 };

const READ_FAST: &[&str] = &["readonly", "fast"];
const READ: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write", "denyoom"];
const WRITE_FAST: &[&str] = &["write", "denyoom", "fast"];
const REMOVE: &[&str] = &["write"];
const REMOVE_FAST: &[&str] = &["write", "fast"];
const FREE: &[&str] = &["loading", "stale", "fast"];
const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
const TELL: &[&str] = &["loading", "stale"];
const HEARS: &[&str] = &["pubsub", "noscript", "loading", "stale"];
const SAYS: &[&str] = &["pubsub", "loading", "stale", "fast"];
const QUEUES: &[&str] = &["noscript", "loading", "stale", "fast", "allow_busy"];
const EXECUTES: &[&str] = &["noscript", "loading", "stale", "skip_slowlog"];
// What looks at all keys, or takes several steps, is nothing that a writer of one slot does.
const WALK: &[&str] = &["readonly", "no_multi"];
const WALK_FAST: &[&str] = &["readonly", "fast", "no_multi"];
const SWEEP: &[&str] = &["write", "no_multi"];
const STEPS: &[&str] = &["write", "denyoom", "fast", "no_multi"];
const ALONE: &[&str] = &["write", "denyoom", "no_multi"];
const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];

macro_rules! rows {
    ($($name:literal $arity:literal $flags:ident $keys:ident $group:ident $since:literal
       $kind:ident $run:path, $summary:literal;)*) => {
        /// All commands, in the order of their names.
        pub(super) static ROWS: &[Row] = &[$(Row {
            name: $name,
            arity: $arity,
            flags: $flags,
            keys: $keys,
            group: Group::$group,
            since: $since,
            summary: $summary,
            run: rows!(@ $kind $run),
        }),*];
    };
    (@ Executes $run:path) => { Run::Executes };
    (@ Waits $run:path) => { Run::Waits(|session, request, out| Box::pin($run(session, request, out))) };
    (@ $kind:ident $run:path) => { Run::$kind($run) };
}

rows! {
    "append" 3 WRITE_FAST ONE String "2.0.0" Asks updates::append, "Adds bytes at the end of a value.";
    "auth" -2 OPEN NONE Connection "1.0.0" Here session::auth, "Says who the client is.";
    "client" -2 FREE NONE Connection "2.4.0" Here session::client, "Tells of this connection and others, and names it.";
    "cluster" -2 TELL NONE Cluster "3.0.0" Waits cluster::cluster, "Tells which node has which slots.";
    "command" -1 TELL NONE Server "2.8.13" Here about::command, "Tells of the commands there are.";
    "config" -2 ADMIN NONE Server "2.0.0" Here server::config, "Tells settings.";
    "copy" -3 WRITE BOTH Generic "6.2.0" Asks renaming::copy, "Stores the value of a key under another one.";
    "dbsize" 1 WALK_FAST NONE Server "1.0.0" Waits server::dbsize, "How many keys there are, on all nodes.";
    "decr" 2 WRITE_FAST ONE String "1.0.0" Asks updates::decr, "Takes one off a number.";
    "decrby" 3 WRITE_FAST ONE String "1.0.0" Asks updates::decrby, "Takes a number off another one.";
    "del" -2 REMOVE ALL Generic "1.0.0" Asks keys::del, "Deletes keys.";
    "discard" 1 QUEUES NONE Transactions "2.0.0" Here transaction::discard, "Forgets what was queued.";
    "echo" 2 FREE NONE Connection "1.0.0" Here session::echo, "Answers what was sent.";
    "exec" 1 EXECUTES NONE Transactions "1.2.0" Executes none, "Does what was queued, all of it together.";
    "exists" -2 READ_FAST ALL Generic "1.0.0" Asks keys::exists, "How many of the keys there are.";
    "expire" -3 REMOVE_FAST ONE Generic "1.0.0" Asks updates::expire, "Has a key end in so many seconds.";
    "expireat" -3 REMOVE_FAST ONE Generic "1.2.0" Asks updates::expireat, "Has a key end at a time in seconds since 1970.";
    "expiretime" 2 READ_FAST ONE Generic "7.0.0" Asks keys::expiretime, "When a key ends, in seconds since 1970.";
    "flushall" -1 SWEEP NONE Server "1.0.0" Waits listing::flush, "Deletes all keys, on all nodes.";
    "flushdb" -1 SWEEP NONE Server "1.0.0" Waits listing::flush, "Deletes all keys, on all nodes.";
    "get" 2 READ_FAST ONE String "1.0.0" Asks strings::get, "The value of a key.";
    "getdel" 2 REMOVE_FAST ONE String "6.2.0" Asks updates::getdel, "The value of a key that is deleted.";
    "getex" -2 REMOVE_FAST ONE String "6.2.0" Asks updates::getex, "The value of a key that gets another end.";
    "getrange" 4 READ ONE String "2.4.0" Asks strings::getrange, "A part of the value of a key.";
    "getset" 3 WRITE_FAST ONE String "1.0.0" Asks updates::getset, "The value of a key that gets another one.";
    "hello" -1 OPEN NONE Connection "6.0.0" Here session::hello, "Settles the form of the protocol.";
    "incr" 2 WRITE_FAST ONE String "1.0.0" Asks updates::incr, "Adds one to a number.";
    "incrby" 3 WRITE_FAST ONE String "1.0.0" Asks updates::incrby, "Adds a number to another one.";
    "incrbyfloat" 3 STEPS ONE String "2.6.0" Asks updates::incrbyfloat, "Adds a number with a fraction to another one.";
    "info" -1 TELL NONE Server "1.0.0" Waits server::info, "Tells how the node is.";
    "keys" 2 WALK NONE Generic "1.0.0" Waits listing::keys, "All keys that a pattern means.";
    "mget" -2 READ_FAST ALL String "1.0.0" Asks strings::mget, "The values of keys.";
    "mset" -3 WRITE PAIRS String "1.0.1" Asks strings::mset, "Stores values under keys.";
    "msetnx" -3 ALONE PAIRS String "1.0.1" Asks strings::msetnx, "Stores values under keys of one slot, if all are absent.";
    "multi" 1 QUEUES NONE Transactions "1.2.0" Here transaction::multi, "Queues what follows, to be done together.";
    "object" -2 READ SECOND Generic "2.2.3" Asks keys::object, "Tells how an entry is kept.";
    "persist" 2 REMOVE_FAST ONE Generic "2.2.0" Asks updates::persist, "Has a key never end.";
    "pexpire" -3 REMOVE_FAST ONE Generic "2.6.0" Asks updates::pexpire, "Has a key end in so many milliseconds.";
    "pexpireat" -3 REMOVE_FAST ONE Generic "2.6.0" Asks updates::pexpireat, "Has a key end at a time in milliseconds since 1970.";
    "pexpiretime" 2 READ_FAST ONE Generic "7.0.0" Asks keys::pexpiretime, "When a key ends, in milliseconds since 1970.";
    "ping" -1 FREE NONE Connection "1.0.0" Here session::ping, "Answers.";
    "psetex" 4 WRITE ONE String "2.6.0" Asks strings::psetex, "Stores a value with a time to live in milliseconds.";
    "psubscribe" -2 HEARS NONE PubSub "2.0.0" Waits pubsub::psubscribe, "Listens to channels that patterns mean.";
    "pttl" 2 READ_FAST ONE Generic "2.6.0" Asks keys::pttl, "The time to live of a key, in milliseconds.";
    "publish" 3 SAYS NONE PubSub "2.0.0" Waits pubsub::publish, "Says something on a channel.";
    "pubsub" -2 HEARS NONE PubSub "2.8.0" Here pubsub::pubsub, "Tells which channels are listened to on this node.";
    "punsubscribe" -1 HEARS NONE PubSub "2.0.0" Here pubsub::punsubscribe, "Does not listen to patterns any more.";
    "quit" -1 OPEN NONE Connection "1.0.0" Here session::quit, "Ends the connection.";
    "randomkey" 1 WALK NONE Generic "1.0.0" Waits listing::randomkey, "Any key.";
    "rename" 3 REMOVE BOTH Generic "1.0.0" Asks renaming::rename, "Moves an entry to another key.";
    "renamenx" 3 REMOVE_FAST BOTH Generic "1.0.0" Asks renaming::renamenx, "Moves an entry to another key of its slot, if that is absent.";
    "reset" 1 OPEN NONE Connection "6.2.0" Here session::reset, "Makes the connection as it was when it began.";
    "scan" -2 WALK NONE Generic "2.8.0" Waits listing::scan, "Keys, some at a time.";
    "select" 2 FREE NONE Connection "1.0.0" Here session::select, "Chooses a database, of which there is one.";
    "set" -3 WRITE ONE String "1.0.0" Asks strings::set, "Stores a value under a key.";
    "setex" 4 WRITE ONE String "2.0.0" Asks strings::setex, "Stores a value with a time to live in seconds.";
    "setnx" 3 WRITE_FAST ONE String "1.0.0" Asks strings::setnx, "Stores a value under a key that is absent.";
    "setrange" 4 WRITE ONE String "2.2.0" Asks updates::setrange, "Puts bytes into a value.";
    "shutdown" -1 ADMIN NONE Server "1.0.0" Here server::shutdown, "Ends the node, on one that is for demonstrations.";
    "strlen" 2 READ_FAST ONE String "2.2.0" Asks strings::strlen, "How many bytes the value of a key has.";
    "subscribe" -2 HEARS NONE PubSub "2.0.0" Waits pubsub::subscribe, "Listens to channels.";
    "substr" 4 READ ONE String "1.0.0" Asks strings::getrange, "A part of the value of a key.";
    "time" 1 FREE NONE Server "2.6.0" Here server::time, "The time of the node.";
    "touch" -2 READ_FAST ALL Generic "3.2.1" Asks keys::exists, "How many of the keys there are.";
    "ttl" 2 READ_FAST ONE Generic "1.0.0" Asks keys::ttl, "The time to live of a key, in seconds.";
    "type" 2 READ_FAST ONE Generic "1.0.0" Asks keys::kind, "What kind of value a key has.";
    "unlink" -2 REMOVE_FAST ALL Generic "4.0.0" Asks keys::del, "Deletes keys.";
    "unsubscribe" -1 HEARS NONE PubSub "2.0.0" Here pubsub::unsubscribe, "Does not listen to channels any more.";
    "unwatch" 1 QUEUES NONE Transactions "2.2.0" Here transaction::unwatch, "Watches no key any more.";
    "watch" -2 QUEUES ALL Transactions "2.2.0" Waits transaction::watch, "Has what is queued done only while keys are as they are now.";
}

impl Row {
    /// Whether so many arguments are right, with the name.
    pub(super) fn takes(&self, arguments: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { wanted <= arguments } else { wanted == arguments }
    }

    /// Whether a client may use it that has not said who it is.
    pub(super) fn is_open(&self) -> bool {
        self.flags.contains(&"no_auth")
    }

    /// Whether it is done at once while others are queued.
    pub(super) fn is_immediate(&self) -> bool {
        matches!(self.name, "discard" | "exec" | "multi" | "quit" | "reset" | "watch")
    }

    /// The places of the keys of a request that has `arguments`.
    pub(super) fn key_places(&self, arguments: usize) -> impl Iterator<Item = usize> {
        let Keys { first, last, step } = self.keys;
        let back = usize::try_from(-last).unwrap_or_default();
        let last = usize::try_from(last).unwrap_or(arguments.saturating_sub(back));
        let last = if first == 0 { 0 } else { last + 1 };
        (first..last.min(arguments)).step_by(step.max(1))
    }
}

/// The command of that name, in whatever letters.
pub(super) fn find(name: &[u8]) -> Option<&'static Row> {
    const NAME_BYTES_MAX: usize = 16;
    let mut small = [0; NAME_BYTES_MAX];
    let small = small.get_mut(..name.len())?;
    small.copy_from_slice(name);
    small.make_ascii_lowercase();
    let at = ROWS.binary_search_by(|row| row.name.as_bytes().cmp(small)).ok()?;
    Some(&ROWS[at])
}

/// What a client is told of a command that is not there, with the first of its arguments.
pub(super) fn unknown(request: Request<'_>) -> Failure {
    const SHOWN_BYTES_MAX: usize = 128;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = text(&request.name()[..request.name().len().min(SHOWN_BYTES_MAX)]);
    let mut shown = String::new();
    for arg in request.from(1) {
        if SHOWN_BYTES_MAX <= shown.len() {
            break;
        }
        let left = SHOWN_BYTES_MAX - shown.len();
        shown.push_str(&format!("'{}' ", text(&arg[..arg.len().min(left)])));
    }
    Failure::of(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_in_the_order_of_their_names() {
        assert!(ROWS.iter().map(|row| row.name).is_sorted_by(|a, b| a < b));
        for row in ROWS {
            assert!(std::ptr::eq(find(row.name.to_ascii_uppercase().as_bytes()).unwrap(), row));
        }
        for other in ["", "ge", "gett", "a-very-long-name-of-a-command"] {
            assert!(find(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn keys_are_where_a_row_says() {
        let places = |name: &str, arguments| {
            let places = find(name.as_bytes()).unwrap().key_places(arguments);
            places.collect::<Vec<_>>()
        };
        assert_eq!(places("get", 2), [1]);
        assert_eq!(places("del", 4), [1, 2, 3]);
        assert_eq!(places("mset", 5), [1, 3]);
        assert_eq!(places("object", 3), [2]);
        assert!(places("ping", 2).is_empty());
    }
}
