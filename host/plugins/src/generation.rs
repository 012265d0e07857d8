//! One running instance of a plugin, from `create` to `retire`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jackfield_inbox::engine::{Limits, Runner};
use jackfield_sdk::{
    host::{Host, Services},
    instance::Instance,
    service::ServiceError,
};
use tokio::sync::watch;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::{code::Code, services::Backends, timed::TimedInstance, wanted::Wanted};

/// Longest `create` (contract, rule 2).
const CREATE: Duration = Duration::from_secs(10);
/// Longest drain of a replaced generation.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// A running instance. Requests in flight hold a token of it.
pub struct Generation {
    /// What the inbox runs jobs on.
    pub(crate) runner: Arc<Runner>,
    /// The configuration it works with: what it was made with, or what it took since.
    wanted: ArcSwap<Wanted>,
    retired: watch::Sender<bool>,
    in_flight: TaskTracker,
    draining: AtomicBool,
    /// Cancelled when it has retired.
    ended: CancellationToken,
    _counted: Counted,
}

/// Counts one up for as long as it lives.
pub(crate) struct Counted(metrics::Gauge);

impl Counted {
    pub(crate) fn up(gauge: metrics::Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Generation {
    /// Validates, creates, and brings the plugin's tables up: what is served before still serves.
    pub(crate) async fn create(
        code: &dyn Code,
        number: u64,
        wanted: Wanted,
        services: Arc<dyn Services>,
        backends: &Backends,
        limits: Limits,
    ) -> Result<Arc<Self>, String> {
        code.validate(wanted.config.clone())?;
        let (retired, watch) = watch::channel(false);
        let creating = tokio::spawn(code.create(wanted.config.clone(), Host::new(services, watch)));
        let abort = creating.abort_handle();
        let instance = match tokio::time::timeout(CREATE, creating).await {
            Ok(Ok(made)) => made?,
            Ok(Err(join)) => return Err(format!("`create` ended badly: {join}")),
            Err(_) => {
                abort.abort();
                return Err(format!(
                    "`create` did not end within {} s; it must not need the network",
                    CREATE.as_secs()
                ));
            }
        };
        migrate(code, &wanted, backends).await?;
        let runner = Runner::new(
            &wanted.id,
            number,
            Arc::new(TimedInstance::new(&wanted.id, instance)),
            code.descriptor(),
            limits,
        );
        let generations = metrics::gauge!("jackfield_plugin_generations", "plugin" => wanted.id.clone());
        Ok(Arc::new(Self {
            runner: Arc::new(runner),
            wanted: ArcSwap::from_pointee(wanted),
            retired,
            in_flight: TaskTracker::new(),
            draining: AtomicBool::new(false),
            ended: CancellationToken::new(),
            _counted: Counted::up(generations),
        }))
    }

    /// The running plugin.
    pub(crate) fn instance(&self) -> &Arc<dyn Instance> {
        &self.runner.instance
    }

    /// What it works with.
    pub(crate) fn works_with(&self) -> Arc<Wanted> {
        self.wanted.load_full()
    }

    /// It took another configuration.
    pub(crate) fn reconfigured(&self, wanted: Wanted) {
        self.wanted.store(Arc::new(wanted));
    }

    /// Generation number.
    pub(crate) fn number(&self) -> u64 {
        self.runner.generation
    }

    /// Held by a request for as long as it is in flight.
    pub(crate) fn enter(&self) -> TaskTrackerToken {
        self.in_flight.token()
    }

    /// Lets the last request and job end, or the deadline pass; then the instance's tasks end and it is dropped.
    pub(crate) async fn retire(self: Arc<Self>, deadline: Duration) {
        if self.draining.swap(true, Ordering::SeqCst) {
            return;
        }
        self.in_flight.close();
        let idle = async {
            self.instance().drain().await;
            self.in_flight.wait().await;
            // Jobs in flight hold permits of this generation's own semaphore: who has them all knows that none runs.
            if self.runner.slots.acquire_many(self.runner.limits.jobs).await.is_err() {
                tracing::debug!("the semaphore is closed: nothing runs");
            }
        };
        if tokio::time::timeout(deadline, idle).await.is_err() {
            tracing::warn!(plugin = %self.runner.plugin, generation = self.number(), "drain deadline passed; what is left is dropped");
        }
        self.runner.retired.cancel();
        // Nobody listening means the instance spawned nothing.
        let _ = self.retired.send(true);
        self.ended.cancel();
        tracing::info!(plugin = %self.runner.plugin, generation = self.number(), "generation retired");
    }

    /// Waits until it has retired.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// The step between `create` and `activate`.
async fn migrate(code: &dyn Code, wanted: &Wanted, backends: &Backends) -> Result<(), String> {
    let migrations = code.manifest().migrations;
    if migrations.is_empty() {
        return Ok(());
    }
    if !wanted.capabilities.iter().any(|held| held == "database") {
        let denied = ServiceError::Denied {
            plugin: wanted.id.clone(),
            capability: "database".to_owned(),
        };
        return Err(denied.to_string());
    }
    (backends.migrate)(&wanted.id, migrations).await
}
