//! The configuration: read from flags, environment, file and defaults, checked once.
//!
//! Past [`Config::load`] nothing is text any more: each value is within its bounds, and the relations
//! between values hold.

mod cluster;
mod example;
mod flags;
mod hosts;
mod memory;
mod reload;
mod secret;
mod settings;
mod sources;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytesize::ByteSize;

use crate::limits::{
    MEMORY_BYTES_MAX, MEMORY_PERCENT_MAX, SHARDS_MAX, TABLE_BYTES_MAX, TABLE_BYTES_MIN,
    VALUE_BYTES_CEILING, VALUE_SHARE_MAX,
};

use crate::member::NodeName;
use crate::notation::{self, TIME_ALLOWED};

pub use cluster::{ClusterConfig, Seed};
pub use example::example;
pub use flags::Flags;
pub use hosts::AllowedHosts;
pub use reload::Changes;
pub use secret::Secret;
pub use settings::{Effective, Source};

use memory::Room;
use settings::{Name, Settings};

/// What a node is started with.
#[derive(Debug)]
pub struct Config {
    /// Where the HTTP door listens; `None` for no door.
    pub http: Option<SocketAddr>,
    /// Where the RESP door listens; `None` for no door.
    pub resp: Option<SocketAddr>,
    /// The name of the node, unique in its cluster.
    pub node: NodeName,
    /// How many shards write.
    pub shards: NonZeroUsize,
    /// The bound on cached data and its index, all shards together.
    pub memory_bytes: usize,
    /// The largest value that is stored.
    pub value_bytes_max: usize,
    /// How it finds and meets other nodes; `None` for a node alone.
    pub cluster: Option<ClusterConfig>,
    /// What clients must present, if anything.
    pub token: Option<Secret>,
    /// Names that clients may call this node by, beside its own, where there is no token.
    pub allowed_hosts: AllowedHosts,
    /// Whether actors may be crashed from outside.
    pub has_demo: bool,
    /// What is logged.
    pub log: tracing::level_filters::LevelFilter,
    /// How it is logged.
    pub log_format: LogFormat,
    /// What is logged of requests.
    pub request_log: RequestLog,
    /// What is not wrong and hardly meant, in lines for the log.
    pub warnings: Vec<String>,
}

/// What is logged of requests, besides all of them at level debug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLog {
    /// From which time on a request is slow, and logged for that; `None` for never.
    pub slow: Option<Duration>,
    /// Whether keys may be logged.
    pub has_keys: bool,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line, for programs.
    Json,
}

/// A value that is not allowed; nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} = {value:?} (from {source_of_value}): {reason}")]
pub struct ConfigError {
    name: String,
    value: String,
    source_of_value: String,
    reason: String,
}

impl Config {
    /// Reads the sources in their order and checks what they say.
    ///
    /// # Errors
    ///
    /// The first value that is not allowed, with its setting and what is.
    pub fn load(flags: &Flags) -> Result<(Self, Vec<Effective>), ConfigError> {
        // What is not UTF-8 is nothing a setting can be: it is shown with a sign that is refused.
        let variable =
            |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
        let mut settings = Settings::load(flags, &variable)?;
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        for name in Settings::unknown_variables(names) {
            settings
                .warn(format!("the variable {name} is none of this program's, and is passed over"));
        }
        Self::from_settings(settings)
    }

    fn from_settings(mut settings: Settings) -> Result<(Self, Vec<Effective>), ConfigError> {
        let shards = settings.parse(Name::Shards, shards)?;
        let memory_bytes = memory_of_shards(&mut settings, shards)?;
        let shard_bytes = memory_bytes / shards.get();
        // The default gives way to a small memory; what was asked for does not.
        let value_bytes_allowed = shard_bytes / VALUE_SHARE_MAX;
        settings.lower_default(Name::MaxValue, value_bytes_allowed);
        let value_bytes_max = settings.parse(Name::MaxValue, max_value)?;
        if value_bytes_allowed < value_bytes_max {
            let most = ByteSize(value_bytes_allowed as u64);
            let reason = format!("allowed: up to {most}, a quarter of the memory of a shard");
            return Err(settings.error(Name::MaxValue, reason));
        }
        let http = settings.parse(Name::Http, listener)?;
        let resp = settings.parse(Name::Resp, listener)?;
        let token = settings.secret(Name::TokenFile, "SMACHE_TOKEN")?;
        let cookie = settings.secret(Name::CookieFile, "SMACHE_COOKIE")?;
        let is_insecure = settings.parse(Name::Insecure, switch)?;
        if token.is_none() && !is_insecure {
            check_local(&settings, &[(Name::Http, http), (Name::Resp, resp)])?;
        }
        let cluster = ClusterConfig::from_settings(&settings, cookie, is_insecure)?;
        let request_log = RequestLog {
            slow: settings.parse(Name::Slow, slow)?,
            has_keys: settings.parse(Name::LogKeys, switch)?,
        };
        if let (Some(http), Some(cluster)) = (http, &cluster)
            && is_same(http, cluster.listen)
        {
            let reason = "is the address of --http too; allowed: another port";
            return Err(settings.error(Name::Cluster, reason));
        }
        let has_demo = settings.parse(Name::Demo, switch)?;
        settings.show(Name::Demo, has_demo.to_string());
        settings.show(Name::Insecure, is_insecure.to_string());
        settings.show(Name::LogKeys, request_log.has_keys.to_string());
        let config = Self {
            http,
            resp,
            node: settings.parse(Name::Node, node_name)?,
            shards,
            memory_bytes,
            value_bytes_max,
            cluster,
            token,
            allowed_hosts: settings.parse(Name::AllowHost, hosts::allowed)?,
            has_demo,
            log: settings.parse(Name::Log, log_level)?,
            log_format: settings.parse(Name::LogFormat, log_format)?,
            request_log,
            warnings: settings.take_warnings(),
        };
        Ok((config, settings.into_effective()))
    }
}

/// Checks that none of these doors can be reached from elsewhere.
fn check_local(
    settings: &Settings,
    doors: &[(Name, Option<SocketAddr>)],
) -> Result<(), ConfigError> {
    let is_public = |addr: &Option<SocketAddr>| addr.is_some_and(|addr| !addr.ip().is_loopback());
    match doors.iter().find(|(_, addr)| is_public(addr)) {
        None => Ok(()),
        Some((name, _)) => {
            let reason = "listens off loopback without a token; allowed: a loopback address, or set \
                          --token-file or SMACHE_TOKEN, or --insecure";
            Err(settings.error(*name, reason))
        }
    }
}

/// A parser says what is allowed where it fails.
type Parsed<T> = Result<T, String>;

fn shards(text: &str) -> Parsed<NonZeroUsize> {
    let shards = text.parse().ok().filter(|shards: &NonZeroUsize| shards.get() <= SHARDS_MAX);
    shards.ok_or_else(|| format!("allowed: a whole number from 1 to {SHARDS_MAX}"))
}

/// The memory of all shards together, with what is to be said of it.
fn memory_of_shards(settings: &mut Settings, shards: NonZeroUsize) -> Result<usize, ConfigError> {
    let room = Room::of_this_process();
    let memory_bytes = settings.parse(Name::Memory, |text| memory(text, &room))?;
    if settings.value(Name::Memory).ends_with('%') {
        let size = ByteSize(memory_bytes as u64);
        settings.show(Name::Memory, format!("{} = {size}", settings.value(Name::Memory)));
    }
    if let Some(warning) = room.warning(memory_bytes) {
        settings.warn(warning);
    }
    let shard_bytes = memory_bytes / shards.get();
    if TABLE_BYTES_MAX < shard_bytes {
        let most = ByteSize(TABLE_BYTES_MAX as u64);
        let reason = format!("allowed: up to {most} for each shard, so more --shards");
        return Err(settings.error(Name::Memory, reason));
    }
    if shard_bytes < TABLE_BYTES_MIN {
        let least = ByteSize((TABLE_BYTES_MIN * shards.get()) as u64);
        let reason = format!("allowed: at least {least} for {shards} shards");
        return Err(settings.error(Name::Memory, reason));
    }
    Ok(memory_bytes)
}

/// Whether two listeners want the same port of the same machine.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_all || one.ip() == other.ip())
}

fn memory(text: &str, room: &Room) -> Parsed<usize> {
    let Some(percent) = text.strip_suffix('%') else { return size(text, MEMORY_BYTES_MAX) };
    let percent = percent.parse().ok().filter(|share| (1..=MEMORY_PERCENT_MAX).contains(share));
    let percent: u64 = percent
        .ok_or_else(|| format!("allowed: a share from 1% to {MEMORY_PERCENT_MAX}%, or a size"))?;
    let there = room.bytes().ok_or("the system does not say how much there is; allowed: a size")?;
    let bytes = u128::from(there) * u128::from(percent) / 100;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX).min(MEMORY_BYTES_MAX))
}

fn max_value(text: &str) -> Parsed<usize> {
    size(text, VALUE_BYTES_CEILING)
}

fn size(text: &str, bytes_max: usize) -> Parsed<usize> {
    let bytes = notation::size(text).and_then(|size| usize::try_from(size).ok());
    bytes.filter(|bytes| (1..=bytes_max).contains(bytes)).ok_or_else(|| {
        format!("allowed: a size like 64KiB or 256MiB, up to {}", ByteSize(bytes_max as u64))
    })
}

fn listener(text: &str) -> Parsed<Option<SocketAddr>> {
    if text == "off" {
        return Ok(None);
    }
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port| SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
    let addr = local.or_else(|| text.parse().ok());
    addr.map(Some).ok_or_else(|| {
        "allowed: an address with a port like 127.0.0.1:4000 or [::1]:4000, or off".to_owned()
    })
}

fn node_name(text: &str) -> Parsed<NodeName> {
    NodeName::new(text).map_err(|wrong| wrong.to_string())
}

fn switch(text: &str) -> Parsed<bool> {
    match text {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" | "" => Ok(false),
        _ => Err("allowed: true or false, or 1, on, yes, 0, off, no".to_owned()),
    }
}

fn log_level(text: &str) -> Parsed<tracing::level_filters::LevelFilter> {
    // The parser of the crate takes numbers as well, which nobody could read.
    let is_word = text.bytes().all(|byte| byte.is_ascii_lowercase());
    text.parse()
        .ok()
        .filter(|_| is_word)
        .ok_or_else(|| "allowed: off, error, warn, info, debug, trace".to_owned())
}

fn slow(text: &str) -> Parsed<Option<Duration>> {
    if text == "off" {
        return Ok(None);
    }
    // All of them are as slow as 0.
    notation::time(text)
        .map(Some)
        .ok_or_else(|| format!("allowed: a time like {TIME_ALLOWED}, or off"))
}

fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("allowed: text, json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Write as _;

    use super::*;

    fn load(flags: &[&str], env: &[(&str, &str)]) -> Result<(Config, Vec<Effective>), String> {
        let flags = Flags::parse_from_words(flags);
        let env: HashMap<_, _> = env.iter().copied().collect();
        Settings::load(&flags, &|name| env.get(name).map(|value| (*value).to_owned()))
            .and_then(Config::from_settings)
            .map_err(|error| error.to_string())
    }

    fn error(flags: &[&str], env: &[(&str, &str)]) -> String {
        load(flags, env).err().unwrap_or_default()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let (config, effective) = load(&[], &[]).unwrap();
        assert_eq!(config.http, Some("127.0.0.1:4000".parse().unwrap()));
        assert_eq!(config.resp, None);
        assert_eq!((config.node.as_str(), config.shards.get()), ("smache@localhost", 4));
        assert_eq!((config.memory_bytes, config.value_bytes_max), (256 << 20, 1 << 20));
        assert!(config.token.is_none() && !config.has_demo);
        assert!(effective.iter().all(|setting| setting.source == Source::Default));
    }

    #[test]
    fn the_example_with_every_line_in_use_is_what_holds_without_it() {
        let text = example().replace("\n#", "\n").replace("\n ", "\n# ");
        let file = file(&text);
        let (_, without) = load(&[], &[]).unwrap();
        let (_, with) = load(&["--config", file.path().to_str().unwrap()], &[]).unwrap();
        let values = |all: &[Effective]| -> Vec<_> {
            all.iter().map(|setting| (setting.name, setting.value.clone())).collect()
        };
        assert_eq!(values(&with), values(&without));
        assert!(with.iter().all(|setting| matches!(setting.source, Source::File(_))), "{with:?}");
    }

    #[test]
    fn a_flag_is_before_the_environment_and_that_before_the_file() {
        let file = file("shards = 2\nnode = \"file@x\"\nmemory = \"64MiB\"\ndemo = true\n");
        let path = file.path().to_str().unwrap();
        let env = [("SMACHE_SHARDS", "3"), ("SMACHE_NODE", "env@x")];
        let (config, effective) = load(&["--config", path, "--shards", "5"], &env).unwrap();
        assert_eq!((config.shards.get(), config.node.as_str()), (5, "env@x"));
        assert_eq!(config.memory_bytes, 64 << 20);
        assert!(config.has_demo);
        let source = |name| effective.iter().find(|s| s.name == name).unwrap().source.to_string();
        assert_eq!(source("shards"), "--shards");
        assert_eq!(source("node"), "SMACHE_NODE");
        assert_eq!(source("memory"), path);
        assert_eq!(source("log"), "default");
    }

    #[test]
    fn the_names_of_the_original_still_work() {
        let (config, _) = load(&[], &[("PORT", "4321"), ("SHARD_LIMIT", "7")]).unwrap();
        assert_eq!(config.http.map(|addr| addr.to_string()).as_deref(), Some("127.0.0.1:4321"));
        assert_eq!(config.shards.get(), 7);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_source_and_what_is_allowed() {
        assert_eq!(
            error(&["--shards", "0"], &[]),
            "shards = \"0\" (from --shards): allowed: a whole number from 1 to 1024"
        );
        for (flags, name) in [
            (["--memory", "0%"], "memory"),
            (["--memory", "95%"], "memory"),
            (["--members-min", "0"], "members-min"),
            (["--members-min", "3"], "members-min"),
            (["--allow-host", "a b"], "allow-host"),
            (["--shards", "-1"], "shards"),
            (["--http", "4000x"], "http"),
            (["--memory", "lots"], "memory"),
            (["--memory", "1KiB"], "memory"),
            (["--max-value", "65MiB"], "max-value"),
            (["--max-value", "40MiB"], "max-value"),
            (["--node", "a b"], "node"),
            (["--log", "loud"], "log"),
            (["--log-format", "xml"], "log-format"),
            (["--token-file", "/nonexistent"], "token-file"),
            (["--resp", "6379"], "resp"),
            (["--resp", "0.0.0.0:6379"], "resp"),
            (["--join", "a:1"], "join"),
            (["--advertise", "a"], "advertise"),
            (["--cluster", "0.0.0.0:4100"], "cluster"),
        ] {
            let error = error(&flags, &[]);
            assert!(error.starts_with(&format!("{name} = ")), "{error}");
            assert!(error.contains("allowed:") && !error.contains('\n'), "{error}");
        }
        assert!(error(&[], &[("PORT", "http")]).contains("from PORT"));
        assert!(
            error(&[], &[("SMACHE_DEMO", "maybe")])
                .contains("allowed: true or false, or 1, on, yes")
        );
    }

    #[test]
    fn a_file_with_an_unknown_name_is_refused() {
        let file = file("shard = 2\n");
        let error = error(&["--config", file.path().to_str().unwrap()], &[]);
        assert!(error.contains("shard") && error.contains("allowed: http, node,"), "{error}");
    }

    #[test]
    fn listening_off_loopback_needs_a_secret_or_the_word_insecure() {
        let public = ["--http", "0.0.0.0:4000"];
        assert!(error(&public, &[]).contains("without a token"));
        assert!(load(&public, &[("SMACHE_TOKEN", "secret")]).is_ok());
        assert!(load(&public, &[("SMACHE_INSECURE", "true")]).is_ok());
        assert!(load(&["--http", "[::1]:4000"], &[]).is_ok());
        assert!(load(&["--resp", "0.0.0.0:6379"], &[("SMACHE_TOKEN", "secret")]).is_ok());
    }

    #[test]
    fn a_secret_is_read_from_its_file_and_never_shown() {
        let file = file("hush-hush\n");
        let flags = ["--token-file", file.path().to_str().unwrap()];
        let (config, effective) = load(&flags, &[("SMACHE_COOKIE", "biscuit")]).unwrap();
        assert_eq!(config.token.as_ref().map(Secret::as_bytes), Some(b"hush-hush".as_slice()));
        let shown = format!("{config:?} {effective:?}");
        assert!(!shown.contains("hush") && !shown.contains("biscuit"), "{shown}");
        assert!(!error(&[], &[("SMACHE_TOKEN", "with\nnewline")]).contains("newline"));
    }

    #[test]
    fn settings_that_are_read_again_say_what_changes_now_and_what_waits() {
        let (file, secret) = (file("log = \"info\"\nshards = 2\n"), file("one\n"));
        let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
        let flags = ["--config", &path(&file), "--token-file", &path(&secret)];
        let (config, settings) = load(&flags, &[]).unwrap();
        let changes = |of: &Config| {
            let (again, settings_again) = load(&flags, &[]).unwrap();
            of.changes(&settings, &again, &settings_again)
        };
        assert_eq!(changes(&config), Changes::default());
        std::fs::write(file.path(), "log = \"debug\"\nshards = 3\n").unwrap();
        std::fs::write(secret.path(), "another\n").unwrap();
        let log = Some(tracing::level_filters::LevelFilter::DEBUG);
        assert_eq!(changes(&config), Changes { log, waiting: vec!["shards", "token-file"] });
    }

    #[test]
    fn a_switch_is_shown_as_it_is_understood_and_a_share_of_memory_with_its_size() {
        let (config, effective) = load(&["--memory", "50%"], &[("SMACHE_DEMO", "yes")]).unwrap();
        let value = |name| effective.iter().find(|s| s.name == name).unwrap().value.clone();
        assert_eq!((value("demo").as_str(), config.has_demo), ("true", true));
        assert!(value("memory").starts_with("50% = "), "{}", value("memory"));
        assert!(TABLE_BYTES_MIN < config.memory_bytes);
    }

    #[test]
    fn one_address_for_two_listeners_is_named_as_that() {
        for (http, cluster) in
            [("127.0.0.1:4100", "127.0.0.1:4100"), ("localhost:4100", "127.0.0.1:4100")]
        {
            let error = error(&["--http", http, "--cluster", cluster], &[]);
            assert!(error.contains("is the address of --http too"), "{error}");
        }
        assert!(load(&["--http", "127.0.0.1:0", "--cluster", "127.0.0.1:0"], &[]).is_ok());
        assert!(load(&["--http", "[::1]:4100", "--cluster", "127.0.0.1:4100"], &[]).is_ok());
    }

    #[test]
    fn lists_in_a_file_may_be_lists_and_what_is_wrong_there_has_a_line() {
        let write = |text: &str| file(text);
        let lists = write("cluster = \"127.0.0.1:0\"\njoin = [\"a:1\", \"b:2\"]\n");
        let (config, _) = load(&["--config", lists.path().to_str().unwrap()], &[]).unwrap();
        assert_eq!(config.cluster.unwrap().join.len(), 2);
        for (text, said) in [
            ("shards = 2\nnode = \n", "line 2"),
            ("join = [1]\n", "has array for \"join\"; allowed: text with commas, or a list"),
            ("shards = 1.5\n", "has float for \"shards\"; allowed: text, a whole number"),
        ] {
            let wrong = write(text);
            let error = error(&["--config", wrong.path().to_str().unwrap()], &[]);
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn an_uplink_may_be_a_node_or_its_host() {
        let env = [
            ("UPLINK_NODE", "smache@one.local, two:4101,three"),
            ("SMACHE_CLUSTER", "127.0.0.1:0"),
        ];
        let (config, _) = load(&[], &env).unwrap();
        let addr = |text: &str| Seed::Addr(text.to_owned());
        let expected = [addr("one.local:4100"), addr("two:4101"), addr("three:4100")];
        assert_eq!(config.cluster.unwrap().join, expected);
    }

    #[test]
    fn an_empty_file_of_a_secret_and_one_that_all_can_read_are_said() {
        use std::os::unix::fs::PermissionsExt as _;
        let secret = file("");
        let flags = ["--token-file", secret.path().to_str().unwrap()];
        assert!(error(&flags, &[]).contains("the file is empty; allowed: 1 to"));
        std::fs::write(secret.path(), "hush\n").unwrap();
        assert_eq!(load(&flags, &[]).unwrap().0.warnings, [""; 0]);
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(secret.path(), mode(0o644)).unwrap();
        let (config, _) = load(&flags, &[]).unwrap();
        assert!(config.warnings[0].contains("can be read by everybody"), "{:?}", config.warnings);
    }

    #[test]
    fn variables_that_look_like_settings_and_are_none_are_found() {
        let names =
            ["SMACHE_MEMROY", "SMACHE_MEMORY", "SMACHE_PORT_4000_TCP", "PATH", "SMACHE_URL"];
        let unknown = Settings::unknown_variables(names.into_iter().map(str::to_owned));
        assert_eq!(unknown, ["SMACHE_MEMROY"]);
    }

    #[test]
    fn a_small_memory_lowers_the_default_of_the_largest_value() {
        let (config, _) = load(&["--memory", "2MiB"], &[]).unwrap();
        assert_eq!(config.value_bytes_max, 128 << 10);
    }
}
