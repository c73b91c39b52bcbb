//! What is done to values that are JSON: merge patch (RFC 7396), JSON patch (RFC 6902) and pointers
//! into them (RFC 6901).
//!
//! Numbers keep their digits. Depth and growth are bounded on the way and not only at the end, as a
//! patch that copies a document into itself doubles it with each of its operations.

use json_patch::{Patch, PatchOperation, jsonptr};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::limits::{JSON_DEPTH_MAX, PATCH_OPERATIONS_MAX};

/// Why something cannot be done to a document. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The value is no JSON.
    #[error("the value is not JSON")]
    NotJson,
    /// The patch is none.
    #[error("the patch is invalid: {0}")]
    NotPatch(String),
    /// It does not apply to the value.
    #[error("the patch does not apply: {0}")]
    Mismatch(String),
    /// It would be nested deeper than is allowed.
    #[error("the value would be nested too deep; allowed: {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// It would be too large.
    #[error("the value would be too large")]
    TooLarge,
}

/// A patch that was read.
#[derive(Clone, Debug)]
pub enum Change {
    /// RFC 7396.
    Merge(Value),
    /// RFC 6902.
    Operations(Patch),
}

/// Where a part of a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(jsonptr::PointerBuf);

impl Change {
    /// Reads a merge patch.
    ///
    /// # Errors
    ///
    /// [`DocumentError::NotPatch`] if it is no JSON, or nested too deep.
    pub fn merge(text: &[u8]) -> Result<Self, DocumentError> {
        serde_json::from_slice(text).map(Self::Merge).map_err(|reason| not_patch(&reason))
    }

    /// Reads a list of operations.
    ///
    /// # Errors
    ///
    /// [`DocumentError::NotPatch`] if it is none, too long, or nested too deep.
    pub fn operations(text: &[u8]) -> Result<Self, DocumentError> {
        let patch: Patch = serde_json::from_slice(text).map_err(|reason| not_patch(&reason))?;
        if PATCH_OPERATIONS_MAX < patch.len() {
            let reason =
                format!("it has {} operations; allowed: {PATCH_OPERATIONS_MAX}", patch.len());
            return Err(DocumentError::NotPatch(reason));
        }
        Ok(Self::Operations(patch))
    }

    /// What becomes of a document, which may have `bytes_max` bytes then.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    pub fn apply(&self, text: &[u8], bytes_max: usize) -> Result<Vec<u8>, DocumentError> {
        let mut value = serde_json::from_slice(text).map_err(|_| DocumentError::NotJson)?;
        match self {
            Self::Merge(patch) => json_patch::merge(&mut value, patch),
            Self::Operations(patch) => apply_all(&mut value, patch, bytes_max)?,
        }
        if JSON_DEPTH_MAX < depth_of(&value) {
            return Err(DocumentError::TooDeep);
        }
        let changed = serde_json::to_vec(&value).map_err(|_| DocumentError::NotJson)?;
        if bytes_max < changed.len() { Err(DocumentError::TooLarge) } else { Ok(changed) }
    }
}

fn not_patch(reason: &serde_json::Error) -> DocumentError {
    DocumentError::NotPatch(reason.to_string())
}

/// Applies operations one by one. What is copied counts as growth even where it takes the place of
/// something, so that the work is bounded as well.
fn apply_all(value: &mut Value, patch: &Patch, bytes_max: usize) -> Result<(), DocumentError> {
    let mut copied = 0;
    for (at, operation) in patch.iter().enumerate() {
        if JSON_DEPTH_MAX < depth_after(value, operation) {
            return Err(DocumentError::TooDeep);
        }
        if let PatchOperation::Copy(copy) = operation {
            copied += copy.from.resolve(value).map_or(0, size_of);
            if bytes_max < copied {
                return Err(DocumentError::TooLarge);
            }
        }
        if let PatchOperation::Test(test) = operation {
            let found = test.path.resolve(value).ok();
            if !found.is_some_and(|found| is_equal(found, &test.value)) {
                let reason = format!("operation {at} at \"{}\": value did not match", test.path);
                return Err(DocumentError::Mismatch(reason));
            }
            continue;
        }
        json_patch::patch(value, std::slice::from_ref(operation)).map_err(|error| {
            DocumentError::Mismatch(format!("operation {at} at \"{}\": {}", error.path, error.kind))
        })?;
    }
    Ok(())
}

/// Whether two values are equal as RFC 6902 (4.6) has it: numbers are if they are the same number, however
/// they are written.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_str(), other.as_str());
            one == other || Decimal::read(one).is_some_and(|one| Decimal::read(other) == Some(one))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(name, one): (&String, &Value)| {
                other.get(name).is_some_and(|other| is_equal(one, other))
            };
            one.len() == other.len() && one.iter().all(is_there)
        }
        (one, other) => one == other,
    }
}

/// A number as it would be written without a zero too many: its digits, and how many places they are
/// before the point.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    places: i64,
}

impl Decimal {
    /// Reads a number of JSON; `None` if its exponent is beyond what is counted here.
    fn read(text: &str) -> Option<Self> {
        let (text, is_negative) =
            text.strip_prefix('-').map_or((text, false), |positive| (positive, true));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - digits.len()).ok()?;
        let digits = digits.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, places: 0 });
        }
        let exponent: i64 = exponent.parse().ok()?;
        let places =
            i64::try_from(whole.len()).ok()?.checked_sub(leading)?.checked_add(exponent)?;
        Some(Self { is_negative, digits, places })
    }
}

/// How deep what an operation puts will be nested.
fn depth_after(value: &Value, operation: &PatchOperation) -> usize {
    let moved = |from: &jsonptr::Pointer| from.resolve(value).map_or(0, depth_of);
    let depth = match operation {
        PatchOperation::Add(add) => depth_of(&add.value),
        PatchOperation::Replace(replace) => depth_of(&replace.value),
        PatchOperation::Copy(copy) => moved(&copy.from),
        PatchOperation::Move(move_) => moved(&move_.from),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return 0,
    };
    operation.path().count() + depth
}

/// About how many bytes a value has as text.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size_of(item) + 1).sum::<usize>(),
        Value::Object(members) => {
            2 + members.iter().map(|(name, value)| name.len() + 4 + size_of(value)).sum::<usize>()
        }
    }
}

/// Levels of arrays and objects.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl Pointer {
    /// Reads a pointer: empty for the whole, else names that each follow a slash.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        jsonptr::PointerBuf::parse(text.to_owned()).ok().map(Self)
    }

    /// The part of a document that is there, as it stands; `None` where there is none.
    #[must_use]
    pub fn find<'a>(&self, document: &'a RawValue) -> Option<&'a RawValue> {
        self.0.tokens().try_fold(document, |part, token| {
            let name = token.decoded();
            match part.get().as_bytes().first()? {
                b'{' => member(part.get(), &name),
                b'[' => element(part.get(), &name),
                _ => None,
            }
        })
    }
}

fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let members: std::collections::HashMap<String, &RawValue> =
        serde_json::from_str(object).ok()?;
    members.get(name).copied()
}

/// An index has no sign and no leading zeros.
fn element<'a>(array: &'a str, name: &str) -> Option<&'a RawValue> {
    let index = name.parse::<usize>().ok().filter(|index| index.to_string() == name)?;
    let elements: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    elements.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(value: &str, patch: &str) -> Result<String, DocumentError> {
        applied(&Change::merge(patch.as_bytes())?, value)
    }

    fn patched(value: &str, patch: &str) -> Result<String, DocumentError> {
        applied(&Change::operations(patch.as_bytes())?, value)
    }

    fn applied(change: &Change, value: &str) -> Result<String, DocumentError> {
        change.apply(value.as_bytes(), 1_000).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_examples_of_rfc_7396_are_merged_as_it_says() {
        for (value, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(value, patch).as_deref(), Ok(result), "{value} and {patch}");
        }
    }

    #[test]
    fn numbers_that_no_patch_is_about_keep_their_digits() {
        let value = r#"{"big":12345678901234567890123,"price":1.10,"x":0}"#;
        let expected = r#"{"big":12345678901234567890123,"price":1.10,"x":2.50}"#;
        assert_eq!(merged(value, r#"{"x":2.50}"#).as_deref(), Ok(expected));
        let patch = r#"[{"op":"replace","path":"/x","value":2.50}]"#;
        assert_eq!(patched(value, patch).as_deref(), Ok(expected));
    }

    #[test]
    fn operations_are_done_together_or_not_at_all() {
        let patch = r#"[{"op":"test","path":"/a","value":1},{"op":"add","path":"/l/-","value":2},
            {"op":"move","from":"/a","path":"/b"},{"op":"copy","from":"/b","path":"/c"},
            {"op":"remove","path":"/l/0"}]"#;
        let value = r#"{"a":1,"l":[1]}"#;
        assert_eq!(patched(value, patch).as_deref(), Ok(r#"{"b":1,"c":1,"l":[2]}"#));
        let patch = r#"[{"op":"remove","path":"/a"},{"op":"test","path":"/l/0","value":7}]"#;
        let Err(DocumentError::Mismatch(reason)) = patched(value, patch) else {
            panic!("it applied")
        };
        assert!(reason.starts_with("operation 1 at \"/l/0\": "), "{reason}");
        for wrong in ["{}", "[{}]", r#"[{"op":"become","path":""}]"#, "[", r#"[{"op":"add"}]"#] {
            let is_none = matches!(patched(value, wrong), Err(DocumentError::NotPatch(_)));
            assert!(is_none, "{wrong}");
        }
        assert_eq!(patched("{", "[]"), Err(DocumentError::NotJson));
    }

    #[test]
    fn a_test_compares_numbers_as_numbers_at_any_depth() {
        let value = r#"{"n":1,"l":[0.10,{"x":-0.0}],"big":12345678901234567890123}"#;
        let holds = |path: &str, expected: &str| {
            let patch = format!(r#"[{{"op":"test","path":"{path}","value":{expected}}}]"#);
            match patched(value, &patch) {
                Ok(_) => true,
                Err(DocumentError::Mismatch(_)) => false,
                Err(other) => panic!("{path} {expected}: {other}"),
            }
        };
        for (path, expected, is_equal) in [
            ("/n", "1", true),
            ("/n", "1.0", true),
            ("/n", "10e-1", true),
            ("/n", "0.01E+2", true),
            ("/n", "-1", false),
            ("/n", "1.0000000000000000000001", false),
            ("/n", "1e99999999999999999999", false),
            ("/n", "\"1\"", false),
            ("/n", "true", false),
            ("/l", r#"[1e-1,{"x":0}]"#, true),
            ("/l", r#"[0.1]"#, false),
            ("/l/1", r#"{"x":0e7,"y":1}"#, false),
            ("/l/1", r#"{"y":0}"#, false),
            ("/big", "12345678901234567890123.0", true),
            ("/big", "12345678901234567890124", false),
            ("/none", "null", false),
        ] {
            assert_eq!(holds(path, expected), is_equal, "{path} {expected}");
        }
    }

    #[test]
    fn a_document_grows_no_further_than_it_may_whatever_is_copied() {
        let double = r#"{"op":"copy","from":"","path":"/x"},"#.repeat(900);
        let patch = format!("[{}]", double.trim_end_matches(','));
        assert_eq!(patched(r#"{"a":1}"#, &patch), Err(DocumentError::TooLarge));
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
        assert_eq!(merged("{}", &large), Err(DocumentError::TooLarge));
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let add = |levels| format!(r#"[{{"op":"add","path":"/0","value":{}}}]"#, nested(levels));
        assert!(patched("[]", &add(100)).is_ok());
        let deep = patched(&nested(100), &add(100).replace("/0", &"/0".repeat(99)));
        assert_eq!(deep, Err(DocumentError::TooDeep));
        assert!(matches!(merged("1", &nested(130)), Err(DocumentError::NotPatch(_))));
        assert_eq!(merged(&nested(130), "{}"), Err(DocumentError::NotJson));
    }

    #[test]
    fn pointers_find_what_rfc_6901_says() {
        let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"n":1.50,"o":{"p":null}}"#;
        let document: &RawValue = serde_json::from_str(text).unwrap();
        let found = |at: &str| Pointer::new(at).unwrap().find(document).map(RawValue::get);
        assert_eq!(found(""), Some(text));
        for (at, part) in [
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/m~0n", Some("8")),
            ("/n", Some("1.50")),
            ("/o/p", Some("null")),
            ("/foo/01", None),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/n/0", None),
            ("/none", None),
        ] {
            assert_eq!(found(at), part, "{at}");
        }
        assert!(Pointer::new("foo").is_none() && Pointer::new("/a~2").is_none());
    }
}
