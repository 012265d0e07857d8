//! The engine: accepts work, claims it by lane, runs it on plugin generations, and keeps time. No SQL.
//!
//! - [`Inbox::accept`] answers after one commit; many callers share it ([`batch`]).
//! - [`Inbox::turn`] claims what is due and starts it; [`Inbox::start`] keeps turning it in the background.
//! - A run's every write is fenced, so a worker that froze past its lease changes nothing.

mod backlog;
mod batch;
mod breaker;
mod live;
mod rate;
mod retry;
mod run;
mod runner;
mod tend;
mod work;
mod writers;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jackfield_sdk::run::RunService;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{backlog::Backlog, breaker::Breakers, live::Live, rate::Rates, writers::Writers};
pub use self::{
    retry::{Verdict, base_delay, verdict},
    runner::{AttemptKind, Limits, NoObserver, Observer, Policy, Runner},
};
use crate::{
    model::{NewWork, Stored},
    store::{Store, StoreResult},
};

/// How the engine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lease length. A dead worker's job runs elsewhere after this and one sweep.
    pub lease: Duration,
    /// Between two heartbeats, and two sweeps for lost leases.
    pub heartbeat: Duration,
    /// Between two looks for due work that nobody told us about.
    pub poll: Duration,
    /// Commits of deliveries, and of runs' writes, that may be under way at once: one where the store has one connection
    /// for writes.
    pub writers: usize,
    /// Deliveries in one commit.
    pub accept_batch: usize,
    /// Writes in one commit.
    pub write_batch: usize,
    /// How long ended deliveries are kept.
    pub retention: Duration,
    /// Deliveries that a replay arms per second.
    pub replay_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(20),
            heartbeat: Duration::from_secs(5),
            poll: Duration::from_millis(500),
            writers: 1,
            accept_batch: 256,
            write_batch: 512,
            retention: Duration::from_secs(30 * 86_400),
            replay_per_second: 1_000,
        }
    }
}

impl Settings {
    fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The durable inbox of this replica. Cheap to clone.
#[derive(Clone)]
pub struct Inbox(Arc<Core>);

/// What tasks and runs share.
pub(crate) struct Core {
    store: Arc<dyn Store>,
    settings: Settings,
    writers: Writers,
    live: Live,
    runners: ArcSwap<HashMap<String, Arc<Runner>>>,
    /// Why the plugins that are known and do not run are not there.
    absent: ArcSwap<HashMap<String, String>>,
    observer: Arc<dyn Observer>,
    breakers: Breakers,
    rates: Rates,
    /// Plugins that got work since the last turn.
    told: Mutex<Vec<String>>,
    /// What is stored and not begun.
    backlog: Backlog,
    /// Whether work may begin when it is stored.
    started: AtomicBool,
    wake: Notify,
    /// Abrupt end: nothing more is written.
    stop: CancellationToken,
    /// Orderly end: no more claims.
    drain: CancellationToken,
    tasks: TaskTracker,
    fired: Mutex<HashMap<(String, String), i64>>,
}

impl Inbox {
    /// An engine on `store`; nothing runs until [`Inbox::start`] or [`Inbox::turn`].
    pub fn new(store: Arc<dyn Store>, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        let stop = CancellationToken::new();
        let writers = Writers::start(&store, &settings, &stop);
        Self(Arc::new(Core {
            store,
            settings,
            writers,
            live: Live::default(),
            runners: ArcSwap::default(),
            absent: ArcSwap::default(),
            observer,
            breakers: Breakers::default(),
            rates: Rates::default(),
            told: Mutex::default(),
            backlog: Backlog::default(),
            started: AtomicBool::new(false),
            wake: Notify::new(),
            stop,
            drain: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fired: Mutex::default(),
        }))
    }

    /// The store, for listings.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Stores work; returns after the commit that holds it. While there is room, the same commit claims it, and it runs.
    pub async fn accept(&self, mut work: NewWork) -> StoreResult<Stored> {
        let (plugin, held) = (work.plugin.clone(), work.held.is_some());
        let begin = work::begin_when_stored(&self.0, &mut work);
        let core = Arc::clone(&self.0);
        let follow = move |work: NewWork, stored: &StoreResult<Stored>| match (stored, begin) {
            (Ok(Stored::Begun(_, now)), Some(begin)) => begin.go(&core, work, *now),
            (Ok(Stored::New(_)), _) => core.backlog.queue(&work),
            _ => {}
        };
        let stored = self.0.writers.accept(work, follow).await?;
        if matches!(stored, Stored::Duplicate(_) | Stored::Begun(..)) {
            return Ok(stored);
        }
        // Whoever looked at an old route table may store as held after `set_runners` has let the plugin's work go. It is
        // stored already, so an error is only logged; the next change of plugins lets it go.
        if held
            && self.0.runners.load().contains_key(&plugin)
            && let Err(error) = self.0.store.unhold(&plugin).await
        {
            tracing::warn!(%plugin, %error, "held work cannot be let go");
        }
        // Also when it said `held`: an armed one is pending all the same.
        if !held || matches!(stored, Stored::Rearmed(_)) {
            self.0.hold_if_absent(&plugin).await;
        }
        self.0.tell(plugin);
        Ok(stored)
    }

    /// What runs write through.
    pub fn runs(&self) -> Arc<dyn RunService> {
        Arc::new(live::Runs(Arc::clone(&self.0)))
    }

    /// Sends a signal and wakes who waits for it.
    pub async fn signal(&self, plugin: &str, topic: &str, value: Bytes) -> StoreResult<i64> {
        let seq = self.0.store.signal(plugin, topic, value).await?;
        self.0.tell(plugin.to_owned());
        Ok(seq)
    }

    /// Cancels work that has not ended; a run of it on this replica is dropped.
    pub async fn cancel(&self, id: Uuid, reason: &str) -> StoreResult<bool> {
        let cancelled = self.0.store.cancel(id, reason).await?;
        if let Some(run) = self.0.live.by_id(id).filter(|_| cancelled) {
            run.lost.cancel();
        }
        Ok(cancelled)
    }

    /// The generations that claim from now on. Held work of the new ones becomes pending; work of plugins that are not
    /// there is held for the reason that `absent` gives, also what becomes pending later.
    pub async fn set_runners(&self, runners: Vec<Arc<Runner>>, absent: &[(String, String)]) -> StoreResult<()> {
        let map: HashMap<String, Arc<Runner>> = runners
            .into_iter()
            .map(|runner| (runner.plugin.to_string(), runner))
            .collect();
        let present: Vec<String> = map.keys().cloned().collect();
        self.0.runners.store(Arc::new(map));
        self.0.absent.store(Arc::new(absent.iter().cloned().collect()));
        for (plugin, reason) in absent {
            self.0.store.hold(plugin, reason).await?;
        }
        for plugin in present {
            self.0.store.unhold(&plugin).await?;
            self.0.tell(plugin);
        }
        Ok(())
    }

    /// Starts the background work: claiming, heartbeats, sweeps, schedules, replays, retention, metrics.
    pub fn start(&self) {
        self.0.started.store(true, Ordering::Release);
        self.0.tasks.spawn(work::keep_turning(Arc::clone(&self.0)));
        // Not among the tasks that a drain waits for: runs that are left keep their leases until their last write.
        tokio::spawn(tend::keep_leases(Arc::clone(&self.0)));
        self.0.tasks.spawn(tend::keep_time(Arc::clone(&self.0)));
        self.0.tasks.spawn(tend::keep_sharing(Arc::clone(&self.0)));
        self.0.tasks.spawn(tend::keep_replaying(Arc::clone(&self.0)));
        self.0.tasks.spawn(tend::keep_house(Arc::clone(&self.0)));
    }

    /// Claims what is due once and runs it to its end; gives how many runs there were. For tests.
    pub async fn turn(&self) -> StoreResult<usize> {
        tend::fire_schedules(&self.0).await?;
        self.0.store.reclaim().await?;
        let started = work::turn(&self.0, true).await?;
        let count = started.len();
        for run in started {
            // A run that panics outside the plugin's guard is our bug; the join error shows it in the test.
            if let Err(error) = run.await {
                tracing::error!(%error, "a run ended badly");
            }
        }
        Ok(count)
    }

    /// Runs replays to their end. For tests.
    pub async fn replay_all(&self) -> StoreResult<()> {
        for replay in self.0.store.replays_open().await? {
            while tend::step_replay(&self.0, replay.id, 500)
                .await?
                .is_some_and(|replay| !replay.finished)
            {}
        }
        Ok(())
    }

    /// A replay was begun: starts on it now.
    pub fn nudge(&self) {
        self.0.wake.notify_waiters();
    }

    /// Stops claiming, waits for runs until `deadline`, then releases the leases of those that are left.
    pub async fn drain(&self, deadline: Duration) {
        self.0.drain.cancel();
        self.0.wake.notify_waiters();
        self.0.tasks.close();
        if tokio::time::timeout(deadline, self.0.tasks.wait()).await.is_err() {
            for runner in self.0.runners.load().values() {
                runner.retired.cancel();
            }
            if tokio::time::timeout(Duration::from_secs(2), self.0.tasks.wait())
                .await
                .is_err()
            {
                tracing::warn!("runs are left at the deadline; their leases run out");
            }
        }
        self.0.stop.cancel();
    }

    /// Ends at once, as `kill -9` would: nothing more is written, no lease is released. For tests.
    pub fn kill(&self) {
        self.0.stop.cancel();
        for fence in self.0.live.fences() {
            if let Some(run) = self.0.live.get(fence) {
                run.lost.cancel();
            }
        }
    }

    /// Runs in flight on this replica.
    pub fn running(&self) -> usize {
        self.0.live.fences().len()
    }
}

impl Core {
    /// Work of `plugin` has just become pending: held, while nothing runs it. It is stored already, so an error is only
    /// logged; the next change of plugins holds it.
    async fn hold_if_absent(&self, plugin: &str) {
        let Some(reason) = self.absent.load().get(plugin).cloned() else {
            return;
        };
        let mut done = self.store.hold(plugin, &reason).await;
        // It came back meanwhile, and its work may have been let go before this was held.
        if !self.absent.load().contains_key(plugin) {
            done = self.store.unhold(plugin).await;
        }
        if let Err(error) = done {
            tracing::warn!(plugin, %error, "work of a plugin that is not there cannot be held");
        }
    }

    async fn hold_absent(&self) {
        for plugin in self.absent.load().keys() {
            self.hold_if_absent(plugin).await;
        }
    }

    fn tell(&self, plugin: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&plugin) {
            told.push(plugin);
        }
        drop(told);
        self.wake.notify_one();
    }

    fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
