//! The target of a request in the one form its APIs see: targets that are equivalent are equal.
//!
//! Two URIs that differ in the escapes of unreserved characters name one thing (RFC 3986, 6.2.2.2), and
//! whoever is asked on the way may write either. So those of the path are taken back before anybody
//! looks at it; those of a query are, where it is read. Escapes that are none are refused.

use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};

use super::answer::Refusal;
use super::fragment::Suspects;

/// Brings the target of a request, which came with `suspects`, into its form.
///
/// # Errors
///
/// 400 for a fragment, and for a `%` without two hexadecimal digits.
pub(super) fn settle<B>(request: &mut Request<B>, suspects: &Suspects) -> Result<(), Refusal> {
    if suspects.has_fragment(request) {
        let message = "target has a fragment; allowed: a target without #, or %23";
        return Err(Refusal::bad_request(message));
    }
    settle_escapes(request.uri_mut())
}

fn settle_escapes(uri: &mut Uri) -> Result<(), Refusal> {
    let Some(target) = uri.path_and_query().map(PathAndQuery::as_str) else { return Ok(()) };
    // Most have no escape.
    if !target.bytes().any(|byte| byte == b'%') {
        return Ok(());
    }
    let path_bytes = uri.path().len();
    let settled = settled(target.as_bytes(), path_bytes).ok_or_else(malformed)?;
    if settled.len() == target.len() {
        return Ok(());
    }
    let settled = PathAndQuery::from_maybe_shared(settled).map_err(|_| malformed())?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(settled);
    *uri = Uri::from_parts(parts).map_err(|_| malformed())?;
    Ok(())
}

/// `target` with the unreserved characters of its first `path_bytes` bytes as they are; `None` if an
/// escape is malformed.
fn settled(target: &[u8], path_bytes: usize) -> Option<Vec<u8>> {
    let mut settled = Vec::with_capacity(target.len());
    let mut at = 0;
    while let Some(byte) = target.get(at) {
        if *byte != b'%' {
            settled.push(*byte);
            at += 1;
            continue;
        }
        let escaped = target.get(at + 1..at + 3).and_then(byte_of)?;
        match at < path_bytes && is_unreserved(escaped) {
            true => settled.push(escaped),
            false => settled.extend_from_slice(&target[at..at + 3]),
        }
        at += 3;
    }
    Some(settled)
}

/// The byte that two hexadecimal digits are.
fn byte_of(digits: &[u8]) -> Option<u8> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    match digits {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn malformed() -> Refusal {
    Refusal::bad_request("target is malformed; allowed: % with two hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn settled_target(target: &str) -> Result<String, u16> {
        let mut uri: Uri = target.parse().unwrap();
        settle_escapes(&mut uri).map_err(|refusal| refusal.status.as_u16())?;
        Ok(uri.to_string())
    }

    #[test]
    fn unreserved_characters_of_a_path_are_as_they_are_and_others_stay_escaped() {
        for (target, expected) in [
            ("/%61p%69?key=%61", "/api?key=%61"),
            ("/v1/%64efault/a%2Fb%20%7e", "/v1/default/a%2Fb%20~"),
            ("/%2561", "/%2561"),
            ("http://localhost:1/%61", "http://localhost:1/a"),
            ("/a?%61", "/a?%61"),
            ("*", "*"),
        ] {
            assert_eq!(settled_target(target).as_deref(), Ok(expected), "{target}");
        }
    }

    #[test]
    fn an_escape_that_is_none_is_refused() {
        for target in ["/%", "/%4", "/a%zzb", "/%%41", "/?key=%", "/?key=%a", "/?a%g0=1", "/%+1"] {
            assert_eq!(settled_target(target), Err(400), "{target}");
        }
    }

    proptest! {
        #[test]
        fn settling_changes_no_name_and_is_done_once(path in "/([a-z/.]|%[0-9a-fA-F]{2}){0,20}") {
            let once = settled_target(&path).unwrap();
            let bytes = |path| percent_decode_str(path).collect::<Vec<u8>>();
            prop_assert_eq!(bytes(&path), bytes(&once));
            prop_assert_eq!(settled_target(&once).unwrap(), once);
        }
    }
}
