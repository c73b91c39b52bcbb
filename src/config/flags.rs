//! The flags of `smache serve` and `smache config`, as text: what they mean is checked elsewhere.

use super::settings::Name;

/// Every setting that can be given on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// TOML file of settings under the names of these flags; unknown names are refused
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) config: Option<String>,
    /// HTTP listener, or off (default 127.0.0.1:4000; env SMACHE_HTTP, or PORT for the port)
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    http: Option<String>,
    /// Name of this node, unique in its cluster (default smache@localhost; env SMACHE_NODE)
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    node: Option<String>,
    /// Shard actors, 1 to 1024 (default 4; env SMACHE_SHARDS, SHARD_LIMIT)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shards: Option<String>,
    /// Bound on cached data and its index, all shards together (default 256MiB): a size, or a share
    /// of the memory there is, like 60% (env SMACHE_MEMORY)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Largest value accepted, up to 64MiB and a quarter of a shard's memory (default 1MiB)
    /// (env SMACHE_MAX_VALUE)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    max_value: Option<String>,
    /// Redis protocol listener, or off (default off; env SMACHE_RESP)
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    resp: Option<String>,
    /// Listener for other nodes, or off (default off; env SMACHE_CLUSTER)
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    cluster: Option<String>,
    /// How other nodes reach this one (default: the cluster address; env SMACHE_ADVERTISE)
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    advertise: Option<String>,
    /// Other nodes to find: host:port or dns:name:port, comma-separated (env SMACHE_JOIN,
    /// UPLINK_NODE)
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    join: Option<String>,
    /// Begin a cluster alone after 10 s where nothing is seen of a place in --join: true or false
    /// (default: true if --cluster is loopback; env SMACHE_ALLOW_ALONE)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_alone: Option<String>,
    /// Members that have to be alive in this node's view, once, before it is ready (default 1: itself; env
    /// SMACHE_MEMBERS_MIN)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    members_min: Option<String>,
    /// How long a drain goes on for what nobody takes, like 30s or 5m (default: until nothing was
    /// taken for 5s; env SMACHE_DRAIN_TIMEOUT)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain_timeout: Option<String>,
    /// File with the cluster secret, needed once --cluster is not loopback
    /// (env SMACHE_COOKIE_FILE, or SMACHE_COOKIE for the secret itself)
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    cookie_file: Option<String>,
    /// File with the token clients must present (env SMACHE_TOKEN_FILE, or SMACHE_TOKEN for the
    /// token itself)
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    token_file: Option<String>,
    /// Names that clients may call this node by where it has no token, comma-separated, like
    /// cache.internal or *.svc.cluster.local (default: this machine's own; env SMACHE_ALLOW_HOST)
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    allow_host: Option<String>,
    /// Allow listening off loopback without secrets (env SMACHE_INSECURE)
    #[arg(long)]
    insecure: bool,
    /// Enable crashing actors from outside, for demonstrations (env SMACHE_DEMO)
    #[arg(long)]
    demo: bool,
    /// off, error, warn, info, debug or trace, on standard error (default info; env SMACHE_LOG)
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    log: Option<String>,
    /// text or json (default text; env SMACHE_LOG_FORMAT)
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    log_format: Option<String>,
    /// Log requests that take this long, like 50ms, at level warn, or off (default off; env SMACHE_SLOW)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    slow: Option<String>,
    /// Log the path and the query of requests, which have keys in them (env SMACHE_LOG_KEYS)
    #[arg(long)]
    log_keys: bool,
}

impl Flags {
    /// What was given for a setting.
    pub(super) fn value(&self, name: Name) -> Option<String> {
        match name {
            Name::Http => self.http.clone(),
            Name::Node => self.node.clone(),
            Name::Shards => self.shards.clone(),
            Name::Memory => self.memory.clone(),
            Name::MaxValue => self.max_value.clone(),
            Name::Resp => self.resp.clone(),
            Name::Cluster => self.cluster.clone(),
            Name::Advertise => self.advertise.clone(),
            Name::Join => self.join.clone(),
            Name::AllowAlone => self.allow_alone.clone(),
            Name::MembersMin => self.members_min.clone(),
            Name::DrainTimeout => self.drain_timeout.clone(),
            Name::CookieFile => self.cookie_file.clone(),
            Name::TokenFile => self.token_file.clone(),
            Name::AllowHost => self.allow_host.clone(),
            Name::Insecure => self.insecure.then(|| "true".to_owned()),
            Name::Demo => self.demo.then(|| "true".to_owned()),
            Name::Log => self.log.clone(),
            Name::LogFormat => self.log_format.clone(),
            Name::Slow => self.slow.clone(),
            Name::LogKeys => self.log_keys.then(|| "true".to_owned()),
        }
    }

    #[cfg(test)]
    pub(super) fn parse_from_words(words: &[&str]) -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            flags: Flags,
        }
        let words = std::iter::once("smache").chain(words.iter().copied());
        <Line as clap::Parser>::try_parse_from(words).unwrap().flags
    }
}
