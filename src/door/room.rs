//! Room for bytes under way, which all connections share: what comes in, values that go out.
//!
//! What comes takes room as it comes. Bodies that have grown to all the room there is would wait for each
//! other for ever, so that one of them at a time grows on without: it ends, and its room comes back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Some room for bytes.
#[derive(Debug)]
pub struct Room {
    /// One permit for each byte that is free.
    free: Semaphore,
    /// The permit to grow on without room.
    beyond: Semaphore,
    /// Who waits for room.
    waiting: AtomicUsize,
    /// Told when somebody begins to.
    wanted: Notify,
}

/// What one body or value has of the room; it comes back when this is dropped.
#[derive(Debug, Default)]
pub struct Place<'a> {
    permit: Option<SemaphorePermit<'a>>,
    beyond: Option<SemaphorePermit<'a>>,
}

/// Somebody who waits, until this is dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        let (free, beyond) = (Semaphore::const_new(bytes), Semaphore::const_new(1));
        Self { free, beyond, waiting: AtomicUsize::new(0), wanted: Notify::const_new() }
    }

    /// A place for `bytes`, if there is room for them now.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<Place<'_>> {
        let permit = self.free.try_acquire_many(permits(bytes)).ok()?;
        Some(Place { permit: Some(permit), beyond: None })
    }

    /// A place for `bytes`, if there is room for them within `patience`.
    pub async fn take(&self, bytes: usize, patience: Duration) -> Option<Place<'_>> {
        if let Some(place) = self.try_take(bytes) {
            return Some(place);
        }
        let _waiter = self.wait();
        // The semaphore is never closed.
        let permit = timeout(patience, self.free.acquire_many(permits(bytes))).await.ok()?.ok()?;
        Some(Place { permit: Some(permit), beyond: None })
    }

    /// Lets `place` grow by `bytes`; whether it has grown within `patience`.
    pub async fn grow<'a>(
        &'a self,
        place: &mut Place<'a>,
        bytes: usize,
        patience: Duration,
    ) -> bool {
        if place.beyond.is_some() {
            return true;
        }
        let permit = match self.free.try_acquire_many(permits(bytes)) {
            Ok(permit) => permit,
            Err(_) => {
                let _waiter = self.wait();
                tokio::select! {
                    biased;
                    // Neither semaphore is ever closed.
                    Ok(permit) = self.free.acquire_many(permits(bytes)) => permit,
                    Ok(beyond) = self.beyond.acquire() => {
                        place.beyond = Some(beyond);
                        return true;
                    }
                    () = tokio::time::sleep(patience) => return false,
                }
            }
        };
        match &mut place.permit {
            Some(before) => before.merge(permit),
            before => *before = Some(permit),
        }
        true
    }

    /// Whether somebody waits for room.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        0 < self.waiting.load(Ordering::Relaxed)
    }

    /// Waits until somebody waits for room.
    pub async fn wanted(&self) {
        loop {
            let wanted = self.wanted.notified();
            if self.is_wanted() {
                return;
            }
            wanted.await;
        }
    }

    fn wait(&self) -> Waiter<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.wanted.notify_waiters();
        Waiter(&self.waiting)
    }
}

/// The permits for so many bytes; more than there can be are never had.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn of_bodies_that_have_all_the_room_one_grows_on_and_ends() {
        let room = Room::new(100);
        let (mut a, mut b) = (Place::default(), Place::default());
        assert!(room.grow(&mut a, 50, PATIENCE).await && room.grow(&mut b, 50, PATIENCE).await);
        assert!(room.grow(&mut a, 70, PATIENCE).await, "the first grows beyond");
        assert!(!room.grow(&mut b, 1, PATIENCE).await, "the second waits");
        drop(a);
        assert!(room.grow(&mut b, 50, PATIENCE).await);
        drop(b);
        assert!(room.try_take(100).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_comes_back_in_time_or_nothing() {
        let room = Room::new(10);
        let taken = room.try_take(8).unwrap();
        assert!(room.take(3, PATIENCE).await.is_none());
        let (place, ()) = tokio::join!(room.take(3, PATIENCE), async { drop(taken) });
        assert!(place.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_room_is_told_that_somebody_waits_for_it() {
        let room = Room::new(10);
        let taken = room.try_take(10).unwrap();
        assert!(timeout(PATIENCE, room.wanted()).await.is_err());
        let gives = async {
            room.wanted().await;
            drop(taken);
        };
        assert!(tokio::join!(room.take(1, PATIENCE), gives).0.is_some());
        assert!(timeout(PATIENCE, room.wanted()).await.is_err());
    }
}
