//! Reading the sources of settings: variables and files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use super::ConfigError;
use crate::limits::{CONFIG_FILE_BYTES_MAX, SECRET_BYTES_MAX};

/// A setting in a file: its name, its value, and the file.
type InFile = (String, String, String);

/// Settings that can be a list in a file.
const LISTS: [&str; 2] = ["join", "allow-host"];

/// Where a node listens for others that was named without a port, as `scripts/dev.sh` starts the first.
const UPLINK_PORT: u16 = 4_100;

/// What the variable `name` says of its setting: `PORT` is the port of a loopback address, and
/// `UPLINK_NODE` may name nodes.
pub(super) fn env_value(name: &str, value: String) -> String {
    match name {
        "PORT" => format!("127.0.0.1:{value}"),
        // Smache was told of a node by its name, `node@host`; where it listens is its host.
        "UPLINK_NODE" => {
            let places = value.split(',').map(|place| place.rsplit('@').next().unwrap_or(place));
            let place = |place: &str| match place.trim() {
                "" => String::new(),
                place if place.contains(':') => place.to_owned(),
                host => format!("{host}:{UPLINK_PORT}"),
            };
            places.map(place).collect::<Vec<_>>().join(",")
        }
        _ => value,
    }
}

/// The settings in the TOML file at `path`.
///
/// # Errors
///
/// If it cannot be read, is not TOML, or has a name that is not one of `allowed`.
pub(super) fn read_file(path: &str, allowed: &[&str]) -> Result<Vec<InFile>, ConfigError> {
    let error = |reason: String| ConfigError {
        name: "config".to_owned(),
        value: path.to_owned(),
        source_of_value: "--config or SMACHE_CONFIG".to_owned(),
        reason,
    };
    let text = read_text(path, CONFIG_FILE_BYTES_MAX)
        .map_err(|reason| error(format!("cannot be read: {reason}; allowed: a TOML file")))?;
    let table: toml::Table = text.parse().map_err(|reason: toml::de::Error| {
        let line = reason.span().map_or(1, |at| 1 + text[..at.start].matches('\n').count());
        error(format!("is not TOML: line {line}: {}", reason.message().replace('\n', " ")))
    })?;
    let mut settings = Vec::with_capacity(table.len());
    for (name, value) in table {
        if !allowed.contains(&name.as_str()) {
            let allowed = allowed.join(", ");
            return Err(error(format!("has the unknown setting {name:?}; allowed: {allowed}")));
        }
        let is_list = LISTS.contains(&name.as_str());
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(values) if is_list && values.iter().all(toml::Value::is_str) => {
                let texts = values.iter().filter_map(toml::Value::as_str);
                texts.collect::<Vec<_>>().join(",")
            }
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            _ => {
                let allowed = match is_list {
                    true => "text with commas, or a list of texts",
                    false => "text, a whole number, true or false",
                };
                let found = value.type_str();
                return Err(error(format!("has {found} for {name:?}; allowed: {allowed}")));
            }
        };
        settings.push((name, value, path.to_owned()));
    }
    Ok(settings)
}

/// The secret in the file at `path`, without the line's end.
///
/// # Errors
///
/// Why it cannot be read.
pub(super) fn read_secret(path: &str) -> Result<String, String> {
    let text = read_text(path, SECRET_BYTES_MAX as u64 + 2)
        .map_err(|reason| format!("cannot be read: {reason}; allowed: a file with a secret"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Whether everybody on this machine may read the file at `path`.
pub(super) fn is_read_by_all(path: &str) -> bool {
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0)
}

fn read_text(path: &str, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if bytes_max < text.len() as u64 {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(text)
}
