//! When a failed run is tried again.

use std::time::Duration;

use jackfield_sdk::{
    error::{Failure, Fate},
    webhook::Retry,
};
use rand::RngExt;

/// First delay of every schedule whose window allows it.
const FIRST: f64 = 5_000.0;
/// A provider's `Retry-After` is honoured up to this long.
const MAX_RETRY_AFTER: u64 = 6 * 3600 * 1000;
/// Jitter: the delay is multiplied by a number in this range.
const JITTER: std::ops::RangeInclusive<f64> = 0.8..=1.2;

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tried again after so many milliseconds.
    Again(u64),
    /// Not tried again.
    Dead,
}

/// Decides after a failure; `failures` counts it, `since_first` is the time since the first failure.
pub fn verdict(policy: Retry, failure: &Failure, failures: u32, since_first: Duration) -> Verdict {
    let after = match failure.fate {
        Fate::Permanent => return Verdict::Dead,
        Fate::Transient => 0,
        Fate::Retry { after_ms } => after_ms.min(MAX_RETRY_AFTER),
    };
    let spent = u64::try_from(since_first.as_millis()).unwrap_or(u64::MAX);
    let late = spent > policy.window_ms.saturating_mul(2);
    if failures >= policy.attempts || late {
        return Verdict::Dead;
    }
    let jitter = rand::rng().random_range(JITTER);
    let delay = (base_delay(policy, failures) * jitter) as u64;
    Verdict::Again(delay.max(after))
}

/// The delay after the `failures`th failure without jitter, in milliseconds: a geometric series from [`FIRST`] whose sum
/// is the window.
pub fn base_delay(policy: Retry, failures: u32) -> f64 {
    let gaps = policy.attempts.saturating_sub(1).max(1);
    let window = policy.window_ms as f64;
    let first = if gaps == 1 {
        window
    } else {
        FIRST.min(window / f64::from(gaps))
    };
    let ratio = ratio(first, window, gaps);
    first * ratio.powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX))
}

/// The ratio for which `gaps` terms from `first` sum to `window`, by bisection.
fn ratio(first: f64, window: f64, gaps: u32) -> f64 {
    let sum = |ratio: f64| {
        (0..gaps)
            .fold((0.0, first), |(sum, term), _| (sum + term, term * ratio))
            .0
    };
    // The last term alone is less than the window.
    let (mut low, mut high) = (1.0, (window / first).max(1.0));
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if sum(middle) < window {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = Retry> {
        (2..40_u32, 1_000..7 * 86_400_000_u64).prop_map(|(attempts, window_ms)| Retry { attempts, window_ms })
    }

    proptest! {
        #[test]
        fn every_schedule_grows_and_fills_its_window(policy in policy()) {
            let delays: Vec<f64> = (1..policy.attempts).map(|n| base_delay(policy, n)).collect();
            prop_assert!(delays.windows(2).all(|pair| pair[1] >= pair[0]), "{delays:?}");
            let (sum, window) = (delays.iter().sum::<f64>(), policy.window_ms as f64);
            prop_assert!((sum - window).abs() <= window / 1_000.0, "{sum} of {window}");
        }

        #[test]
        fn every_delay_is_within_a_fifth_or_as_long_as_the_provider_asks(
            policy in policy(),
            failures in 1..45_u32,
            spent in 0..20 * 86_400_000_u64,
            after in proptest::option::of(prop_oneof![0..86_400_000_u64, Just(u64::MAX)]),
        ) {
            let fate = after.map_or(Fate::Transient, |after_ms| Fate::Retry { after_ms });
            let over = failures >= policy.attempts || spent > 2 * policy.window_ms;
            match verdict(policy, &failure(fate), failures, Duration::from_millis(spent)) {
                Verdict::Dead => prop_assert!(over),
                Verdict::Again(delay) => {
                    prop_assert!(!over);
                    let (base, asked) = (base_delay(policy, failures), after.unwrap_or(0).min(MAX_RETRY_AFTER));
                    prop_assert!(delay >= asked && delay as f64 >= base * 0.8 - 1.0, "{delay} of {base}, {asked}");
                    prop_assert!(delay == asked || delay as f64 <= base * 1.2, "{delay} of {base}, {asked}");
                }
            }
        }
    }

    fn failure(fate: Fate) -> Failure {
        Failure {
            fate,
            message: "no".to_owned(),
            tell: None,
            code: None,
        }
    }

    #[test]
    fn the_default_schedule_is_twelve_tries_over_75_hours() {
        let delays: Vec<f64> = (1..12).map(|n| base_delay(Retry::DEFAULT, n)).collect();
        let hours = delays.iter().sum::<f64>() / 3_600_000.0;
        assert!((hours - 75.0).abs() < 0.01, "{hours}");
        assert!((delays[0] - 5_000.0).abs() < 1e-6);
        assert!(delays.windows(2).all(|pair| pair[1] > pair[0]));
        assert_eq!(
            verdict(Retry::DEFAULT, &failure(Fate::Transient), 12, Duration::ZERO),
            Verdict::Dead
        );
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for failures in 1..12 {
            let base = base_delay(Retry::DEFAULT, failures);
            for _ in 0..100 {
                let Verdict::Again(delay) =
                    verdict(Retry::DEFAULT, &failure(Fate::Transient), failures, Duration::ZERO)
                else {
                    panic!("attempt {failures} is tried again");
                };
                let factor = delay as f64 / base;
                assert!((0.799..=1.201).contains(&factor), "{factor}");
            }
        }
    }

    #[test]
    fn retry_after_is_honoured_and_capped() {
        let policy = Retry::within(Duration::from_secs(900));
        let long = failure(Fate::Retry { after_ms: 60_000 });
        assert!(matches!(verdict(policy, &long, 1, Duration::ZERO), Verdict::Again(ms) if ms >= 60_000));
        let absurd = failure(Fate::Retry { after_ms: u64::MAX });
        assert_eq!(
            verdict(policy, &absurd, 1, Duration::ZERO),
            Verdict::Again(MAX_RETRY_AFTER)
        );
        assert_eq!(verdict(policy, &long, 2, Duration::from_secs(1801)), Verdict::Dead);
    }

    #[test]
    fn permanent_failures_die_at_once() {
        assert_eq!(
            verdict(Retry::DEFAULT, &failure(Fate::Permanent), 1, Duration::ZERO),
            Verdict::Dead
        );
    }
}
