//! Keys in numbers: listing them, finding one, deleting all.

use std::collections::HashSet;

use bytes::Bytes;

use super::super::codec::{Output, Request, number::integer};
use super::super::failure::Failure;
use super::super::session::Session;
use super::keys::number;
use crate::cache::{Listed, Walk};
use crate::entry::{Key, Namespace, SLOTS, Slot};
use crate::glob;
use crate::limits::{DELETE_KEYS_MAX, RESP_KEYS_BYTES_MAX, RESP_SCAN_KEYS, RESP_SCAN_KEYS_MAX};

/// The keys that a pattern may mean: those that begin as it does.
fn listed(pattern: &[u8]) -> Listed {
    let is_special = |byte: &u8| b"*?[\\".contains(byte);
    let end = pattern.iter().position(is_special).unwrap_or(pattern.len());
    Listed { namespace: Namespace::default(), prefix: Bytes::copy_from_slice(&pattern[..end]) }
}

pub(super) async fn keys(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let pattern = request.arg(1);
    let (listed, mut walk) = (listed(pattern), Walk::default());
    let (mut found, mut bytes) = (HashSet::new(), 0);
    while !walk.is_over() {
        let page = session.shared.cache.list(&listed, &mut walk, RESP_SCAN_KEYS_MAX).await?;
        for key in page.into_iter().filter(|key| glob::matches(pattern, key)) {
            bytes += key.len();
            found.insert(key);
        }
        if RESP_KEYS_BYTES_MAX < bytes {
            let bytes_max = RESP_KEYS_BYTES_MAX;
            return Err(Failure::of(format!(
                "ERR the keys have more than {bytes_max} bytes together; use SCAN"
            )));
        }
    }
    out.array(found.len());
    found.iter().for_each(|key| out.bulk(key));
    Ok(())
}

pub(super) async fn scan(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let cursor = integer(request.arg(1)).and_then(|cursor| u64::try_from(cursor).ok());
    let cursor = cursor.ok_or(Failure::fixed("ERR invalid cursor"))?;
    let options = ScanOptions::of(request)?;
    let mut walk = match cursor {
        0 => Walk::default(),
        cursor => session.shared.cursors.get(cursor).ok_or(Failure::fixed("ERR invalid cursor"))?,
    };
    let listed = listed(options.pattern);
    let mut keys = session.shared.cache.list(&listed, &mut walk, options.keys_max).await?;
    keys.retain(|key| options.has_strings && glob::matches(options.pattern, key));
    let next = if walk.is_over() { 0 } else { session.shared.cursors.add(walk) };
    out.array(2);
    out.bulk(next.to_string());
    out.array(keys.len());
    keys.iter().for_each(|key| out.bulk(key));
    Ok(())
}

struct ScanOptions<'a> {
    pattern: &'a [u8],
    keys_max: usize,
    /// Whether keys of strings are wanted, which all are.
    has_strings: bool,
}

impl<'a> ScanOptions<'a> {
    fn of(request: Request<'a>) -> Result<Self, Failure> {
        let mut options = Self { pattern: b"*", keys_max: RESP_SCAN_KEYS, has_strings: true };
        let mut words = request.from(2);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(Failure::SYNTAX)?;
            match &word.to_ascii_lowercase()[..] {
                b"match" => options.pattern = value,
                b"count" => {
                    let count = usize::try_from(number(value)?).unwrap_or_default();
                    if count == 0 {
                        return Err(Failure::SYNTAX);
                    }
                    options.keys_max = count.min(RESP_SCAN_KEYS_MAX);
                }
                b"type" => options.has_strings = value.eq_ignore_ascii_case(b"string"),
                _ => return Err(Failure::SYNTAX),
            }
        }
        Ok(options)
    }
}

/// A key of a slot that is drawn, or of one behind it.
pub(super) async fn randomkey(
    session: &mut Session,
    _request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let drawn = getrandom::u32().map_err(|reason| {
        Failure::of(format!("ERR the system gave no random numbers: {reason}"))
    })?;
    // The remainder is below the number of slots.
    let slot = Slot((drawn % u32::from(SLOTS)) as u16);
    let listed = listed(b"*");
    for mut walk in [Walk::from_slot(slot), Walk::default()] {
        while !walk.is_over() {
            let keys = session.shared.cache.list(&listed, &mut walk, 1).await?;
            if let Some(key) = keys.first() {
                out.bulk(key);
                return Ok(());
            }
        }
    }
    out.null();
    Ok(())
}

/// Deletes every key there is from the beginning to the end of it, on all nodes.
pub(super) async fn flush(
    session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let is_known =
        |word: &[u8]| word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async");
    match request.get(1) {
        Some(word) if !is_known(word) || 2 < request.len() => return Err(Failure::SYNTAX),
        _ => {}
    }
    let (listed, mut walk) = (listed(b"*"), Walk::default());
    while !walk.is_over() {
        let keys = session.shared.cache.list(&listed, &mut walk, DELETE_KEYS_MAX).await?;
        let keys = keys.into_iter().map(Key::new).collect::<Result<Vec<_>, _>>()?;
        session.shared.cache.delete_many(keys).await?;
    }
    out.simple("OK");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_looked_for_where_its_keys_begin() {
        for (pattern, prefix) in [("*", ""), ("user:*", "user:"), ("a?b", "a"), ("abc", "abc")] {
            assert_eq!(listed(pattern.as_bytes()).prefix, prefix, "{pattern}");
        }
    }
}
