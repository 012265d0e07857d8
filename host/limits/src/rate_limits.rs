//! The way in.

use std::sync::Arc;

use jackfield_sdk::host::ClockService;
use jackfield_storage::Redis;
use metrics::counter;

use crate::{
    class::Class,
    memory::Memory,
    shared::{Shared, Times},
    verdict::Verdict,
};

/// Decides who may come. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct RateLimits(Arc<Inner>);

struct Inner {
    memory: Memory,
    clock: Arc<dyn ClockService>,
    shared: Option<Arc<Shared>>,
}

impl RateLimits {
    /// Counts in this process: exact when there is one replica.
    pub fn memory(clock: Arc<dyn ClockService>) -> Self {
        Self::new(clock, None)
    }

    /// Counts in Redis, exact over all replicas. The clock is for the time that Redis is away. Needs a tokio runtime: a task
    /// tells the other replicas of this one until the last clone is dropped.
    pub fn redis(redis: Redis, clock: Arc<dyn ClockService>) -> Self {
        Self::with_times(redis, clock, Times::USUAL)
    }

    pub(crate) fn with_times(redis: Redis, clock: Arc<dyn ClockService>, times: Times) -> Self {
        Self::new(clock, Some(Shared::start(redis, times)))
    }

    fn new(clock: Arc<dyn ClockService>, shared: Option<Arc<Shared>>) -> Self {
        let memory = Memory::new();
        Self(Arc::new(Inner { memory, clock, shared }))
    }

    /// Decides one request of `who` (a user id, an address) under all limits of the class, and counts it if it is allowed.
    /// Takes at most 50 ms, whatever Redis does.
    pub async fn check(&self, class: &Class, who: &str) -> Verdict {
        let verdict = self.decide(class, who).await;
        if !verdict.is_allowed() {
            counter!("jackfield_rate_limited_total", "class" => class.name().to_owned()).increment(1);
        }
        verdict
    }

    /// Whether limits hold over all replicas now: Redis is used and answers.
    pub fn is_exact(&self) -> bool {
        self.0.shared.as_ref().is_some_and(|shared| shared.answers())
    }

    async fn decide(&self, class: &Class, who: &str) -> Verdict {
        let inner = &*self.0;
        let mut replicas = 1;
        if let Some(shared) = &inner.shared {
            if let Some(verdict) = shared.check(class, who).await {
                return verdict;
            }
            replicas = shared.replicas();
        }
        let now = inner.clock.now_ms().saturating_mul(1000);
        inner.memory.check(class, who, now, replicas)
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.0.memory.len()
    }

    #[cfg(test)]
    pub(crate) fn known_replicas(&self) -> u32 {
        self.0.shared.as_ref().map_or(1, |shared| shared.replicas())
    }
}
