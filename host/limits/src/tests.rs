//! In memory, in virtual time.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use http::HeaderMap;
use jackfield_inbox::clock::ManualClock;
use proptest::prelude::*;

use crate::{
    ADDRESS, Class, DEFAULT, DEVICE, Limit, RateLimits, Verdict,
    gcra::{Fulls, Pace, admit},
    memory::Memory,
};

/// 2026-11-26T00:00:00Z.
const START: i64 = 1_795_651_200_000;

fn limits() -> (RateLimits, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    (RateLimits::memory(clock.clone()), clock)
}

fn headers(verdict: &Verdict) -> Vec<String> {
    let shown = |(name, value): (http::HeaderName, http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    verdict.headers().map(shown).collect()
}

/// How many of so many in a row are allowed.
async fn allowed(limits: &RateLimits, class: &Class, who: &str, tries: u32) -> u32 {
    let mut count = 0;
    for _ in 0..tries {
        count += u32::from(limits.check(class, who).await.is_allowed());
    }
    count
}

#[tokio::test]
async fn the_amount_at_once_then_one_at_a_time() {
    let (limits, clock) = limits();
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 50).await, 10);
    clock.advance(Duration::from_millis(99));
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 50).await, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 50).await, 1);
    clock.advance(Duration::from_millis(250));
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 50).await, 2);
    clock.advance(Duration::from_secs(60));
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 50).await, 10);
}

/// The minute's limit is reached by who keeps within the second's.
#[tokio::test]
async fn both_limits_are_checked() {
    let (limits, clock) = limits();
    let mut taken = Vec::new();
    for _ in 0..20 {
        taken.push(allowed(&limits, &DEFAULT, "ada", 50).await);
        clock.advance(Duration::from_secs(1));
    }
    // A hundred, and what came back meanwhile: one in 600 ms.
    assert_eq!(taken[..11], [10; 11], "{taken:?}");
    assert_eq!(taken.iter().sum::<u32>(), 100 + 19_000 / 600);
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 50).await, 2);
    let refused = limits.check(&DEFAULT, "ada").await;
    assert_eq!(
        refused.refusal().as_deref(),
        Some("Rate limit exceeded: 100 per 1 minute")
    );
    assert_eq!(refused.standings()[0].retry_after, None);
}

#[tokio::test]
async fn callers_and_classes_are_apart_and_clones_are_not() {
    let (limits, _clock) = limits();
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 11).await, 10);
    assert_eq!(allowed(&limits.clone(), &DEFAULT, "ada", 11).await, 0);
    assert_eq!(allowed(&limits, &DEFAULT, "bob", 11).await, 10);
    assert_eq!(allowed(&limits, &ADDRESS, "ada", 100).await, 60);
    assert_eq!(allowed(&limits, &DEVICE, "ada", 100).await, 30);
    assert_eq!(allowed(&limits, &Class::new("open", Vec::new()), "ada", 100).await, 100);
}

#[tokio::test]
async fn callers_are_told() {
    let (limits, clock) = limits();
    let first = limits.check(&DEFAULT, "ada").await;
    assert_eq!(first.refusal(), None);
    assert_eq!(
        headers(&first),
        ["ratelimit-limit: 10", "ratelimit-remaining: 9", "ratelimit-reset: 1"]
    );
    assert_eq!(first.standings()[1].remaining, 99);
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 9).await, 9);
    clock.advance(Duration::from_millis(50));
    let refused = limits.check(&DEFAULT, "ada").await;
    assert_eq!(
        refused.refusal().as_deref(),
        Some("Rate limit exceeded: 10 per 1 second")
    );
    assert_eq!(refused.standings()[0].retry_after, Some(Duration::from_millis(50)));
    assert_eq!(
        headers(&refused),
        [
            "ratelimit-limit: 10",
            "ratelimit-remaining: 0",
            "ratelimit-reset: 1",
            "x-ratelimit-limit: 10 per 1 second",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 1795651201",
            "retry-after: 1",
        ]
    );
    let mut map = HeaderMap::new();
    map.extend(refused.headers());
    assert_eq!(map["retry-after"], "1");

    let hourly = Class::new("hourly", vec![Limit::new(NonZeroU32::MIN, Duration::from_secs(3600))]);
    assert_eq!(allowed(&limits, &hourly, "ada", 2).await, 1);
    clock.advance(Duration::from_millis(1500));
    let refused = limits.check(&hourly, "ada").await;
    assert_eq!(
        headers(&refused)[2..],
        [
            "ratelimit-reset: 3599",
            "x-ratelimit-limit: 1 per 1 hour",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 1795654801",
            "retry-after: 3599",
        ]
    );
    assert!(headers(&limits.check(&Class::new("open", Vec::new()), "ada").await).is_empty());
}

#[test]
fn refusals_are_counted_by_class() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (limits, _clock) = limits();
        assert_eq!(runtime.block_on(allowed(&limits, &DEFAULT, "ada", 13)), 10);
        assert_eq!(runtime.block_on(allowed(&limits, &DEVICE, "ada", 31)), 30);
    });
    let text = handle.render();
    assert!(
        text.contains("jackfield_rate_limited_total{class=\"default\"} 3\n"),
        "{text}"
    );
    assert!(
        text.contains("jackfield_rate_limited_total{class=\"device\"} 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn callers_whose_time_has_passed_are_dropped() {
    let (limits, clock) = limits();
    let (mut most, burst) = (0, 5_000);
    for round in 0..20 {
        for one in 0..burst {
            let who = format!("{round}.{one}");
            assert!(limits.check(&ADDRESS, &who).await.is_allowed());
        }
        // After a second, one of sixty a minute is back.
        clock.advance(Duration::from_secs(1));
        most = most.max(limits.entries());
    }
    assert!(most >= burst && most <= 3 * burst, "{most}");
    clock.advance(Duration::from_secs(60));
    for one in 0..2_000 {
        assert!(limits.check(&ADDRESS, &format!("late {one}")).await.is_allowed());
    }
    assert!(limits.entries() <= 2_000, "{}", limits.entries());
}

#[tokio::test]
async fn a_clock_set_back_shuts_nobody_out() {
    let clock = Arc::new(ManualClock::at(START));
    let earlier = Arc::new(ManualClock::at(START - 86_400_000));
    let memory = Memory::new();
    let now = |clock: &ManualClock| jackfield_sdk::host::ClockService::now_ms(clock) * 1000;
    let mut count = 0;
    for _ in 0..20 {
        count += u32::from(memory.check(&DEFAULT, "ada", now(&clock), 1).is_allowed());
    }
    assert_eq!(count, 10);
    assert!(!memory.check(&DEFAULT, "ada", now(&earlier), 1).is_allowed());
    earlier.advance(Duration::from_millis(600));
    assert!(memory.check(&DEFAULT, "ada", now(&earlier), 1).is_allowed());
}

#[tokio::test]
async fn a_class_may_get_other_limits() {
    let (limits, _clock) = limits();
    let minute = Duration::from_secs(60);
    let few = Class::new("plan", vec![Limit::new(NonZeroU32::new(3).unwrap(), minute)]);
    let two = Class::new("plan", [few.limits(), DEFAULT.limits()].concat());
    assert_eq!(allowed(&limits, &few, "ada", 9).await, 3);
    assert_eq!(allowed(&limits, &two, "ada", 9).await, 3);
    assert_eq!(allowed(&limits, &two, "ada", 9).await, 0);
}

#[test]
fn a_replica_enforces_its_share() {
    let memory = [Memory::new(), Memory::new(), Memory::new()];
    let now = START * 1000;
    let count = |at: i64| -> u32 {
        let tries = memory.iter().flat_map(|one| std::iter::repeat_n(one, 50));
        tries
            .map(|one| u32::from(one.check(&DEFAULT, "ada", at, 3).is_allowed()))
            .sum()
    };
    // Three of ten for each; one of a share is back after three intervals.
    assert_eq!(count(now), 9);
    assert_eq!(count(now + 299_999), 0);
    assert_eq!(count(now + 300_000), 3);
    // Of less than one, each has one, and the rate holds all the same.
    let pace = Pace::of(&Limit::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(1)), 5);
    assert_eq!((pace.interval, pace.window), (2_500_000, 2_500_000));
}

pub(crate) fn limit() -> impl Strategy<Value = Limit> {
    (1..40_u32, 1..5_000_000_u64)
        .prop_map(|(amount, per)| Limit::new(NonZeroU32::new(amount).unwrap(), Duration::from_micros(per)))
}

proptest! {
    /// In any stretch of time, never more than the amount and what comes back in it; and a refusal changes nothing.
    #[test]
    fn never_more_than_the_limit(
        limits in prop::collection::vec(limit(), 1..4),
        gaps in prop::collection::vec(prop_oneof![Just(0), 0..200_000_i64, 0..6_000_000_i64], 1..200),
    ) {
        let paces = || limits.iter().map(|limit| Pace::of(limit, 1));
        let (mut now, mut fulls, mut times) = (START * 1000, Fulls::from_elem(0, limits.len()), Vec::new());
        for gap in gaps {
            now += gap;
            let before: Fulls = paces().zip(&fulls).map(|(pace, full)| (*full).clamp(now, now + pace.window)).collect();
            if admit(now, paces(), &mut fulls) {
                times.push(now);
            } else {
                prop_assert_eq!(&fulls, &before);
            }
        }
        for limit in &limits {
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let (count, amount) = ((last - first + 1) as i128, i128::from(limit.amount().get()));
                    let back = i128::from(to - from) * amount;
                    prop_assert!((count - amount) * limit.per().as_micros() as i128 <= back, "{count} of {limit} in {} us", to - from);
                }
            }
        }
    }

    /// What callers are told is what then happens.
    #[test]
    fn what_is_told_is_true(
        limits in prop::collection::vec(limit(), 1..4),
        gaps in prop::collection::vec(0..300_000_i64, 1..60),
    ) {
        let paces = || limits.iter().map(|limit| Pace::of(limit, 1));
        let class = Class::new("any", limits.clone());
        let (mut now, mut fulls) = (START * 1000, Fulls::from_elem(0, limits.len()));
        for gap in gaps {
            now += gap;
            let allowed = admit(now, paces(), &mut fulls);
            let verdict = Verdict::of(&class, 1, now, allowed, &fulls);
            let more = |at: i64| {
                let mut copy = fulls.clone();
                std::iter::repeat_with(|| admit(at, paces(), &mut copy)).take_while(|allowed| *allowed).count()
            };
            let foremost = *verdict.foremost().unwrap();
            let least = verdict.standings().iter().map(|one| one.remaining).min().unwrap();
            prop_assert_eq!(more(now), least as usize);
            prop_assert_eq!(foremost.remaining, least);
            prop_assert_eq!(foremost.retry_after.is_none(), allowed);
            if let Some(wait) = foremost.retry_after {
                let at = now + wait.as_micros() as i64;
                prop_assert!(more(at) >= 1 && more(at - 1) == 0);
            }
            let reset = verdict.standings().iter().map(|one| one.reset).max().unwrap();
            let amount = limits.iter().map(|limit| limit.amount().get()).min().unwrap();
            prop_assert_eq!(more(now + reset.as_micros() as i64), amount as usize);
        }
    }
}
