//! The node a command speaks to, as named by a url.

use std::fmt;

use hyper::Uri;

use super::ClientError;

/// What `--url` may be.
const ALLOWED: &str = "http://HOST or http://HOST:PORT, without a path";

/// Host and port of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    host: String,
    port: u16,
    authority: String,
}

impl Target {
    /// Reads `url`, which came from `setting`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Setting`] for anything but `http://`, a host and perhaps a port.
    pub(super) fn parse(setting: &'static str, url: &str) -> Result<Self, ClientError> {
        let wrong = |allowed: &str| ClientError::Setting {
            setting,
            // What stands before an `@` is a password as often as not.
            value: match url.contains('@') {
                true => "a url with a user name".to_owned(),
                false => format!("{url:?}"),
            },
            allowed: allowed.to_owned(),
        };
        if url.contains(['@', '#']) {
            return Err(wrong(ALLOWED));
        }
        let uri: Uri = url.parse().map_err(|_| wrong(ALLOWED))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong(&format!("{ALLOWED}; only http is spoken")));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong(ALLOWED));
        }
        let authority = uri.authority().ok_or_else(|| wrong(ALLOWED))?;
        let port = match authority.as_str().rsplit_once(':') {
            // The colons inside brackets belong to the address.
            Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
            _ => Some(80),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        match port {
            Some(port) if 0 < port && !host.is_empty() => {
                Ok(Self { host: host.to_owned(), port, authority: authority.as_str().to_owned() })
            }
            _ => Err(wrong(ALLOWED)),
        }
    }

    /// Host and port to connect to.
    pub(super) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The value of the `Host` header.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_perhaps_a_port() {
        let of = |url| {
            let target = Target::parse("--url", url).unwrap();
            (target.host.clone(), target.port, target.to_string())
        };
        let node = |host: &str, port, url: &str| (host.to_owned(), port, url.to_owned());
        assert_eq!(of("http://a.b:4000"), node("a.b", 4000, "http://a.b:4000"));
        assert_eq!(of("http://a.b/"), node("a.b", 80, "http://a.b"));
        assert_eq!(of("http://[::1]:4000/"), node("::1", 4000, "http://[::1]:4000"));
        assert_eq!(of("http://[::1]"), node("::1", 80, "http://[::1]"));
    }

    #[test]
    fn anything_else_is_refused_with_its_value_and_what_is_allowed() {
        for url in [
            "",
            "localhost",
            "localhost:4000",
            "https://a",
            "http://",
            "http://a:0",
            "http://a:x",
            "http://a:99999",
            "http://a/prefix",
            "http://a/?q=1",
            "http://a/#f",
            "ftp://a",
            "http://a:",
            "http://a b",
            "/path",
            "http://:4000",
        ] {
            let error = Target::parse("--url", url).unwrap_err();
            let line = error.to_string();
            assert!(line.starts_with(&format!("--url is {url:?}; allowed: http://")), "{line}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = Target::parse("SMACHE_URL", "http://me:secret@a").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
