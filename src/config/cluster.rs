//! How a node finds and meets others: `--cluster`, `--advertise`, `--join` and the cookie.

use std::net::SocketAddr;
use std::time::Duration;

use super::secret::Secret;
use super::settings::{Name, Settings};
use super::{ConfigError, Parsed, listener, slow, switch};
use crate::limits::{HANDOFF_TIMEOUT, HOST_BYTES_MAX, PEERS_MAX, SEEDS_MAX};
use crate::notation::{self, TIME_ALLOWED};

/// How a node finds and meets others.
#[derive(Debug)]
pub struct ClusterConfig {
    /// Where it listens for them.
    pub listen: SocketAddr,
    /// How they reach it, `host:port`; `None` for the address it listens on.
    pub advertise: Option<String>,
    /// Where it looks for them.
    pub join: Vec<Seed>,
    /// Whether it may begin a cluster alone where nothing is seen of a place it looks at.
    pub may_be_alone: bool,
    /// How many members have to be alive once before it is ready.
    pub members_min: usize,
    /// How long it goes on to hand over what nobody takes; `None` until nothing was taken for a while.
    pub drain_timeout: Option<Duration>,
    /// What they must prove to know, if anything.
    pub cookie: Option<Secret>,
    /// From which time on what another node asks is slow, and logged for that; `None` for never.
    pub slow: Option<Duration>,
}

/// Where other nodes may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// One node, at `host:port`.
    Addr(String),
    /// As many as the name has addresses, all on one port.
    Dns(String, u16),
}

impl ClusterConfig {
    /// The one of a node that looks for nobody.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 1));
        let (advertise, join, drain_timeout, cookie) = (None, vec![], None, None);
        Self {
            listen,
            advertise,
            join,
            may_be_alone: false,
            members_min: 1,
            drain_timeout,
            cookie,
            slow: None,
        }
    }

    /// The settings of the cluster and how they fit together; `None` where it is off.
    pub(super) fn from_settings(
        settings: &Settings,
        cookie: Option<Secret>,
        is_insecure: bool,
    ) -> Result<Option<Self>, ConfigError> {
        let join = settings.parse(Name::Join, seeds)?;
        let advertise = settings.parse(Name::Advertise, advertise)?;
        let members_min = settings.parse(Name::MembersMin, members_min)?;
        let Some(listen) = settings.parse(Name::Cluster, listener)? else {
            let alone = "without --cluster; allowed: with --cluster ADDR, or nothing";
            return match (join.is_empty(), advertise, members_min) {
                (false, ..) => Err(settings.error(Name::Join, alone)),
                (true, Some(_), _) => Err(settings.error(Name::Advertise, alone)),
                (true, None, 2..) => Err(settings.error(Name::MembersMin, alone)),
                (true, None, _) => Ok(None),
            };
        };
        if !listen.ip().is_loopback() && cookie.is_none() && !is_insecure {
            let reason = "listens off loopback without a cookie; allowed: a loopback address, or set \
                      --cookie-file or SMACHE_COOKIE, or --insecure";
            return Err(settings.error(Name::Cluster, reason));
        }
        if listen.ip().is_unspecified() && advertise.is_none() {
            let reason =
                "others cannot dial this address; allowed: set --advertise to one they can";
            return Err(settings.error(Name::Cluster, reason));
        }
        let may_be_alone = settings.parse(Name::AllowAlone, optional_switch)?;
        let may_be_alone = may_be_alone.unwrap_or(listen.ip().is_loopback());
        let drain_timeout = settings.parse(Name::DrainTimeout, optional_time)?;
        let slow = settings.parse(Name::Slow, slow)?;
        Ok(Some(Self {
            listen,
            advertise,
            join,
            may_be_alone,
            members_min,
            drain_timeout,
            cookie,
            slow,
        }))
    }
}

fn optional_switch(text: &str) -> Parsed<Option<bool>> {
    if text.is_empty() { Ok(None) } else { switch(text).map(Some) }
}

fn optional_time(text: &str) -> Parsed<Option<Duration>> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = notation::time(text).filter(|time| *time <= HANDOFF_TIMEOUT);
    let allowed = || {
        let most = notation::of_time(HANDOFF_TIMEOUT);
        format!("allowed: a time like {TIME_ALLOWED}, up to {most}")
    };
    time.map(Some).ok_or_else(allowed)
}

fn members_min(text: &str) -> Parsed<usize> {
    let members = text.parse().ok().filter(|members| (1..=PEERS_MAX + 1).contains(members));
    members.ok_or_else(|| format!("allowed: a whole number from 1 to {}", PEERS_MAX + 1))
}

fn seeds(text: &str) -> Parsed<Vec<Seed>> {
    let seeds: Vec<_> = text.split(',').map(str::trim).filter(|seed| !seed.is_empty()).collect();
    if SEEDS_MAX < seeds.len() {
        return Err(format!("allowed: up to {SEEDS_MAX} addresses"));
    }
    seeds.into_iter().map(seed).collect()
}

fn seed(text: &str) -> Parsed<Seed> {
    let name = text.strip_prefix("dns:");
    match (name, host_and_port(name.unwrap_or(text))) {
        (Some(_), Some((host, port))) => Ok(Seed::Dns(host.to_owned(), port)),
        (None, Some(_)) => Ok(Seed::Addr(text.to_owned())),
        (_, None) => Err("allowed: host:port or dns:name:port, separated by commas".to_owned()),
    }
}

fn advertise(text: &str) -> Parsed<Option<String>> {
    match (text, host_and_port(text)) {
        ("", _) => Ok(None),
        (_, Some(_)) => Ok(Some(text.to_owned())),
        (_, None) => Err("allowed: host:port as other nodes can dial it".to_owned()),
    }
}

/// A name or an address, and a port that is not 0.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let is_address = text.parse::<SocketAddr>().is_ok();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_allowed);
    (is_address || is_name).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_an_address_a_name_or_all_addresses_of_a_name() {
        let addr = |text: &str| Seed::Addr(text.to_owned());
        let read = seeds("127.0.0.1:4100, dns:smache.local:4100,[::1]:4101,node-2:1,").unwrap();
        let dns = Seed::Dns("smache.local".to_owned(), 4100);
        assert_eq!(read, [addr("127.0.0.1:4100"), dns, addr("[::1]:4101"), addr("node-2:1")]);
        assert_eq!(seeds(""), Ok(vec![]));
        for wrong in ["a", "a:", ":1", "a:0", "a:65536", "dns:a", "a b:1", "::1:4100", "a:b:1"] {
            assert!(seeds(wrong).is_err_and(|why| why.contains("host:port")), "{wrong}");
        }
    }
}
