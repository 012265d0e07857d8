//! Does everything wrong that a plugin can do wrong, where it is told to; what it is not told to do wrong it does right. The
//! carrier's tests load it as a shared library: what it does must be nobody else's trouble.
//!
//! The setting `wrong` lists deeds and where they are done: `panic:health`, `hang:create`, `slow:drain`, `fail:verify`.
//! Routes and webhooks say in their path or body what they do.

#![forbid(unsafe_code)]

mod deeds;
mod handlers;
mod services;
mod streams;
mod trouble;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use jackfield_sdk::prelude::*;
use tokio::sync::broadcast;

use crate::deeds::Deeds;

/// Which build this is.
pub(crate) const BUILD: &str = if cfg!(feature = "next") { "next" } else { "first" };

/// Settings.
#[derive(Config)]
pub struct Settings {
    /// What it does wrong, and where.
    #[config(default = [])]
    wrong: Vec<String>,
    /// Where it asks somebody outside; the egress grant.
    #[config(default = "https://vendor.example", egress)]
    vendor: Url,
    /// What its webhooks are signed with.
    #[config(default = "a signature of the misbehaving plugin")]
    secrets: SigningSecrets,
    /// A secret that it tells to whoever reads its log lines.
    token: Option<Secret>,
}

/// The plugin.
pub struct Misbehaving {
    deeds: Deeds,
    settings: Settings,
    host: Host,
    /// What a listener of `/misbehaving/events` hears.
    told: broadcast::Sender<String>,
    counts: Arc<Counts>,
}

/// What is alive in this instance.
#[derive(Default)]
struct Counts {
    /// Requests whose future is alive.
    open: AtomicI64,
    /// Tasks that are alive.
    tasks: AtomicI64,
    /// Bytes that bodies have given.
    produced: AtomicU64,
}

/// Counts one up for as long as it lives.
struct Alive(Arc<Counts>, fn(&Counts) -> &AtomicI64);

impl Alive {
    fn new(counts: &Arc<Counts>, which: fn(&Counts) -> &AtomicI64) -> Self {
        which(counts).fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts), which)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg_attr(
    not(feature = "next"),
    plugin(
        id = "misbehaving",
        capabilities("http:{vendor}", "database", "kv", "pubsub", "jobs", "vault"),
        migrations = "migrations"
    )
)]
#[cfg_attr(
    feature = "next",
    plugin(
        id = "misbehaving",
        capabilities("http:{vendor}", "database", "kv", "pubsub", "jobs", "vault"),
        migrations = "migrations-next"
    )
)]
impl Plugin for Misbehaving {
    type Config = Settings;

    fn validate(settings: &Settings) -> Result<()> {
        Deeds::parse(&settings.wrong)?.at_once("validate")
    }

    async fn create(settings: Settings, host: Host) -> Result<Self> {
        let deeds = Deeds::parse(&settings.wrong)?;
        deeds.at("create").await?;
        touch(&host, "create").await?;
        Ok(Self {
            deeds,
            settings,
            host,
            told: broadcast::channel(64).0,
            counts: Arc::default(),
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        trouble::routes(routes);
        streams::routes(routes);
        services::routes(routes);
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        handlers::webhooks(hooks);
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        handlers::jobs(jobs);
    }

    async fn health(&self) -> Result<Health> {
        self.deeds.at("health").await?;
        touch(&self.host, "health").await?;
        Ok(Health::ok())
    }

    async fn reconfigure(&self, settings: Settings) -> Result<Reconfigured> {
        self.deeds.at("reconfigure").await?;
        if settings.vendor != self.settings.vendor {
            return Ok(Reconfigured::NeedsReload);
        }
        touch(&self.host, "reconfigure").await?;
        self.deeds.replace(Deeds::parse(&settings.wrong)?);
        Ok(Reconfigured::Applied)
    }

    async fn drain(&self) {
        if let Err(error) = self.deeds.at("drain").await {
            tracing::warn!(%error, "drain went wrong");
        }
        if let Err(error) = touch(&self.host, "drain").await {
            tracing::error!(%error, "drain has no timer or no socket");
        }
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        // Neither may be waited for here, but both panic where there is no runtime to register with.
        let timer = tokio::time::sleep(std::time::Duration::from_millis(1));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
            socket.set_nonblocking(true)?;
            tokio::net::UdpSocket::from_std(socket)
        });
        drop(timer);
        match socket {
            Ok(_) => self.host.metrics().count("touched", &[("entry", "drop")], 1),
            Err(error) => tracing::error!(%error, "drop has no socket"),
        }
        if let Err(error) = self.deeds.at_once("drop") {
            tracing::warn!(%error, "drop went wrong");
        }
    }
}

/// Uses a timer and a socket, which works only inside the plugin's runtime, and counts that it did.
async fn touch(host: &Host, entry: &str) -> Result<()> {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut heard, one) = ([0; 5], tokio::net::UdpSocket::bind(here).await?);
    let other = tokio::net::UdpSocket::bind(here).await?;
    one.send_to(b"touch", other.local_addr()?).await?;
    other.recv_from(&mut heard).await?;
    host.metrics().count("touched", &[("entry", entry)], 1);
    Ok(())
}
