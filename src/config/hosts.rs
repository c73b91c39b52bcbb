//! Names that clients may call a node by, beside its own.

use super::Parsed;
use crate::limits::{ALLOWED_HOSTS_MAX, HOST_BYTES_MAX};

/// A list of names of hosts, and of endings of such names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Those that `--allow-host` names.
    ///
    /// # Errors
    ///
    /// What is allowed.
    pub fn of(text: &str) -> Result<Self, String> {
        allowed(text)
    }

    /// Whether `host`, without a port, is one of them. Case and a dot at the end do not matter.
    #[must_use]
    pub fn contain(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|name| match name.strip_prefix('*') {
            Some(ending) => ending.len() < host.len() && host.ends_with(ending),
            None => host == *name,
        })
    }
}

/// Names, or `*.ending` for all names that end so.
pub(super) fn allowed(text: &str) -> Parsed<AllowedHosts> {
    let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if ALLOWED_HOSTS_MAX < names.len() {
        return Err(format!("allowed: up to {ALLOWED_HOSTS_MAX} names"));
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = |name: &&str| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        (1..=HOST_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_part)
    };
    match names.iter().all(is_name) {
        true => Ok(AllowedHosts(names.iter().map(|name| name.to_ascii_lowercase()).collect())),
        false => Err("allowed: names like cache.internal or *.svc.cluster.local, without ports, \
                      separated by commas"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_itself_and_a_star_is_all_names_below() {
        let hosts = allowed("Cache.internal, *.svc.cluster.local").unwrap();
        for host in ["cache.internal", "CACHE.internal.", "a.svc.cluster.local"] {
            assert!(hosts.contain(host), "{host}");
        }
        for host in ["internal", "x.cache.internal", "svc.cluster.local", ".svc.cluster.local", ""]
        {
            assert!(!hosts.contain(host), "{host}");
        }
        assert!(!allowed("").unwrap().contain(""));
        for wrong in ["a:80", "*", "a*", "http://a", "a b"] {
            assert!(allowed(wrong).is_err_and(|why| why.contains("allowed:")), "{wrong}");
        }
    }
}
