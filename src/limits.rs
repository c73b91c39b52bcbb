//! Every bound of the system, with its unit and its reason.
//!
//! Whatever can grow has its limit here, and limits that depend on each other are checked against
//! each other when the crate is compiled.

use std::time::Duration;

// Entries.

/// Longest key, in bytes: what a length of two bytes can say.
pub const KEY_BYTES_MAX: usize = 65_535;

/// Longest name of a namespace, in bytes.
pub const NAMESPACE_BYTES_MAX: usize = 64;

/// Longest media type kept with a value, in bytes; longer than any registered one.
pub const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// Longest time to live; beyond it, never is meant.
pub const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Ceiling of `--max-value`, in bytes. A larger value would hold a connection and a shard for long.
pub const VALUE_BYTES_CEILING: usize = 64 * 1024 * 1024;

/// Longest single tag of an entry, in bytes: what one byte of length can say.
pub const TAG_BYTES_MAX: usize = 255;

/// All tags of an entry together with their lengths, in bytes: what two bytes can say.
pub const TAGS_BYTES_MAX: usize = 65_535;

// Tables.

/// Smallest block of a table, in bytes: 64 buckets, so that a tag still tells the hash of its entry.
pub const BLOCK_BYTES_MIN: usize = 4 * 1024;

/// Largest block of a table, in bytes: what one step of eviction may have to walk.
pub const BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Blocks a table is cut into, at least: the queues need enough of them to be cut finely.
pub const BLOCKS_MIN: usize = 256;

/// Least memory of a table, in bytes.
pub const TABLE_BYTES_MIN: usize = 512 * 1024;

/// Most memory of a table, in bytes: 2^34 words are what the 34 bits of a place can name.
pub const TABLE_BYTES_MAX: usize = 1 << 37;

/// Part of a table that one entry may take: a larger one would push out nearly everything else.
pub const ENTRY_SHARE_MAX: usize = 2;

/// Most bytes of one entry with key, tags and all, whatever the size of the table: the longest value
/// and the longest of the rest.
pub const ENTRY_BYTES_MAX: usize = VALUE_BYTES_CEILING + 256 * 1024;

/// Work of one tick, in units of about 20 ns: a tick must stay well under a millisecond.
pub const TICK_UNITS_MAX: usize = 12_000;

/// Pause between two sweeps of a block for ended entries, in milliseconds.
pub const SWEEP_PAUSE_MILLIS: u64 = 1_000;

/// Bytes after which a step of a scan stops, so that large values do not pile up.
pub const SCAN_STEP_BYTES_MAX: usize = 1024 * 1024;

/// Buckets a step of a scan looks at, at most, whether or not it found anything.
pub const SCAN_STEP_BUCKETS_MAX: usize = 256;

const _: () = assert!(BLOCK_BYTES_MIN.is_power_of_two() && BLOCK_BYTES_MAX.is_power_of_two());
const _: () = assert!(TABLE_BYTES_MAX / 8 <= 1 << 34);
// A record keeps 27 bits of a value's length; what is longer still must be refused.
const _: () = assert!(ENTRY_BYTES_MAX < (1 << 27) - 1);
const _: () = assert!(KEY_BYTES_MAX + TAGS_BYTES_MAX + 1024 < 256 * 1024);

// Configuration.

/// Most shards a node may have; more only cost memory, as each is one serialized writer.
pub const SHARDS_MAX: usize = 1_024;

/// Part of a shard's memory that one value may be, so that its entry fits with the longest key.
pub const VALUE_SHARE_MAX: usize = 4;

/// Largest `--memory`, in bytes: one tebibyte, which leaves room in every sum.
pub const MEMORY_BYTES_MAX: usize = 1 << 40;

/// Longest node name, in bytes: it goes into every answer.
pub const NODE_NAME_BYTES_MAX: usize = 255;

/// Longest name of a host, in bytes, as DNS has it.
pub const HOST_BYTES_MAX: usize = 253;

/// Places where a node looks for others, in `--join`.
pub const SEEDS_MAX: usize = 1_024;

/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 4_096;

/// Largest configuration file, in bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 * 1024;

// Shards.

/// Writes admitted per shard and not yet answered.
///
/// A ractor mailbox has no bound of its own: this is what stands between a burst of writers and
/// unbounded memory. A shard answers some hundred thousand writes a second, so that a full queue is
/// a matter of milliseconds.
pub const SHARD_IN_FLIGHT_MAX: usize = 4_096;

/// Writes that go to a shard in one message; what is over it follows in the next.
pub const SHARD_BATCH_MAX: usize = 1_024;

/// A caller waits for its shard until this has passed [`SHARD_CALL_BEATS`] times, and at most once
/// more, whatever it sent and however often the actor is started again.
pub const SHARD_CALL_BEAT: Duration = Duration::from_secs(1);

/// See [`SHARD_CALL_BEAT`].
pub const SHARD_CALL_BEATS: u32 = 2;

/// Actors that may end with the same writes in their hands, before these are given up.
pub const SHARD_ATTEMPTS_MAX: usize = 3;

/// Ids that are taken one after the other until a free one is found.
///
/// Ids and keys are one key space, so that the next id of the counter may already be a key. A caller
/// that meets more of them is told to try again; the counter has moved on by then.
pub const ID_ATTEMPTS_MAX: usize = 1_024;

/// How long ids are tried, before the one that is under way.
pub const ID_SEARCH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long it is remembered that a key was deleted, while there are other nodes.
///
/// An older entry that arrives later than this, from a node that was cut off for as long, comes back.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(60);

/// Commands in one call of the facade.
pub const BATCH_COMMANDS_MAX: usize = 10_000;

/// Pause between two pieces of background work of a shard, while it has any.
pub const SHARD_TICK: Duration = Duration::from_millis(250);

/// The same where a piece was not enough: writes come first, and a million entries that end at once
/// are gone in a second or two.
pub const SHARD_TICK_MORE: Duration = Duration::from_millis(1);

// The largest value fits into the smallest table with the longest key.
const _: () = assert!(
    TABLE_BYTES_MIN / VALUE_SHARE_MAX + KEY_BYTES_MAX + TAGS_BYTES_MAX / 2
        < TABLE_BYTES_MIN / ENTRY_SHARE_MAX
);
// One batch that ends every actor it meets does not spend the restart budget.
const _: () = assert!(SHARD_ATTEMPTS_MAX * 2 < RESTARTS_MAX);
// A batch must fit into the queue, or it could never be admitted.
const _: () = assert!(SHARD_BATCH_MAX <= SHARD_IN_FLIGHT_MAX);
// A full queue must drain within the time one caller waits, at the very slow 100 us a write.
const _: () = assert!(SHARD_IN_FLIGHT_MAX as u128 * 100 < SHARD_CALL_BEAT.as_micros());

// Supervision.

/// Restarts a supervisor bears within [`RESTART_WINDOW`]; one more ends the node.
pub const RESTARTS_MAX: usize = 20;

/// The time in which [`RESTARTS_MAX`] restarts are counted.
pub const RESTART_WINDOW: Duration = Duration::from_secs(10);

/// How long the supervisor waits for an answer of its own tree, and others for the supervisor.
pub const SUPERVISOR_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a child may take to stop before it is killed.
pub const CHILD_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// From the first signal to the end of a drain. With the children's stop it is under the 5 s in
/// which a node that was told to stop must be gone.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(3_500);

const _: () = assert!(DRAIN_TIMEOUT.as_millis() + CHILD_STOP_TIMEOUT.as_millis() < 5_000);

// The HTTP door.

/// Connections served at a time. One costs 10 to 20 KiB; one over it is answered 503 and closed.
pub const HTTP_CONNECTIONS_MAX: usize = 10_000;

/// Connections the kernel holds for the door until it accepts them.
pub const HTTP_BACKLOG: i32 = 1_024;

/// From the accepted connection to its first byte.
pub const HTTP_FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);

/// From the first byte of a request to the end of its header. A request whose first bytes came in
/// one piece with the request before has the idle time instead.
pub const HTTP_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// From the end of the header to the end of the body.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// From one answer to the next request, or to the next byte a slow reader takes of the answer.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a connection whose client may still be sending is kept for it to read the answer.
pub const HTTP_LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// What such a client may still send, in bytes; it is thrown away.
pub const HTTP_LINGER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest target of a request, in bytes: what hyper takes; more is answered 414.
pub const HTTP_TARGET_BYTES_MAX: usize = 65_534;

/// Connections that are told 503 at a time; one over it is closed without a word.
pub const HTTP_REFUSALS_MAX: usize = 1_024;

/// Header of a request with its line, in bytes; more is answered 431. The longest target
/// must fit with some headers.
pub const HTTP_HEADER_BYTES_MAX: usize = 128 * 1024;

/// Header fields in a request; more is answered 431.
pub const HTTP_HEADERS_MAX: usize = 100;

/// What a body may have over its value, in bytes: a key in which each byte is escaped as `\u0000`,
/// and the names and signs around it.
pub const HTTP_ENVELOPE_BYTES_MAX: usize = 6 * KEY_BYTES_MAX + 1_024;

/// Bytes that bodies over [`HTTP_BODY_BYTES_SMALL`] may take together until they are stored; more of
/// them wait. It comes on top of `--memory`.
pub const HTTP_BODY_BYTES_TOTAL_MAX: usize = 8 * 1024 * 1024;

/// A body that waits for no room, in bytes: what a connection may take in any case.
pub const HTTP_BODY_BYTES_SMALL: usize = 16 * 1024;

/// Body of `/api/cmd`, in bytes.
pub const HTTP_QUERY_BODY_BYTES_MAX: usize = 64 * 1024;

/// Names in one `ONLY` query.
pub const QUERY_KEYS_MAX: usize = 1_024;

/// Pause of an accept loop after the system had no descriptor left, so that it does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const _: () = assert!(HTTP_TARGET_BYTES_MAX + 16 * 1024 < HTTP_HEADER_BYTES_MAX);
const _: () = assert!(HTTP_BODY_TIMEOUT.as_secs() <= 10, "half-open connections close in 10 s");

// Client.

/// How long a client command waits for a connection: a node in reach accepts in milliseconds.
pub const CLIENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a client command waits for a whole answer.
///
/// Longer than a node waits for the owner of a key, so that the node's own message arrives first.
pub const CLIENT_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer a client command reads, in bytes: the largest value and what is around it.
pub const CLIENT_ANSWER_BYTES_MAX: usize = VALUE_BYTES_CEILING + 1024 * 1024;

/// Most of a node's error message that is shown, in characters: it has to fit on one line.
pub const CLIENT_MESSAGE_CHARS_MAX: usize = 300;

/// Most connections of one load run: what one address can hold open to one port with room to spare.
pub const BENCH_CLIENTS_MAX: u64 = 10_000;

/// Most threads of one load run; each drives its share of the connections.
pub const BENCH_THREADS_MAX: u64 = 64;

/// Most requests of one load run: days of load, and far from the end of every counter.
pub const BENCH_REQUESTS_MAX: u64 = 1_000_000_000_000;

/// Longest load run.
pub const BENCH_DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Most distinct keys of one load run: more than fit into the memory of one node.
pub const BENCH_KEYS_MAX: u64 = 1_000_000_000;

/// Most requests sent on one connection before their answers are read.
pub const BENCH_PIPELINE_MAX: u64 = 1_000;

/// Smallest value of a load run, in bytes: the empty JSON object.
pub const BENCH_VALUE_BYTES_MIN: u64 = 2;

/// Most bytes all connections of a load run may hold as requests ready to be sent.
pub const BENCH_REQUEST_BYTES_TOTAL_MAX: u64 = 1024 * 1024 * 1024;

/// Largest exponent of the Zipf distribution: beyond it, practically every request is for one key.
pub const BENCH_ZIPF_EXPONENT_MAX: f64 = 10.0;

/// How long one request of a load run may take before it counts as lost.
pub const BENCH_REQUEST_TIMEOUT: Duration = CLIENT_ANSWER_TIMEOUT;

/// How long requests under way may still be answered after an interrupt.
pub const BENCH_INTERRUPT_GRACE: Duration = Duration::from_secs(1);

/// Connections one thread of a load run opens at the same time.
///
/// A listener's backlog is often 128, and what goes over it is repeated by the kernel only after a
/// second.
pub const BENCH_CONNECTS_MAX: usize = 64;

/// Attempts in a row to open a connection again before a client of a load run gives up.
pub const BENCH_RECONNECTS_MAX: u32 = 8;

/// Pause after the first attempt that failed; it doubles with each further one.
pub const BENCH_RECONNECT_PAUSE: Duration = Duration::from_millis(5);

/// Read buffer of a connection of a load run, in bytes; also the longest head of an answer.
pub const BENCH_READ_BYTES: usize = 16 * 1024;

/// Start of an answer's body that is kept, in bytes: enough to tell a hit from a miss, or to find
/// the message of an error.
pub const BENCH_EXCERPT_BYTES: usize = 1024;

/// Bytes of requests that go out in one batch while the keys are written before a run.
pub const BENCH_FILL_BATCH_BYTES: usize = 32 * 1024;

/// Requests in one batch while the keys are written before a run.
pub const BENCH_FILL_BATCH_MAX: usize = 32;

// One answer in a read buffer always leaves room for the start of the next.
const _: () = assert!(BENCH_EXCERPT_BYTES < BENCH_READ_BYTES);
// The largest value fits into the requests held ready, together with its envelope.
const _: () = assert!(VALUE_BYTES_CEILING as u64 * 2 <= BENCH_REQUEST_BYTES_TOTAL_MAX);
// All pauses of a client that gives up are together below this, which stays within seconds.
const _: () = assert!(BENCH_RECONNECT_PAUSE.as_millis() << BENCH_RECONNECTS_MAX <= 3_000);
