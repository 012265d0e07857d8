//! A small plugin whose handlers do what a delivery's body says, and engines that run it on one store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use jackfield_inbox::{
    clock::ManualClock,
    engine::{Inbox, Limits, NoObserver, Runner, Settings},
    memory::MemoryStore,
    model::{DedupKey, Detail, NewWork, State, Stored, WorkKind},
    store::Store,
};
use jackfield_sdk::{
    database::DatabaseService,
    host::{ClockService, Host, JobService, KvService, MetricService, PubSubService, Services, VaultService},
    http_client::HttpService,
    identity::{AuditService, IdentityService},
    instance,
    mail::MailService,
    prelude::*,
    run::RunService,
};
use uuid::Uuid;

/// What the outside world has seen: effects by their idempotency key, in order.
pub(crate) type Ledger = Arc<Mutex<Vec<String>>>;

/// What the handlers of one engine are told to do.
#[derive(Default)]
pub(crate) struct Script {
    /// Effects; shared by all engines, as a provider is.
    pub(crate) ledger: Ledger,
    /// Deliveries that fail, and how often yet.
    pub(crate) failing: Mutex<HashMap<String, u32>>,
    /// Ends the process after so many more effects or commits.
    pub(crate) fuse: Mutex<Option<u32>>,
    /// A store that goes away right after the next effect.
    pub(crate) outage: Mutex<Option<Arc<MemoryStore>>>,
    /// Which code the plugin runs.
    pub(crate) code: std::sync::atomic::AtomicU32,
    /// Engine to kill when the fuse burns.
    pub(crate) victim: Mutex<Option<Inbox>>,
}

impl Script {
    /// One more thing happened; true when the process dies at this very moment.
    pub(crate) fn tick(&self) -> bool {
        let mut fuse = self.fuse.lock().unwrap();
        let Some(left) = fuse.as_mut() else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        *fuse = None;
        if let Some(victim) = self.victim.lock().unwrap().take() {
            victim.kill();
        }
        true
    }

    fn fails(&self, name: &str) -> bool {
        match self.failing.lock().unwrap().get_mut(name) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The services of the test: runs and clock; the rest is not asked for.
struct TestServices {
    runs: Arc<dyn RunService>,
    clock: Arc<ManualClock>,
}

impl MetricService for TestServices {
    fn count(&self, _: &str, _: &[(&str, &str)], _: u64) {}
    fn gauge(&self, _: &str, _: &[(&str, &str)], _: f64) {}
    fn record(&self, _: &str, _: &[(&str, &str)], _: f64) {}
}

impl Services for TestServices {
    fn plugin(&self) -> &'static str {
        "p"
    }
    fn http(&self) -> &dyn HttpService {
        unreachable!("the test plugin makes no calls")
    }
    fn runs(&self) -> &dyn RunService {
        self.runs.as_ref()
    }
    fn kv(&self) -> &dyn KvService {
        unreachable!("the test plugin keeps nothing")
    }
    fn pubsub(&self) -> &dyn PubSubService {
        unreachable!("the test plugin publishes nothing")
    }
    fn jobs(&self) -> &dyn JobService {
        unreachable!("the test plugin enqueues nothing")
    }
    fn vault(&self) -> &dyn VaultService {
        unreachable!("the test plugin has no secrets")
    }
    fn database(&self) -> &dyn DatabaseService {
        unreachable!("the test plugin has no tables")
    }
    fn identity(&self) -> &dyn IdentityService {
        unreachable!("the test plugin asks about nobody")
    }
    fn audit(&self) -> &dyn AuditService {
        unreachable!("the test plugin leaves no trail")
    }
    fn metrics(&self) -> &dyn MetricService {
        self
    }
    fn clock(&self) -> &dyn ClockService {
        self.clock.as_ref()
    }
    fn mail(&self) -> &dyn MailService {
        unreachable!("the test plugin sends no mail")
    }
}

/// Scripts by number, because a plugin is made from its settings alone.
static SCRIPTS: Mutex<Vec<Arc<Script>>> = Mutex::new(Vec::new());

/// Settings of the test plugin.
#[derive(Config)]
pub(crate) struct StoryConfig {
    /// Position in [`SCRIPTS`].
    #[config(default = 0)]
    script: u64,
}

/// The plugin.
pub(crate) struct Story(Arc<Script>);

#[plugin(id = "p", capabilities())]
impl Plugin for Story {
    type Config = StoryConfig;

    async fn create(config: StoryConfig, _: Host) -> Result<Self> {
        Ok(Self(Arc::clone(&SCRIPTS.lock().unwrap()[config.script as usize])))
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("story").handle(Self::story);
        jobs.job("fails")
            .on_dead(Self::sorry)
            .retry(Retry::within(minutes(15)))
            .handle(Self::fails);
        jobs.job("refuses").on_dead(Self::sorry).handle(Self::refuses);
        jobs.job("panics")
            .retry(Retry::within(minutes(15)))
            .handle(Self::panics);
        jobs.job("hangs")
            .timeout(seconds(30))
            .retry(Retry::never())
            .handle(Self::hangs);
        jobs.job("new-name").alias("old-name").handle(Self::story);
        jobs.job("endless").handle(Self::endless);
        jobs.job("steps").on_dead(Self::sorry).handle(Self::steps);
        jobs.job("full").handle(Self::full);
        jobs.job("versions").handle(Self::versions);
        jobs.job("typed").on_dead(Self::sorry).handle(Self::typed);
        jobs.every("tick", minutes(10)).retry(Retry::never()).handle(Self::tick);
    }
}

impl Story {
    /// Five effects around a wait and a sleep. Every effect looks first when it may have been done.
    async fn story(&self, run: Run, delivery: Delivery) -> Result<Outcome> {
        run.step("one", |a| self.effect(a)).await?;
        run.step("two", |a| self.effect(a)).await?;
        run.sleep("nap", minutes(1)).await?;
        run.step("three", |a| self.effect(a)).await?;
        let end: Waited<u32> = run
            .wait("finish", Signal::of(format!("end/{}", delivery.delivery_id)), days(1))
            .await?;
        let summary = match end {
            Waited::Signal(value) => format!("ended with {value}"),
            Waited::TimedOut => "gave up".to_owned(),
        };
        run.step("four", |a| self.effect(a)).await?;
        Ok(Outcome::done(summary))
    }

    async fn effect(&self, attempt: Attempt) -> Result<()> {
        if self.0.tick() {
            std::future::pending::<()>().await;
        }
        self.apply(&attempt);
        if let Some(store) = self.0.outage.lock().unwrap().take() {
            store.set_outage(true);
        }
        // The provider has it; we may die before we can note that.
        if self.0.tick() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn apply(&self, attempt: &Attempt) {
        let mut ledger = self.0.ledger.lock().unwrap();
        if !(attempt.maybe_done() && ledger.iter().any(|key| key == attempt.key())) {
            ledger.push(attempt.key().to_owned());
        }
    }

    async fn fails(&self, run: Run, delivery: Delivery) -> Result<Outcome> {
        run.step("once", |a| self.effect(a)).await?;
        if self.0.fails(&delivery.delivery_id) {
            return Err(Error::transient("the provider is down"));
        }
        Ok(Outcome::done("at last"))
    }

    async fn refuses(&self, _: Run, (): ()) -> Result<Outcome> {
        Err(Error::permanent("it will never work").tell("Sorry, that cannot be done."))
    }

    async fn sorry(&self, run: Run, death: Death<Delivery>) -> Result<Outcome> {
        run.step("sorry", |a| self.effect(a)).await?;
        Ok(Outcome::done(format!(
            "told: {} ({})",
            death.for_people(),
            death.reason()
        )))
    }

    async fn panics(&self, _: Run, (): ()) -> Result<Outcome> {
        panic!("a bug of the plugin")
    }

    async fn hangs(&self, _: Run, (): ()) -> Result<Outcome> {
        std::future::pending().await
    }

    async fn endless(&self, run: Run, (): ()) -> Result<Outcome> {
        run.step("first", |a| self.effect(a)).await?;
        std::future::pending().await
    }

    /// So many steps that keep so many bytes each.
    async fn steps(&self, run: Run, delivery: Delivery) -> Result<Outcome> {
        let (count, bytes): (u32, usize) = serde_json::from_slice(&delivery.body)?;
        for n in 0..count {
            run.step_keyed("n", n, |_| async move { Ok("x".repeat(bytes - 2)) })
                .await?;
        }
        Ok(Outcome::done("all kept"))
    }

    /// As many steps as there may be; the last one fails at first.
    async fn full(&self, run: Run, (): ()) -> Result<Outcome> {
        for n in 0..999 {
            run.step_keyed("n", n, |_| async { Ok(()) }).await?;
        }
        let last = run
            .try_step("last", |attempt| async move {
                if attempt.number() == 1 {
                    return Err(Error::transient("not yet"));
                }
                Ok(attempt.number())
            })
            .await?;
        Ok(Outcome::done(format!("{last:?}")))
    }

    /// Code 0 does not know of the version.
    async fn versions(&self, run: Run, delivery: Delivery) -> Result<Outcome> {
        run.step("first", |a| self.effect(a)).await?;
        let code = self.0.code.load(std::sync::atomic::Ordering::SeqCst);
        let version = if code > 0 {
            run.version("format", code).await?
        } else {
            0
        };
        if self.0.fails(&delivery.delivery_id) {
            return Err(Error::transient("the provider is down"));
        }
        Ok(Outcome::done(format!("version {version}")))
    }

    /// Code 0 keeps a text, any other reads a number.
    async fn typed(&self, run: Run, (): ()) -> Result<Outcome> {
        if self.0.code.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            run.step("count", |_| async { Ok("seven".to_owned()) }).await?;
            return Err(Error::transient("the provider is down"));
        }
        let count: u32 = run.step("count", |_| async { Ok(7) }).await?;
        Ok(Outcome::done(format!("{count}")))
    }

    async fn tick(&self, run: Run, slot: Delivery) -> Result<Outcome> {
        run.step("tick", |a| self.effect(a)).await?;
        Ok(Outcome::done(slot.delivery_id))
    }
}

/// A store, its clock, and the outside world.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) script: Arc<Script>,
    /// Whether the plugin's schedule fires.
    pub(crate) ticking: bool,
    /// How many jobs the engine runs.
    pub(crate) limits: Limits,
    number: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_800_000_000_000));
        let script = Arc::new(Script::default());
        let mut scripts = SCRIPTS.lock().unwrap();
        scripts.push(Arc::clone(&script));
        Self {
            store: Arc::new(MemoryStore::new(Arc::clone(&clock) as _)),
            clock,
            script,
            ticking: false,
            limits: Limits {
                jobs: 32,
                tenant_jobs: 8,
                ..Limits::default()
            },
            number: scripts.len() - 1,
        }
    }

    /// An engine without runners: a process that has just started.
    pub(crate) fn bare(&self) -> Inbox {
        Inbox::new(Arc::clone(&self.store) as _, Settings::default(), Arc::new(NoObserver))
    }

    /// A generation of the plugin on `inbox`.
    pub(crate) async fn runner(&self, inbox: &Inbox, generation: u64) -> Arc<Runner> {
        let services = Arc::new(TestServices {
            runs: inbox.runs(),
            clock: Arc::clone(&self.clock),
        });
        let (_, retired) = tokio::sync::watch::channel(false);
        let host = Host::new(services, retired);
        let config = serde_json::json!({ "script": self.number });
        let made = instance::create::<Story>(config, host).await.unwrap();
        let mut runner = Runner::new("p", generation, made, &instance::descriptor::<Story>(), self.limits);
        if !self.ticking {
            runner.schedules.clear();
        }
        Arc::new(runner)
    }

    /// An engine that runs the plugin.
    pub(crate) async fn engine(&self) -> Inbox {
        let inbox = self.bare();
        let runner = self.runner(&inbox, 1).await;
        inbox.set_runners(vec![runner], &[]).await.unwrap();
        inbox
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(crate) async fn shown(&self, id: Uuid) -> Detail {
        self.store.show(id).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, id: Uuid) -> State {
        self.shown(id).await.summary.state
    }

    pub(crate) async fn outcome(&self, id: Uuid) -> String {
        self.shown(id).await.summary.outcome.unwrap_or_default()
    }

    pub(crate) fn effects(&self) -> Vec<String> {
        self.script.ledger.lock().unwrap().clone()
    }
}

/// Work for `handler`.
pub(crate) fn job(handler: &str, name: &str) -> NewWork {
    NewWork {
        id: Uuid::now_v7(),
        kind: WorkKind::Job,
        plugin: "p".to_owned(),
        handler: handler.to_owned(),
        tenant: String::new(),
        delivery_id: name.to_owned(),
        event: handler.to_owned(),
        lane: None,
        headers: Vec::new(),
        body: Bytes::from_static(b"null"),
        dedup: DedupKey::of("p", handler, "", name),
        delay_ms: 0,
        held: None,
        lease_ms: None,
        death: None,
    }
}

pub(crate) async fn add(inbox: &Inbox, handler: &str, name: &str) -> Uuid {
    match inbox.accept(job(handler, name)).await.unwrap() {
        Stored::New(id) | Stored::Begun(id, _) => id,
        other => panic!("{name} is not new: {other:?}"),
    }
}

/// Lets spawned runs go as far as they can.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
