//! The only reader of the clock: everything else is told what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::entry::Millis;

/// The wall-clock time, in milliseconds since the Unix epoch; 0 if the clock is set before it.
#[must_use]
pub fn now() -> Millis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
