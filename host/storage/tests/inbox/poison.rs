//! Data that the database refuses, in the real engine on both databases: only the guilty one suffers, and nothing is tried
//! for ever. The refusals are the database's own: a check or a trigger that the test adds.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jackfield_inbox::{
    clock::SystemClock,
    engine::{self, Inbox},
    model::{DedupKey, Detail, Filter, NewWork, State, Stored, WorkKind},
    store::{Store, StoreError},
};
use jackfield_plugins::{Backends, Believing, BuiltinCode, Enablement, Mail, NoIdentity, Plugins, Wanted, Watch};
use jackfield_sdk::{
    http_client::{HttpService, IncomingResponse, OutgoingRequest},
    manifest::Builtin,
    prelude::*,
    service::ServiceError,
};
use jackfield_storage::{Database, KeyRing, MemoryKv, MemoryPubSub, PluginDatabases, SqlStore, Vault};
use sqlx::Connection;

use super::{
    databases::{Postgres, Scratch, sqlite_at},
    work::{PLUGIN, delivery},
};

/// Refuses events, steps and outcomes that are called `poison…`, and the death of an `undying` event.
const ON_SQLITE: &str = "
    CREATE TRIGGER poison_event BEFORE INSERT ON delivery WHEN new.event LIKE 'poison%'
      BEGIN SELECT RAISE(ABORT, 'this event is not welcome'); END;
    CREATE TRIGGER poison_end BEFORE UPDATE ON delivery
      WHEN new.summary LIKE 'poison%' OR (new.event = 'undying' AND new.state = 'dead')
      BEGIN SELECT RAISE(ABORT, 'this end is not welcome'); END;
    CREATE TRIGGER poison_memo BEFORE INSERT ON memo WHEN new.name LIKE 'poison%'
      BEGIN SELECT RAISE(ABORT, 'this step is not welcome'); END;";
const ON_POSTGRES: &str = "
    ALTER TABLE delivery ADD CHECK (event NOT LIKE 'poison%');
    ALTER TABLE delivery ADD CHECK (summary IS NULL OR summary NOT LIKE 'poison%');
    ALTER TABLE delivery ADD CHECK (NOT (event = 'undying' AND state IS NOT DISTINCT FROM 'dead'));
    ALTER TABLE memo ADD CHECK (name NOT LIKE 'poison%');";

#[derive(Config)]
struct Nothing {}

/// Does what its handlers are called.
struct Poison;

#[plugin(id = "p", capabilities())]
impl Plugin for Poison {
    type Config = Nothing;

    async fn create(_: Nothing, _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("good").handle(Self::good);
        jobs.job("step").on_dead(Self::sorry).handle(Self::step);
        jobs.job("end").on_dead(Self::sorry).handle(Self::end);
        jobs.job("wait").on_dead(Self::sorry).handle(Self::wait);
        jobs.job("good wait").handle(Self::good_wait);
    }
}

impl Poison {
    async fn good(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done("good"))
    }

    async fn step(&self, run: Run, (): ()) -> Result<Outcome> {
        run.step("poison", |_| async { Ok(1) }).await?;
        Ok(Outcome::done("the step was kept"))
    }

    async fn end(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done("poison"))
    }

    async fn wait(&self, run: Run, (): ()) -> Result<Outcome> {
        run.sleep("poison nap", minutes(1)).await?;
        Ok(Outcome::done("the wait was kept"))
    }

    async fn good_wait(&self, run: Run, (): ()) -> Result<Outcome> {
        run.sleep("nap", minutes(1)).await?;
        Ok(Outcome::done("good"))
    }

    async fn sorry(&self, _: Run, death: Death<Delivery>) -> Result<Outcome> {
        Ok(Outcome::done(format!("told: {}", death.reason())))
    }
}

/// The plugin calls nobody.
struct NoNetwork;

#[async_trait::async_trait]
impl HttpService for NoNetwork {
    async fn send(&self, _: OutgoingRequest) -> std::result::Result<IncomingResponse, ServiceError> {
        Err(ServiceError::unavailable("no network in this test"))
    }
}

/// A host on a database, with a clock that the test moves.
struct Place {
    inbox: Inbox,
    store: Arc<SqlStore>,
    clock: Arc<std::sync::atomic::AtomicI64>,
    plugins: Plugins,
}

impl Place {
    async fn on(database: Database, scratch: &Scratch) -> Self {
        let clock = Arc::new(std::sync::atomic::AtomicI64::new(1_000_000));
        let store = Arc::new(SqlStore::with_clock(database.clone(), Arc::clone(&clock)));
        let watch = Arc::new(Watch::new(Arc::new(SystemClock)));
        let inbox = Inbox::new(Arc::clone(&store) as _, engine::Settings::default(), watch.clone());
        let databases = Arc::new(PluginDatabases::new(database.clone(), scratch.0.clone(), true));
        let ring = KeyRing::in_directory(&scratch.0).unwrap();
        let backends = Backends {
            http: Arc::new(|_| Arc::new(NoNetwork)),
            kv: Arc::new(MemoryKv::default()),
            pubsub: Arc::new(MemoryPubSub::default()),
            vault: Arc::new(Vault::open(database, ring).await.unwrap()),
            migrate: Arc::new(|_, _| Box::pin(async { Ok(()) })),
            database: Arc::new(move |id| databases.of(id)),
            identity: Arc::new(NoIdentity),
            audit: Arc::new(NoIdentity),
            clock: Arc::new(SystemClock),
            mail: Mail::default(),
        };
        let plugins = Plugins::new(
            inbox.clone(),
            backends,
            Arc::new(Believing),
            engine::Limits::default(),
            watch,
            Vec::new(),
        );
        let builtin = Box::leak(Box::new(Builtin::of::<Poison>()));
        let wanted = Wanted {
            id: PLUGIN.to_owned(),
            code: Some(Arc::new(BuiltinCode::new(builtin).unwrap())),
            enablement: Enablement::Enabled("test".to_owned()),
            config: serde_json::json!({}),
            capabilities: Vec::new(),
            egress: Vec::new(),
        };
        plugins.apply(vec![wanted]).await.unwrap();
        Self {
            inbox,
            store,
            clock,
            plugins,
        }
    }

    async fn accept(&self, work: NewWork) -> Detail {
        let stored = self.inbox.accept(work).await.unwrap();
        self.store.show(stored.id()).await.unwrap().unwrap()
    }

    async fn shown(&self, one: &Detail) -> Detail {
        self.store.show(one.summary.id).await.unwrap().unwrap()
    }

    /// Turns until nothing is left to do, which must be soon.
    async fn settle(&self) {
        for _ in 0..6 {
            if self.inbox.turn().await.unwrap() == 0 {
                return;
            }
        }
        panic!("something is tried again and again");
    }

    /// Dead after one attempt, for `reason`, and people were told.
    async fn died(&self, one: &Detail, reason: &str) {
        let shown = self.shown(one).await;
        assert_eq!(shown.summary.state, State::Dead, "{shown:?}");
        assert_eq!(shown.attempts.len(), 1, "{shown:?}");
        let why = shown.summary.reason.unwrap();
        assert!(why.contains(reason), "{why}");
        let all = self.store.list(&Filter::default(), None, 100).await.unwrap();
        let notice = all
            .iter()
            .find(|row| row.kind == WorkKind::Death && row.delivery_id.starts_with(&one.summary.id.to_string()))
            .unwrap();
        assert!(notice.outcome.as_deref().unwrap().contains(reason), "{notice:?}");
    }

    fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap();
        self.clock.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

fn job(handler: &str, event: &str) -> NewWork {
    NewWork {
        kind: WorkKind::Job,
        handler: handler.to_owned(),
        event: event.to_owned(),
        body: "null".into(),
        dedup: DedupKey::of(PLUGIN, handler, "", event),
        ..delivery(event, None)
    }
}

async fn only_the_guilty_suffer(place: &Place) {
    // One event of a batch.
    let events: Vec<String> = (0..40)
        .map(|n| if n == 17 { "poison".to_owned() } else { format!("e{n}") })
        .collect();
    let stored = join_all(events.iter().map(|event| place.inbox.accept(job("good", event)))).await;
    for (event, stored) in events.iter().zip(stored) {
        match stored {
            Err(StoreError::Refused(why)) => assert!(event == "poison", "{event}: {why}"),
            stored => assert!(
                matches!(stored, Ok(Stored::New(_))) && event != "poison",
                "{event}: {stored:?}"
            ),
        }
    }
    place.settle().await;
    let done = Filter {
        state: Some(State::Done),
        ..Filter::default()
    };
    assert_eq!(place.store.count(&done).await.unwrap(), 39);

    // A step, an end, beside a good one in the same commit.
    let step = place.accept(job("step", "a")).await;
    let end = place.accept(job("end", "b")).await;
    let good = place.accept(job("good", "c")).await;
    place.settle().await;
    place.died(&step, "the step cannot be kept").await;
    place.died(&end, "the database refused what the run ended with").await;
    assert_eq!(place.shown(&good).await.summary.state, State::Done);

    // An end whose death is refused as well is held, and its lane goes on.
    let undying = NewWork {
        lane: Some("lane".to_owned()),
        ..job("end", "undying")
    };
    let undying = place.accept(undying).await;
    let next = NewWork {
        lane: Some("lane".to_owned()),
        ..job("good", "next")
    };
    let next = place.accept(next).await;
    place.settle().await;
    let shown = place.shown(&undying).await;
    assert_eq!(shown.summary.state, State::Held);
    assert!(shown.summary.reason.unwrap().contains("the database refuses"));
    assert_eq!(place.shown(&next).await.summary.state, State::Done);

    // Waits that are over in the same claim.
    let wait = place.accept(job("wait", "d")).await;
    let good = place.accept(job("good wait", "e")).await;
    place.settle().await;
    assert_eq!(place.shown(&wait).await.summary.state, State::Waiting);
    place.pass(minutes(2));
    place.settle().await;
    place.died(&wait, "the wait `poison nap`").await;
    let good = place.shown(&good).await;
    assert_eq!((good.summary.state, good.steps.len()), (State::Done, 1));
    place.plugins.shut_down(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sqlite_refuses_harms_nobody_else() {
    let scratch = Scratch::new();
    let (database, url) = sqlite_at(&scratch).await;
    let place = Place::on(database, &scratch).await;
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(ON_SQLITE).execute(&mut connection).await.unwrap();
    only_the_guilty_suffer(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_refuses_harms_nobody_else() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let scratch = Scratch::new();
    let place = Place::on(postgres.open().await, &scratch).await;
    postgres.run(ON_POSTGRES).await;
    only_the_guilty_suffer(&place).await;
    postgres.drop_it().await;
}
