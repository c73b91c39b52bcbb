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

// Namespaces.

/// Namespaces that are counted apart because they came first; later ones are counted together.
pub const NAMESPACES_NAMED_MAX: usize = 128;

/// The same, with those that have a policy and came later.
pub const NAMESPACES_COUNTED_MAX: usize = NAMESPACES_NAMED_MAX + POLICIES_MAX;

/// Namespaces that have a policy: one with a quota has a queue, and a block of it that is filled in part,
/// in each shard.
pub const POLICIES_MAX: usize = 64;

/// Least quota of a namespace, in bytes: there are values that fit into the part of a shard.
pub const NAMESPACE_MEMORY_MIN: u64 = 64 * 1024;

/// Largest body of a request that makes a policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 4 * 1024;

// What all nodes know alike.

/// Longest name, in bytes: that of a namespace, and what it is of before it.
pub const REGISTRY_NAME_BYTES_MAX: usize = 128;

/// What a name stands for, in bytes. All of it goes to each node that joins.
pub const REGISTRY_VALUE_BYTES_MAX: usize = 1_024;

/// Names that stand for something.
pub const REGISTRY_NAMES_MAX: usize = 512;

/// Names of which it is remembered that they were removed. The first ones are forgotten, and a node that
/// was away for longer than so many are removed brings them back.
pub const REGISTRY_REMOVED_MAX: usize = 512;

/// How long a change waits for other nodes to have it before it is answered: one that does not answer
/// has it as soon as it does.
pub const REGISTRY_SPREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Ticks of discovery between two comparisons with another node, one after the other.
pub const REGISTRY_COMPARE_TICKS: u64 = 5;

const _: () = assert!(NAMESPACE_BYTES_MAX + 32 < REGISTRY_NAME_BYTES_MAX);
const _: () = assert!(POLICIES_MAX < REGISTRY_NAMES_MAX);
const _: () = assert!(
    (REGISTRY_NAMES_MAX + REGISTRY_REMOVED_MAX)
        * (REGISTRY_NAME_BYTES_MAX + REGISTRY_VALUE_BYTES_MAX + 32)
        < PEER_FRAME_BYTES_MAX
);

// Time.

/// How far the cluster's time as two nodes have it may be apart before one takes the other's: far
/// more than a message is under way.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// How far a clock may be ahead before it is taken for a wrong one: versions beyond it are followed by
/// writes to their own key alone, and nodes that are so far apart say so when they meet.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// Last time of a version that is believed, in milliseconds since 1970: in the year 6429. Counting on
/// from it does not overflow the 48 bits there are.
pub const VERSION_MILLIS_MAX: u64 = 1 << 47;

/// How much faster or slower the steady clock of one node may go than that of another, in percent:
/// a thousand times what is usual, as a virtual machine catches up on time that it was not given.
pub const CLOCK_RATE_PERCENT: u128 = 10;

const _: () = assert!(CLOCK_TOLERANCE.as_millis() < CLOCK_SKEW_MAX.as_millis());
// A node that was replaced while it was stopped has written nothing since: what is written by then
// where it was replaced is newer.
const _: () = assert!(
    100 * CLOCK_TOLERANCE.as_millis() < (100 - CLOCK_RATE_PERCENT) * DEAD_AFTER.as_millis()
);

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

/// Part of a table that tombstones may take; the oldest make room for the next.
pub const TOMBSTONE_SHARE_MAX: usize = 16;

/// Events of a table that one listener has not taken yet; who lags behind that looks at everything.
pub const JOURNAL_EVENTS_MAX: usize = 8_192;

/// Bytes of the keys of these events: long keys must not make a listener that lags cost more.
pub const JOURNAL_KEY_BYTES_MAX: usize = 1024 * 1024;

/// Work of one tick, in units of about 20 ns: a tick must stay well under a millisecond.
pub const TICK_UNITS_MAX: usize = 12_000;

/// Pause between two sweeps of a block for ended entries, in milliseconds.
pub const SWEEP_PAUSE_MILLIS: u64 = 1_000;

/// Bytes after which a step of a scan stops, so that large values do not pile up.
pub const SCAN_STEP_BYTES_MAX: usize = 1024 * 1024;

/// Buckets a step of a scan looks at, at most, whether or not it found anything.
pub const SCAN_STEP_BUCKETS_MAX: usize = 256;

const _: () = assert!(KEY_BYTES_MAX < JOURNAL_KEY_BYTES_MAX);
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

/// What a node takes beside `--memory`, in bytes, to compare both with what there is: what is on its way
/// in and out, connections, and the program itself.
pub const MEMORY_BESIDE_BYTES: u64 = 64 * 1024 * 1024;

/// Greatest share of the memory there is that `--memory` may be, in percent.
pub const MEMORY_PERCENT_MAX: u64 = 90;

/// Names that are allowed as `Host` and `Origin`, in `--allow-host`.
pub const ALLOWED_HOSTS_MAX: usize = 64;

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

/// Bytes of what waits in a shard and is not answered yet, keys and values together. What is larger goes
/// if nothing else is there.
pub const SHARD_IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;

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

/// Ids that a node reserves at a time: so many may be passed over when it ends. Another range is reserved
/// when half of one is left, which lasts for many round trips however fast ids are taken.
pub const IDS_RESERVED: u64 = 256;

/// The first id of the far region. That ends where JSON's numbers cease to hold integers.
pub const IDS_FAR: u64 = 1 << 52;

/// Ids of the far region from the first place of one run to that of another, at least: 30 bits of a boot
/// id tell runs apart.
pub const IDS_FAR_STRIPE: u64 = 1 << 22;

/// How long a node may take to answer whether ids are free.
pub const IDS_ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How long ids are not to be had from the low region before they come from the far one: longer than it
/// takes to be sure that a process is gone.
pub const IDS_PATIENCE: Duration = Duration::from_secs(1);

/// Pause after not all who may be alive have answered.
pub const IDS_PAUSE: Duration = Duration::from_millis(100);

/// Least pause after another node wanted the same ids for the second time.
pub const IDS_GIVE_WAY: Duration = Duration::from_millis(5);

/// How long it is remembered that a key was deleted, while there are other nodes.
///
/// An older entry that arrives later than this, from a node that was cut off for as long, comes back.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(60);

/// Commands in one call of the facade.
pub const BATCH_COMMANDS_MAX: usize = 10_000;

/// Keys of commands that are done together, and how many such commands there may be: the writer of a
/// shard does nothing else meanwhile, some milliseconds.
pub const TOGETHER_KEYS_MAX: usize = 8_192;

/// Bytes of values that commands which are done together may give: they go back as one message.
pub const TOGETHER_REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a number in decimal, with its sign, at most.
pub const NUMBER_BYTES_MAX: usize = 20;

/// Bytes that an element of a batch may have besides twice its largest value, which base64 or escapes
/// make of it: its key, and what is said of both.
pub const BATCH_ELEMENT_BYTES_MORE: usize = 256 * 1024;

/// Operations of a batch that are done together.
pub const BATCH_WINDOW_COMMANDS: usize = 1_024;

/// Bytes of keys and values that are done together, but for the last of them.
pub const BATCH_WINDOW_BYTES: usize = 256 * 1024;

/// Small values that are read together.
pub const BATCH_WINDOW_READS: usize = 128;

/// Bytes that are read ahead while answers wait for their clients, of all batches: who sends all of one
/// before it reads is answered, whatever the answers are, if no more of it is left than this.
pub const BATCH_AHEAD_BYTES_TOTAL_MAX: usize = 6 * 1024 * 1024;

/// Bytes of answers from which on a batch waits for its client to read them. As many as those to the most
/// writes there are in one: who sends all of it before it reads is answered.
pub const BATCH_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Batches under way at a time, of the whole process.
pub const BATCHES_MAX: usize = 8;

/// Keys in one reply to who walks over them.
pub const LIST_KEYS_MAX: usize = 1_024;

/// Buckets that one step of such a walk looks at: about a millisecond.
pub const LIST_STEP_BUCKETS_MAX: usize = 2_048;

/// Bytes of keys that it finds, but for those of the last bucket.
pub const LIST_STEP_BYTES_MAX: usize = 256 * 1024;

/// How long keys are looked for until what was found is given, if that is fewer than were wanted.
pub const LIST_TIME: Duration = Duration::from_millis(500);

/// Keys in a page, if nothing else is asked for.
pub const HTTP_LIST_KEYS: usize = 1_000;

/// Keys in a page at most.
pub const HTTP_LIST_KEYS_MAX: usize = 10_000;

/// Keys that are deleted together.
pub const DELETE_KEYS_MAX: usize = 1_024;

/// Versions that one condition may name: a client that has read a key more often than that without
/// forgetting is in no hurry to write it.
pub const CONDITION_VERSIONS_MAX: usize = 1_024;

/// Levels of arrays and objects in JSON that is parsed into a tree or made from one: as deep as
/// `serde_json` reads, whose recursion takes the stack of a thread.
pub const JSON_DEPTH_MAX: usize = 128;

/// Operations of one JSON patch: each may move all of an array, which the shard's other writes wait for.
pub const PATCH_OPERATIONS_MAX: usize = 1_000;

/// Longest reason why a patch does not apply, in bytes.
pub const UNFIT_TEXT_BYTES_MAX: usize = 256;

/// Parts of a value that one request may select: each is looked for on its own.
pub const SELECT_POINTERS_MAX: usize = 100;

/// Bytes that the parts of a value may have together where the value has fewer: the same part may be
/// asked for twice.
pub const SELECT_BYTES_MAX: usize = 16 * 1024;

/// Longest list of content codings kept with a value, in bytes.
pub const CODING_BYTES_MAX: usize = 64;

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
// Places of two runs in the far region do not overlap in part.
const _: () = assert!(IDS_FAR.is_multiple_of(IDS_FAR_STRIPE));
const _: () = assert!(IDS_FAR_STRIPE.is_multiple_of(IDS_RESERVED));
const _: () = assert!(2 * IDS_FAR == 1 << f64::MANTISSA_DIGITS);
// A command that waits for ids has them before it is given up, and a node that is killed makes nobody
// use the far region.
const _: () = assert!(IDS_PATIENCE.as_millis() * 2 < ROUTE_TIMEOUT.as_millis());
const _: () = assert!(IDS_ANSWER_TIMEOUT.as_millis() < IDS_PATIENCE.as_millis());
const _: () = assert!(
    DEAD_AFTER_REFUSED.as_millis() + 2 * MEMBER_TICK.as_millis() < IDS_PATIENCE.as_millis()
);
// The answer to a write takes no more than this.
const _: () = assert!(BATCH_COMMANDS_MAX * 100 <= BATCH_ANSWER_BYTES_MAX);
// A window is one call.
const _: () = assert!(BATCH_WINDOW_COMMANDS <= BATCH_COMMANDS_MAX);
// What batches hold at a time, values of a mebibyte in their elements: read, asked for, and answered.
const _: () = assert!(
    BATCHES_MAX
        * (BATCH_WINDOW_READS * HTTP_ANSWER_BYTES_SMALL
            + BATCH_WINDOW_BYTES
            + BATCH_ANSWER_BYTES_MAX)
        + BATCH_AHEAD_BYTES_TOTAL_MAX
        <= 32 * 1024 * 1024
);
// A page of the longest keys fits into a frame, with those of a bucket more.
const _: () = assert!(LIST_STEP_BYTES_MAX + 64 * KEY_BYTES_MAX < PEER_FRAME_BYTES_MAX);
// A batch must fit into the queue, or it could never be admitted.
const _: () = assert!(SHARD_BATCH_MAX <= SHARD_IN_FLIGHT_MAX);
// A full queue must drain within the time one caller waits, at the very slow 100 us a write.
const _: () = assert!(SHARD_IN_FLIGHT_MAX as u128 * 100 < SHARD_CALL_BEAT.as_micros());

// The way to a key.

/// How long a command may look for the owner of its key, and wait for it.
///
/// Longer than it takes to notice that a node hangs, so that most of what meets one is answered by
/// whoever has its slots then.
pub const ROUTE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a command waits for a change before it looks again without one; it doubles each time.
pub const ROUTE_PAUSE_MIN: Duration = Duration::from_millis(5);

/// Longest such pause: what changes at another node is not noticed here in any other way.
pub const ROUTE_PAUSE_MAX: Duration = Duration::from_millis(80);

/// Commands that wait for an owner at a time; one over it is refused.
pub const JOURNEYS_MAX: usize = 16_384;

/// Bytes of keys and values of all of them; a larger one goes if no other waits.
pub const JOURNEY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often the ways of a batch are looked up until the gate did not change meanwhile.
pub const GATE_LOOKS_MAX: usize = 3;

/// How long each node has to do what every node does: one that hangs must not hold up the others.
pub const EVERY_NODE_TIMEOUT: Duration = Duration::from_millis(500);

// The cluster.

/// The name of the cluster. Nodes of another one are refused.
pub const CLUSTER_NAME: &str = "smache";

/// How long nodes that look for a cluster, and have met each other and nobody else, go on looking
/// before they begin one. Where nobody listens at any of the places a node looks it begins one at once,
/// and while somebody may be at one of them whom it has not met it begins none.
pub const FORM_AFTER: Duration = Duration::from_secs(1);

/// The same where a node may be alone, and nothing at all is seen of a place it looks at: longer than
/// names, and processes that start together, take to come up.
pub const ALONE_AFTER: Duration = Duration::from_secs(10);

/// Pause between two log lines that say that a node waits for others it cannot speak with.
pub const WAITING_LOG_PAUSE: Duration = Duration::from_secs(10);

/// Greatest incarnation and epoch that is believed: counting on from it does not overflow.
pub const COUNT_MAX: u64 = 1 << 62;

/// First pause between two attempts to reach a peer; it doubles with each.
pub const DIAL_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest such pause: a node that comes is found within it.
pub const DIAL_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Pause before an address is tried again where this node itself was found.
pub const DIAL_PAUSE_SELF: Duration = Duration::from_secs(30);

/// Pause before a name that had addresses is looked up again.
pub const DNS_PAUSE: Duration = Duration::from_secs(2);

/// How long a name may take to be looked up.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses of one name that are tried.
pub const RESOLVED_ADDRS_MAX: usize = 1_024;

/// Heartbeats to one peer that may be unanswered at a time: a peer that hangs costs no more memory.
pub const PINGS_UNANSWERED_MAX: usize = 4;

/// Peers that have told something discovery has not looked at yet. One that restarts is there twice.
pub const INBOX_PEERS_MAX: usize = 2 * PEERS_MAX;

/// Claims of peers that wait for the keeper and the writers, 2 KiB each; more are refused. A peer that
/// is not answered sends its claim again, for as long as the first one may wait.
pub const CLAIMS_WAITING_MAX: usize = 4 * PEERS_MAX;

/// How long a claim may wait for the keeper and the writers; the claimer asks again after it.
pub const CLAIM_ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long a node believes that its slots are its own, without looking, by its steady clock: it
/// looks twenty times as often, unless it is stopped.
pub const LEASE: Duration = Duration::from_secs(1);

/// Entries looked at in one step of a scan for what is to be moved.
pub const MOVE_SCAN_ENTRIES: usize = 128;

/// Entries moved in one message.
pub const MOVE_CHUNK_ENTRIES: usize = 128;

/// Bytes of keys and values moved in one message, but for a single larger one.
pub const MOVE_CHUNK_BYTES: usize = 32 * 1024;

/// Such messages that are not acknowledged yet by one peer, where its work is all they wait for: enough
/// to keep both sides busy.
pub const MOVE_WINDOW_MIN: usize = 2;

/// The same, however long the way is: 16,384 entries or 4 MiB, a third of a million entries a second
/// over 50 ms.
pub const MOVE_WINDOW_MAX: usize = 128;

/// How much more or less there may be for each that was answered: an eighth for each trip.
pub const MOVE_WINDOW_STEP: f64 = 0.125;

/// Trips of such messages after which those before them are not remembered.
pub const MOVE_TRIPS_KNOWN: usize = 1_024;

/// How much longer than the way a trip may be for one more message to be sent.
pub const MOVE_TRIP_MIN: f64 = 1.25;

/// Where a trip is longer than that, one less is.
pub const MOVE_TRIP_MAX: f64 = 1.5;

/// Pause between two passes over what is to be moved; it doubles while nothing of it is taken.
pub const MOVE_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest such pause.
pub const MOVE_PAUSE_MAX: Duration = Duration::from_millis(640);

/// How long a node that leaves waits without anything of it being taken.
pub const HANDOFF_STALL: Duration = Duration::from_secs(5);

/// How long it waits at a time: what a stop of the node counts for at most.
pub const HANDOFF_STEP: Duration = Duration::from_millis(100);

/// How long a node may take to hand everything over when it leaves.
pub const HANDOFF_TIMEOUT: Duration = Duration::from_secs(600);

/// How long at least a node that leaves a cluster goes on answering whoever comes, so that load
/// balancers notice that it is not ready before it refuses anybody.
pub const LAME_DUCK: Duration = Duration::from_secs(1);

/// How long it may take until a member is forgotten here: a look at all members.
pub const FORGET_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a node that has left waits for others to hear of it.
pub const LEFT_TIMEOUT: Duration = Duration::from_millis(500);

// A lease outlives many looks, and ends before others may have replaced a node that was stopped.
const _: () = assert!(10 * HANDOFF_TICK.as_millis() < LEASE.as_millis());
// A peer answers what moves and what is asked beside it.
const _: () = assert!(2 * MOVE_WINDOW_MAX <= PEER_REQUESTS_MAX);
const _: () = assert!(LEASE.as_millis() < DEAD_AFTER_REFUSED.as_millis() * 2);
// Others count from its last heartbeat, which may have been almost due, and by clocks that go faster.
const _: () = assert!(
    100 * (LEASE.as_millis() + HEARTBEAT_INTERVAL.as_millis() + MEMBER_TICK.as_millis())
        < (100 - 2 * CLOCK_RATE_PERCENT) * DEAD_AFTER.as_millis()
);
// A command waits longer for an owner than it takes to notice that one hangs.
const _: () = assert!(DEAD_AFTER.as_millis() + MEMBER_TICK.as_millis() < ROUTE_TIMEOUT.as_millis());

// Supervision.

/// Restarts a supervisor bears within [`RESTART_WINDOW`]; one more ends the node.
pub const RESTARTS_MAX: usize = 20;

/// The time in which [`RESTARTS_MAX`] restarts are counted.
pub const RESTART_WINDOW: Duration = Duration::from_secs(10);

/// How long the supervisor waits for an answer of its own tree, and others for the supervisor.
pub const SUPERVISOR_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a child may take to start. One that takes longer hangs.
pub const CHILD_START_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a shard, whose table is repaired first if its last writer panicked: 83 ns an entry,
/// so that this is enough for more than fit into the memory of one machine.
pub const SHARD_START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts in a row that a child may not end in time; then it will not start at all, and the node ends.
/// Such starts are too slow to be too many within [`RESTART_WINDOW`].
pub const CHILD_LATE_MAX: u32 = 3;

/// How long a child may take to stop before it is killed, and one that failed to give back what it
/// held before it is not waited for.
pub const CHILD_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// From the first signal to the end of a drain. With the children's stop it is under the 5 s in
/// which a node that was told to stop must be gone.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(3_500);

/// How long after a drain was reported a further signal is taken for somebody's second thought, and
/// ends it: one that comes earlier was sent with the first, to a process and its group, or twice by
/// a supervisor.
pub const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

const _: () = assert!(DRAIN_TIMEOUT.as_millis() + CHILD_STOP_TIMEOUT.as_millis() < 5_000);

// Peers.

/// Other nodes this node is connected to, and members of one view.
pub const PEERS_MAX: usize = 256;

/// Largest message between nodes, in bytes: the largest entry that is held, and what is around it.
///
/// One that is over the size of a batch goes alone; what is behind it on the same link waits for it.
pub const PEER_FRAME_BYTES_MAX: usize = ENTRY_BYTES_MAX + 64 * 1024;

/// Commands that go to a peer in one message, and elements of any list in one.
pub const PEER_BATCH_COMMANDS_MAX: usize = 1_024;

/// Bytes of commands that go to a peer in one message, unless a single one has more. Small calls wait
/// behind a message: this much takes 2 ms at 1 Gbit/s.
pub const PEER_BATCH_BYTES_MAX: usize = 256 * 1024;

/// A text of a peer, in bytes: an address, or why something was refused.
pub const PEER_TEXT_BYTES_MAX: usize = 512;

/// Bits about slots or members, in bytes: one for each of the 16,384 slots.
pub const PEER_BITMAP_BYTES_MAX: usize = 2_048;

/// From a command's place in the queue of a link to its reply, and of a question to its answer.
pub const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Messages with commands a link has under way; while they are, the next one gathers.
pub const LINK_BATCHES_IN_FLIGHT: usize = 3;

/// Bytes of commands a link holds until they are answered; one over it is refused.
pub const LINK_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Commands a link holds until they are answered; one over it is refused.
pub const LINK_QUEUE_COMMANDS_MAX: usize = LINK_QUEUE_BYTES_MAX / LINK_COMMAND_BYTES;

/// What a command counts for in [`LINK_QUEUE_BYTES_MAX`] besides its key and its value, in bytes.
pub const LINK_COMMAND_BYTES: usize = 512;

/// Pause between two looks at the queue of a link for commands whose time is over.
pub const LINK_TICK: Duration = Duration::from_millis(250);

/// How long a message to a peer may stay unanswered before the session is ended: the peer hangs, or it
/// lost the message.
pub const LINK_STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Questions of the control plane a link has under way.
pub const LINK_ASKS_MAX: usize = 16;

/// Questions about keys a link has under way.
pub const LINK_FETCHES_MAX: usize = 1_024;

/// Messages with what moves that a link has under way.
pub const LINK_PUSHES_MAX: usize = MOVE_WINDOW_MAX;

/// Pause in which commands that wait go before what moves.
pub const LINK_PUSH_PAUSE: Duration = Duration::from_millis(1);

/// How long what moves gives way to commands that wait, at most, before each message.
pub const LINK_PUSH_YIELD: Duration = Duration::from_millis(20);

/// Bytes of what moves in one message. Commands wait behind it: this much takes 1 ms at 1 Gbit/s.
pub const LINK_PUSH_BYTES_MAX: usize = 128 * 1024;

/// How often a read is asked for again that did not fit into a message with others.
pub const LINK_LATER_MAX: usize = 64;

/// Replies in one message, in bytes, but for a single one that is longer.
pub const PEER_REPLY_BYTES_MAX: usize = 1024 * 1024;

/// How often the gateway of a peer is looked for, while it is being started again.
pub const GATEWAY_ATTEMPTS_MAX: usize = 20;

/// Pause before it is looked for again.
pub const GATEWAY_PAUSE: Duration = Duration::from_millis(10);

/// A message of a peer that the gateway decodes itself, in bytes. A longer one is decoded beside it, so
/// that no heartbeat waits for megabytes.
pub const PEER_DECODE_BYTES_MAX: usize = 16 * 1024;

/// Requests of one peer that are under way here and wait for a shard; more are refused.
pub const PEER_REQUESTS_MAX: usize = 256;

/// From a new connection to a peer, in either direction, to the end of its HELLO.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// One message of a HELLO, in bytes; there are two in each direction.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;

/// Name of a cluster, in bytes.
pub const CLUSTER_NAME_BYTES_MAX: usize = 64;

/// The version of a peer's software as it says it, in bytes.
pub const SOFTWARE_VERSION_BYTES_MAX: usize = 32;

/// Connections at a time that have not said who they are; one over it is closed.
pub const HELLO_CONNECTIONS_MAX: usize = 256;

/// Longest `X-Request-Id` in bytes: it goes into each line that is logged of a request, and to the node
/// that owns its key.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of a request's target that are logged, where keys may be: enough to know it by.
pub const LOGGED_TARGET_BYTES_MAX: usize = 256;

/// Refusals of connections that are remembered, so that each is logged once a
/// [`HELLO_LOG_PAUSE`].
pub const HELLO_LOGS_MAX: usize = 1_024;

/// Pause between two log lines that say the same of the same address.
pub const HELLO_LOG_PAUSE: Duration = Duration::from_secs(60);

/// Pause between two log lines that say that memory is full: it is for as long as a cache is used.
pub const FULL_LOG_PAUSE: Duration = Duration::from_secs(3_600);

/// Slow requests that are logged in a second. Where everything is slow, more lines would make it slower.
pub const SLOW_LINES_MAX: u64 = 100;

/// From the end of a HELLO to a session that carries messages.
pub const SESSION_READY_TIMEOUT: Duration = Duration::from_secs(5);

/// From the kill of a session's stream to its end: what comes after it is local.
pub const SESSION_END_TIMEOUT: Duration = Duration::from_secs(1);

/// A session that is younger is not replaced by a connection of the same node: both may have been made
/// at once.
pub const SESSION_REPLACE_AGE: Duration = HELLO_TIMEOUT;

/// How long bytes to a peer may stay unacknowledged, or not be taken at all, before the connection
/// counts as broken.
pub const PEER_WRITE_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Pause after which the kernel looks whether a silent peer is still there.
pub const PEER_KEEPALIVE: Duration = Duration::from_secs(1);

/// Buffer of a connection to a peer for what comes in, in bytes: several frames with one read.
pub const PEER_READ_BYTES: usize = 64 * 1024;

/// Bytes held back of one connection that is delayed for a test: 20 ms of 3 Gbit/s.
pub const PEER_DELAYED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest delay of a connection that is asked for, for a test.
pub const CHAOS_DELAY_MAX: Duration = Duration::from_secs(60);

/// What happened to sessions and was not looked at yet, at most; who misses some looks at all of them.
pub const PEER_EVENTS_MAX: usize = 1_024;

const _: () = assert!(PEER_BATCH_BYTES_MAX < PEER_FRAME_BYTES_MAX);
const _: () = assert!(PEER_REPLY_BYTES_MAX < PEER_FRAME_BYTES_MAX);
const _: () = assert!(LINK_QUEUE_BYTES_MAX < u32::MAX as usize);
// A gateway is started again long before a caller gives up.
const _: () = assert!(
    GATEWAY_ATTEMPTS_MAX as u128 * GATEWAY_PAUSE.as_millis() * 2 < PEER_CALL_TIMEOUT.as_millis()
);
// Everything before the proof of a HELLO is a few KiB for each connection.
const _: () = assert!(4 * HELLO_BYTES_MAX <= 16 * 1024);
const _: () = assert!(HELLO_BYTES_MAX <= u16::MAX as usize);
// What a link may hold is a multiple of what is sent at once, or batches could not gather.
const _: () = assert!(LINK_BATCHES_IN_FLIGHT * PEER_BATCH_BYTES_MAX * 4 <= LINK_QUEUE_BYTES_MAX);
const _: () = assert!(PEER_CALL_TIMEOUT.as_millis() < LINK_STUCK_TIMEOUT.as_millis());

// Every door.

/// Connections the kernel holds for a door until it accepts them.
pub const DOOR_BACKLOG: u32 = 1_024;

/// Pause of an accept loop after the system had no descriptor left, so that it does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// The HTTP door.

/// Connections served at a time. One costs 10 to 20 KiB; one over it is answered 503 and closed.
pub const HTTP_CONNECTIONS_MAX: usize = 10_000;

/// From the accepted connection to its first byte.
pub const HTTP_FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);

/// From the first byte of a request to the end of its header. A request whose first bytes came in
/// one piece with the request before has the idle time instead.
pub const HTTP_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// From the end of the header to the end of the body.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// From one answer to the next request, or to the next byte a slow reader takes of the answer.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client that is told nothing more may be silent before its connection is closed, if it
/// does not close it itself: a slow one has bytes of the last answer to read for so long.
pub const HTTP_LINGER_PAUSE: Duration = Duration::from_secs(5);

/// How long such a connection is kept at all.
pub const HTTP_LINGER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection for which there is no place is kept for its client to read that.
pub const HTTP_LINGER_REFUSED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a draining node reads on from a connection without a request under way, and then waits for
/// its client to close it: a request that is on its way arrives within it.
pub const HTTP_LINGER_LEAVING_TIMEOUT: Duration = Duration::from_millis(200);

/// What such a client may still send, in bytes; it is thrown away.
pub const HTTP_LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest target of a request, in bytes: what hyper takes; more is answered 414.
pub const HTTP_TARGET_BYTES_MAX: usize = 65_534;

/// Connections that are told 503 at a time; one over it is closed without a word.
pub const HTTP_REFUSALS_MAX: usize = 1_024;

/// Header of a request with its line, in bytes; more is answered 431. The longest target
/// must fit with some headers.
pub const HTTP_HEADER_BYTES_MAX: usize = 128 * 1024;

/// Last moment that a date in a field can say, in milliseconds since 1970: the end of the year 9999.
pub const HTTP_DATE_MAX: u64 = 253_402_300_799_999;

/// Header fields in a request; more is answered 431.
pub const HTTP_HEADERS_MAX: usize = 100;

/// What a body may have over its value, in bytes: a key in which each byte is escaped as `\u0000`,
/// and the names and signs around it.
pub const HTTP_ENVELOPE_BYTES_MAX: usize = 6 * KEY_BYTES_MAX + 1_024;

/// Bytes that bodies over [`HTTP_BODY_BYTES_SMALL`] may take together until they are stored, and one of
/// them at a time more than that, so that they never all wait for each other. It comes on top of
/// `--memory`.
pub const HTTP_BODY_BYTES_TOTAL_MAX: usize = 8 * 1024 * 1024;

/// Answers up to this size, head and body, are copied into one piece and sent as that: the system takes
/// one piece faster than two.
pub const HTTP_WRITE_COPY_BYTES: usize = 1_024;

/// How long a body waits for room before it is refused: many are read in that time.
pub const HTTP_BODY_ROOM_TIMEOUT: Duration = Duration::from_secs(2);

/// How long nothing may come of a body that has taken room and for which others wait: several round
/// trips around the earth.
pub const HTTP_BODY_STALL_TIMEOUT: Duration = Duration::from_millis(500);

/// A body that waits for no room, in bytes: what a connection may take in any case.
pub const HTTP_BODY_BYTES_SMALL: usize = 16 * 1024;

/// A value that goes out without taking room, in bytes, and a piece of a larger one: what a connection
/// may take in any case.
pub const HTTP_ANSWER_BYTES_SMALL: usize = 16 * 1024;

/// Bytes that values over [`HTTP_ANSWER_BYTES_SMALL`] may take together until clients have read them, and
/// once more what else is answered. More values go out in pieces, or wait; other answers are 503. It
/// comes on top of `--memory`.
pub const HTTP_ANSWER_BYTES_TOTAL_MAX: usize = 16 * 1024 * 1024;

/// How long a value of another node waits for room. Clients who take nothing of an answer meanwhile are
/// closed.
pub const HTTP_ANSWER_ROOM_TIMEOUT: Duration = Duration::from_secs(6);

/// Body of `/api/cmd`, in bytes.
pub const HTTP_QUERY_BODY_BYTES_MAX: usize = 64 * 1024;

/// Names in one `ONLY` query.
pub const QUERY_KEYS_MAX: usize = 1_024;

const _: () = assert!(
    HTTP_BODY_BYTES_TOTAL_MAX + 2 * HTTP_ANSWER_BYTES_TOTAL_MAX < MEMORY_BESIDE_BYTES as usize
);
const _: () = assert!(HTTP_TARGET_BYTES_MAX + 16 * 1024 < HTTP_HEADER_BYTES_MAX);
const _: () = assert!(HTTP_LINGER_PAUSE.as_secs() < HTTP_LINGER_TIMEOUT.as_secs());
// A drain reads on, closes and waits, and has time left for what has begun.
const _: () = assert!(4 * HTTP_LINGER_LEAVING_TIMEOUT.as_millis() < DRAIN_TIMEOUT.as_millis());
const _: () = assert!(HTTP_BODY_TIMEOUT.as_secs() <= 10, "half-open connections close in 10 s");
// Who waits for room outlasts those who stall with it.
const _: () = assert!(2 * HTTP_BODY_STALL_TIMEOUT.as_millis() < HTTP_BODY_ROOM_TIMEOUT.as_millis());
// Whoever is in the way is found at the next look.
const _: () = assert!(HTTP_HEADER_TIMEOUT.as_secs() < HTTP_ANSWER_ROOM_TIMEOUT.as_secs());
const _: () =
    assert!(HTTP_BODY_BYTES_TOTAL_MAX + 2 * HTTP_ANSWER_BYTES_TOTAL_MAX <= 64 * 1024 * 1024);
const _: () = assert!(HTTP_BODY_ROOM_TIMEOUT.as_millis() < HTTP_BODY_TIMEOUT.as_millis());

// The RESP door.

/// Connections served at a time, as Redis has it. One that waits costs some 5 KiB.
pub const RESP_CONNECTIONS_MAX: usize = 10_000;

/// Connections that are told at a time that there is no place.
pub const RESP_REFUSALS_MAX: usize = 1_024;

/// Arguments of a request, with the name of its command: `MSET` of 32,000 keys.
pub const RESP_ARGUMENTS_MAX: usize = 65_536;

/// Bytes of a request, all arguments together: the largest value with the longest key, or many small
/// ones.
pub const RESP_REQUEST_BYTES_MAX: usize = VALUE_BYTES_CEILING + 1024 * 1024;

/// Bytes of an argument that are read before it is refused, where the largest value is smaller: who
/// sends a little too much is told so, and keeps its connection.
pub const RESP_BULK_BYTES_LEAST: usize = 1024 * 1024;

/// Bytes of a request that is a line, as Redis has it.
pub const RESP_INLINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a line that is a number, with its sign and its end: more than any number has.
pub const RESP_NUMBER_BYTES_MAX: usize = 32;

/// Arguments of a request from a client that has not said who it is, as Redis has it.
pub const RESP_STRANGER_ARGUMENTS_MAX: usize = 10;

/// Bytes of an argument from such a client, as Redis has it.
pub const RESP_STRANGER_BULK_BYTES_MAX: usize = 16 * 1024;

/// How long a client may take to say who it is, where it has to.
pub const RESP_STRANGER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that are read from a connection at a time.
pub const RESP_READ_BYTES: usize = 16 * 1024;

/// The same from one that sends as much as fits.
pub const RESP_READ_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request that has begun to come which take no room: what a connection may have anyway.
pub const RESP_INPUT_BYTES_SMALL: usize = RESP_READ_BYTES_MAX;

/// Bytes that larger requests may take together until they are done, and one of them at a time more
/// than that. They come on top of `--memory`.
pub const RESP_INPUT_BYTES_TOTAL_MAX: usize = 32 * 1024 * 1024;

/// How long a request waits for room.
pub const RESP_INPUT_ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing may come of a request that has begun.
pub const RESP_REQUEST_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The same of one that has taken room.
pub const RESP_INPUT_STALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests that are read at a time, before those are answered.
pub const RESP_REQUESTS_MAX: usize = 1_024;

/// Commands that are given to the cache at a time.
pub const RESP_COMMANDS_MAX: usize = 1_024;

/// Reads among them, whose answers take room that nobody knows before.
pub const RESP_READS_MAX: usize = 32;

/// Bytes of replies that wait for a client; where there are more, they are sent before anything else of
/// that client is done. So one that does not read costs this much and no more.
pub const RESP_OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a reply buffer that a connection keeps between requests.
pub const RESP_OUTPUT_BYTES_KEPT: usize = 4 * 1024;

/// A value that is read with others, in bytes: a batch of reads has so many of them. A larger one is
/// asked for on its own, once there is room.
pub const RESP_FOUND_BYTES_MAX: usize = 4 * 1024;

/// A value that is sent without taking room, in bytes.
pub const RESP_VALUE_BYTES_SMALL: usize = 16 * 1024;

/// Bytes that larger values may take together until clients have read them. They come on top of
/// `--memory`.
pub const RESP_VALUE_BYTES_TOTAL_MAX: usize = 16 * 1024 * 1024;

/// How long a larger value waits for room.
pub const RESP_VALUE_ROOM_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a client may take nothing of a reply before it is closed.
pub const RESP_WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(75);

/// The same of a reply that has taken room.
pub const RESP_VALUE_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after which the kernel looks whether a silent client is still there, as Redis has it.
pub const RESP_KEEPALIVE: Duration = Duration::from_secs(300);

/// How long a draining node reads on from a connection, and a client that is told nothing more may take
/// to close it.
pub const RESP_LINGER_TIMEOUT: Duration = Duration::from_millis(200);

/// Bytes that such a client may still send; they are thrown away.
pub const RESP_LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Keys that one step of `SCAN` looks for where the client does not say, as Redis has it.
pub const RESP_SCAN_KEYS: usize = 10;

/// Keys that one step looks for, at most.
pub const RESP_SCAN_KEYS_MAX: usize = 1_000;

/// Bytes of keys in one answer of `KEYS`: more are for `SCAN`.
pub const RESP_KEYS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Cursors of `SCAN` that are remembered, of 2 KiB at most each.
pub const RESP_CURSORS_MAX: usize = 1_024;

/// Longest name that a client gives itself, in bytes.
pub const RESP_CLIENT_NAME_BYTES_MAX: usize = 255;

/// How often a change is tried that others get before.
pub const RESP_ATTEMPTS_MAX: usize = 64;

/// Bytes of messages that are sent to a client at a time, but for a single one that is larger.
pub const RESP_NEWS_BYTES: usize = 64 * 1024;

/// Bytes of requests that a client has queued to be done together.
pub const RESP_QUEUED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Requests that a client has queued to be done together. They are one piece of work for a writer, which
/// does nothing else meanwhile: some milliseconds.
pub const RESP_QUEUED_MAX: usize = 4_096;

/// Requests that all clients have queued, and the bytes of them. They come on top of `--memory`.
pub const RESP_QUEUED_TOTAL_MAX: usize = 1024 * 1024;

/// See [`RESP_QUEUED_TOTAL_MAX`].
pub const RESP_QUEUED_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;

/// Bytes that a queued request costs besides its arguments.
pub const RESP_QUEUED_OVERHEAD_BYTES: usize = 128;

/// Keys that a client watches.
pub const RESP_WATCHED_MAX: usize = 1_024;

const _: () = assert!(RESP_QUEUED_MAX + RESP_WATCHED_MAX <= TOGETHER_KEYS_MAX);
const _: () = assert!(RESP_QUEUED_BYTES_MAX + TOGETHER_REPLY_BYTES_MAX < PEER_FRAME_BYTES_MAX);
const _: () = assert!(VALUE_BYTES_CEILING + KEY_BYTES_MAX < RESP_REQUEST_BYTES_MAX);
const _: () = assert!(RESP_REQUEST_BYTES_MAX + RESP_READ_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(KEY_BYTES_MAX < RESP_BULK_BYTES_LEAST);
const _: () = assert!(RESP_COMMANDS_MAX <= BATCH_COMMANDS_MAX);
const _: () = assert!(RESP_FOUND_BYTES_MAX <= RESP_VALUE_BYTES_SMALL);
// Who waits for room outlasts those who stall with it.
const _: () = assert!(RESP_VALUE_STALL_TIMEOUT.as_millis() < RESP_VALUE_ROOM_TIMEOUT.as_millis());
const _: () = assert!(RESP_INPUT_STALL_TIMEOUT.as_millis() < RESP_INPUT_ROOM_TIMEOUT.as_millis());
const _: () = assert!(4 * RESP_LINGER_TIMEOUT.as_millis() < DRAIN_TIMEOUT.as_millis());

// Publish and subscribe.

/// Largest message that is published, in bytes.
pub const HUB_MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Longest name of a topic, or pattern, in bytes.
pub const HUB_TOPIC_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the names of all topics that members of a node listen to. Every other node keeps them too.
pub const HUB_TOPICS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of all messages that somebody has not taken yet, each counted once. They come on top of
/// `--memory`; where there are more, who is farthest behind is dropped.
pub const HUB_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages in the mailboxes of all subscribers, of some 80 bytes each besides what they say.
pub const HUB_DELIVERIES_MAX: usize = 1_000_000;

/// Messages in the mailbox of one subscriber, and the bytes of them: who is farther behind is dropped.
/// Redis has it so for its subscribers that stay behind for a minute.
pub const HUB_QUEUE_MAX: usize = 65_536;

/// See [`HUB_QUEUE_MAX`].
pub const HUB_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of messages that wait for another node; who publishes more for it waits.
pub const HUB_PEER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long who publishes waits for another node, before that goes without the message.
pub const HUB_PEER_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of messages, and of wishes, in one batch for another node, but for a single one that is larger.
pub const HUB_SPREAD_BYTES_MAX: usize = 128 * 1024;

/// Pause before a batch that was not acknowledged is sent again.
pub const HUB_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How long a subscriber waits for other nodes to know of it: one that hangs is taken for dead a little
/// later.
pub const HUB_KNOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Changes of what is listened to on a node that are remembered for others: who has missed more is told
/// everything again.
pub const HUB_LOG_MAX: usize = 4_096;

/// Runs of nodes of which it is remembered which batch came last: those there are, and those that were.
pub const HUB_HEARD_MAX: usize = 4 * PEERS_MAX;

/// How long a node that goes waits for others to take what was published on it.
pub const HUB_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

const _: () = assert!(HUB_MESSAGE_BYTES_MAX + HUB_TOPIC_BYTES_MAX <= HUB_QUEUE_BYTES_MAX);
const _: () = assert!(
    2 * HUB_SPREAD_BYTES_MAX + HUB_MESSAGE_BYTES_MAX + 2 * HUB_TOPIC_BYTES_MAX
        < PEER_FRAME_BYTES_MAX
);
const _: () = assert!(KEY_BYTES_MAX <= HUB_MESSAGE_BYTES_MAX);
const _: () = assert!(HUB_KNOWN_TIMEOUT.as_millis() < DEAD_AFTER.as_millis());

// Members and slots.

/// Members a node knows of, also those who are gone: a full mesh of links is not meant for more.
pub const MEMBERS_MAX: usize = 4_096;

/// Pause between two heartbeats to a node.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);

/// Pause between two looks at the evidence, and least pause between heartbeats that carry news.
pub const MEMBER_TICK: Duration = Duration::from_millis(100);

/// A node says that it hears another for so long after its last heartbeat: one and a half intervals,
/// so that a heartbeat may be a little late.
pub const HEARS_WITHIN: Duration = Duration::from_millis(450);

/// Silence after which a member is suspect: three heartbeats missed.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// Silence after which a member is declared dead; with the tick within 3 s of its last word.
pub const DEAD_AFTER: Duration = Duration::from_millis(2_500);

/// The same if nobody listens at its address any more: its process is gone, and a process that is
/// started again may take a moment.
pub const DEAD_AFTER_REFUSED: Duration = Duration::from_millis(700);

/// The same for a member that was never heard, as a link to it may take a while when many join.
/// Whoever did hear it declares it dead in time.
pub const DEAD_AFTER_UNHEARD: Duration = Duration::from_secs(10);

/// Silence of a link after which it is dropped, if others have heard the member meanwhile: what is
/// asked of the member then goes by way of them. Three heartbeats have missed it.
pub const DEAF_AFTER: Duration = Duration::from_millis(900);

/// How long it is remembered that a member has left or is forgotten, so that late word of its life is
/// not believed.
pub const GONE_KEEP: Duration = Duration::from_secs(60);

/// How long a member that was declared dead is shown and dialled, unless it is back or forgotten by then:
/// as long as somebody may need to look why.
pub const DEAD_KEEP: Duration = Duration::from_secs(3_600);

/// Least pause between two views sent to the same node: an exchange takes less.
pub const VIEW_PAUSE: Duration = Duration::from_millis(100);

/// Views sent in one [`MEMBER_TICK`]: one of the largest clusters is some hundred KiB.
pub const VIEWS_PER_TICK: usize = 8;

/// Pause between two looks at which claims are due.
pub const HANDOFF_TICK: Duration = Duration::from_millis(50);

/// Pause before a claim that was not answered is sent again: many round trips.
pub const CLAIM_RETRY: Duration = Duration::from_millis(200);

/// Pause before a claim is sent again that was refused because views differ.
pub const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// How far the clocks of two nodes may be apart, so that which of them is older can still be told.
pub const SKEW_MAX: Duration = Duration::from_secs(15);

/// Pause between two questions to a node whether it has sent all entries of slots that moved.
pub const SOURCE_POLL: Duration = Duration::from_millis(100);

const _: () = assert!(DEAD_AFTER.as_millis() + MEMBER_TICK.as_millis() <= 3_000);
const _: () = assert!(3 * HEARTBEAT_INTERVAL.as_millis() <= DEAF_AFTER.as_millis());
const _: () = assert!(3 * HEARTBEAT_INTERVAL.as_millis() <= SUSPECT_AFTER.as_millis());
const _: () = assert!(SUSPECT_AFTER.as_millis() < DEAD_AFTER.as_millis());
const _: () = assert!(DEAF_AFTER.as_millis() <= SUSPECT_AFTER.as_millis());
const _: () = assert!(DEAD_AFTER.as_millis() < DEAD_AFTER_UNHEARD.as_millis());
const _: () = assert!(DEAD_AFTER_UNHEARD.as_millis() < GONE_KEEP.as_millis());
const _: () = assert!(GONE_KEEP.as_millis() < DEAD_KEEP.as_millis());
// A member that is only reported must not look suspect between two reports, of which the first in a
// tick counts.
const _: () = assert!(
    HEARS_WITHIN.as_millis() + HEARTBEAT_INTERVAL.as_millis() + 2 * MEMBER_TICK.as_millis()
        < SUSPECT_AFTER.as_millis()
);
const _: () = assert!(HEARTBEAT_INTERVAL.as_millis() < HEARS_WITHIN.as_millis());
// An index of a member fits into two bytes, with one value left for nobody.
const _: () = assert!(MEMBERS_MAX < u16::MAX as usize);

// Client.

/// How long a client command waits for a connection: a node in reach accepts in milliseconds.
pub const CLIENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause between two looks of `smache drain` whether the node has ended.
pub const CLIENT_DRAIN_LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How long `smache drain` waits for that: longer than a node may take.
pub const CLIENT_DRAIN_TIMEOUT: Duration = Duration::from_secs(2 * HANDOFF_TIMEOUT.as_secs());

/// How long a client command waits for a whole answer.
///
/// Longer than a node waits for the owner of a key, so that the node's own message arrives first.
pub const CLIENT_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer a client command reads, in bytes: the largest value and what is around it.
pub const CLIENT_ANSWER_BYTES_MAX: usize = VALUE_BYTES_CEILING + 1024 * 1024;

/// Operations that `smache batch` sends in one request.
pub const CLIENT_BATCH_OPERATIONS: usize = 1_000;

/// Bytes of operations in one request of it, but for the first.
pub const CLIENT_BATCH_BYTES: usize = 1024 * 1024;

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
