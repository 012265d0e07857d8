//! Clocks: the system's, the store's, and one that tests move by hand.

use std::sync::atomic::{AtomicI64, Ordering};

use jackfield_sdk::host::ClockService;
use tokio::time::Instant;

use crate::store::{Store, StoreResult};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl ClockService for SystemClock {
    fn now_ms(&self) -> i64 {
        i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// The store's clock, told without asking it each time: replicas on one database agree, whatever their machines say.
#[derive(Debug)]
pub struct StoreClock {
    begun: Instant,
    /// What the store's clock showed when ours began.
    then_ms: AtomicI64,
}

impl StoreClock {
    /// Asks the store what time it is.
    pub async fn of(store: &dyn Store) -> StoreResult<Self> {
        let begun = Instant::now();
        let then_ms = store.now_ms().await? - millis(begun) / 2;
        Ok(Self {
            begun,
            then_ms: AtomicI64::new(then_ms),
        })
    }

    /// Asks again: machines drift and sleep. A difference that the answer's own way may have made changes nothing.
    pub async fn follow(&self, store: &dyn Store) -> StoreResult<()> {
        let asked = Instant::now();
        let theirs = store.now_ms().await?;
        let way = millis(asked);
        let off = theirs - (self.now_ms() - way / 2);
        if off.abs() > way / 2 + 1 {
            self.then_ms.fetch_add(off, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl ClockService for StoreClock {
    fn now_ms(&self) -> i64 {
        self.then_ms.load(Ordering::Relaxed) + millis(self.begun)
    }
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at `ms` since the Unix epoch.
    pub const fn at(ms: i64) -> Self {
        Self(AtomicI64::new(ms))
    }

    /// Moves forward.
    pub fn advance(&self, by: std::time::Duration) {
        self.0
            .fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl ClockService for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test(start_paused = true)]
    async fn the_store_s_clock_runs_here_too_and_is_followed() {
        let theirs = Arc::new(ManualClock::at(1_800_000_000_000));
        let store = MemoryStore::new(Arc::clone(&theirs) as _);
        let clock = StoreClock::of(&store).await.unwrap();
        assert_eq!(clock.now_ms(), 1_800_000_000_000);

        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(clock.now_ms(), 1_800_000_010_000, "it runs without asking");

        // This machine slept for an hour, which its monotonic clock does not count.
        theirs.advance(Duration::from_hours(1));
        clock.follow(&store).await.unwrap();
        assert_eq!(clock.now_ms(), 1_800_003_600_000);
    }
}
