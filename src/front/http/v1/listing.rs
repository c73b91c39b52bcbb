//! `GET /v1/{namespace}`: keys in pages, across all nodes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::StatusCode;
use warp::reply::Response;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::native::Native;
use crate::cache::{Listed, Walk};
use crate::entry::Namespace;
use crate::front::http::serve::{Params, Refusal, raw_json, write_json_string};
use crate::limits::{HTTP_LIST_KEYS, HTTP_LIST_KEYS_MAX, KEY_BYTES_MAX};

/// What a cursor begins with: its form, and a sum of what it lists.
const CURSOR_FORM: u8 = 1;

impl Native {
    /// `GET /v1/{namespace}?prefix=&limit=&cursor=` and `?count`.
    pub(super) async fn list(
        &self,
        namespace: &Namespace,
        params: Params<'_>,
    ) -> Result<Response, Refusal> {
        let is_count = params.single("count")?.is_some();
        let [prefix, limit, cursor, ..] = match is_count {
            true => {
                let [prefix, count] = params.pick(["prefix", "count"])?;
                [prefix, None, None, count, None, None]
            }
            // What is asked of a namespace otherwise is no list.
            false => params.pick(["prefix", "limit", "cursor", "count", "policy", "stats"])?,
        };
        let prefix = Bytes::copy_from_slice(prefix.as_deref().unwrap_or_default().as_bytes());
        if KEY_BYTES_MAX < prefix.len() {
            let message =
                format!("prefix has {} bytes; allowed: up to {KEY_BYTES_MAX}", prefix.len());
            return Err(Refusal::bad_request(message));
        }
        let listed = Listed { namespace: namespace.clone(), prefix };
        if is_count {
            let count = self.cache.count(&listed).await?;
            return Ok(raw_json(StatusCode::OK, format!("{{\"count\":{count}}}")));
        }
        let limit = limit.map_or(Ok(HTTP_LIST_KEYS), |text| limit_of(&text))?;
        let mut walk = cursor.map_or(Ok(Walk::default()), |text| walk_of(&text, &listed))?;
        let keys = self.cache.list(&listed, &mut walk, limit).await?;
        Ok(raw_json(StatusCode::OK, page_of(&keys, &walk, &listed)))
    }
}

fn limit_of(text: &str) -> Result<usize, Refusal> {
    let limit = text.parse().ok().filter(|limit| (1..=HTTP_LIST_KEYS_MAX).contains(limit));
    limit.ok_or_else(|| {
        Refusal::bad_request(format!("limit is {text:.40}; allowed: 1 to {HTTP_LIST_KEYS_MAX}"))
    })
}

/// Keys, those that are no text as base64, and where the next page begins if there is one.
fn page_of(keys: &[Bytes], walk: &Walk, listed: &Listed) -> Vec<u8> {
    let (mut texts, mut others) = (vec![], vec![]);
    for key in keys {
        match std::str::from_utf8(key) {
            Ok(text) => {
                texts.push(if texts.is_empty() { b'[' } else { b',' });
                write_json_string(&mut texts, text);
            }
            Err(_) => {
                others.push(if others.is_empty() { b'[' } else { b',' });
                write_json_string(&mut others, &STANDARD.encode(key));
            }
        }
    }
    if texts.is_empty() {
        texts.push(b'[');
    }
    let mut page = [b"{\"keys\":", &texts[..], b"]"].concat();
    if !others.is_empty() {
        page.extend_from_slice(b",\"base64\":");
        page.extend_from_slice(&others);
        page.push(b']');
    }
    if !walk.is_over() {
        page.extend_from_slice(b",\"cursor\":");
        write_json_string(&mut page, &cursor_of(walk, listed));
    }
    page.push(b'}');
    page
}

fn cursor_of(walk: &Walk, listed: &Listed) -> String {
    let cursor = [&[CURSOR_FORM][..], &sum_of(listed), &walk.to_bytes()].concat();
    URL_SAFE_NO_PAD.encode(cursor)
}

fn walk_of(cursor: &str, listed: &Listed) -> Result<Walk, Refusal> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (head, walk) = bytes.split_first_chunk::<5>()?;
        let [form, sum @ ..] = head;
        let is_ours = *form == CURSOR_FORM && *sum == sum_of(listed);
        is_ours.then(|| Walk::from_bytes(walk)).flatten()
    };
    read().ok_or_else(|| {
        let message = "cursor is none of this list; allowed: the cursor of the page before, with the \
                       same namespace and prefix";
        Refusal::bad_request(message)
    })
}

/// Tells lists apart, so that a cursor of one is not taken for that of another.
fn sum_of(Listed { namespace, prefix }: &Listed) -> [u8; 4] {
    let sum = xxh3_64_with_seed(prefix, xxh3_64_with_seed(namespace.as_bytes(), 0));
    let [a, b, c, d, ..] = sum.to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_with_its_own_list_and_no_other() {
        let listed = |prefix: &'static str| Listed {
            namespace: Namespace::default(),
            prefix: Bytes::from_static(prefix.as_bytes()),
        };
        let cursor = cursor_of(&Walk::default(), &listed("a"));
        assert_eq!(walk_of(&cursor, &listed("a")).unwrap(), Walk::default());
        for (cursor, prefix) in [(&*cursor, "b"), ("", "a"), ("AAAA", "a"), ("§", "a")] {
            assert_eq!(walk_of(cursor, &listed(prefix)).unwrap_err().status, 400, "{cursor}");
        }
        assert!(walk_of(&cursor[..cursor.len() - 1], &listed("a")).is_err());
    }

    #[test]
    fn keys_that_are_no_text_are_told_apart() {
        let listed = Listed { namespace: Namespace::default(), prefix: Bytes::new() };
        let keys = [Bytes::from_static(b"a\"b"), Bytes::from_static(b"\xff"), "c".into()];
        let page = page_of(&keys, &Walk::default(), &listed);
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["keys"], serde_json::json!(["a\"b", "c"]));
        assert_eq!(page["base64"], serde_json::json!(["/w=="]));
        assert!(page["cursor"].is_string());
    }
}
