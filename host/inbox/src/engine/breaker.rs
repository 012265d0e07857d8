//! A circuit breaker per plugin: when run after run fails and none succeeds, the provider is probably down, and trying
//! every job only uses up their retries. Open for a while, then one probe.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

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
    probing: bool,
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
            Some(until) if Instant::now() < until || breaker.probing => 0,
            Some(_) => 1,
        }
    }

    /// The probe has been claimed.
    pub(super) fn claimed(&self, plugin: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = all.get_mut(plugin).filter(|breaker| breaker.open_until.is_some()) {
            breaker.probing = true;
        }
    }

    pub(super) fn succeeded(&self, plugin: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
    }

    pub(super) fn failed(&self, plugin: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = all.entry(plugin.to_owned()).or_default();
        breaker.failures += 1;
        breaker.probing = false;
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
        breakers.claimed("p");
        assert_eq!(breakers.allowed("p", 8), 0);
        breakers.failed("p");
        assert_eq!(breakers.allowed("p", 8), 0);
        tokio::time::advance(OPEN).await;
        breakers.succeeded("p");
        assert_eq!(breakers.allowed("p", 8), 8);
    }
}
