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

/// Ceiling of `--max-value`, in bytes. A larger value would hold a connection and a shard for long.
pub const VALUE_BYTES_CEILING: usize = 64 * 1024 * 1024;

// Configuration.

/// Most shards a node may have; more only cost memory, as each is one serialized writer.
pub const SHARDS_MAX: usize = 1_024;

/// Smallest `--memory`, in bytes, for each shard: below that a table holds too little to be useful.
pub const SHARD_MEMORY_BYTES_MIN: usize = 256 * 1024;

/// Largest `--memory`, in bytes: one tebibyte, which leaves room in every sum.
pub const MEMORY_BYTES_MAX: usize = 1 << 40;

/// Longest node name, in bytes: it goes into every answer.
pub const NODE_NAME_BYTES_MAX: usize = 255;

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

/// How long a caller waits for its shard, restarts and retries included.
pub const SHARD_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Ids that are taken one after the other until a free one is found.
///
/// Ids and keys are one key space, so that the next id of the counter may already be a key. A caller
/// that meets more of them is told to try again; the counter has moved on by then.
pub const ID_ATTEMPTS_MAX: usize = 1_024;

/// Commands in one call of the facade.
pub const BATCH_COMMANDS_MAX: usize = 10_000;

// A batch must fit into the queue, or it could never be admitted.
const _: () = assert!(SHARD_BATCH_MAX <= SHARD_IN_FLIGHT_MAX);
// A full queue must drain within the time one caller waits, at the very slow 100 us a write.
const _: () = assert!(SHARD_IN_FLIGHT_MAX as u128 * 100 < SHARD_CALL_TIMEOUT.as_micros());

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

/// From the first byte of a request to the end of its header.
pub const HTTP_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// From the end of the header to the end of the body.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// From one answer to the next request, or to the next byte a slow reader takes of the answer.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Header of a request with its line, in bytes; more is answered 431. The longest target hyper
/// takes (65,534 bytes, more is answered 414) must fit with some headers.
pub const HTTP_HEADER_BYTES_MAX: usize = 128 * 1024;

/// Header fields in a request; more is answered 431.
pub const HTTP_HEADERS_MAX: usize = 100;

/// What a body may have over its value, in bytes: a key in which each byte is escaped as `\u0000`,
/// and the names and signs around it.
pub const HTTP_ENVELOPE_BYTES_MAX: usize = 6 * KEY_BYTES_MAX + 1_024;

/// Body of `/api/cmd`, in bytes.
pub const HTTP_QUERY_BODY_BYTES_MAX: usize = 64 * 1024;

/// Names in one `ONLY` query.
pub const QUERY_KEYS_MAX: usize = 1_024;

/// Pause of an accept loop after the system had no descriptor left, so that it does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const _: () = assert!(65_534 + 16 * 1024 < HTTP_HEADER_BYTES_MAX);
const _: () = assert!(HTTP_BODY_TIMEOUT.as_secs() <= 10, "half-open connections close in 10 s");
