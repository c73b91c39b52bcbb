//! `GET ?select=/json/pointer`: parts of a JSON value, without sending all of it.

use serde_json::value::RawValue;

use crate::document::Pointer;
use crate::entry::Entry;
use crate::front::http::serve::{Params, Refusal};
use crate::limits::{SELECT_BYTES_MAX, SELECT_POINTERS_MAX};
use hyper::StatusCode;

/// Which parts of a value are asked for, in order.
pub(super) struct Selection(Vec<Pointer>);

impl Selection {
    /// The parts that the parameters `select` name.
    ///
    /// # Errors
    ///
    /// 400 for what is no JSON pointer, and for too many.
    pub(super) fn read(params: Params<'_>) -> Result<Self, Refusal> {
        Self::of_texts(&params.all("select")?)
    }

    /// The parts that pointers name.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub(super) fn of_texts(texts: &[impl AsRef<str>]) -> Result<Self, Refusal> {
        if SELECT_POINTERS_MAX < texts.len() {
            return Err(Refusal::bad_request(format!(
                "select is given {} times; allowed: up to {SELECT_POINTERS_MAX}",
                texts.len()
            )));
        }
        let pointer = |text: &str| {
            Pointer::new(text).ok_or_else(|| {
                Refusal::bad_request(format!(
                    "select is {text:.100}; allowed: a JSON pointer, as /a/0, ~1 for / and ~0 for ~"
                ))
            })
        };
        texts.iter().map(|text| pointer(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The parts of a value, as a JSON array with null for what is not there.
    ///
    /// # Errors
    ///
    /// 406 for a value that is no JSON, 400 if the parts are too much together.
    pub(super) fn of(&self, entry: &Entry) -> Result<Vec<u8>, Refusal> {
        let is_plain = entry.media.coding().is_none();
        let document: Option<&RawValue> =
            serde_json::from_slice(&entry.value).ok().filter(|_| is_plain);
        let Some(document) = document else {
            let message = "the value is not JSON; allowed: reading it without select";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, message));
        };
        let mut parts = vec![b'['];
        for (at, pointer) in self.0.iter().enumerate() {
            if 0 < at {
                parts.push(b',');
            }
            let part = pointer.find(document).map_or("null", RawValue::get);
            if SELECT_BYTES_MAX.max(entry.value.len()) < parts.len() + part.len() {
                let message = "the parts are larger than the value; allowed: fewer of them";
                return Err(Refusal::bad_request(message));
            }
            parts.extend_from_slice(part.as_bytes());
        }
        parts.push(b']');
        Ok(parts)
    }
}
