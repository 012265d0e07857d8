//! When a plugin is taken out of service, and when it is tried again: 5 panics or 20 missed deadlines within 60 s; a probe
//! after 1, 5 and 15 min; one success ends it.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

const WINDOW_MS: i64 = 60_000;
const PANICS: usize = 5;
const MISSED: usize = 20;
const PROBES: [Duration; 3] = [
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// Faults of one plugin on this replica.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    panics: VecDeque<i64>,
    missed: VecDeque<i64>,
}

/// What counts against a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Panic,
    MissedDeadline,
}

/// A quarantine as it is kept for all replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    /// Why.
    pub(crate) reason: String,
    /// When the next probe may run.
    pub(crate) probe_at_ms: i64,
    /// Failed probes so far.
    pub(crate) strikes: usize,
}

impl Quarantine {
    pub(crate) fn begin(reason: String, now_ms: i64) -> Self {
        Self {
            reason,
            probe_at_ms: now_ms + millis(PROBES[0]),
            strikes: 0,
        }
    }

    /// The probe failed: the next one comes later.
    pub(crate) fn again(&self, now_ms: i64) -> Self {
        let strikes = self.strikes + 1;
        let wait = PROBES[strikes.min(PROBES.len() - 1)];
        Self {
            reason: self.reason.clone(),
            probe_at_ms: now_ms + millis(wait),
            strikes,
        }
    }

    /// Whether one probe may run.
    pub(crate) fn probing(&self, now_ms: i64) -> bool {
        now_ms >= self.probe_at_ms
    }
}

impl Faults {
    /// Counts a fault; the reason when it is one too many.
    pub(crate) fn count(&mut self, fault: Fault, now_ms: i64) -> Option<String> {
        let (times, limit, what) = match fault {
            Fault::Panic => (&mut self.panics, PANICS, "panics"),
            Fault::MissedDeadline => (&mut self.missed, MISSED, "missed deadlines"),
        };
        times.push_back(now_ms);
        while times.front().is_some_and(|first| now_ms - first > WINDOW_MS) {
            times.pop_front();
        }
        (times.len() >= limit).then(|| format!("{} {what} within 60 s", times.len()))
    }

    pub(crate) fn clear(&mut self) {
        self.panics.clear();
        self.missed.clear();
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_panics_in_a_minute_are_too_many() {
        let mut faults = Faults::default();
        for at in 0..4 {
            assert_eq!(faults.count(Fault::Panic, at * 1000), None);
        }
        assert_eq!(
            faults.count(Fault::Panic, 4000).as_deref(),
            Some("5 panics within 60 s")
        );
    }

    #[test]
    fn old_faults_are_forgotten() {
        let mut faults = Faults::default();
        for at in 0..40 {
            assert_eq!(faults.count(Fault::MissedDeadline, at * 4000), None, "at {at}");
        }
    }

    #[test]
    fn probes_come_after_1_5_and_15_minutes() {
        let first = Quarantine::begin("why".to_owned(), 0);
        assert!(!first.probing(59_999) && first.probing(60_000));
        let second = first.again(60_000);
        assert_eq!(second.probe_at_ms, 360_000);
        assert_eq!(second.again(360_000).probe_at_ms, 360_000 + 900_000);
        assert_eq!(second.again(360_000).again(0).probe_at_ms, 900_000);
    }
}
