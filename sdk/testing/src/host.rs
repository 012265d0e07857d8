//! The host under test.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jackfield_config::Environment;
use jackfield_egress::{Admission, Grant};
use jackfield_inbox::{
    clock::ManualClock,
    engine::{self, Inbox, Limits},
    memory::MemoryStore,
    model::{Filter, ReplayMode, State},
    store::Store,
};
use jackfield_plugins::{Backends, Believing, Code, Mail, PluginServices, PluginState, Plugins, Wanted, Watch};
use jackfield_sdk::{
    health::Health,
    host::{ClockService, Host},
    http_client::HttpService,
    manifest::Described,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    config::{self, Settings},
    crash::{Crash, Disk, Gate, Mounted},
    database::Databases,
    mail::SentMail,
    process::Process,
    script::{Answer, Asked, Script, Wire},
    services::{Kept, Memory},
    work::Work,
};

/// When every test begins unless it says otherwise: 2026-01-01T00:00:00Z.
pub const START: OffsetDateTime = time::macros::datetime!(2026-01-01 00:00 UTC);

/// Turns after which work is taken to run in circles.
const ROUNDS: usize = 10_000;

/// A host with plugins, on the real engine and the real plugin lifecycle: only the store, the clock and the network are
/// the test's. See the crate's text for an example.
pub struct TestHost {
    disk: Arc<Disk>,
    clock: Arc<ManualClock>,
    script: Script,
    pub(crate) kept: Arc<Kept>,
    databases: Arc<Databases>,
    codes: Vec<Arc<dyn Code>>,
    wanted: Mutex<BTreeMap<String, Wanted>>,
    environment: Environment,
    settings: engine::Settings,
    boot: Mutex<Option<Boot>>,
    crashes: AtomicUsize,
    pub(crate) sent: AtomicU64,
}

/// One life of the host.
#[derive(Clone)]
pub(crate) struct Boot {
    pub(crate) process: Arc<Process>,
    pub(crate) inbox: Inbox,
    pub(crate) plugins: Plugins,
    backends: Backends,
}

impl TestHost {
    pub(crate) async fn begin(
        codes: Vec<Arc<dyn Code>>,
        wanted: BTreeMap<String, Wanted>,
        environment: Environment,
        schedules: Gate,
        begin: OffsetDateTime,
        script: Script,
    ) -> Result<Self, String> {
        let begin = i64::try_from(begin.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let clock = Arc::new(ManualClock::at(begin));
        let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn ClockService>);
        let capabilities = wanted.values().flat_map(|plugin| &plugin.capabilities);
        let databases = Databases::open(capabilities).await?;
        let host = Self {
            disk: Arc::new(Disk::new(store, schedules)),
            script,
            kept: Arc::new(Kept::new(Arc::clone(&clock))),
            databases: Arc::new(databases),
            clock,
            codes,
            wanted: Mutex::new(wanted),
            environment,
            settings: engine::Settings::default(),
            boot: Mutex::default(),
            crashes: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
        };
        host.boot_up().await?;
        Ok(host)
    }

    /// Moves the clock. Nothing runs by this alone: [`TestHost::settle`] does.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The clock.
    pub fn now(&self) -> OffsetDateTime {
        let nanos = i128::from(self.clock.now_ms()) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(START)
    }

    /// Runs everything that is due, until nothing is; the clock stands still, unless the host is killed on the way: then it
    /// comes up again after its lease has run out. Gives how many runs there were.
    pub async fn settle(&self) -> usize {
        let mut ran = 0;
        for _ in 0..ROUNDS {
            let boot = self.boot();
            let turn = boot.inbox.turn().await;
            if !boot.process.alive() {
                self.restart().await;
                continue;
            }
            let judged = boot.plugins.judge().await;
            match (turn, judged) {
                (Ok(0), _) => return ran,
                (Ok(runs), Ok(())) => ran += runs,
                (Err(error), _) => panic!("the store does not answer: {error}"),
                (_, Err(error)) => panic!("faults cannot be judged: {error}"),
            }
        }
        panic!("after {ROUNDS} turns there is still work that is due: it runs in circles");
    }

    /// [`TestHost::settle`], moving the clock to each retry, until nothing is left that time alone would bring on. Waits
    /// ([`Run::wait`](jackfield_sdk::run::Run::wait), `sleep`) stay: move the clock over them with [`TestHost::advance`].
    pub async fn finish(&self) -> usize {
        let mut ran = 0;
        for _ in 0..ROUNDS {
            ran += self.settle().await;
            let all = self.list().await;
            let due = all.iter().filter(|work| work.state() == State::Pending);
            let Some(next) = due.filter_map(|work| work.0.summary.next_attempt_at).min() else {
                return ran;
            };
            let wait = u64::try_from(next - self.clock.now_ms()).unwrap_or(0);
            self.advance(Duration::from_millis(wait));
        }
        panic!("after {ROUNDS} retries there is still work to be tried again");
    }

    /// Kills the host right after the memo of `step` is committed (or the wait of that name has ended), before the handler
    /// goes on. [`TestHost::settle`] brings it up again. A crash that never comes fails the test.
    pub fn crash_after(&self, step: &str) {
        self.disk.plan(Crash::After(step.to_owned()));
    }

    /// Kills the host when `step` has had its effect and its memo is not yet committed: the next run does the step again.
    pub fn crash_losing(&self, step: &str) {
        self.disk.plan(Crash::Losing(step.to_owned()));
    }

    /// Kills the host when a handler has returned and its end is not yet committed.
    pub fn crash_at_end(&self) {
        self.disk.plan(Crash::AtEnd);
    }

    /// As `kill -9`: nothing more is committed or asked. What ran keeps its lease until it runs out.
    pub fn kill(&self) {
        self.boot().process.kill();
    }

    /// A new host on the same store, killing the old one if it still lives. When work was running, the clock moves on until
    /// its lease has run out.
    pub async fn restart(&self) {
        let old = self.boot();
        if !old.process.alive() {
            self.crashes.fetch_add(1, Ordering::SeqCst);
        }
        old.process.kill();
        old.plugins.shut_down(Duration::ZERO).await;
        if let Err(reason) = self.boot_up().await {
            panic!("the host does not start again\n{reason}");
        }
        let all = self.list().await;
        if all.iter().any(|work| work.state() == State::Running) {
            self.advance(self.settings.lease + Duration::from_millis(1));
        }
    }

    /// How often the host was found killed and brought up again.
    pub fn crashes(&self) -> usize {
        self.crashes.load(Ordering::SeqCst)
    }

    /// Where the plugins' databases are, for tests of what must not stand in them; none when no plugin has one.
    #[cfg(feature = "database")]
    pub fn database_directory(&self) -> Option<&std::path::Path> {
        self.databases.directory()
    }

    /// Takes the store away, or gives it back.
    pub fn set_store_outage(&self, out: bool) {
        self.disk.store.set_outage(out);
    }

    /// Answers an outgoing call; see [`Script::on`].
    pub fn on(&self, call: &str, answer: Answer) {
        self.script.on(call, answer);
    }

    /// Answers an outgoing call as `respond` decides; see [`Script::on_with`].
    pub fn on_with(&self, call: &str, respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        self.script.on_with(call, respond);
    }

    /// Every outgoing call so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.script.asked()
    }

    /// The outgoing calls that fit a pattern, oldest first.
    pub fn asked_for(&self, call: &str) -> Vec<Asked> {
        self.script.asked_for(call)
    }

    /// The outside world.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The mail that plugins sent so far, oldest first. None when the plugin `email` is part of the test: then each is one of
    /// its jobs.
    pub fn mail(&self) -> Vec<SentMail> {
        self.kept.mail.all()
    }

    /// From now on mail is refused, as on a host that has no relay; or taken again.
    pub fn refuse_mail(&self, refuse: bool) {
        self.kept.mail.shut(refuse);
    }

    /// The host as plugin `P` has it: its own keys, jobs, signals, secrets, with its own capabilities. It ends when the host
    /// is killed.
    pub fn of<P: Described>(&self) -> Host {
        self.as_wanted(self.wanted_of::<P>())
    }

    /// [`TestHost::of`] for whoever enqueues the plugin's jobs: that may be the host, so the plugin itself need not be allowed to.
    pub(crate) fn with_jobs<P: Described>(&self) -> Host {
        let mut wanted = self.wanted_of::<P>();
        wanted.capabilities.push("jobs".to_owned());
        self.as_wanted(wanted)
    }

    fn as_wanted(&self, wanted: Wanted) -> Host {
        let boot = self.boot();
        let jobs = wanted.code.iter().flat_map(|code| &code.descriptor().jobs);
        let jobs = jobs.map(|job| job.name.clone()).collect();
        let services = PluginServices::new(&wanted, jobs, boot.inbox, boot.backends);
        // Nothing is spawned here, so nobody needs to be told of a retirement.
        let (_, retired) = tokio::sync::watch::channel(false);
        Host::new(Arc::new(services), retired)
    }

    /// Asks plugin `P` how it is; more than 2 s is unhealthy.
    pub async fn health<P: Described>(&self) -> Health {
        let plugins = self.boot().plugins;
        plugins.check_health().await;
        let row = plugins.list().into_iter().find(|row| row.id == P::MANIFEST.id);
        row.and_then(|row| row.health)
            .unwrap_or_else(|| panic!("`{}` does not run", P::MANIFEST.id))
    }

    /// Gives plugin `P` other settings, as an edit of `plugins.toml` does: taken by `reconfigure`, or by a new generation.
    pub async fn reconfigure<P: Described>(&self, settings: impl Into<Settings>) -> Result<(), String> {
        let id = P::MANIFEST.id;
        let code = self.codes.iter().find(|code| code.manifest().id == id);
        let code = code.ok_or_else(|| format!("`{id}` is not part of this test"))?;
        let mut wanted = config::wanted(code, &settings.into(), &self.environment)?;
        wanted.capabilities = self.wanted_of::<P>().capabilities;
        lock(&self.wanted).insert(id.to_owned(), wanted.clone());
        let plugins = self.boot().plugins;
        plugins.apply(vec![wanted]).await.map_err(|error| error.to_string())?;
        all_run(&plugins)
    }

    /// The plugins of the running host, to pause, resume or reload them.
    pub fn plugins(&self) -> Plugins {
        self.boot().plugins
    }

    /// Fires the schedule called `name`: moves the clock to its next slot and settles. Gives the slot's work.
    pub async fn fire(&self, name: &str) -> Work {
        let found = self.codes.iter().find_map(|code| {
            let schedules = &code.descriptor().schedules;
            let schedule = schedules.iter().find(|schedule| schedule.job.name == name)?;
            Some((code.manifest().id, schedule.every_ms))
        });
        let Some((plugin, every_ms)) = found else {
            panic!("no plugin of this test declares a schedule `{name}`");
        };
        let every = i64::try_from(every_ms).unwrap_or(i64::MAX).max(1);
        let into = u64::try_from(self.clock.now_ms().rem_euclid(every)).unwrap_or(0);
        self.advance(Duration::from_millis(every_ms - into));
        let gate = std::mem::replace(
            &mut *lock(&self.disk.gate),
            Gate::One(plugin.to_owned(), name.to_owned()),
        );
        let known: Vec<Uuid> = self.list().await.iter().map(Work::id).collect();
        self.settle().await;
        *lock(&self.disk.gate) = gate;
        let all = self.list().await;
        let new = all
            .into_iter()
            .find(|work| work.handler() == name && !known.contains(&work.id()));
        new.unwrap_or_else(|| panic!("schedule `{name}` did not fire"))
    }

    /// Everything that is stored, oldest first.
    pub async fn list(&self) -> Vec<Work> {
        let listed = self.disk.store.list(&Filter::default(), None, u32::MAX).await;
        let mut all = Vec::new();
        for summary in stored(listed).into_iter().rev() {
            all.push(self.work(summary.id).await);
        }
        all
    }

    /// One piece of work. Panics when there is none of this id.
    pub async fn work(&self, id: Uuid) -> Work {
        match stored(self.disk.store.show(id).await) {
            Some(detail) => Work(detail),
            None => panic!("nothing is stored under {id}"),
        }
    }

    /// Arms ended work again and settles; tells whether there was something to arm.
    pub async fn replay(&self, id: Uuid, mode: ReplayMode) -> bool {
        let filter = Filter {
            ids: vec![id],
            ..Filter::default()
        };
        let replay = stored(self.disk.store.replay_begin(&filter, mode).await);
        stored(self.boot().inbox.replay_all().await);
        self.settle().await;
        stored(self.disk.store.replay_get(replay.id).await).is_some_and(|replay| replay.armed > 0)
    }

    /// Cancels work that has not ended; tells whether it did.
    pub async fn cancel(&self, id: Uuid) -> bool {
        stored(self.boot().inbox.cancel(id, "cancelled by the test").await)
    }

    pub(crate) fn boot(&self) -> Boot {
        match &*lock(&self.boot) {
            Some(boot) => boot.clone(),
            None => panic!("the host has not started"),
        }
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn codes(&self) -> &[Arc<dyn Code>] {
        &self.codes
    }

    pub(crate) fn config_of(&self, id: &str) -> serde_json::Value {
        lock(&self.wanted)
            .get(id)
            .map(|wanted| wanted.config.clone())
            .unwrap_or_default()
    }

    fn wanted_of<P: Described>(&self) -> Wanted {
        let id = P::MANIFEST.id;
        let wanted = lock(&self.wanted).get(id).cloned();
        wanted.unwrap_or_else(|| panic!("`{id}` is not part of this test; add it with `.plugin::<…>(…)`"))
    }

    async fn boot_up(&self) -> Result<(), String> {
        let process = Arc::new(Process::new());
        let watch = Arc::new(Watch::new(Arc::clone(&self.clock) as Arc<dyn ClockService>));
        let store = Arc::new(Mounted {
            disk: Arc::clone(&self.disk),
            process: Arc::clone(&process),
        });
        let inbox = Inbox::new(
            store,
            self.settings.clone(),
            Arc::clone(&watch) as Arc<dyn engine::Observer>,
        );
        process.owns(inbox.clone());
        let backends = self.backends(&process);
        let plugins = Plugins::new(
            inbox.clone(),
            backends.clone(),
            Arc::new(Believing),
            Limits::default(),
            watch,
            Vec::new(),
        );
        *lock(&self.boot) = Some(Boot {
            process,
            inbox,
            plugins: plugins.clone(),
            backends,
        });
        let wanted = lock(&self.wanted).values().cloned().collect();
        plugins.apply(wanted).await.map_err(|error| error.to_string())?;
        all_run(&plugins)
    }

    fn backends(&self, process: &Arc<Process>) -> Backends {
        let memory = Arc::new(Memory {
            kept: Arc::clone(&self.kept),
            process: Arc::clone(process),
        });
        let (script, databases, process) = (self.script.clone(), Arc::clone(&self.databases), Arc::clone(process));
        let nothing: Arc<[Grant]> = Arc::new([]);
        Backends {
            http: Arc::new(move |wanted| {
                let public = wanted.capabilities.iter().any(|capability| capability == "http:*");
                Arc::new(Wire {
                    script: script.clone(),
                    admission: Admission::new(&wanted.id, &wanted.egress, public, Arc::clone(&nothing)),
                    plugin: wanted.id.clone(),
                    process: Arc::clone(&process),
                }) as Arc<dyn HttpService>
            }),
            kv: Arc::clone(&memory) as _,
            pubsub: Arc::clone(&memory) as _,
            vault: Arc::clone(&memory) as _,
            identity: Arc::clone(&memory) as _,
            audit: Arc::clone(&memory) as _,
            migrate: Arc::new({
                let databases = Arc::clone(&databases);
                move |id, all| {
                    let (databases, id) = (Arc::clone(&databases), id.to_owned());
                    Box::pin(async move { databases.migrate(&id, all).await })
                }
            }),
            database: Arc::new(move |id| databases.of(id)),
            clock: Arc::clone(&self.clock) as _,
            mail: match self.codes.iter().any(|code| code.manifest().id == "email") {
                true => Mail::default(),
                false => Mail::kept_by(memory),
            },
        }
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(boot) = lock(&self.boot).take() {
            boot.process.kill();
        }
        let planned = self.disk.planned();
        if !planned.is_empty() && !std::thread::panicking() {
            let names: Vec<String> = planned.iter().map(ToString::to_string).collect();
            panic!("{} never came: no such step was run", names.join(", "));
        }
    }
}

/// An error when a plugin does not run.
fn all_run(plugins: &Plugins) -> Result<(), String> {
    let rows = plugins.list();
    let down = rows
        .iter()
        .find(|row| matches!(row.state, PluginState::Failed | PluginState::Refused));
    match down {
        Some(row) => Err(format!("`{}` is {}: {}", row.id, row.state.as_str(), row.reason)),
        None => Ok(()),
    }
}

fn stored<T>(answer: jackfield_inbox::store::StoreResult<T>) -> T {
    answer.unwrap_or_else(|error| panic!("{error}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
