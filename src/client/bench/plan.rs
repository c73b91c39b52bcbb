//! What a load run is to do: its arguments, and the same once they are checked.

use std::time::Duration;

use crate::client::{ClientArgs, ClientError};
use crate::limits::{
    BENCH_CLIENTS_MAX, BENCH_DURATION_MAX, BENCH_KEYS_MAX, BENCH_PIPELINE_MAX,
    BENCH_REQUEST_BYTES_TOTAL_MAX, BENCH_REQUESTS_MAX, BENCH_THREADS_MAX, BENCH_VALUE_BYTES_MIN,
    BENCH_ZIPF_EXPONENT_MAX, VALUE_BYTES_CEILING,
};
use crate::notation;

/// Most threads without being asked for; each is good for some 150,000 requests a second.
const THREADS_DEFAULT_MAX: usize = 4;

/// Arguments of `smache bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Connections, each with one request (or pipeline of them) under way; 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub clients: u64,
    /// Requests of the whole run; 1 to 10^12
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub requests: u64,
    /// Run for this long (`10s`, `1m 30s`) instead of for a number of requests
    #[arg(long, value_name = "TIME", conflicts_with = "requests")]
    pub duration: Option<String>,
    /// Distinct keys; 1 to 10^9
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub keys: u64,
    /// How often each key is asked for
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub distribution: Distribution,
    /// Exponent of the Zipf distribution; 0 to 10
    #[arg(long, value_name = "S", default_value_t = 0.99)]
    pub zipf_exponent: f64,
    /// Share of requests that read: 1 for only GET, 0 for only POST
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub read_share: f64,
    /// Bytes of each value written; 2 to 67108864
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub value_size: u64,
    /// Requests sent on a connection before their answers are read; 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub pipeline: u64,
    /// Threads that make the load; 1 to 64; by default half of the cores, up to 4
    #[arg(long, value_name = "N")]
    pub threads: Option<u64>,
    /// Ask for `GET /` instead, which no shard is involved in: the control
    #[arg(long)]
    pub health: bool,
    /// Seed of the random numbers; without it a random one is taken and shown
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Do not write all keys once, unmeasured, before a run that reads
    #[arg(long)]
    pub no_fill: bool,
    /// Which node, and how to print.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// How often each key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// All equally often
    Uniform,
    /// A few often and most seldom, by Zipf's law
    Zipf,
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// After so many requests.
    Requests(u64),
    /// After so much time.
    Duration(Duration),
}

/// Which requests a run consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// `GET /`
    Health,
    /// Reads and writes of keys.
    Entries {
        /// Share of reads, from 0 to 1.
        read_share: f64,
    },
}

/// A load run, checked.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) threads: usize,
    pub(super) goal: Goal,
    pub(super) load: Load,
    pub(super) keys: u64,
    /// The exponent, or `None` if all keys are equal.
    pub(super) zipf_exponent: Option<f64>,
    pub(super) value_bytes: usize,
    pub(super) pipeline: usize,
    pub(super) seed: u64,
    /// Whether all keys are written before the run.
    pub(super) is_filled: bool,
}

impl Plan {
    /// Checks `args`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Setting`] for the first that is not allowed.
    pub(super) fn new(args: &BenchArgs) -> Result<Self, ClientError> {
        let clients = within("--clients", args.clients, 1, BENCH_CLIENTS_MAX)?;
        let pipeline = within("--pipeline", args.pipeline, 1, BENCH_PIPELINE_MAX)?;
        let value_max = VALUE_BYTES_CEILING as u64;
        let value_bytes =
            within("--value-size", args.value_size, BENCH_VALUE_BYTES_MIN, value_max)?;
        within("--keys", args.keys, 1, BENCH_KEYS_MAX)?;
        let read_share = between("--read-share", args.read_share, 1.0)?;
        let exponent = between("--zipf-exponent", args.zipf_exponent, BENCH_ZIPF_EXPONENT_MAX)?;
        let threads = match args.threads {
            Some(threads) => within("--threads", threads, 1, BENCH_THREADS_MAX)?,
            None => threads_default(),
        };
        let held = args.clients * args.pipeline * args.value_size;
        if !args.health && read_share < 1.0 && BENCH_REQUEST_BYTES_TOTAL_MAX < held {
            return Err(ClientError::Setting {
                setting: "--clients × --pipeline × --value-size",
                value: held.to_string(),
                allowed: format!("up to {BENCH_REQUEST_BYTES_TOTAL_MAX} bytes"),
            });
        }
        Ok(Self {
            clients,
            threads: threads.min(clients),
            goal: goal(args)?,
            load: match args.health {
                true => Load::Health,
                false => Load::Entries { read_share },
            },
            keys: args.keys,
            zipf_exponent: (args.distribution == Distribution::Zipf).then_some(exponent),
            value_bytes,
            pipeline,
            // Half the bits are seed enough, and short enough to be typed again.
            seed: args.seed.unwrap_or_else(|| getrandom::u32().map_or(1, u64::from)),
            is_filled: !args.no_fill && !args.health && 0.0 < read_share,
        })
    }
}

fn goal(args: &BenchArgs) -> Result<Goal, ClientError> {
    let Some(text) = &args.duration else {
        within("--requests", args.requests, 1, BENCH_REQUESTS_MAX)?;
        return Ok(Goal::Requests(args.requests));
    };
    match notation::time(text) {
        Some(duration) if !duration.is_zero() && duration <= BENCH_DURATION_MAX => {
            Ok(Goal::Duration(duration))
        }
        _ => Err(ClientError::Setting {
            setting: "--duration",
            value: format!("{text:?}"),
            allowed: format!(
                "a time such as 10s, over 0 and up to {}",
                notation::of_time(BENCH_DURATION_MAX)
            ),
        }),
    }
}

fn within(setting: &'static str, value: u64, min: u64, max: u64) -> Result<usize, ClientError> {
    let wrong = || ClientError::Setting {
        setting,
        value: value.to_string(),
        allowed: format!("{min} to {max}"),
    };
    if value < min || max < value {
        return Err(wrong());
    }
    usize::try_from(value).map_err(|_| wrong())
}

fn between(setting: &'static str, value: f64, max: f64) -> Result<f64, ClientError> {
    match (0.0..=max).contains(&value) {
        true => Ok(value),
        false => Err(ClientError::Setting {
            setting,
            value: value.to_string(),
            allowed: format!("0 to {max}"),
        }),
    }
}

/// Half of the cores: the other half is for the node, which is often on the same machine.
fn threads_default() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, THREADS_DEFAULT_MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn plan(line: &str) -> Result<Plan, ClientError> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Plan::new(&Line::try_parse_from(words).unwrap().args)
    }

    #[test]
    fn the_defaults_are_a_short_run_that_mostly_reads() {
        let plan = plan("").unwrap();
        assert_eq!(plan.goal, Goal::Requests(100_000));
        assert_eq!(plan.load, Load::Entries { read_share: 0.9 });
        assert_eq!((plan.clients, plan.keys, plan.value_bytes, plan.pipeline), (50, 10_000, 64, 1));
        assert!(plan.is_filled);
        assert_eq!(plan.zipf_exponent, None);
    }

    #[test]
    fn keys_are_written_before_a_run_only_if_it_reads_them() {
        assert!(!plan("--read-share 0").unwrap().is_filled);
        assert!(!plan("--no-fill").unwrap().is_filled);
        assert!(!plan("--health").unwrap().is_filled);
        assert!(plan("--read-share 0.01").unwrap().is_filled);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_what_is_allowed() {
        for (line, expected) in [
            ("--clients 0", "--clients is 0; allowed: 1 to 10000"),
            ("--clients 10001", "--clients is 10001; allowed: 1 to 10000"),
            ("--pipeline 1001", "--pipeline is 1001; allowed: 1 to 1000"),
            ("--value-size 1", "--value-size is 1; allowed: 2 to 67108864"),
            ("--keys 0", "--keys is 0; allowed: 1 to 1000000000"),
            ("--read-share 1.1", "--read-share is 1.1; allowed: 0 to 1"),
            ("--read-share nan", "--read-share is NaN; allowed: 0 to 1"),
            ("--zipf-exponent inf", "--zipf-exponent is inf; allowed: 0 to 10"),
            ("--threads 65", "--threads is 65; allowed: 1 to 64"),
            ("--requests 0", "--requests is 0; allowed: 1 to 1000000000000"),
            ("--duration 0s", "--duration is \"0s\"; allowed: a time such as 10s"),
            ("--duration soon", "--duration is \"soon\"; allowed: a time such as 10s"),
            ("--value-size 67108864 --clients 17", "--clients × --pipeline × --value-size is "),
        ] {
            let error = plan(line).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn requests_and_duration_exclude_each_other() {
        assert!(Line::try_parse_from(["b", "--requests", "1", "--duration", "1s"]).is_err());
        assert_eq!(plan("--duration 1s").unwrap().goal, Goal::Duration(Duration::from_secs(1)));
    }
}
