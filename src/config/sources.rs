//! Reading the sources of settings: variables and files.

use std::fs::File;
use std::io::{self, Read};

use super::ConfigError;
use crate::limits::{CONFIG_FILE_BYTES_MAX, SECRET_BYTES_MAX};

/// A setting in a file: its name, its value, and the file.
type InFile = (String, String, String);

/// What the variable `name` says of its setting: `PORT` is the port of a loopback address.
pub(super) fn env_value(name: &str, value: String) -> String {
    match name {
        "PORT" => format!("127.0.0.1:{value}"),
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
        error(format!("is not TOML: {}", reason.message().replace('\n', " ")))
    })?;
    let mut settings = Vec::with_capacity(table.len());
    for (name, value) in table {
        if !allowed.contains(&name.as_str()) {
            let allowed = allowed.join(", ");
            return Err(error(format!("has the unknown setting {name:?}; allowed: {allowed}")));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            _ => {
                let allowed = "allowed: text, a whole number, true or false";
                return Err(error(format!("has a wrong value for {name:?}; {allowed}")));
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

fn read_text(path: &str, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if bytes_max < text.len() as u64 {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(text)
}
