//! Requests of a load run, written out once; only the digits of the key change.

use crate::client::settings::Settings;

/// Digits of a key; with them every key has the same length, and so has every request.
const KEY_DIGITS: usize = 10;

/// What keys start with, so that a run on a cache in use touches nothing else.
const KEY_PREFIX: &str = "bench-";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `GET /api?key=…`
    Read,
    /// `POST /api`
    Write,
    /// `GET /`
    Health,
}

/// The three kinds of requests, ready to be sent.
#[derive(Debug)]
pub(super) struct Forms {
    read: Form,
    write: Form,
    health: Form,
}

impl Forms {
    /// Requests for the node of `settings`; written values are JSON objects of `value_bytes`.
    pub(super) fn new(settings: &Settings, value_bytes: usize) -> Self {
        let mut headers = format!("Host: {}\r\n", settings.target.authority());
        if let Some(token) = &settings.token {
            headers.push_str(&format!("Authorization: {}\r\n", token.authorization()));
        }
        let blank = "0".repeat(KEY_DIGITS);
        let key = format!("{KEY_PREFIX}{blank}");
        let read = format!("GET /api?key={key} HTTP/1.1\r\n{headers}\r\n");
        let body = format!("{{\"key\":\"{key}\",\"data\":{}}}", value(value_bytes));
        let write = format!(
            "POST /api HTTP/1.1\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        );
        let health = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        Self { read: Form::new(read), write: Form::new(write), health: Form::new(health) }
    }

    /// Appends the request of `kind` for the key number `key`.
    pub(super) fn append(&self, kind: Kind, key: u64, batch: &mut Vec<u8>) {
        match kind {
            Kind::Read => self.read.append(key, batch),
            Kind::Write => self.write.append(key, batch),
            Kind::Health => self.health.append(key, batch),
        }
    }

    /// Length of a request that writes, in bytes.
    pub(super) fn write_bytes(&self) -> usize {
        self.write.bytes.len()
    }
}

/// A request with room for the digits of a key.
#[derive(Debug)]
struct Form {
    bytes: Vec<u8>,
    digits_at: Option<usize>,
}

impl Form {
    fn new(text: String) -> Self {
        let digits_at = text.find(KEY_PREFIX).map(|position| position + KEY_PREFIX.len());
        Self { bytes: text.into_bytes(), digits_at }
    }

    fn append(&self, key: u64, batch: &mut Vec<u8>) {
        let start = batch.len();
        batch.extend_from_slice(&self.bytes);
        let Some(digits_at) = self.digits_at else {
            return;
        };
        let digits = start + digits_at..start + digits_at + KEY_DIGITS;
        let mut rest = key;
        for digit in batch[digits].iter_mut().rev() {
            // A remainder of ten is a digit.
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// A JSON object that is `bytes` long, at least 2.
fn value(bytes: usize) -> String {
    let around = "{\"v\":\"\"}".len();
    match bytes.checked_sub(around) {
        Some(letters) => {
            let text: String = ('a'..='z').cycle().take(letters).collect();
            format!("{{\"v\":\"{text}\"}}")
        }
        // Too short for a member: spaces are JSON as well.
        None => format!("{{{}}}", " ".repeat(bytes - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::settings::ClientArgs;

    fn rendered(kind: Kind, key: u64) -> String {
        let url = Some("http://node:1".to_owned());
        let mut settings = ClientArgs { url, ..ClientArgs::default() }.settings().unwrap();
        settings.token = None;
        let mut batch = Vec::new();
        Forms::new(&settings, 9).append(kind, key, &mut batch);
        String::from_utf8(batch).unwrap()
    }

    #[test]
    fn requests_are_complete_http() {
        assert_eq!(
            rendered(Kind::Read, 12_345),
            "GET /api?key=bench-0000012345 HTTP/1.1\r\nHost: node:1\r\n\r\n"
        );
        assert_eq!(
            rendered(Kind::Write, 9_999_999_999),
            "POST /api HTTP/1.1\r\nHost: node:1\r\nContent-Type: application/json\r\n\
             Content-Length: 43\r\n\r\n{\"key\":\"bench-9999999999\",\"data\":{\"v\":\"a\"}}"
        );
        assert_eq!(rendered(Kind::Health, 7), "GET / HTTP/1.1\r\nHost: node:1\r\n\r\n");
    }

    #[test]
    fn values_are_json_objects_of_the_length_asked_for() {
        for bytes in [2, 3, 7, 8, 9, 64, 1_000] {
            let value = value(bytes);
            assert_eq!(value.len(), bytes);
            let parsed: serde_json::Value = serde_json::from_str(&value).unwrap();
            assert!(parsed.is_object());
        }
    }
}
