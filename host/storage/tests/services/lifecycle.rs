//! A plugin with migrations in the host's real lifecycle: they run between `create` and `activate`, and one that fails harms
//! nobody else.

use std::sync::Arc;

use jackfield_inbox::{
    clock::SystemClock,
    engine::{self, Inbox, Limits},
    memory::MemoryStore,
};
use jackfield_plugins::{
    Backends, Believing, BuiltinCode, Code, Enablement, Mail, NoIdentity, PluginState, Plugins, Wanted, Watch,
};
use jackfield_sdk::{
    http_client::{HttpService, IncomingResponse, OutgoingRequest},
    manifest::{Builtin, Described, Manifest, Migration},
    prelude::*,
    service::ServiceError,
};
use jackfield_storage::{KeyRing, MemoryKv, MemoryPubSub, Vault};

use crate::places::{Place, places};

#[derive(Config)]
struct Nothing {}

/// Keeps notes.
struct Notes(Database);

#[plugin(id = "notes", capabilities("database"), migrations = "tests/notes")]
impl Plugin for Notes {
    type Config = Nothing;

    async fn create(_: Nothing, host: Host) -> Result<Self> {
        Ok(Self(host.database()))
    }

    async fn health(&self) -> Result<Health> {
        let seen: Option<i64> = self
            .0
            .transaction(|tx| async move {
                tx.execute(sql("INSERT INTO note (text) VALUES ($1)").bind("x")).await?;
                tx.query_one("SELECT count(*) FROM note").await
            })
            .await?;
        let refused: Result<i64> = self
            .0
            .transaction(|tx| async move {
                tx.execute("DELETE FROM note").await?;
                Err(Error::permanent("no"))
            })
            .await;
        assert!(refused.is_err());
        let kept: Option<i64> = self.0.query_one("SELECT count(*) FROM note WHERE NOT done").await?;
        Ok(if seen == kept {
            Health::ok()
        } else {
            Health::unhealthy(format!("{seen:?} {kept:?}"))
        })
    }
}

/// The same code under another id and with a migration that does not run.
struct Broken;

impl Broken {
    fn code() -> Arc<dyn Code> {
        const BAD: &[Migration] = &[Migration {
            number: 1,
            name: "bad",
            sqlite: "CREATE TABLE t (x bigint); INSERT INTO nowhere VALUES (1)",
            postgres: "CREATE TABLE t (x bigint); INSERT INTO nowhere VALUES (1)",
            min_reader: 0,
        }];
        let manifest: &'static Manifest = Box::leak(Box::new(Manifest {
            id: "broken",
            migrations: BAD,
            ..*Notes::MANIFEST
        }));
        let builtin = Builtin {
            manifest,
            ..Builtin::of::<Notes>()
        };
        Arc::new(BuiltinCode::new(Box::leak(Box::new(builtin))).unwrap())
    }
}

/// None of these plugins calls out.
struct NoNetwork;

#[async_trait::async_trait]
impl HttpService for NoNetwork {
    async fn send(&self, _: OutgoingRequest) -> std::result::Result<IncomingResponse, ServiceError> {
        Err(ServiceError::unavailable("no network in this test"))
    }
}

async fn host(place: &Place, migrate: bool) -> Plugins {
    let watch = Arc::new(Watch::new(Arc::new(SystemClock)));
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let inbox = Inbox::new(store, engine::Settings::default(), watch.clone());
    let databases = Arc::new(place.plugins(migrate));
    let ring = KeyRing::in_directory(&place.directory.0).unwrap();
    let backends = Backends {
        http: Arc::new(|_| Arc::new(NoNetwork)),
        kv: Arc::new(MemoryKv::default()),
        pubsub: Arc::new(MemoryPubSub::default()),
        vault: Arc::new(Vault::open(place.host.clone(), ring).await.unwrap()),
        migrate: Arc::new({
            let databases = Arc::clone(&databases);
            move |id, all| {
                let (databases, id) = (Arc::clone(&databases), id.to_owned());
                Box::pin(async move { databases.migrate(&id, all).await.map_err(|error| error.to_string()) })
            }
        }),
        database: Arc::new(move |id| databases.of(id)),
        identity: Arc::new(NoIdentity),
        audit: Arc::new(NoIdentity),
        clock: Arc::new(SystemClock),
        mail: Mail::default(),
    };
    Plugins::new(
        inbox,
        backends,
        Arc::new(Believing),
        Limits::default(),
        watch,
        Vec::new(),
    )
}

fn wanted(code: Arc<dyn Code>, capabilities: &[&str]) -> Wanted {
    Wanted {
        id: code.manifest().id.to_owned(),
        code: Some(code),
        enablement: Enablement::Enabled("test".to_owned()),
        config: serde_json::json!({}),
        capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
        egress: Vec::new(),
    }
}

fn notes() -> Arc<dyn Code> {
    let builtin = Box::leak(Box::new(Builtin::of::<Notes>()));
    Arc::new(BuiltinCode::new(builtin).unwrap())
}

fn state(plugins: &Plugins, id: &str) -> (PluginState, String) {
    let row = plugins.list().into_iter().find(|row| row.id == id).unwrap();
    (row.state, row.reason)
}

#[tokio::test]
async fn tables_are_there_when_the_plugin_serves_and_a_failure_stays_with_its_plugin() {
    for place in places().await {
        let plugins = host(&place, true).await;
        let all = vec![wanted(Broken::code(), &["database"]), wanted(notes(), &["database"])];
        plugins.apply(all).await.unwrap();
        let (failed, reason) = state(&plugins, "broken");
        assert_eq!(failed, PluginState::Failed, "{}", place.url);
        assert!(reason.contains("001_bad") && reason.contains("nowhere"), "{reason}");
        assert_eq!(state(&plugins, "notes").0, PluginState::Active);
        plugins.check_health().await;
        let row = plugins.list().into_iter().find(|row| row.id == "notes").unwrap();
        assert_eq!(row.health, Some(Health::ok()), "{}", place.url);
        plugins.shut_down(std::time::Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_plugin_waits_for_its_capability_and_for_leave_to_migrate() {
    for place in places().await {
        let plugins = host(&place, true).await;
        plugins.apply(vec![wanted(notes(), &[])]).await.unwrap();
        let (failed, reason) = state(&plugins, "notes");
        assert!(
            failed == PluginState::Failed && reason.contains("`database`"),
            "{reason}"
        );
        let held = host(&place, false).await;
        held.apply(vec![wanted(notes(), &["database"])]).await.unwrap();
        let (failed, reason) = state(&held, "notes");
        assert!(
            failed == PluginState::Failed && reason.contains("jackfield migrate up"),
            "{reason}"
        );
        plugins.apply(vec![wanted(notes(), &["database"])]).await.unwrap();
        held.reload("notes", None).await.unwrap();
        assert_eq!(state(&held, "notes").0, PluginState::Active);
    }
}
