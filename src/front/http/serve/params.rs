//! The query of a request: `key=a%20b&limit=3`.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::answer::Refusal;

/// The parameters of a query. They are decoded when they are asked for, as most requests ask for
/// one.
#[derive(Clone, Copy)]
pub(crate) struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    pub(crate) fn new(query: &'a str) -> Self {
        Self(query)
    }

    /// The value of the parameter `name`, `None` where there is none. Without a `=` it is empty.
    ///
    /// # Errors
    ///
    /// 400 if it is there more than once, as there is no telling which one is meant, and if a name or
    /// the value is not UTF-8 once it is decoded: replacing what is wrong, as browsers do, would make
    /// one key of two.
    pub(crate) fn single(self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let mut found = None;
        for (text, value) in self.pairs() {
            if !is_name(text, name)? {
                continue;
            }
            if found.is_some() {
                return Err(twice(name));
            }
            found = Some(decode(value)?);
        }
        Ok(found)
    }

    /// The values of these parameters, and that there is no other: one that is passed over is one that
    /// is misspelt.
    ///
    /// # Errors
    ///
    /// 400 for the first that is not among `names`, and as [`Params::single`].
    pub(crate) fn pick<const N: usize>(
        self,
        names: [&str; N],
    ) -> Result<[Option<Cow<'a, str>>; N], Refusal> {
        let mut values = [const { None }; N];
        for (text, value) in self.pairs() {
            let name = decode(text)?;
            let Some(at) = names.iter().position(|allowed| *allowed == name) else {
                return Err(unknown(&name, &names));
            };
            if values[at].replace(decode(value)?).is_some() {
                return Err(twice(&name));
            }
        }
        Ok(values)
    }

    /// The values of all parameters `name`, in order.
    ///
    /// # Errors
    ///
    /// 400 if a name or a value is not UTF-8 once it is decoded.
    pub(crate) fn all(self, name: &str) -> Result<Vec<Cow<'a, str>>, Refusal> {
        let mut values = vec![];
        for (text, value) in self.pairs() {
            if is_name(text, name)? {
                values.push(decode(value)?);
            }
        }
        Ok(values)
    }

    /// Refuses parameters other than these, as [`Params::pick`] does.
    ///
    /// # Errors
    ///
    /// 400 for the first that is not among `allowed`.
    pub(crate) fn only(self, allowed: &[&str]) -> Result<(), Refusal> {
        for (text, _) in self.pairs() {
            let name = decode(text)?;
            if !allowed.contains(&name.as_ref()) {
                return Err(unknown(&name, allowed));
            }
        }
        Ok(())
    }

    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| {
                let (pair, after) = cut(rest, b'&');
                rest = after;
                cut(pair, b'=')
            })
        })
    }
}

/// What is before the first `sign` and what is after it. Byte by byte: for texts as short as these,
/// the search of the standard library takes longer to set up than to run.
fn cut(text: &str, sign: u8) -> (&str, &str) {
    match text.bytes().position(|byte| byte == sign) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

fn unknown(name: &str, allowed: &[&str]) -> Refusal {
    let allowed = if allowed.is_empty() { "none" } else { &allowed.join(", ") };
    Refusal::bad_request(format!("parameter {name:.40} is unknown; allowed: {allowed}"))
}

fn twice(name: &str) -> Refusal {
    Refusal::bad_request(format!("{name} is given twice; allowed: once"))
}

fn is_name(text: &str, name: &str) -> Result<bool, Refusal> {
    Ok(text == name || (is_encoded(text) && decode(text)? == name))
}

fn is_encoded(text: &str) -> bool {
    text.bytes().any(|byte| byte == b'%' || byte == b'+')
}

fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !is_encoded(text) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(decoded) => Ok(Cow::Owned(decoded.into_owned())),
        Err(_) => Err(Refusal::bad_request(format!(
            "query has bytes that are not UTF-8: {text:.100}; allowed: percent-encoded UTF-8"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn only_value(query: &str) -> Result<String, Refusal> {
        Ok(Params::new(query).single("key")?.unwrap().into_owned())
    }

    #[test]
    fn values_are_decoded_once() {
        assert_eq!(only_value("key=a%20b+c%2Bd").unwrap(), "a b c+d");
        assert_eq!(only_value("key=%2525").unwrap(), "%25");
        assert_eq!(only_value("key=a=b").unwrap(), "a=b");
        assert_eq!(only_value("key").unwrap(), "");
        assert_eq!(only_value("&&key=1").unwrap(), "1");
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        assert_eq!(Params::new("key=%ff%fe").single("key").unwrap_err().status, 400);
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let params = Params::new("a=1&b=2&a=3");
        assert_eq!(params.single("b").unwrap().unwrap(), "2");
        assert_eq!(params.single("c").unwrap(), None);
        assert_eq!(params.single("a").unwrap_err().status, 400);
        assert_eq!(params.all("a").unwrap(), ["1", "3"]);
        assert_eq!(params.pick(["a", "b"]).unwrap_err().message, "a is given twice; allowed: once");
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused_and_the_others_are_named() {
        let picked = Params::new("b=2&%61=1").pick(["a", "b", "c"]).unwrap();
        assert_eq!(
            picked.map(|value| value.map(Cow::into_owned)),
            [Some("1".into()), Some("2".into()), None]
        );
        let message = |query, names| Params::new(query).only(names).unwrap_err().message;
        assert_eq!(message("kye=1", &["key", "id"]), "parameter kye is unknown; allowed: key, id");
        assert_eq!(message("a", &[]), "parameter a is unknown; allowed: none");
        assert_eq!(Params::new("kye=1").pick(["key"]).unwrap_err().status, 400);
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_panic(query in ".*") {
            let params = Params::new(&query);
            let _ = (params.single("key"), params.all("key"), params.pick(["key", "id"]));
        }

        #[test]
        fn every_value_comes_through_encoded(value in ".*") {
            let query = format!("key={}", utf8_percent_encode(&value, NON_ALPHANUMERIC));
            prop_assert_eq!(only_value(&query).unwrap(), value);
        }
    }
}
