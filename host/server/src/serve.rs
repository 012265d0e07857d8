//! Start-up in seven steps, and the drain.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jackfield_config::{Flags, Loaded, Problem, Settings};
use jackfield_edge::{
    CorsOrigins, Edge, EdgeSettings, Listener, SecurityHeaders, StackSettings, TrustedProxies, content_security_policy,
    stack,
};
use jackfield_frontend::Frontend;
use jackfield_identity::{Identity, Operators, Parts};
use jackfield_inbox::{
    clock::{StoreClock, SystemClock},
    engine::{Inbox, Limits},
    store::Store,
};
use jackfield_plugins::{ChangeError, HostMail, Mail, Plugins, Watch};
use jackfield_sdk::host::ClockService as _;
use jackfield_storage::{Database, DirectoryLock, OpenOptions, Redis, SqlStore, Vault};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::{announce, build, chaos, dylibs::Dylibs, logs::Logs, plan, probes, signals::Signals, watch, web, web_app};

/// How far this machine's clock may be from the store's before we say so.
const SKEW_MS: i64 = 2_000;

/// The running host, as routes and background tasks share it.
pub(crate) struct Running {
    pub(crate) loaded: ArcSwap<Loaded>,
    pub(crate) flags: Flags,
    pub(crate) live: Live,
    pub(crate) dylibs: Dylibs,
    pub(crate) plugins: Plugins,
    pub(crate) identity: Identity,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) started: AtomicBool,
    pub(crate) draining: CancellationToken,
    pub(crate) begun: Instant,
    pub(crate) redis: Option<Redis>,
    pub(crate) store_answers: tokio::sync::Mutex<Option<(tokio::time::Instant, bool)>>,
    pub(crate) frontend: Option<Frontend>,
    pub(crate) own_edit: Mutex<String>,
    /// What was planned is applied before anybody else plans: an older look at a file never follows a newer one.
    pub(crate) planning: tokio::sync::Mutex<()>,
}

impl Running {
    /// Address that people use, without a slash at its end.
    pub(crate) fn base(&self) -> String {
        base(&self.loaded.load().settings)
    }
}

/// Address that people use, without a slash at its end. No request says it: what is mailed leads there.
pub(crate) fn base(settings: &Settings) -> String {
    match &settings.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}", settings.listen),
    }
}

/// What a changed setting reaches without a restart.
pub(crate) struct Live {
    pub(crate) logs: Logs,
    pub(crate) origins: CorsOrigins,
    pub(crate) operators: Operators,
    pub(crate) mail: Mail,
}

/// Why the host does not start, or does not take a change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Problem>),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Edit(#[from] jackfield_config::EditError),
}

/// Why the host does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("cannot listen on {what} `{at}`: {source}; change {key}")]
    Listen {
        what: &'static str,
        at: String,
        key: &'static str,
        source: std::io::Error,
    },
    #[error(transparent)]
    Lock(#[from] jackfield_storage::LockError),
    #[error(transparent)]
    Open(#[from] jackfield_storage::OpenError),
    #[error(transparent)]
    KeyRing(#[from] jackfield_storage::KeyRingError),
    #[error(transparent)]
    Redis(#[from] jackfield_storage::RedisError),
    #[error("the HTTP client for Keycloak cannot be made: {0}; see egress.extra_ca_file")]
    Keycloak(reqwest::Error),
    #[error(transparent)]
    Egress(#[from] jackfield_egress::EgressError),
    #[error("cannot read `{}`: {source}; see egress.extra_ca_file", path.display())]
    Ca { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    PluginCache(#[from] jackfield_loader::CacheError),
    #[error(transparent)]
    Frontend(#[from] jackfield_frontend::FolderError),
    #[error("cannot ask the database for the time: {0}")]
    Clock(jackfield_inbox::store::StoreError),
    #[error("cannot collect metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

impl StartError {
    /// 78 for configuration, 1 otherwise.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Apply(ApplyError::Config(_) | ApplyError::Change(ChangeError::Conflict(_)))
            | Self::Frontend(_)
            | Self::KeyRing(_)
            | Self::Redis(_) => 78,
            _ => 1,
        }
    }
}

/// Serves until SIGTERM or Ctrl-C, or until standard input closes.
pub(crate) async fn serve(
    loaded: Loaded,
    flags: Flags,
    logs: Logs,
    until_stdin_closes: bool,
) -> Result<(), StartError> {
    let settings = loaded.settings.clone();
    let begun = Instant::now();
    // 1. Configuration was loaded; metrics begin here, so that every step is counted.
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Suffix("_seconds".to_owned()),
            &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0],
        )?
        .install_recorder()?;
    // 2. Storage: lock, open, check, migrate.
    let _lock = DirectoryLock::acquire(&settings.data_dir)?;
    let options = OpenOptions {
        connections: settings.inbox.connections,
        migrate: settings.inbox.migrate,
        ..OpenOptions::default()
    };
    let database = Database::open(&settings.database(), &options).await?;
    let store = SqlStore::new(database.clone());
    if settings.database_url.is_none() {
        free_leases(&store).await;
    }
    let store: Arc<dyn Store> = Arc::new(store);
    // 3. The base application is its probes and the admin API; both are routes in `web`.
    let clock = Arc::new(StoreClock::of(store.as_ref()).await.map_err(StartError::Clock)?);
    tell_of_skew(&clock);
    let watching = Arc::new(Watch::new(Arc::clone(&clock) as _));
    let inbox = Inbox::new(
        Arc::clone(&store),
        build::engine_settings(&settings, &database),
        watching.clone(),
    );
    let redis = settings.redis_url.as_deref().map(Redis::open).transpose()?;
    let vault = Arc::new(Vault::open(database.clone(), build::key_ring(&settings)?).await?);
    let mail = Mail::default();
    mail.set_base(&base(&settings));
    // 4. Identity: people, sessions, keys, operators.
    let uid = std::fs::metadata(&settings.data_dir).map_or(0, |meta| meta.uid());
    let operators = Operators::new(settings.operator_key.as_deref(), uid);
    let identity = Identity::new(
        database.clone(),
        Arc::clone(&clock) as _,
        Parts {
            settings: build::identity_settings(&settings),
            places: build::places(&settings),
            operators: operators.clone(),
            rates: build::rates(&settings, redis.as_ref(), Arc::clone(&clock)),
            mail: Arc::new(HostMail::new(mail.clone(), inbox.clone(), Arc::clone(&vault) as _)),
            provider: build::provider(&settings, &vault)?,
        },
    );
    // 5. Egress and the other host services.
    let backends = build::backends(
        &settings,
        &database,
        redis.as_ref(),
        &identity,
        vault,
        mail.clone(),
        Arc::clone(&clock),
    )?;
    // 6. Plugins.
    let limits = Limits {
        jobs: settings.inbox.jobs,
        tenant_jobs: settings.inbox.tenant_jobs,
        jobs_per_minute: settings.inbox.jobs_per_minute,
        tenant_jobs_per_minute: settings.inbox.tenant_jobs_per_minute,
    };
    let guard = Arc::new(identity.clone());
    let plugins = Plugins::new(
        inbox.clone(),
        backends,
        guard,
        limits,
        watching,
        web::own_routes(&identity),
    );
    let named = plan::plugins(&settings).map_err(ApplyError::Config)?;
    let files = named.entries.values().filter_map(|entry| entry.path.as_deref());
    let dylibs = Dylibs::open(&settings.data_dir, files)?;
    let planned = plan::plan(&settings, Some(&dylibs)).map_err(ApplyError::Config)?;
    if !planned.problems.is_empty() {
        return Err(ApplyError::Config(planned.problems).into());
    }
    plugins.apply(planned.wanted).await.map_err(ApplyError::Change)?;
    let origins = CorsOrigins::new(settings.origins());
    let running = Arc::new(Running {
        loaded: ArcSwap::from_pointee(loaded),
        flags,
        dylibs,
        live: Live {
            logs,
            origins: origins.clone(),
            operators,
            mail,
        },
        plugins: plugins.clone(),
        identity: identity.clone(),
        metrics,
        started: AtomicBool::new(false),
        draining: CancellationToken::new(),
        begun,
        redis,
        store_answers: tokio::sync::Mutex::default(),
        frontend: web_app::open(&settings)?,
        own_edit: Mutex::default(),
        planning: tokio::sync::Mutex::default(),
    });
    // 7. Listen.
    let stop = CancellationToken::new();
    let serving = listen(&settings, &running, origins, &stop).await?;
    inbox.start();
    let mut background = background(&running);
    background.spawn(keep_clock(clock, store));
    // Whoever sees that we are ready may end us.
    let signals = Signals::listen();
    running.started.store(true, Ordering::SeqCst);
    announce::announce(&settings, &plugins);
    announce::first_link(&running).await;
    signals.until_told(until_stdin_closes).await;
    tracing::info!("draining");
    running.draining.cancel();
    drain(&settings, &running, &inbox, stop, serving).await;
    background.abort_all();
    Ok(())
}

/// The database is the file in our locked data directory, so whatever runs in it was run by a process that is gone.
async fn free_leases(store: &SqlStore) {
    match store.free_leases().await {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(jobs, "took back what the process before was running"),
        Err(error) => {
            tracing::warn!(%error, "cannot take back what the process before was running; its leases run out");
        }
    }
}

/// Sessions, leases and limits go by the store's clock; log lines, and whatever else this machine writes, by its own.
fn tell_of_skew(clock: &StoreClock) {
    let ahead_ms = SystemClock.now_ms() - clock.now_ms();
    if ahead_ms.abs() > SKEW_MS {
        tracing::warn!(
            ahead_ms,
            "this machine's clock is not the database's, which counts; look at the time service of both"
        );
    }
}

/// Machines drift and sleep.
async fn keep_clock(clock: Arc<StoreClock>, store: Arc<dyn Store>) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        if let Err(error) = clock.follow(store.as_ref()).await {
            tracing::debug!(%error, "cannot ask the store for the time");
        }
    }
}

type Serving = Vec<tokio::task::JoinHandle<()>>;

async fn listen(
    settings: &Settings,
    running: &Arc<Running>,
    origins: CorsOrigins,
    stop: &CancellationToken,
) -> Result<Serving, StartError> {
    let bind = |what, at: String, key| async move {
        TcpListener::bind(&at)
            .await
            .map_err(|source| StartError::Listen { what, at, key, source })
    };
    let main = bind("the main listener", settings.listen.clone(), "JACKFIELD_LISTEN").await?;
    let admin = bind(
        "the admin listener",
        settings.admin_listen.clone(),
        "JACKFIELD_ADMIN_LISTEN",
    )
    .await?;
    // The data directory's lock is ours, so a socket file in it is stale.
    let socket = settings.data_dir.join("control.sock");
    let _ = std::fs::remove_file(&socket);
    let control = UnixListener::bind(&socket)
        .and_then(|listener| {
            std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).map(|()| listener)
        })
        .map_err(|source| StartError::Listen {
            what: "the control socket",
            at: socket.display().to_string(),
            key: "JACKFIELD_DATA_DIR",
            source,
        })?;
    let seconds = Duration::from_secs_f64;
    let limits = &settings.limits;
    let edge = Edge::new(EdgeSettings {
        first_byte: seconds(limits.first_byte),
        header_read: seconds(limits.header_read),
        idle: seconds(limits.idle),
        connections: limits.connections,
    });
    let layers = StackSettings {
        concurrency: limits.concurrency,
        response: seconds(limits.response),
        origins,
        security: SecurityHeaders {
            https: settings.public_url.as_ref().is_some_and(|url| url.scheme() == "https"),
            csp: content_security_policy(&settings.page_sources(), &[], &[]),
        },
        proxies: TrustedProxies::new(settings.trusted_proxies.clone()),
    };
    let app = stack(layers, web::service(Arc::clone(running)));
    let drain = seconds(limits.drain_deadline);
    let admin_app = probes::admin_router(Arc::clone(running));
    let mut serving = Vec::new();
    for listener in [Listener::Tcp(main), Listener::Unix(control)] {
        let (edge, app, stop) = (edge.clone(), app.clone(), stop.clone());
        serving.push(tokio::spawn(async move { edge.run(listener, app, stop, drain).await }));
    }
    // Probes answer "not ready" during the whole drain, so their listener stops last, with the process.
    tokio::spawn(async move {
        edge.run(Listener::Tcp(admin), admin_app, CancellationToken::new(), drain)
            .await;
    });
    Ok(serving)
}

fn background(running: &Arc<Running>) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(watch::keep_watching(Arc::clone(running)));
    tasks.spawn(running.identity.clone().keep());
    if let Some(pause) = chaos::asked() {
        tasks.spawn(chaos::reload_at_random(Arc::clone(running), pause));
    }
    let judged = Arc::clone(running);
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            if let Err(error) = judged.plugins.judge().await {
                tracing::warn!(%error, "cannot look after the plugins");
            }
        }
    });
    // Without upkeep a histogram keeps every sample until somebody scrapes.
    let metrics = running.metrics.clone();
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            metrics.run_upkeep();
        }
    });
    let asked = Arc::clone(running);
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(30));
        loop {
            tick.tick().await;
            asked.plugins.check_health().await;
        }
    });
    tasks
}

async fn drain(settings: &Settings, running: &Running, inbox: &Inbox, stop: CancellationToken, serving: Serving) {
    let deadline = Duration::from_secs_f64(settings.limits.drain_deadline);
    tokio::time::sleep(Duration::from_secs_f64(settings.limits.drain_delay)).await;
    stop.cancel();
    for listener in serving {
        if let Err(error) = listener.await {
            tracing::error!(%error, "a listener ended badly");
        }
    }
    inbox.drain(deadline).await;
    running.plugins.shut_down(Duration::from_secs(5)).await;
    let _ = std::fs::remove_file(settings.data_dir.join("control.sock"));
    tracing::info!("drained");
}
