//! The generic cell rate algorithm over several limits at once. `gcra.lua` says the same in Redis.
//!
//! Times are microseconds since the Unix epoch. A caller's state under a limit is one time: when all of its amount will be
//! there again (`full`). It lies between now and now + window; anything else is from before a clock was set back or a
//! limit was changed, and counts as the nearest of the two. So no caller is ever shut out for longer than the limit says.

use smallvec::SmallVec;

use crate::class::Limit;

/// A caller's states, in the order of the class's limits. Most classes have one or two.
pub(crate) type Fulls = SmallVec<[i64; 2]>;

/// A limit as it is enforced here: all of it, or a replica's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Between two that are allowed for ever.
    pub(crate) interval: i64,
    /// From nothing left to everything there: the amount times the interval.
    pub(crate) window: i64,
}

impl Pace {
    /// Of one of so many replicas: a fraction of the rate, and of the amount at once, which is at least one.
    pub(crate) fn of(limit: &Limit, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        let amount = (limit.amount().get() / replicas).max(1);
        let interval = limit.interval().saturating_mul(i64::from(replicas));
        Self {
            interval,
            window: interval.saturating_mul(i64::from(amount)),
        }
    }

    /// How many would be allowed at once.
    pub(crate) fn remaining(self, now: i64, full: i64) -> u32 {
        let left = (now.saturating_add(self.window) - full) / self.interval;
        u32::try_from(left.max(0)).unwrap_or(u32::MAX)
    }

    /// How long until one is allowed.
    pub(crate) fn wait(self, now: i64, full: i64) -> i64 {
        (full.saturating_add(self.interval) - now.saturating_add(self.window)).max(0)
    }
}

/// Whether one more is within every limit. It counts if it is, and against none if it is not.
pub(crate) fn admit(now: i64, paces: impl Iterator<Item = Pace> + Clone, fulls: &mut [i64]) -> bool {
    let mut allowed = true;
    for (pace, full) in paces.clone().zip(fulls.iter_mut()) {
        *full = (*full).clamp(now, now.saturating_add(pace.window));
        allowed &= pace.wait(now, *full) == 0;
    }
    if allowed {
        for (pace, full) in paces.zip(fulls.iter_mut()) {
            *full += pace.interval;
        }
    }
    allowed
}
