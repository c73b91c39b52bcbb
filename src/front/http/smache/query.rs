//! ExDaas's queries: parts of a stored JSON object, without sending all of it.
//!
//! Values are passed on as the text they were stored as, so that they come back to the digit and
//! their depth does not matter.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::front::http::serve::{Params, Refusal};
use crate::limits::QUERY_KEYS_MAX;

/// A question about a stored object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// The values under these names, in order, null for what is missing.
    Only(Vec<String>),
    /// Those elements of the list under `key` in which `by` is truthy.
    FilterBool {
        /// The name of the list.
        key: String,
        /// The name in its elements.
        by: String,
    },
}

/// A query as it stands in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cmd<'a> {
    query: String,
    #[serde(borrow)]
    keys: Option<&'a RawValue>,
}

type Object<'a> = HashMap<String, &'a RawValue>;

/// All parameters of a query and of what it is about.
pub(super) const CMD_PARAMS: [&str; 6] =
    ["key", "id", "cmd[query]", "cmd[keys][]", "cmd[keys][key]", "cmd[keys][by]"];

const ONLY: &str = "ONLY";
const FILTER_BOOL: &str = "FILTER_BOOL";

impl Query {
    /// The query of a body's `cmd`.
    ///
    /// # Errors
    ///
    /// 400 for another query, or keys that are not of its form.
    pub(super) fn from_body(cmd: &Cmd<'_>) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ListAndField {
            key: String,
            by: String,
        }
        let keys = cmd.keys.map_or("null", RawValue::get);
        match cmd.query.as_str() {
            ONLY => {
                let names = serde_json::from_str::<Vec<String>>(keys).map_err(|_| wrong_only())?;
                Self::only(names)
            }
            FILTER_BOOL if keys.starts_with('{') => {
                let ListAndField { key, by } =
                    serde_json::from_str(keys).map_err(|_| wrong_filter())?;
                Ok(Self::FilterBool { key, by })
            }
            FILTER_BOOL => Err(wrong_filter()),
            other => Err(not_supported(other)),
        }
    }

    /// The query of parameters `cmd[query]=…&cmd[keys][]=…`.
    ///
    /// # Errors
    ///
    /// As [`Query::from_body`].
    pub(super) fn from_params(params: Params<'_>) -> Result<Self, Refusal> {
        let Some(query) = params.single("cmd[query]")? else {
            return Err(Refusal::bad_request(format!(
                "cmd[query] is missing; allowed: {ONLY}, {FILTER_BOOL}"
            )));
        };
        match query.as_ref() {
            ONLY => {
                params.only(&CMD_PARAMS[..4])?;
                let names = params.all("cmd[keys][]")?;
                Self::only(names.into_iter().map(Cow::into_owned).collect())
            }
            FILTER_BOOL => {
                params.only(&["key", "id", "cmd[query]", "cmd[keys][key]", "cmd[keys][by]"])?;
                let key = params.single("cmd[keys][key]")?.ok_or_else(wrong_filter)?.to_string();
                let by = params.single("cmd[keys][by]")?.ok_or_else(wrong_filter)?.to_string();
                Ok(Self::FilterBool { key, by })
            }
            other => Err(not_supported(other)),
        }
    }

    fn only(names: Vec<String>) -> Result<Self, Refusal> {
        if names.is_empty() || QUERY_KEYS_MAX < names.len() {
            return Err(wrong_only());
        }
        Ok(Self::Only(names))
    }

    /// The answer from a stored object, as JSON; `None` for an entry that is absent, which has no
    /// member.
    ///
    /// # Errors
    ///
    /// 400 if what is stored is not what the query is about.
    pub(super) fn answer(&self, stored: Option<&str>) -> Result<String, Refusal> {
        let object: Object<'_> = match stored.map(serde_json::from_str) {
            None => Object::new(),
            Some(Ok(object)) => object,
            Some(Err(reason)) => {
                return Err(Refusal::bad_request(format!("data cannot be queried: {reason}")));
            }
        };
        Ok(match self {
            Self::Only(names) => {
                let value = |name: &String| object.get(name).map_or("null", |raw| raw.get());
                let values: Vec<_> = names.iter().map(value).collect();
                format!("{{\"values\":[{}]}}", values.join(","))
            }
            Self::FilterBool { key, by } => format!("[{}]", filter(&object, key, by)?.join(",")),
        })
    }
}

fn filter<'a>(object: &Object<'a>, key: &str, by: &str) -> Result<Vec<&'a str>, Refusal> {
    let Some(list) = object.get(key) else {
        return Ok(vec![]);
    };
    let elements: Vec<&RawValue> = serde_json::from_str(list.get())
        .map_err(|_| Refusal::bad_request(format!("{key} is not a list; allowed: a list")))?;
    let is_truthy = |element: &&str| {
        let members: Object<'_> = serde_json::from_str(element).unwrap_or_default();
        members.get(by).is_some_and(|value| !matches!(value.get(), "null" | "false"))
    };
    Ok(elements.into_iter().map(RawValue::get).filter(is_truthy).collect())
}

fn wrong_only() -> Refusal {
    Refusal::bad_request(format!(
        "keys of {ONLY} are wrong; allowed: a list of 1 to {QUERY_KEYS_MAX} names"
    ))
}

fn wrong_filter() -> Refusal {
    Refusal::bad_request(format!(
        "keys of {FILTER_BOOL} are wrong; allowed: {{\"key\":NAME,\"by\":NAME}}"
    ))
}

fn not_supported(query: &str) -> Refusal {
    Refusal::bad_request(format!("{query:.100} not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAR: &str = r#"{"color":"blue","km":1.10,"colors":[{"n":1,"is_blue":true},
        {"n":2,"is_blue":false},{"n":3,"is_blue":0},{"n":4,"is_blue":null},{"n":5},7]}"#;

    fn query(cmd: &str) -> Result<Query, Refusal> {
        Query::from_body(&serde_json::from_str(cmd).unwrap())
    }

    #[test]
    fn only_answers_in_the_order_asked_with_null_for_what_is_missing() {
        let only = query(r#"{"query":"ONLY","keys":["km","wheels","color"]}"#).unwrap();
        assert_eq!(only.answer(Some(CAR)).unwrap(), r#"{"values":[1.10,null,"blue"]}"#);
        assert_eq!(only.answer(None).unwrap(), r#"{"values":[null,null,null]}"#);
    }

    #[test]
    fn filter_bool_answers_the_elements_that_are_truthy_and_nothing_around_them() {
        let filter = query(r#"{"query":"FILTER_BOOL","keys":{"key":"colors","by":"is_blue"}}"#);
        let filter = filter.unwrap();
        let expected = r#"[{"n":1,"is_blue":true},{"n":3,"is_blue":0}]"#;
        assert_eq!(filter.answer(Some(CAR)).unwrap(), expected);
        assert_eq!(filter.answer(Some("{}")).unwrap(), "[]");
        assert_eq!(filter.answer(None).unwrap(), "[]");
        assert_eq!(filter.answer(Some(r#"{"colors":1}"#)).unwrap_err().status, 400);
    }

    #[test]
    fn parameters_say_the_same_as_a_body() {
        let params = Params::new("id=1&cmd[query]=ONLY&cmd[keys][]=color&cmd%5Bkeys%5D%5B%5D=km");
        let body = query(r#"{"query":"ONLY","keys":["color","km"]}"#);
        assert_eq!(Query::from_params(params), body);
        let filter = "cmd[query]=FILTER_BOOL&cmd[keys][key]=colors&cmd[keys][by]=is_blue";
        let body = query(r#"{"query":"FILTER_BOOL","keys":{"key":"colors","by":"is_blue"}}"#);
        assert_eq!(Query::from_params(Params::new(filter)), body);
        for (query, unknown) in [
            ("cmd[query]=ONLY&cmd[keys][]=a&cmd[keys][by]=b", "cmd[keys][by]"),
            ("cmd[query]=FILTER_BOOL&cmd[keys][]=a", "cmd[keys][]"),
        ] {
            let refusal = Query::from_params(Params::new(query)).unwrap_err();
            assert!(refusal.message.starts_with(&format!("parameter {unknown} is unknown")));
        }
    }

    #[test]
    fn wrong_queries_say_what_is_allowed() {
        let refusal = query(r#"{"query":"DROP","keys":[]}"#).unwrap_err();
        assert_eq!((refusal.status.as_u16(), &*refusal.message), (400, "DROP not supported"));
        for cmd in [
            r#"{"query":"ONLY"}"#,
            r#"{"query":"ONLY","keys":[]}"#,
            r#"{"query":"ONLY","keys":[1]}"#,
            r#"{"query":"FILTER_BOOL","keys":["a","b"]}"#,
            r#"{"query":"FILTER_BOOL","keys":{"key":"a"}}"#,
            r#"{"query":"FILTER_BOOL","keys":{"key":"a","by":"b","not":"c"}}"#,
        ] {
            let refusal = query(cmd).unwrap_err();
            assert_eq!(refusal.status, 400, "{cmd}");
            assert!(refusal.message.contains("allowed:"), "{}", refusal.message);
        }
    }
}
