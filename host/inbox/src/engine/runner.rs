//! A plugin generation as the engine sees it.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use jackfield_sdk::{
    descriptor::{Descriptor, ScheduleDescriptor},
    instance::Instance,
    webhook::Retry,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// One active generation of a plugin. Jobs in flight keep it alive.
pub struct Runner {
    /// Plugin id.
    pub plugin: Arc<str>,
    /// Generation number.
    pub generation: u64,
    /// The running plugin.
    pub instance: Arc<dyn Instance>,
    /// Policies by handler name, aliases included.
    pub policies: HashMap<String, Policy>,
    /// Declared schedules.
    pub schedules: Vec<ScheduleDescriptor>,
    /// How many of its jobs run.
    pub limits: Limits,
    /// Free places for jobs.
    pub slots: Arc<Semaphore>,
    /// Cancelled at the drain deadline: handlers are dropped, their leases released.
    pub retired: CancellationToken,
}

/// How many jobs of a plugin run: on this replica at once, on all together in a minute.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once.
    pub jobs: u32,
    /// Of one tenant at once.
    pub tenant_jobs: u32,
    /// Started in a minute; any number when `None`.
    pub jobs_per_minute: Option<NonZeroU32>,
    /// Of one tenant started in a minute; any number when `None`.
    pub tenant_jobs_per_minute: Option<NonZeroU32>,
}

impl Limits {
    /// Whether it says how many may start in a minute.
    pub(super) fn has_rate(&self) -> bool {
        self.jobs_per_minute.is_some() || self.tenant_jobs_per_minute.is_some()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 256,
            tenant_jobs: 64,
            jobs_per_minute: None,
            tenant_jobs_per_minute: None,
        }
    }
}

/// How one handler is run.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Retry schedule.
    pub retry: Retry,
    /// Longest run in milliseconds.
    pub timeout_ms: u64,
    /// Whether it has an `on_dead` handler.
    pub on_dead: bool,
}

impl Runner {
    /// A generation with the policies its descriptor declares.
    pub fn new(
        plugin: &str,
        generation: u64,
        instance: Arc<dyn Instance>,
        descriptor: &Descriptor,
        limits: Limits,
    ) -> Self {
        let hooks = descriptor.webhooks.iter().map(|hook| {
            let policy = Policy {
                retry: hook.retry,
                timeout_ms: hook.timeout_ms,
                on_dead: hook.on_dead,
            };
            (&hook.name, &hook.aliases, policy)
        });
        let schedules = descriptor.schedules.iter().map(|schedule| &schedule.job);
        let jobs = descriptor.jobs.iter().chain(schedules).map(|job| {
            let policy = Policy {
                retry: job.retry,
                timeout_ms: job.timeout_ms,
                on_dead: job.on_dead,
            };
            (&job.name, &job.aliases, policy)
        });
        let mut policies = HashMap::new();
        for (name, aliases, policy) in hooks.chain(jobs) {
            for name in std::iter::once(name).chain(aliases) {
                policies.insert(name.clone(), policy);
            }
        }
        Self {
            plugin: plugin.into(),
            generation,
            instance,
            policies,
            schedules: descriptor.schedules.clone(),
            limits,
            slots: Arc::new(Semaphore::new(limits.jobs as usize)),
            retired: CancellationToken::new(),
        }
    }
}

/// How an attempt went, for whoever decides about quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// It succeeded, or parked.
    Ok,
    /// The handler returned an error.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The handler missed its deadline.
    TimedOut,
}

/// Told about every attempt.
pub trait Observer: Send + Sync {
    /// An attempt of `plugin`'s `generation` ended.
    fn attempt(&self, plugin: &str, generation: u64, kind: AttemptKind);
}

/// Listens to nothing.
pub struct NoObserver;

impl Observer for NoObserver {
    fn attempt(&self, _: &str, _: u64, _: AttemptKind) {}
}
