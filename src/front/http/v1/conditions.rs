//! Conditions of reads and writes, in the order of RFC 9110, 13.2.2.
//!
//! Those of a read are judged here, once the value is there. Those of a write are handed on, and the
//! shard's writer judges them together with the write.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};

use crate::command::{Condition, Demand, Versions};
use crate::entry::Version;
use crate::front::http::serve::{
    Cursor, EntityTag, EntityTags, Refusal, conditions, entity_tags, only,
};
use crate::limits::CONDITION_VERSIONS_MAX;

/// What must hold for a value to be sent, and for a part of it.
#[derive(Debug, Default)]
pub(super) struct Conditions<'a> {
    matches: Option<EntityTags<'a>>,
    unmodified_since: Option<SystemTime>,
    none_matches: Option<EntityTags<'a>>,
    modified_since: Option<SystemTime>,
    /// `None` without the field; a date is as no version, as two writes may be within its second.
    range: Option<Option<EntityTag<'a>>>,
}

/// What the conditions say of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is to be sent.
    Send,
    /// The client has it.
    NotModified,
}

impl<'a> Conditions<'a> {
    /// The conditions in the fields of a read.
    ///
    /// # Errors
    ///
    /// 400 for one that is malformed; a date that is none is no condition, as the RFC has it.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        // Most have none.
        if conditions(headers).next().is_none() {
            return Ok(Self::default());
        }
        Ok(Self {
            matches: tags(headers, &IF_MATCH)?,
            unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
            none_matches: tags(headers, &IF_NONE_MATCH)?,
            modified_since: date(headers, &IF_MODIFIED_SINCE),
            range: only(headers, &IF_RANGE)?.map(tag),
        })
    }

    /// What they say of the version `etag`, of that time.
    ///
    /// # Errors
    ///
    /// 412 if it is not the one that was asked for.
    pub(super) fn judge(
        &self,
        etag: &HeaderValue,
        modified: SystemTime,
    ) -> Result<Verdict, Refusal> {
        let is_wanted = match (&self.matches, self.unmodified_since) {
            (Some(tags), _) => tags.name_strongly(etag.as_bytes()),
            (None, Some(date)) => modified <= date,
            (None, None) => true,
        };
        if !is_wanted {
            let message = "the value is of another version; allowed: its etag in if-match";
            return Err(
                Refusal::new(StatusCode::PRECONDITION_FAILED, message).with(ETAG, etag.clone())
            );
        }
        let is_known = match (&self.none_matches, self.modified_since) {
            (Some(tags), _) => tags.name_weakly(etag.as_bytes()),
            (None, Some(date)) => modified <= date,
            (None, None) => false,
        };
        Ok(if is_known { Verdict::NotModified } else { Verdict::Send })
    }

    /// Whether a part of the version `etag` may be sent: parts of two versions must not be put together
    /// (RFC 9110, 13.1.5).
    pub(super) fn allow_part_of(&self, etag: &HeaderValue) -> bool {
        match self.range {
            None => true,
            Some(tag) => tag.is_some_and(|tag| tag.is_strongly(etag.as_bytes())),
        }
    }
}

/// The condition in the fields of a write.
///
/// # Errors
///
/// 400 for a field that is malformed or names too many versions, 501 for one that nobody knows. Those of
/// reads alone are passed over, whatever they stand in (RFC 9110, 13.1.3 and 13.1.5).
pub(super) fn of_write(headers: &HeaderMap) -> Result<Condition, Refusal> {
    for name in conditions(headers) {
        let known = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, IF_MODIFIED_SINCE, IF_RANGE];
        if !known.contains(name) {
            return Err(Refusal::not_yet(name));
        }
    }
    let first = match (tags(headers, &IF_MATCH)?, date(headers, &IF_UNMODIFIED_SINCE)) {
        (Some(EntityTags::Any), _) => Demand::There,
        (Some(EntityTags::These(tags)), _) => {
            Demand::OneOf(versions(tags.iter().filter(|tag| !tag.is_weak), &IF_MATCH)?)
        }
        (None, Some(date)) => Demand::NotAfter(seconds(date)),
        (None, None) => Demand::Nothing,
    };
    let second = match tags(headers, &IF_NONE_MATCH)? {
        Some(EntityTags::Any) => Demand::Absent,
        Some(EntityTags::These(tags)) => Demand::NoneOf(versions(tags.iter(), &IF_NONE_MATCH)?),
        None => Demand::Nothing,
    };
    Ok(Condition::both(first, second))
}

/// The versions that entity tags name; one that is not ours names none.
fn versions<'a>(
    tags: impl Iterator<Item = &'a EntityTag<'a>>,
    name: &HeaderName,
) -> Result<Versions, Refusal> {
    Versions::new(tags.filter_map(|tag| version_of(tag.opaque)).collect()).ok_or_else(|| {
        let max = CONDITION_VERSIONS_MAX;
        Refusal::bad_request(format!("the header {name} is too long; allowed: {max} etags"))
    })
}

/// The version that an entity tag with its quotes is; `None` for what is none of ours.
pub(super) fn version_of(etag: &[u8]) -> Option<Version> {
    let digits = etag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let text = std::str::from_utf8(digits).ok()?;
    let version = Version(u64::from_str_radix(text, 16).ok()?);
    // There is one way to write it.
    (version.to_string() == text).then_some(version)
}

fn seconds(date: SystemTime) -> u64 {
    date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<EntityTags<'a>>, Refusal> {
    entity_tags(headers, name).map_err(|_| {
        Refusal::bad_request(format!("the header {name} is malformed; allowed: * or \"etag\", …"))
    })
}

/// The one entity tag a field is; `None` for a date and whatever else.
fn tag(value: &HeaderValue) -> Option<EntityTag<'_>> {
    let mut text = Cursor::new(value);
    text.entity_tag().filter(|_| text.is_at_end())
}

/// The time a field names; `None` for what is not one date (RFC 9110, 13.1.3 and 13.1.4).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let value = only(headers, name).ok()??;
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    /// 200, 304, or the status of the refusal.
    fn judged(conditions: &[(&'static str, &'static str)]) -> u16 {
        let headers = fields(conditions);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let verdict = Conditions::read(&headers)
            .and_then(|conditions| conditions.judge(&HeaderValue::from_static("\"a\""), then));
        match verdict {
            Ok(Verdict::Send) => 200,
            Ok(Verdict::NotModified) => 304,
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    #[test]
    fn each_condition_is_held_to() {
        for (name, value, status) in [
            ("if-match", "\"a\"", 200),
            ("if-match", "\"b\", \"a\"", 200),
            ("if-match", "*", 200),
            ("if-match", "\"b\"", 412),
            ("if-match", "W/\"a\"", 412),
            ("if-match", "a", 400),
            ("if-none-match", "\"a\"", 304),
            ("if-none-match", "W/\"a\"", 304),
            ("if-none-match", "*", 304),
            ("if-none-match", "\"b\"", 200),
            ("if-none-match", "\"b, \"a\"", 400),
            ("if-modified-since", EARLIER, 200),
            ("if-modified-since", THEN, 304),
            ("if-modified-since", LATER, 304),
            ("if-modified-since", "yesterday", 200),
            ("if-unmodified-since", EARLIER, 412),
            ("if-unmodified-since", THEN, 200),
            ("if-unmodified-since", "yesterday", 200),
        ] {
            assert_eq!(judged(&[(name, value)]), status, "{name}: {value}");
        }
        assert_eq!(judged(&[]), 200);
    }

    #[test]
    fn a_version_counts_more_than_a_date_and_what_must_match_comes_first() {
        assert_eq!(judged(&[("if-match", "\"a\""), ("if-unmodified-since", EARLIER)]), 200);
        assert_eq!(judged(&[("if-none-match", "\"b\""), ("if-modified-since", LATER)]), 200);
        assert_eq!(judged(&[("if-match", "\"b\""), ("if-none-match", "\"a\"")]), 412);
        assert_eq!(judged(&[("if-match", "\"a\""), ("if-none-match", "\"a\"")]), 304);
    }

    #[test]
    fn what_a_write_demands_is_read_from_its_fields() {
        let read = |conditions: &[(&'static str, &'static str)]| {
            of_write(&fields(conditions)).map_err(|refusal| refusal.status.as_u16())
        };
        let seven = Versions::new(vec![Version(7)]).unwrap();
        let none = Versions::default();
        let (absent, date) = (Demand::Absent, Demand::NotAfter(784_111_777));
        let first = |demand| Ok(Condition::both(demand, Demand::Nothing));
        let second = |demand| Ok(Condition::both(Demand::Nothing, demand));
        for (name, value, expected) in [
            ("if-match", "*", Ok(Condition::Present)),
            ("if-match", "\"0000000000000007\"", Ok(Condition::Version(Version(7)))),
            ("if-match", "\"0000000000000007\", \"x\"", Ok(Condition::Version(Version(7)))),
            ("if-match", "W/\"0000000000000007\"", first(Demand::OneOf(none.clone()))),
            ("if-match", "\"7\"", first(Demand::OneOf(none.clone()))),
            ("if-match", "\"00000000000000AB\"", first(Demand::OneOf(none.clone()))),
            ("if-match", "7", Err(400)),
            ("if-none-match", "*", Ok(Condition::Absent)),
            ("if-none-match", "W/\"0000000000000007\"", second(Demand::NoneOf(seven.clone()))),
            ("if-none-match", "", Err(400)),
            ("if-unmodified-since", THEN, first(date)),
            ("if-unmodified-since", "yesterday", Ok(Condition::Always)),
            ("if-modified-since", THEN, Ok(Condition::Always)),
            ("if-range", THEN, Ok(Condition::Always)),
            ("if-what-comes-next", "*", Err(501)),
        ] {
            assert_eq!(read(&[(name, value)]), expected, "{name}: {value}");
        }
        let both = [("if-match", "*"), ("if-unmodified-since", THEN), ("if-none-match", "*")];
        assert_eq!(read(&both), Ok(Condition::Both(Demand::There, absent)));
        let many = "\"0000000000000007\",".repeat(CONDITION_VERSIONS_MAX + 1);
        let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::try_from(many).unwrap())]);
        assert_eq!(of_write(&headers).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_part_is_of_the_version_that_is_named() {
        for (value, is_allowed) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            (THEN, false),
            ("\"a\", \"b\"", false),
        ] {
            let headers = fields(&[("if-range", value)]);
            let conditions = Conditions::read(&headers).unwrap();
            let etag = HeaderValue::from_static("\"a\"");
            assert_eq!(conditions.allow_part_of(&etag), is_allowed, "{value}");
        }
        assert!(Conditions::default().allow_part_of(&HeaderValue::from_static("\"a\"")));
    }
}
