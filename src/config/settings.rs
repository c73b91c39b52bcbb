//! The settings there are, and where the value of each came from.

use std::fmt;

use serde::{Serialize, Serializer};

use super::secret::Secret;
use super::{ConfigError, Flags, Parsed, sources};
use crate::limits::SECRET_BYTES_MAX;
use crate::notation;

/// One setting, with its value and source, as `smache config` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Effective {
    /// The name, as on the command line and in the file.
    pub name: &'static str,
    /// The value, as it was given.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The flag of that name.
    Flag(&'static str),
    /// The variable of that name.
    Env(&'static str),
    /// The configuration file.
    File(String),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Env(name) => f.write_str(name),
            Self::File(path) => f.write_str(path),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Http,
    Node,
    Shards,
    Memory,
    MaxValue,
    Resp,
    Cluster,
    Advertise,
    Join,
    AllowAlone,
    MembersMin,
    DrainTimeout,
    CookieFile,
    TokenFile,
    AllowHost,
    Insecure,
    Demo,
    Log,
    LogFormat,
    Slow,
    LogKeys,
}

/// What is fixed about a setting.
struct Definition {
    name: Name,
    text: &'static str,
    env: &'static [&'static str],
    default: &'static str,
}

const fn define(
    name: Name,
    text: &'static str,
    env: &'static [&'static str],
    default: &'static str,
) -> Definition {
    Definition { name, text, env, default }
}

/// Every setting, in the order of the contract.
const DEFINITIONS: [Definition; 21] = [
    define(Name::Http, "http", &["SMACHE_HTTP", "PORT"], "127.0.0.1:4000"),
    define(Name::Node, "node", &["SMACHE_NODE"], "smache@localhost"),
    define(Name::Shards, "shards", &["SMACHE_SHARDS", "SHARD_LIMIT"], "4"),
    define(Name::Memory, "memory", &["SMACHE_MEMORY"], "256MiB"),
    define(Name::MaxValue, "max-value", &["SMACHE_MAX_VALUE"], "1MiB"),
    define(Name::Resp, "resp", &["SMACHE_RESP"], "off"),
    define(Name::Cluster, "cluster", &["SMACHE_CLUSTER"], "off"),
    define(Name::Advertise, "advertise", &["SMACHE_ADVERTISE"], ""),
    define(Name::Join, "join", &["SMACHE_JOIN", "UPLINK_NODE"], ""),
    define(Name::AllowAlone, "allow-alone", &["SMACHE_ALLOW_ALONE"], ""),
    define(Name::MembersMin, "members-min", &["SMACHE_MEMBERS_MIN"], "1"),
    define(Name::DrainTimeout, "drain-timeout", &["SMACHE_DRAIN_TIMEOUT"], ""),
    define(Name::CookieFile, "cookie-file", &["SMACHE_COOKIE_FILE"], ""),
    define(Name::TokenFile, "token-file", &["SMACHE_TOKEN_FILE"], ""),
    define(Name::AllowHost, "allow-host", &["SMACHE_ALLOW_HOST"], ""),
    define(Name::Insecure, "insecure", &["SMACHE_INSECURE"], "false"),
    define(Name::Demo, "demo", &["SMACHE_DEMO"], "false"),
    define(Name::Log, "log", &["SMACHE_LOG"], "info"),
    define(Name::LogFormat, "log-format", &["SMACHE_LOG_FORMAT"], "text"),
    define(Name::Slow, "slow", &["SMACHE_SLOW"], "off"),
    define(Name::LogKeys, "log-keys", &["SMACHE_LOG_KEYS"], "false"),
];

/// The name and the default of every setting.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    DEFINITIONS.iter().map(|definition| (definition.text, definition.default))
}

/// Variables of this program that stand for no setting of `serve`.
const OTHER_VARIABLES: [&str; 5] =
    ["SMACHE_CONFIG", "SMACHE_TOKEN", "SMACHE_COOKIE", "SMACHE_URL", "SMACHE_DEMO_CLOCK_OFFSET_MS"];

const SECRET_SHOWN: &str = "(secret)";

/// The value of every setting.
pub(super) struct Settings {
    values: Vec<(Name, Effective)>,
    secrets: Vec<(&'static str, String)>,
    /// What is not wrong and hardly meant, in lines for the log.
    warnings: Vec<String>,
}

impl Settings {
    /// Reads each setting from the first source that has it.
    pub(super) fn load(
        flags: &Flags,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let names: Vec<_> = DEFINITIONS.iter().map(|definition| definition.text).collect();
        let path = flags.config.clone().or_else(|| env("SMACHE_CONFIG"));
        let file = path.map_or(Ok(vec![]), |path| sources::read_file(&path, &names))?;
        let value_of = |definition: &Definition| {
            let text = definition.text;
            if let Some(value) = flags.value(definition.name) {
                return (value, Source::Flag(text));
            }
            let set = definition.env.iter().find_map(|name| env(name).map(|value| (*name, value)));
            if let Some((name, value)) = set {
                return (sources::env_value(name, value), Source::Env(name));
            }
            match file.iter().find(|(name, ..)| name == text) {
                Some((_, value, path)) => (value.clone(), Source::File(path.clone())),
                None => (definition.default.to_owned(), Source::Default),
            }
        };
        let values = DEFINITIONS.iter().map(|definition| {
            let (value, source) = value_of(definition);
            (definition.name, Effective { name: definition.text, value, source })
        });
        let secrets = ["SMACHE_TOKEN", "SMACHE_COOKIE"];
        let secrets = secrets.into_iter().filter_map(|name| env(name).map(|value| (name, value)));
        Ok(Self { values: values.collect(), secrets: secrets.collect(), warnings: vec![] })
    }

    /// The checked value of a setting.
    pub(super) fn parse<T>(
        &self,
        name: Name,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Result<T, ConfigError> {
        parse(&self.effective(name).value).map_err(|allowed| self.error(name, allowed))
    }

    /// The secret in the file of setting `name`, else in the variable `variable`, if any.
    pub(super) fn secret(
        &mut self,
        name: Name,
        variable: &'static str,
    ) -> Result<Option<Secret>, ConfigError> {
        let Effective { value: path, source, .. } = self.effective(name).clone();
        let is_given = self.secrets.iter().any(|(name, _)| *name == variable);
        // The environment comes before the file of settings, and after the flag.
        let is_outdone = is_given && matches!(source, Source::File(_));
        if !path.is_empty() && !is_outdone {
            let text = sources::read_secret(&path).map_err(|reason| self.error(name, reason))?;
            if sources::is_read_by_all(&path) {
                let name = self.effective(name).name;
                self.warn(format!(
                    "{name} = {path:?} can be read by everybody; allowed: chmod 600"
                ));
            }
            let wrong = match text.is_empty() {
                true => "the file is empty",
                false => "the file holds something else",
            };
            return match is_secret(&text) {
                true => Ok(Some(Secret::new(text))),
                false => Err(self.error(name, format!("{wrong}; {}", allowed_secret()))),
            };
        }
        let given = self.secrets.iter().find(|(name, _)| *name == variable);
        let Some(text) = given.map(|(_, value)| value.clone()) else {
            return Ok(None);
        };
        if let Some((_, setting)) = self.values.iter_mut().find(|(n, _)| *n == name) {
            setting.value = SECRET_SHOWN.to_owned();
            setting.source = Source::Env(variable);
        }
        if is_secret(&text) {
            return Ok(Some(Secret::new(text)));
        }
        Err(self.error(name, allowed_secret()))
    }

    /// Lowers a default that nobody asked for to `bytes`.
    pub(super) fn lower_default(&mut self, name: Name, bytes: usize) {
        let Some((_, setting)) = self.values.iter_mut().find(|(n, _)| *n == name) else {
            return;
        };
        let is_over = notation::size(&setting.value).is_some_and(|size| (bytes as u64) < size);
        if setting.source == Source::Default && is_over {
            setting.value = bytes.to_string();
        }
    }

    /// Notes a line for the log.
    pub(super) fn warn(&mut self, line: String) {
        self.warnings.push(line);
    }

    /// What was noted.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Shows a value as it was understood, where it can be written in several ways.
    pub(super) fn show(&mut self, name: Name, value: String) {
        if let Some((_, setting)) = self.values.iter_mut().find(|(n, _)| *n == name) {
            setting.value = value;
        }
    }

    /// Names of variables that look like settings and are none. A service called `smache` makes
    /// Kubernetes set some that are not meant for it.
    pub(super) fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
        let known = DEFINITIONS.iter().flat_map(|definition| definition.env);
        let known: Vec<_> = known.copied().chain(OTHER_VARIABLES).collect();
        let is_of_service = |name: &str| {
            name.starts_with("SMACHE_SERVICE_")
                || name == "SMACHE_PORT"
                || name.starts_with("SMACHE_PORT_")
        };
        let is_unknown = |name: &String| {
            name.starts_with("SMACHE_") && !known.contains(&name.as_str()) && !is_of_service(name)
        };
        let mut unknown: Vec<_> = names.filter(is_unknown).collect();
        unknown.sort();
        unknown
    }

    pub(super) fn error(&self, name: Name, reason: impl Into<String>) -> ConfigError {
        let Effective { name, value, source } = self.effective(name).clone();
        let source_of_value = source.to_string();
        ConfigError { name: name.to_owned(), value, source_of_value, reason: reason.into() }
    }

    pub(super) fn into_effective(self) -> Vec<Effective> {
        self.values.into_iter().map(|(_, setting)| setting).collect()
    }

    /// The value of a setting as it was given.
    pub(super) fn value(&self, name: Name) -> String {
        self.effective(name).value.clone()
    }

    fn effective(&self, name: Name) -> &Effective {
        // Definitions are in the order of the names, one for each.
        &self.values[name as usize].1
    }
}

// `Settings::effective` finds a setting by its place.
const _: () = {
    let mut place = 0;
    while place < DEFINITIONS.len() {
        assert!(DEFINITIONS[place].name as usize == place);
        place += 1;
    }
};

fn is_secret(text: &str) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn allowed_secret() -> String {
    format!("allowed: 1 to {SECRET_BYTES_MAX} visible ASCII characters")
}
