//! How many runs of a plugin, and of each of its tenants, may start now. The rates are of all replicas together, and each takes
//! an equal share, by token buckets that hold one second's worth, and at least one. They outlive a plugin's generations: a
//! reload fills none.
//! Our own, because a claim has to know how much it may take before it knows how much there is, and limiters in crates tell
//! only whether a given number may pass, and count it as gone.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use tokio::time::Instant;

use super::runner::Limits;

pub(super) struct Rates {
    buckets: Mutex<HashMap<String, Buckets>>,
    /// How many replicas share them.
    replicas: AtomicU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            buckets: Mutex::default(),
            replicas: AtomicU32::new(1),
        }
    }
}

/// Of a rate, what this replica may take: runs a minute.
#[derive(Clone, Copy)]
struct Share(f64);

#[derive(Default)]
struct Buckets {
    plugin: Option<Bucket>,
    tenants: HashMap<String, Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(share: Share) -> Self {
        Self {
            tokens: share.most(),
            at: Instant::now(),
        }
    }

    /// Whole tokens that are in it now.
    fn count(&mut self, share: Share) -> u32 {
        let now = Instant::now();
        let grown = now.duration_since(self.at).as_secs_f64() * share.0 / 60.0;
        self.tokens = (self.tokens + grown).min(share.most());
        self.at = now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a rate, and never below 0"
        )]
        let whole = self.tokens.max(0.0).floor() as u32;
        whole
    }
}

impl Share {
    /// What a bucket holds: a second's worth, at least one.
    fn most(self) -> f64 {
        (self.0 / 60.0).max(1.0)
    }
}

impl Rates {
    /// So many replicas take a share.
    pub(super) fn share_among(&self, replicas: u32) {
        self.replicas.store(replicas.max(1), Relaxed);
    }

    fn share(&self, rate: NonZeroU32) -> Share {
        Share(f64::from(rate.get()) / f64::from(self.replicas.load(Relaxed)))
    }

    /// How many runs of `plugin` may start: at most `wanted`.
    pub(super) fn allowed(&self, plugin: &str, limits: &Limits, wanted: u32) -> u32 {
        let Some(rate) = limits.jobs_per_minute else {
            return wanted;
        };
        let share = self.share(rate);
        let mut all = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = all.entry(plugin.to_owned()).or_default();
        let bucket = buckets.plugin.get_or_insert_with(|| Bucket::full(share));
        wanted.min(bucket.count(share))
    }

    /// The most that may start of a tenant that nothing is known of, and how much fewer of the others, by tenant.
    pub(super) fn tenants(&self, plugin: &str, limits: &Limits) -> (u32, HashMap<String, u32>) {
        let Some(rate) = limits.tenant_jobs_per_minute else {
            return (u32::MAX, HashMap::new());
        };
        let share = self.share(rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a rate, and at least 1"
        )]
        let most = share.most().floor() as u32;
        let mut all = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = all.entry(plugin.to_owned()).or_default();
        let mut fewer = HashMap::new();
        // A bucket that is full again says no more than none.
        buckets.tenants.retain(|tenant, bucket| {
            let gone = most.saturating_sub(bucket.count(share));
            if gone > 0 {
                fewer.insert(tenant.clone(), gone);
            }
            gone > 0 || bucket.tokens < share.most()
        });
        (most, fewer)
    }

    /// A run of `tenant` starts.
    pub(super) fn began(&self, plugin: &str, limits: &Limits, tenant: &str) {
        if !limits.has_rate() {
            return;
        }
        let mut all = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = all.entry(plugin.to_owned()).or_default();
        if let Some(rate) = limits.jobs_per_minute {
            let share = self.share(rate);
            buckets.plugin.get_or_insert_with(|| Bucket::full(share)).tokens -= 1.0;
        }
        if let Some(rate) = limits.tenant_jobs_per_minute.filter(|_| !tenant.is_empty()) {
            let bucket = buckets.tenants.entry(tenant.to_owned());
            bucket.or_insert_with(|| Bucket::full(self.share(rate))).tokens -= 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(plugin: u32, tenant: u32) -> Limits {
        Limits {
            jobs_per_minute: NonZeroU32::new(plugin),
            tenant_jobs_per_minute: NonZeroU32::new(tenant),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_s_worth_at_once_and_the_rate_after_that() {
        let (rates, limits) = (Rates::default(), limits(600, 0));
        assert_eq!(rates.allowed("p", &limits, 256), 10);
        for _ in 0..10 {
            rates.began("p", &limits, "");
        }
        assert_eq!(rates.allowed("p", &limits, 256), 0);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(rates.allowed("p", &limits, 256), 2);
        assert_eq!(rates.allowed("p", &limits, 1), 1);
        assert_eq!(rates.allowed("q", &limits, 256), 10, "another plugin has its own");
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(
            rates.allowed("p", &limits, 256),
            10,
            "no more than a second's worth gathers"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_share_a_rate() {
        let (rates, limits) = (Rates::default(), limits(600, 60));
        rates.share_among(4);
        let mut started = 0;
        for _ in 0..600 {
            tokio::time::advance(Duration::from_millis(100)).await;
            for _ in 0..rates.allowed("p", &limits, 256) {
                rates.began("p", &limits, "acme");
                started += 1;
            }
        }
        assert!(
            (150..=152).contains(&started),
            "a quarter of 600 in a minute: {started}"
        );
        assert_eq!(
            rates.tenants("p", &limits).0,
            1,
            "a tenant's turn comes, however many share"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_are_counted_apart_and_forgotten_when_full_again() {
        let (rates, limits) = (Rates::default(), limits(0, 6));
        assert_eq!(rates.allowed("p", &limits, 256), 256);
        rates.began("p", &limits, "acme");
        assert_eq!(
            rates.tenants("p", &limits),
            (1, HashMap::from([("acme".to_owned(), 1)]))
        );
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(rates.tenants("p", &limits).1.len(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rates.tenants("p", &limits), (1, HashMap::new()));
        assert!(rates.buckets.lock().unwrap()["p"].tenants.is_empty());
    }
}
