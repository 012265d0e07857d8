//! What the parts of identity share.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jackfield_sdk::{host::ClockService, mail::MailService};
use jackfield_storage::Database;
use sea_orm::DatabaseConnection;

use crate::{
    blocked,
    cache::Cache,
    error::IdentityError,
    limits::Rates,
    operator::Operators,
    provider::Provider,
    seen::Seen,
    settings::{IdentitySettings, Places},
};

/// Between two writes of what was seen.
const WRITE_SEEN: Duration = Duration::from_secs(10);
/// Between two looks at what other replicas changed.
const LOOK: Duration = Duration::from_millis(500);
/// Between two clean-ups.
const CLEAN: Duration = Duration::from_secs(3_600);

/// Who people are and what they may. Cheap to clone.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<Core>);

/// What identity is made of.
pub struct Parts {
    /// Settings.
    pub settings: IdentitySettings,
    /// Where people come from.
    pub places: Places,
    /// Who operates this host without an account.
    pub operators: Operators,
    /// How often people may come.
    pub rates: Rates,
    /// The host's own mail.
    pub mail: Arc<dyn MailService>,
    /// What signs people in.
    pub provider: Arc<dyn Provider>,
}

pub(crate) struct Core {
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn ClockService>,
    pub(crate) settings: IdentitySettings,
    pub(crate) places: ArcSwap<Places>,
    pub(crate) operators: Operators,
    pub(crate) rates: Rates,
    pub(crate) mail: Arc<dyn MailService>,
    pub(crate) cache: Cache,
    /// Whether a domain is blocked, as far as was asked lately.
    pub(crate) blocked: moka::sync::Cache<String, bool>,
    pub(crate) seen: Seen,
    pub(crate) provider: Arc<dyn Provider>,
}

impl Identity {
    /// On an open database.
    pub fn new(database: Database, clock: Arc<dyn ClockService>, parts: Parts) -> Self {
        Self(Arc::new(Core {
            database,
            clock,
            settings: parts.settings,
            places: ArcSwap::from_pointee(parts.places),
            operators: parts.operators,
            rates: parts.rates,
            mail: parts.mail,
            cache: Cache::default(),
            blocked: blocked::asked_lately(),
            seen: Seen::default(),
            provider: parts.provider,
        }))
    }

    /// Looks after sessions and keys until it is dropped: what others changed, what was seen, what has ended.
    pub async fn keep(self) {
        let provider = Arc::clone(&self.0.provider);
        tokio::join!(provider.keep(&self), self.look_after());
    }

    async fn look_after(&self) {
        let mut look = tokio::time::interval(LOOK);
        let mut write = tokio::time::interval(WRITE_SEEN);
        let mut clean = tokio::time::interval(CLEAN);
        loop {
            let done = tokio::select! {
                _ = look.tick() => self.take_changes().await,
                _ = write.tick() => self.write_seen().await,
                _ = clean.tick() => self.clean().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "cannot look after sessions and keys");
            }
        }
    }

    /// What signs people in, and whether it answers; none when it is this host.
    pub fn provider_is_up(&self) -> Option<(String, bool)> {
        let up = self.0.provider.is_up()?;
        Some((self.0.provider.sign_in(self).provider, up))
    }

    /// Other places from now on.
    pub fn set_places(&self, places: Places) {
        self.0.places.store(Arc::new(places));
    }

    pub(crate) fn now(&self) -> i64 {
        self.0.clock.now_ms()
    }

    pub(crate) fn read(&self) -> &DatabaseConnection {
        self.0.database.reader()
    }

    pub(crate) fn write(&self) -> &DatabaseConnection {
        self.0.database.writer()
    }

    /// Rows that nobody can use any more.
    async fn clean(&self) -> Result<(), IdentityError> {
        self.forget_links().await?;
        self.forget_devices().await?;
        self.forget_sessions().await?;
        self.forget_changes().await?;
        self.0.provider.clean(self).await
    }
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
