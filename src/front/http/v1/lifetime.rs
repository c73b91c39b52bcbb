//! How long a value lives: what a client says of it, and what caches on the way are told.

use std::time::{Duration, SystemTime};

use hyper::header::{AGE, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED};

use crate::clock;
use crate::entry::{Entry, Millis, Version};
use crate::front::http::serve::{Directive, Malformed, Refusal, directives};
use crate::limits::{HTTP_DATE_MAX, TTL_MAX};
use crate::notation::{self, TIME_ALLOWED};

/// A value without an end may be kept, and must be asked for each time: it may be replaced any time.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// When a value is to end: after what the parameter `ttl` says, else `Cache-Control: max-age`, else
/// never.
///
/// # Errors
///
/// 400 for a time that is none, and for a `Cache-Control` that is malformed: it might be a limit, and
/// nothing is kept for ever by mistake.
pub(super) fn end_of(ttl: Option<&str>, headers: &HeaderMap) -> Result<Option<Millis>, Refusal> {
    Ok(asked(ttl, headers)?.map(|ttl| clock::now().after(ttl)))
}

fn asked(ttl: Option<&str>, headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let max_age = max_age(headers)?;
    match ttl {
        Some(ttl) => of_text(ttl).map(Some),
        None => Ok(max_age),
    }
}

/// A time to live as a parameter has it.
///
/// # Errors
///
/// 400 for a time that is none.
pub(super) fn of_text(ttl: &str) -> Result<Duration, Refusal> {
    let allowed = format!("{TIME_ALLOWED}, from 1ms to");
    let wrong = || wrong("ttl", ttl, &allowed);
    notation::time(ttl).filter(is_allowed).ok_or_else(wrong)
}

/// `max-age`, in seconds (RFC 9111, 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let directives = directives(headers, &CACHE_CONTROL).map_err(|Malformed| {
        let message = "the header cache-control is malformed; allowed: name, name=value, …";
        Refusal::bad_request(message)
    })?;
    let mut named = directives.iter().filter(|directive| directive.is("max-age"));
    let (first, more) = (named.next(), named.next());
    if more.is_some() {
        return Err(Refusal::bad_request("max-age is given twice; allowed: once"));
    }
    if let Some(directive) = first {
        return seconds(directive).map(Some);
    }
    // A limit for caches on the way, and none for this one: what is meant is not known.
    match directives.iter().any(|directive| directive.is("s-maxage")) {
        true => Err(Refusal::bad_request("s-maxage is given alone; allowed: max-age with it")),
        false => Ok(None),
    }
}

fn seconds(directive: &Directive<'_>) -> Result<Duration, Refusal> {
    let text = String::from_utf8_lossy(directive.value.as_deref().unwrap_or_default());
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| is_number).map(Duration::from_secs);
    seconds.filter(is_allowed).ok_or_else(|| wrong("max-age", &text, "seconds, from 1 to"))
}

fn is_allowed(ttl: &Duration) -> bool {
    (Duration::from_millis(1)..=TTL_MAX).contains(ttl)
}

fn wrong(name: &str, text: &str, allowed: &str) -> Refusal {
    let max = match name {
        "ttl" => notation::of_time(TTL_MAX),
        _ => TTL_MAX.as_secs().to_string(),
    };
    Refusal::bad_request(format!("{name} is {text:.40}; allowed: {allowed} {max}"))
}

/// What caches on the way are told of an entry: its age, and how long it may be kept.
pub(super) fn tell(entry: &Entry, now: Millis, headers: &mut HeaderMap) {
    // By the clock that its version was given by.
    let age_ms = clock::cluster(now).left(entry.version.millis());
    headers.insert(AGE, HeaderValue::from(age_ms / 1_000));
    let kept = entry.expires_at.and_then(|end| max_age_of(age_ms, end.left(now)));
    headers.insert(CACHE_CONTROL, kept.unwrap_or(NO_CACHE));
}

/// The whole lifetime of what is so old and has so much left: a cache takes the age off by itself (RFC
/// 9111, 4.2). It is rounded, as the time a write takes is off the time that was asked for.
fn max_age_of(age_ms: u64, left_ms: u64) -> Option<HeaderValue> {
    let lifetime_s = age_ms.saturating_add(left_ms).saturating_add(499) / 1_000;
    HeaderValue::try_from(format!("max-age={lifetime_s}")).ok()
}

/// A version as an entity tag.
pub(super) fn etag_of(version: Version) -> HeaderValue {
    // Hexadecimal digits in quotes are always a header.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// When a version was written, to the second, by the cluster's time: the same on every node.
pub(super) fn modified(version: Version) -> SystemTime {
    let millis = version.millis().0.min(HTTP_DATE_MAX);
    SystemTime::UNIX_EPOCH + Duration::from_secs(millis / 1_000)
}

/// The same as a field. It is never later than the answer (RFC 9110, 8.8.2.1), whatever this node's clock
/// shows.
pub(super) fn last_modified(version: Version, now: Millis) -> Option<(HeaderName, HeaderValue)> {
    let today = SystemTime::UNIX_EPOCH + Duration::from_millis(now.0.min(HTTP_DATE_MAX));
    let date = httpdate::fmt_http_date(modified(version).min(today));
    HeaderValue::try_from(date).ok().map(|date| (LAST_MODIFIED, date))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ttl(ttl: Option<&str>, fields: &[&str]) -> Result<Option<u64>, String> {
        let fields = fields
            .iter()
            .map(|field| (CACHE_CONTROL, HeaderValue::from_bytes(field.as_bytes()).unwrap()));
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| {
            headers.append(name, value);
        });
        let asked = asked(ttl, &headers).map_err(|refusal| refusal.message)?;
        Ok(asked.map(|ttl| u64::try_from(ttl.as_millis()).unwrap()))
    }

    #[test]
    fn max_age_is_seconds_as_a_token_or_quoted() {
        for field in
            ["max-age=30", "Max-Age=\"30\"", "public,max-age=30", "x=\"a, max-age=5\", max-age=30"]
        {
            assert_eq!(ttl(None, &[field]), Ok(Some(30_000)), "{field}");
        }
        assert_eq!(ttl(None, &["public", "max-age=30"]), Ok(Some(30_000)));
        for field in ["", "public", "x=\"a, max-age=5\"", "no-cache", "max-stale=3"] {
            assert_eq!(ttl(None, &[field]), Ok(None), "{field}");
        }
    }

    #[test]
    fn what_is_not_understood_of_max_age_is_refused_and_nothing_lives_for_ever_by_mistake() {
        for field in [
            "max-age",
            "max-age=",
            "max-age=\"\"",
            "max-age =30",
            "max-age= 30",
            "max-age=5m",
            "max-age=30ms",
            "max-age=+5",
            "max-age=-5",
            "max-age=1.5",
            "max-age=0",
            "max-age=x",
            "max-age=99999999999999999999",
            "max-age=30 public",
            "max-age=30, max-age=60",
            "max-age=\"30",
            "max-age:30",
            "s-maxage=30",
        ] {
            let message = ttl(None, &[field]).unwrap_err();
            assert!(message.contains("allowed:"), "{field}: {message}");
            assert!(ttl(Some("30s"), &[field]).is_err(), "{field}");
        }
        assert_eq!(
            ttl(None, &["max-age=5m"]).unwrap_err(),
            "max-age is 5m; allowed: seconds, from 1 to 315360000"
        );
        assert!(ttl(Some("soon"), &[]).unwrap_err().starts_with("ttl is soon; allowed: 1500ms"));
    }

    #[test]
    fn a_ttl_in_the_query_counts_more_than_one_in_a_field() {
        assert_eq!(ttl(Some("1500ms"), &["max-age=30"]), Ok(Some(1_500)));
    }

    #[test]
    fn a_lifetime_is_whole_however_old_the_value_is() {
        for (age_ms, left_ms, max_age) in [
            (0, 30_000, "max-age=30"),
            (0, 29_980, "max-age=30"),
            (14_300, 15_650, "max-age=30"),
            (0, 1_500, "max-age=1"),
            (0, 300, "max-age=0"),
        ] {
            assert_eq!(max_age_of(age_ms, left_ms).unwrap(), max_age);
        }
    }

    #[test]
    fn a_value_is_modified_when_it_was_written_and_never_later_than_now() {
        let then = Version::at(Millis(784_111_777_900));
        let shown = |now| last_modified(then, Millis(now)).unwrap().1;
        assert_eq!(shown(784_111_800_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(shown(784_111_770_000), "Sun, 06 Nov 1994 08:49:30 GMT");
        assert_eq!(
            last_modified(Version(u64::MAX), Millis(u64::MAX)).unwrap().1,
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    proptest! {
        #[test]
        fn no_field_and_no_query_makes_the_parser_panic(query in "[ -~]{0,40}", field in "[ -~]{0,60}") {
            let _ = ttl(Some(&query), &[&field]);
        }

        #[test]
        fn whatever_names_a_max_age_is_a_limit_or_is_refused(field in "(a=\"[a-z ,]{0,3}\"?, ?)?max-age[ =\"0-9a-z,]{0,6}") {
            prop_assume!(!field.contains("max-agea") && !field.starts_with("a=\""));
            let is_named = |at: usize| field[at..].bytes().next().is_none_or(|b| !b.is_ascii_alphanumeric());
            if field.find("max-age").is_some_and(|at| is_named(at + 7)) {
                prop_assert_ne!(ttl(None, &[&field]), Ok(None), "{}", field);
            }
        }
    }
}
