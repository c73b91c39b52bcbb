//! The query of a request: `key=a%20b&limit=3`.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::answer::Refusal;

/// One `name=value`, decoded.
pub(super) type Param<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The parameters of a query in order. A name without `=` has an empty value.
///
/// # Errors
///
/// 400 if a name or value is not UTF-8 once it is decoded. Replacing what is wrong, as browsers do,
/// would make one key of two.
pub(super) fn parse(query: &str) -> Result<Vec<Param<'_>>, Refusal> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The value of the parameter `name`, `None` where there is none.
///
/// # Errors
///
/// 400 if it is there more than once, as there is no telling which one is meant.
pub(super) fn single<'p, 'a>(
    params: &'p [Param<'a>],
    name: &str,
) -> Result<Option<&'p Cow<'a, str>>, Refusal> {
    let mut values = params.iter().filter(|(n, _)| n == name).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("{name} is given twice; allowed: once")));
    }
    Ok(first)
}

fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
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
        Ok(parse(query)?.remove(0).1.into_owned())
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
        assert_eq!(parse("key=%ff%fe").unwrap_err().status, 400);
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let params = parse("a=1&b=2&a=3").unwrap();
        assert_eq!(single(&params, "b").unwrap().unwrap(), "2");
        assert_eq!(single(&params, "c").unwrap(), None);
        assert_eq!(single(&params, "a").unwrap_err().status, 400);
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_panic(query in ".*") {
            let _ = parse(&query);
        }

        #[test]
        fn every_value_comes_through_encoded(value in ".*") {
            let query = format!("key={}", utf8_percent_encode(&value, NON_ALPHANUMERIC));
            prop_assert_eq!(only_value(&query).unwrap(), value);
        }
    }
}
