//! Clocks: the system's, and one that tests move by hand.

use std::sync::atomic::{AtomicI64, Ordering};

use jackfield_sdk::host::ClockService;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl ClockService for SystemClock {
    fn now_ms(&self) -> i64 {
        i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }
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
