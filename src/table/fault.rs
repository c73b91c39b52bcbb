//! Steps at which a test may make the writer panic; nothing at all outside of tests.

#[cfg(all(test, not(smache_loom)))]
use std::cell::Cell;

#[cfg(all(test, not(smache_loom)))]
thread_local! {
    /// Steps left until the panic; `None` for never.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// One step of the writer after which a panic must lose nothing that was published.
#[inline]
pub(super) fn step() {
    #[cfg(all(test, not(smache_loom)))]
    LEFT.with(|left| match left.get() {
        None => {}
        Some(0) => {
            left.set(None);
            panic!("injected");
        }
        Some(more) => left.set(Some(more - 1)),
    });
}

/// Panics in this thread at the step after `steps` more; `None` calls it off.
///
/// Returns what was left of the one before, `None` if it has happened.
#[cfg(all(test, not(smache_loom)))]
pub(super) fn panic_after(steps: Option<u64>) -> Option<u64> {
    LEFT.with(|left| left.replace(steps))
}
