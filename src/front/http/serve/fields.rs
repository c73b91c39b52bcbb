//! Header fields as the lists they are (RFC 9110, 5.6), by one parser.
//!
//! `headers`, which warp brings along, passes over what it does not understand: `max-age =30` would be
//! no limit there, and an entity tag without quotes no condition. Here what is not of the form of its
//! field is malformed, and whoever asks for the field decides whether that may be passed over.

use std::borrow::Cow;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::answer::Refusal;

/// The bytes of one field line, read from the left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

/// A directive of `Cache-Control`: `max-age=30`, `no-cache`, `x="a, b"`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// As it was written: its case does not matter.
    pub(crate) name: &'a [u8],
    pub(crate) value: Option<Cow<'a, [u8]>>,
}

/// What an `If-Match` or `If-None-Match` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntityTags<'a> {
    /// `*`: whatever is there.
    Any,
    /// These versions.
    These(Vec<EntityTag<'a>>),
}

/// `"a"`, or `W/"a"` for a version that is equivalent and may not be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    pub(crate) is_weak: bool,
    /// With its quotes.
    pub(crate) opaque: &'a [u8],
}

/// The field is not of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The conditions among the fields of a request: `If-Match` and its like.
pub(crate) fn conditions(headers: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    headers.keys().filter(|name| name.as_str().starts_with("if-"))
}

/// The value of a field that may be there once.
///
/// # Errors
///
/// 400 if it is there more often, as there is no telling which one is meant.
pub(crate) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => {
            Err(Refusal::bad_request(format!("the header {name} is given twice; allowed: once")))
        }
    }
}

/// All directives of a `Cache-Control`, in order, over all its lines.
///
/// # Errors
///
/// [`Malformed`], if one of them is not a token, alone or with `=` and a token or quoted text.
pub(crate) fn directives<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Vec<Directive<'a>>, Malformed> {
    elements(headers, name, |line| {
        let name = line.token()?;
        let value = match line.eat(b'=') {
            true => Some(line.quoted().or_else(|| line.token().map(Cow::Borrowed))?),
            false => None,
        };
        Some(Directive { name, value })
    })
}

/// What a field of entity tags names; `None` if there is no such field.
///
/// # Errors
///
/// [`Malformed`], if it is neither `*` nor at least one entity tag.
pub(crate) fn entity_tags<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<EntityTags<'a>>, Malformed> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    if only(headers, name).is_ok_and(|value| value.is_some_and(|value| value == "*")) {
        return Ok(Some(EntityTags::Any));
    }
    match elements(headers, name, Cursor::entity_tag)? {
        none if none.is_empty() => Err(Malformed),
        tags => Ok(Some(EntityTags::These(tags))),
    }
}

/// The elements of a list over all lines of a field. Empty ones are none (RFC 9110, 5.6.1.2).
fn elements<'a, T>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    read: impl Fn(&mut Cursor<'a>) -> Option<T>,
) -> Result<Vec<T>, Malformed> {
    let mut elements = vec![];
    for value in headers.get_all(name) {
        Cursor::new(value).list(&mut elements, &read)?;
    }
    Ok(elements)
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(value: &'a HeaderValue) -> Self {
        Self(value.as_bytes())
    }

    /// Reads a list to the end of the line.
    pub(crate) fn list<T>(
        mut self,
        elements: &mut Vec<T>,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Result<(), Malformed> {
        loop {
            self.skip_space();
            if self.0.is_empty() {
                return Ok(());
            }
            if self.eat(b',') {
                continue;
            }
            elements.push(read(&mut self).ok_or(Malformed)?);
            self.skip_space();
            if !self.0.is_empty() && !self.eat(b',') {
                return Err(Malformed);
            }
        }
    }

    /// The next byte, if it is that one.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.0 = &self.0[1..];
        }
        is_next
    }

    /// At least one character of a token.
    pub(crate) fn token(&mut self) -> Option<&'a [u8]> {
        let token = self.all_of(is_token_byte);
        (!token.is_empty()).then_some(token)
    }

    /// Digits, none where there are none.
    pub(crate) fn digits(&mut self) -> &'a [u8] {
        self.all_of(|byte| byte.is_ascii_digit())
    }

    /// What is between quotes, without the backslashes of its escapes.
    fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        let [b'"', inside @ ..] = self.0 else { return None };
        let mut unescaped = vec![];
        let mut has_escapes = false;
        let mut at = 0;
        loop {
            match inside.get(at..)? {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return Some(match has_escapes {
                        true => Cow::Owned(unescaped),
                        false => Cow::Borrowed(&inside[..at]),
                    });
                }
                [b'\\', escaped, ..] => {
                    has_escapes = true;
                    unescaped.push(*escaped);
                    at += 2;
                }
                [b'\\'] | [] => return None,
                [byte, ..] => {
                    unescaped.push(*byte);
                    at += 1;
                }
            }
        }
    }

    /// An entity tag, in which a backslash is a character like any other.
    pub(crate) fn entity_tag(&mut self) -> Option<EntityTag<'a>> {
        let is_weak = self.0.starts_with(b"W/");
        let text = if is_weak { &self.0[2..] } else { self.0 };
        let inside = text.strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| *byte == b'"')?;
        if !inside[..end].iter().all(|byte| b' ' < *byte && *byte != 0x7f) {
            return None;
        }
        let (opaque, rest) = text.split_at(end + 2);
        self.0 = rest;
        Some(EntityTag { is_weak, opaque })
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn skip_space(&mut self) {
        self.all_of(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn all_of(&mut self, is_one: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_one(*byte)).unwrap_or(self.0.len());
        let (all, rest) = self.0.split_at(end);
        self.0 = rest;
        all
    }
}

impl Directive<'_> {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl EntityTag<'_> {
    /// Whether both are the very same version (RFC 9110, 8.8.3.2).
    pub(crate) fn is_strongly(&self, etag: &[u8]) -> bool {
        !self.is_weak && self.opaque == etag
    }
}

impl EntityTags<'_> {
    /// Whether the very version `etag` is among them.
    pub(crate) fn name_strongly(&self, etag: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.is_strongly(etag)),
        }
    }

    /// Whether one that is equivalent to `etag` is among them.
    pub(crate) fn name_weakly(&self, etag: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.opaque == etag),
        }
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use hyper::header::{CACHE_CONTROL, IF_MATCH};
    use proptest::prelude::*;

    use super::*;

    fn lines(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn shown(field: &[&str]) -> Result<Vec<String>, Malformed> {
        let headers = lines(&CACHE_CONTROL, field);
        let shown = |directive: Directive<'_>| {
            let value = directive.value.map(|value| String::from_utf8(value.into_owned()).unwrap());
            let name = std::str::from_utf8(directive.name).unwrap();
            value.map_or(name.to_owned(), |value| format!("{name}:{value}"))
        };
        Ok(directives(&headers, &CACHE_CONTROL)?.into_iter().map(shown).collect())
    }

    fn tags(field: &[&str]) -> Result<Vec<(bool, String)>, Malformed> {
        let headers = lines(&IF_MATCH, field);
        let tag =
            |tag: &EntityTag<'_>| (tag.is_weak, String::from_utf8(tag.opaque.to_vec()).unwrap());
        Ok(match entity_tags(&headers, &IF_MATCH)? {
            None => vec![],
            Some(EntityTags::Any) => vec![(false, "*".to_owned())],
            Some(EntityTags::These(tags)) => tags.iter().map(tag).collect(),
        })
    }

    #[test]
    fn a_list_is_cut_at_commas_that_are_not_quoted() {
        assert_eq!(shown(&["public, Max-Age=30"]).unwrap(), ["public", "Max-Age:30"]);
        assert_eq!(shown(&["max-age=\"30\""]).unwrap(), ["max-age:30"]);
        assert_eq!(shown(&["x=\"a, max-age=5\",y"]).unwrap(), ["x:a, max-age=5", "y"]);
        assert_eq!(shown(&[r#"x="a\"b\\", y"#]).unwrap(), [r#"x:a"b\"#, "y"]);
        assert_eq!(shown(&["a", "b , c"]).unwrap(), ["a", "b", "c"]);
        assert_eq!(shown(&[" ,, a ,,", ""]).unwrap(), ["a"]);
        assert_eq!(shown(&["x=\"\""]).unwrap(), ["x:"]);
    }

    #[test]
    fn what_is_no_list_of_directives_is_malformed() {
        for field in
            ["max-age =30", "max-age= 30", "a b", "a=", "=3", "a=\"b", "a=\"b\\", "a=\"b\"c", "a;b"]
        {
            assert_eq!(shown(&[field]), Err(Malformed), "{field}");
        }
        // A quoted text ends with its line.
        assert_eq!(shown(&["a=\"b", "c\""]), Err(Malformed));
    }

    #[test]
    fn entity_tags_are_quoted_and_may_be_weak() {
        let tag = |tag: &str| (false, tag.to_owned());
        assert_eq!(tags(&["*"]), Ok(vec![tag("*")]));
        assert_eq!(tags(&["\"a\" , W/\"b,c\""]), Ok(vec![tag("\"a\""), (true, "\"b,c\"".into())]));
        assert_eq!(tags(&["\"a\\\"", "\"\""]), Ok(vec![tag("\"a\\\""), tag("\"\"")]));
        for field in ["", ",", "a", "\"a", "*, \"a\"", "\"a\"\"b\"", "\"a b\"", "w/\"a\"", "W/a"] {
            assert_eq!(tags(&[field]), Err(Malformed), "{field}");
        }
        assert_eq!(tags(&["*", "\"a\""]), Err(Malformed));
        assert_eq!(tags(&[]), Ok(vec![]));
    }

    #[test]
    fn a_weak_tag_is_never_the_very_same_version() {
        let headers = lines(&IF_MATCH, &["W/\"a\", \"b\""]);
        let tags = entity_tags(&headers, &IF_MATCH).unwrap().unwrap();
        assert!(tags.name_weakly(b"\"a\"") && !tags.name_strongly(b"\"a\""));
        assert!(tags.name_weakly(b"\"b\"") && tags.name_strongly(b"\"b\""));
        assert!(!tags.name_weakly(b"\"c\""));
        assert!(EntityTags::Any.name_strongly(b"\"c\""));
    }

    #[test]
    fn a_field_that_may_be_there_once_is_refused_twice() {
        let value = |field: &[&str]| {
            let headers = lines(&IF_MATCH, field);
            only(&headers, &IF_MATCH).map(|value| value.cloned()).map_err(|refusal| refusal.message)
        };
        assert_eq!(value(&[]), Ok(None));
        assert_eq!(value(&["a"]), Ok(Some(HeaderValue::from_static("a"))));
        let twice = "the header if-match is given twice; allowed: once";
        assert_eq!(value(&["a", "a"]).unwrap_err(), twice);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic_or_run_on(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let headers = HeaderMap::from_iter([(CACHE_CONTROL, value.clone()), (IF_MATCH, value)]);
                let _ = directives(&headers, &CACHE_CONTROL);
                let _ = entity_tags(&headers, &IF_MATCH);
            }
        }

        #[test]
        fn what_is_written_as_a_list_is_read_back(
            written in proptest::collection::vec(("[a-z]{1,5}", proptest::option::of("[ -~]{0,9}")), 0..6),
            comma in "[ \t]{0,2},[ ,\t]{0,3}",
        ) {
            let one = |(name, value): &(String, Option<String>)| match value {
                None => name.clone(),
                Some(value) => {
                    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                    format!("{name}=\"{escaped}\"")
                }
            };
            let line = written.iter().map(one).collect::<Vec<_>>().join(&comma);
            let read = shown(&[&line]).unwrap();
            let expected: Vec<_> = written
                .into_iter()
                .map(|(name, value)| value.map_or(name.clone(), |value| format!("{name}:{value}")))
                .collect();
            prop_assert_eq!(read, expected);
        }
    }
}
