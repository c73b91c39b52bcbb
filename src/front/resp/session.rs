//! What is known of one client between its requests.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::Shared;
use super::clients::Client;
use super::codec::Limits;
use super::listening::Listening;
use super::transaction::Transaction;
use crate::limits::{
    RESP_ARGUMENTS_MAX, RESP_BULK_BYTES_LEAST, RESP_REQUEST_BYTES_MAX, RESP_REQUESTS_MAX,
    RESP_STRANGER_ARGUMENTS_MAX, RESP_STRANGER_BULK_BYTES_MAX, VALUE_BYTES_CEILING,
};

/// One client.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Arc<Client>,
    /// Whether it has said who it is, or need not.
    is_known: bool,
    /// Whether nothing more of it is done.
    pub(super) is_over: bool,
    pub(super) transaction: Transaction,
    /// What it listens to, if it does.
    pub(super) listening: Option<Listening>,
}

/// What a client is whose token is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongToken;

impl Session {
    /// A client that has just come.
    pub(super) fn new(shared: Arc<Shared>, client: Arc<Client>) -> Self {
        let is_known = shared.token.is_none();
        Self {
            shared,
            client,
            is_known,
            is_over: false,
            transaction: Transaction::default(),
            listening: None,
        }
    }

    /// Whether it has said who it is, or need not.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Checks what a client says of itself: its name, where it gives one, and the token.
    ///
    /// # Errors
    ///
    /// [`WrongToken`]; it is who it was before.
    pub(super) fn meet(&mut self, name: &[u8], token: &[u8]) -> Result<(), WrongToken> {
        let is_right = match &self.shared.token {
            None => true,
            Some(wanted) => bool::from(token.ct_eq(wanted.as_bytes())),
        };
        // There is one client as far as rights go, and it has Redis's name for that.
        if !is_right || name != b"default" {
            return Err(WrongToken);
        }
        self.is_known = true;
        Ok(())
    }

    /// Makes it as it was when it began.
    pub(super) fn reset(&mut self) {
        self.is_known = self.shared.token.is_none();
        self.transaction = Transaction::default();
        self.listening = None;
        self.client.change(|words| words.name.clear());
    }

    /// What its requests may be like, and how many are read at a time: what a stranger may send changes
    /// with the next of them.
    pub(super) fn limits(&self) -> (Limits, usize) {
        if !self.is_known {
            let limits = Limits {
                arguments_max: RESP_STRANGER_ARGUMENTS_MAX,
                bulk_bytes_max: RESP_STRANGER_BULK_BYTES_MAX,
                request_bytes_max: RESP_STRANGER_ARGUMENTS_MAX * RESP_STRANGER_BULK_BYTES_MAX,
                is_stranger: true,
            };
            return (limits, 1);
        }
        let value_bytes = self.shared.cache.value_bytes_max();
        let bulk_bytes_max = (2 * value_bytes).clamp(RESP_BULK_BYTES_LEAST, VALUE_BYTES_CEILING);
        let limits = Limits {
            arguments_max: RESP_ARGUMENTS_MAX,
            bulk_bytes_max,
            request_bytes_max: RESP_REQUEST_BYTES_MAX,
            is_stranger: false,
        };
        (limits, RESP_REQUESTS_MAX)
    }
}
