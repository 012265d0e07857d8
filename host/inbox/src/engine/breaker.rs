//! A circuit breaker per plugin: when run after run fails and none succeeds, the provider is probably down, and trying
//! every job only uses up their retries. Open for a while, then one probe.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

/// Failures in a row, without a success between them, that open the breaker.
const FAILURES: u32 = 20;
/// How long it stays open before a probe.
const OPEN: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Breakers(Mutex<HashMap<String, Breaker>>);

#[derive(Default)]
struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
    /// The job that is tried while open. It always comes back through [`Breakers::ended`], however its run went.
    probe: Option<Uuid>,
}

impl Breakers {
    /// How many runs may start: none while open, one as a probe, otherwise `wanted`.
    pub(super) fn allowed(&self, plugin: &str, wanted: u32) -> u32 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(breaker) = all.get_mut(plugin) else {
            return wanted;
        };
        match breaker.open_until {
            None => wanted,
            Some(until) if Instant::now() < until || breaker.probe.is_some() => 0,
            Some(_) => 1,
        }
    }

    /// Whether runs may start without being counted one by one.
    pub(super) fn closed(&self, plugin: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(plugin).is_none_or(|breaker| breaker.open_until.is_none())
    }

    /// A run of `job` begins; while open it is the probe.
    pub(super) fn began(&self, plugin: &str, job: Uuid) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = all.get_mut(plugin).filter(|breaker| breaker.open_until.is_some()) {
            breaker.probe = Some(job);
        }
    }

    /// The run of `job` is over. When it was the probe and said nothing about the provider (released, fenced, no handler),
    /// the next one probes.
    pub(super) fn ended(&self, plugin: &str, job: Uuid) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = all.get_mut(plugin).filter(|breaker| breaker.probe == Some(job)) {
            breaker.probe = None;
        }
    }

    pub(super) fn succeeded(&self, plugin: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
    }

    pub(super) fn failed(&self, plugin: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = all.entry(plugin.to_owned()).or_default();
        breaker.failures += 1;
        if breaker.failures >= FAILURES {
            if breaker.open_until.is_none() {
                tracing::warn!(plugin, "runs fail one after the other; pausing claims");
            }
            breaker.open_until = Some(Instant::now() + OPEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_probes_and_closes() {
        let breakers = Breakers::default();
        for _ in 0..FAILURES {
            assert_eq!(breakers.allowed("p", 8), 8);
            breakers.failed("p");
        }
        assert_eq!(breakers.allowed("p", 8), 0);
        tokio::time::advance(OPEN).await;
        assert_eq!(breakers.allowed("p", 8), 1);
        let probe = Uuid::from_u128(1);
        breakers.began("p", probe);
        assert_eq!(breakers.allowed("p", 8), 0);
        breakers.failed("p");
        breakers.ended("p", probe);
        assert_eq!(breakers.allowed("p", 8), 0);
        tokio::time::advance(OPEN).await;
        breakers.succeeded("p");
        assert_eq!(breakers.allowed("p", 8), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_says_nothing_is_followed_by_another() {
        let breakers = Breakers::default();
        for _ in 0..FAILURES {
            breakers.failed("p");
        }
        tokio::time::advance(OPEN).await;
        let (old, probe) = (Uuid::from_u128(1), Uuid::from_u128(2));
        breakers.began("p", probe);
        // One that began before it opened.
        breakers.ended("p", old);
        assert_eq!(breakers.allowed("p", 8), 0);
        breakers.ended("p", probe);
        assert_eq!(breakers.allowed("p", 8), 1);
    }
}
