//! Who may ask: clients with the token, or, on a node without one, clients that are not a web page
//! of somebody else.
//!
//! A page in a browser may send requests to a cache on the same machine. What tells them is the
//! `Origin` the browser adds, or, where the page's own name was pointed at this machine (DNS
//! rebinding), the `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Request, StatusCode, Version};
use subtle::ConstantTimeEq;

use super::answer::Refusal;
use crate::config::{AllowedHosts, Secret};

/// Paths that load balancers and people ask without a token.
const OPEN_PATHS: [&str; 4] = ["/", "/healthcheck", "/livez", "/readyz"];

/// The rule of one listener.
pub struct Guard(Rule);

/// The `Host` that passed first on a connection: clients name the same one every time.
#[derive(Default)]
pub(super) struct KnownHost(OnceLock<HeaderValue>);

enum Rule {
    Token(Secret),
    /// Clients must name this machine; the listener may be off loopback.
    Local {
        listener: IpAddr,
        /// By these names, too.
        hosts: AllowedHosts,
    },
}

impl Guard {
    /// The rule of a listener on `addr`: the token if there is one, else local names and `hosts` only.
    #[must_use]
    pub fn new(addr: SocketAddr, token: Option<Secret>, hosts: AllowedHosts) -> Self {
        match token {
            Some(token) => Self(Rule::Token(token)),
            None => Self(Rule::Local { listener: addr.ip(), hosts }),
        }
    }

    /// Whether every client has shown the token.
    #[must_use]
    pub fn has_token(&self) -> bool {
        matches!(self.0, Rule::Token(_))
    }

    /// Whether this request may be done.
    ///
    /// # Errors
    ///
    /// 400 without one `Host` that can be read (RFC 9112, 3.2), 401 without the token, 403 from a
    /// foreign page.
    pub(super) fn check<B>(&self, request: &Request<B>, known: &KnownHost) -> Result<(), Refusal> {
        if !known.is_named_by(request) {
            check_host(request, |host| self.is_ours(host))?;
            known.learn(request);
        }
        match &self.0 {
            Rule::Token(token) => check_token(request, token),
            Rule::Local { listener, hosts } => check_origin(request.headers(), |host| {
                is_ours_locally(host, *listener) || hosts.contain(host)
            }),
        }
    }

    /// Whether a client may name this node so.
    fn is_ours(&self, host: &str) -> bool {
        match &self.0 {
            // Who has the token is no foreign page.
            Rule::Token(_) => true,
            Rule::Local { listener, hosts } => is_ours(host, *listener) || hosts.contain(host),
        }
    }
}

impl KnownHost {
    fn is_named_by<B>(&self, request: &Request<B>) -> bool {
        // What else could name a host is for the full check: a target with a host, a second header.
        let mut hosts = request.headers().get_all(HOST).iter();
        let is_known = self.0.get().is_some_and(|known| hosts.next() == Some(known));
        is_known && hosts.next().is_none() && request.uri().host().is_none()
    }

    fn learn<B>(&self, request: &Request<B>) {
        if let Some(host) = request.headers().get(HOST) {
            self.0.get_or_init(|| host.clone());
        }
    }
}

fn check_token<B>(request: &Request<B>, token: &Secret) -> Result<(), Refusal> {
    if OPEN_PATHS.contains(&request.uri().path()) {
        return Ok(());
    }
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    match given.and_then(bearer) {
        Some(given) if bool::from(given.ct_eq(token.as_bytes())) => Ok(()),
        Some(_) => Err(Refusal::unauthorized("the token is wrong")),
        None => Err(Refusal::unauthorized(
            "a token is required; allowed: the header Authorization: Bearer TOKEN",
        )),
    }
}

/// The credentials of a header `Bearer …`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credentials) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| credentials.trim_ascii())
}

fn check_host<B>(request: &Request<B>, is_ours: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    if let Some(host) = request.uri().host()
        && !is_ours(host)
    {
        return Err(foreign(&HOST, host));
    }
    let Some(host) = only(request.headers(), &HOST)? else {
        // No browser speaks HTTP/1.0; some health checks do, and send no Host.
        return match request.version() {
            Version::HTTP_10 => Ok(()),
            _ => Err(Refusal::bad_request("the header Host is required")),
        };
    };
    match without_port(host) {
        Some(name) if is_ours(name) => Ok(()),
        Some(name) => Err(foreign(&HOST, name)),
        None => Err(Refusal::bad_request("the header Host is invalid; allowed: name or name:port")),
    }
}

/// A page may ask if this node served it (its `Origin` is the `Host` asked for), or if it comes from
/// this machine.
fn check_origin(headers: &HeaderMap, is_ours: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    let Some(origin) = only(headers, &ORIGIN)? else {
        return Ok(());
    };
    // Other schemes, and `null`, are pages that no server of ours has sent.
    let authority =
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).unwrap_or("");
    let is_same = only(headers, &HOST)?.is_some_and(|host| host.eq_ignore_ascii_case(authority));
    match without_port(authority) {
        Some(name) if is_same || is_ours(name) => Ok(()),
        Some(_) | None => Err(foreign(&ORIGIN, origin)),
    }
}

/// The name in `name`, `name:port` or `[address]:port`; `None` if it is none of them.
fn without_port(authority: &str) -> Option<&str> {
    let is_address = authority.starts_with('[');
    let end = match is_address {
        true => authority.find(']')? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (name, port) = authority.split_at(end);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    let is_right = match is_address {
        true => address_of(name).is_some_and(|address| address.is_ipv6()),
        false => !name.is_empty() && name.bytes().all(is_name),
    };
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (is_right && is_port).then_some(name)
}

/// The text of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    match (first.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        (Err(_), _) => Err(Refusal::bad_request(format!("the header {name} is not ASCII"))),
        (Ok(_), Some(_)) => {
            Err(Refusal::bad_request(format!("the header {name} is given twice; allowed: once")))
        }
    }
}

/// Whether `host`, without its port, is this machine as a client near it names it.
///
/// On a listener off loopback that is any address and any name without a dot: a browser resolves
/// neither through a foreign name server.
fn is_ours(host: &str, listener: IpAddr) -> bool {
    let is_public = !listener.is_loopback();
    let is_plain = || address_of(host).is_some() || (!host.is_empty() && !host.contains('.'));
    is_ours_locally(host, listener) || (is_public && is_plain())
}

/// Whether `host`, without its port, is this machine and no other.
fn is_ours_locally(host: &str, listener: IpAddr) -> bool {
    let is_named = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    is_named || address_of(host).is_some_and(|a| a.is_loopback() || a == listener)
}

fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn foreign(name: &HeaderName, value: &str) -> Refusal {
    let message = format!(
        "foreign {name}: {value:.100}; allowed: localhost or a loopback address, the names in \
         --allow-host (SMACHE_ALLOW_HOST), or any name with a token (SMACHE_TOKEN or --token-file)"
    );
    Refusal::new(StatusCode::FORBIDDEN, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        headers
            .iter()
            .fold(Request::get("/api?key=1"), |r, (k, v)| r.header(*k, *v))
            .body(())
            .unwrap()
    }

    fn status(guard: &Guard, headers: &[(&str, &str)]) -> u16 {
        guard
            .check(&request(headers), &KnownHost::default())
            .map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    fn local() -> Guard {
        Guard::new("127.0.0.1:4000".parse().unwrap(), None, AllowedHosts::default())
    }

    fn with_token() -> Guard {
        let token = Some(Secret::new("abc".into()));
        Guard::new("0.0.0.0:1".parse().unwrap(), token, AllowedHosts::default())
    }

    #[test]
    fn names_that_are_allowed_may_ask_and_their_pages_too() {
        let hosts = AllowedHosts::of("cache.internal,*.svc.cluster.local").unwrap();
        let guard = Guard::new("0.0.0.0:4000".parse().unwrap(), None, hosts);
        for host in ["cache.internal:4000", "smache.default.svc.cluster.local"] {
            assert_eq!(status(&guard, &[("host", host)]), 200, "{host}");
            let page = [("host", "localhost"), ("origin", &*format!("https://{host}"))];
            assert_eq!(status(&guard, &page), 200, "{host}");
        }
        let foreign = guard.check(&request(&[("host", "evil.example")]), &KnownHost::default());
        let message = foreign.unwrap_err().message;
        assert!(message.contains("--allow-host (SMACHE_ALLOW_HOST)"), "{message}");
    }

    #[test]
    fn local_names_may_ask_a_local_node() {
        for host in ["localhost:4000", "LOCALHOST", "127.0.0.1:4000", "127.1.2.3", "[::1]:4000"] {
            assert_eq!(status(&local(), &[("host", host)]), 200, "{host}");
        }
        let page = [("host", "localhost:4000"), ("origin", "http://localhost:3000")];
        assert_eq!(status(&local(), &page), 200);
    }

    #[test]
    fn foreign_names_and_pages_are_refused_without_a_token() {
        for host in ["evil.example", "evil.example:4000", "10.0.0.1", "localhost.evil.example"] {
            assert_eq!(status(&local(), &[("host", host)]), 403, "{host}");
        }
        for origin in ["http://evil.example", "null", "file://", "http://10.0.0.1", "https://[::2]"]
        {
            let page = [("host", "localhost:4000"), ("origin", origin)];
            assert_eq!(status(&local(), &page), 403, "{origin}");
        }
    }

    #[test]
    fn a_request_must_name_one_host() {
        assert_eq!(status(&local(), &[]), 400);
        assert_eq!(status(&local(), &[("host", "localhost"), ("host", "localhost")]), 400);
        assert_eq!(status(&local(), &[("host", "a b")]), 400);
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert!(local().check(&old, &KnownHost::default()).is_ok());
    }

    #[test]
    fn a_known_host_lets_no_other_pass() {
        let (guard, known) = (local(), KnownHost::default());
        let status = |headers: &[(&str, &str)]| {
            guard.check(&request(headers), &known).map_or_else(|r| r.status.as_u16(), |()| 200)
        };
        assert_eq!(status(&[("host", "evil.example")]), 403);
        assert_eq!(status(&[("host", "localhost:4000")]), 200);
        assert_eq!(status(&[("host", "localhost:4000")]), 200);
        assert_eq!(status(&[("host", "evil.example")]), 403);
        assert_eq!(status(&[("host", "localhost:4000"), ("origin", "http://evil.example")]), 403);
        assert_eq!(status(&[("host", "localhost:4000"), ("host", "evil.example")]), 400);
        let absolute = Request::get("http://evil.example/").header("host", "localhost:4000");
        assert!(guard.check(&absolute.body(()).unwrap(), &known).is_err());
    }

    #[test]
    fn an_insecure_public_node_takes_addresses_and_plain_names_but_no_dns_names() {
        let public = Guard::new("0.0.0.0:4000".parse().unwrap(), None, AllowedHosts::default());
        assert_eq!(status(&public, &[("host", "10.0.0.1:4000")]), 200);
        assert_eq!(status(&public, &[("host", "smache-1:4000")]), 200);
        assert_eq!(status(&public, &[("host", "evil.example")]), 403);
        let page = |origin| [("host", "10.0.0.1:4000"), ("origin", origin)];
        assert_eq!(status(&public, &page("http://10.0.0.1:4000")), 200);
        for origin in ["http://203.0.113.7", "http://10.0.0.1:8000", "http://smache-1"] {
            assert_eq!(status(&public, &page(origin)), 403, "{origin}");
        }
    }

    #[test]
    fn with_a_token_only_the_token_counts() {
        let guard = with_token();
        let with = |name, value| status(&guard, &[("host", "cache.example"), (name, value)]);
        assert_eq!(with("x", "y"), 401);
        assert_eq!(with("authorization", "Bearer abd"), 401);
        assert_eq!(with("authorization", "Basic abc"), 401);
        assert_eq!(with("authorization", "bearer abc"), 200);
        let page = [("host", "a"), ("authorization", "Bearer abc"), ("origin", "http://x.y")];
        assert_eq!(status(&guard, &page), 200);
        for path in OPEN_PATHS {
            let request = Request::get(path).header("host", "a").body(()).unwrap();
            assert!(guard.check(&request, &KnownHost::default()).is_ok(), "{path}");
        }
    }

    #[test]
    fn with_a_token_a_request_must_name_one_host_all_the_same() {
        let guard = with_token();
        let known = KnownHost::default();
        for hosts in
            [&[][..], &["a", "a"], &["a b"], &["a:b"], &[""], &["[::1"], &["[a]"], &["a[b"]]
        {
            for path in ["/api?key=1", "/livez"] {
                let request = Request::get(path).header("authorization", "Bearer abc");
                let request = hosts.iter().fold(request, |r, host| r.header("host", *host));
                let refusal = guard.check(&request.body(()).unwrap(), &known).unwrap_err();
                assert_eq!(refusal.status, 400, "{path} {hosts:?}");
            }
        }
        for host in ["a", "a.b:80", "127.0.0.1", "[::1]:4000", "a_b%20~"] {
            let headers = [("host", host), ("authorization", "Bearer abc")];
            assert_eq!(status(&guard, &headers), 200, "{host}");
        }
    }
}
