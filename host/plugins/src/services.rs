//! Host services as one plugin sees them: every call checks its capability here, keys and topics carry the plugin's id.

mod identity;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_inbox::{
    engine::Inbox,
    model::{DedupKey, NewWork, WorkKind},
};
use jackfield_sdk::{
    database::{DatabaseService, Dialect, Rows, Statement},
    host::{
        ClockService, JobService, KvService, MetricService, NewJob, PubSubService, Received, Services, VaultService,
    },
    http_client::HttpService,
    identity::{AuditService, IdentityService},
    mail::{MailService, NewMail},
    manifest::Migration,
    run::RunService,
    service::{BoxFuture, ServiceError},
};
use uuid::Uuid;

use crate::{generation::Counted, mail::Mail, series::Series, wanted::Wanted};

/// What the host has to offer; one for all plugins.
#[derive(Clone)]
pub struct Backends {
    /// Makes the guarded HTTP client of a plugin.
    pub http: Arc<dyn Fn(&Wanted) -> Arc<dyn HttpService> + Send + Sync>,
    /// Key-value store.
    pub kv: Arc<dyn KvService>,
    /// Messages.
    pub pubsub: Arc<dyn PubSubService>,
    /// Secrets.
    pub vault: Arc<dyn VaultService>,
    /// Makes the database of a plugin.
    pub database: Arc<dyn Fn(&str) -> Arc<dyn DatabaseService> + Send + Sync>,
    /// Brings a plugin's tables up to its migrations, or says why that cannot be.
    pub migrate: Arc<dyn Fn(&str, &'static [Migration]) -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// People.
    pub identity: Arc<dyn IdentityService>,
    /// The audit trail.
    pub audit: Arc<dyn AuditService>,
    /// The clock.
    pub clock: Arc<dyn ClockService>,
    /// The way of mail.
    pub mail: Mail,
}

/// The services of one plugin.
pub struct PluginServices {
    plugin: String,
    capabilities: Vec<String>,
    jobs: Vec<String>,
    inbox: Inbox,
    runs: Arc<dyn RunService>,
    http: Arc<dyn HttpService>,
    database: Arc<dyn DatabaseService>,
    backends: Backends,
    /// Open subscriptions: their ids are the host's, so another plugin's could be guessed.
    subscriptions: Mutex<HashSet<u64>>,
    series: Series,
}

impl PluginServices {
    /// For `wanted`, whose descriptor declares `jobs`.
    pub fn new(wanted: &Wanted, jobs: Vec<String>, inbox: Inbox, backends: Backends) -> Self {
        let granted = Wanted {
            egress: wanted.granted(),
            ..wanted.clone()
        };
        Self {
            plugin: wanted.id.clone(),
            capabilities: wanted.capabilities.clone(),
            jobs,
            runs: inbox.runs(),
            inbox,
            http: (backends.http)(&granted),
            database: (backends.database)(&wanted.id),
            backends,
            subscriptions: Mutex::default(),
            series: Series::of(&wanted.id),
        }
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn need(&self, capability: &str) -> Result<(), ServiceError> {
        if self.capabilities.iter().any(|held| held == capability) {
            return Ok(());
        }
        Err(ServiceError::Denied {
            plugin: self.plugin.clone(),
            capability: capability.to_owned(),
        })
    }

    fn own(&self, name: &str) -> String {
        format!("{}:{name}", self.plugin)
    }
}

impl Services for PluginServices {
    fn plugin(&self) -> &str {
        &self.plugin
    }
    fn http(&self) -> &dyn HttpService {
        self.http.as_ref()
    }
    fn runs(&self) -> &dyn RunService {
        self.runs.as_ref()
    }
    fn kv(&self) -> &dyn KvService {
        self
    }
    fn pubsub(&self) -> &dyn PubSubService {
        self
    }
    fn jobs(&self) -> &dyn JobService {
        self
    }
    fn vault(&self) -> &dyn VaultService {
        self
    }
    fn database(&self) -> &dyn DatabaseService {
        self
    }
    fn identity(&self) -> &dyn IdentityService {
        self
    }
    fn audit(&self) -> &dyn AuditService {
        self
    }
    fn metrics(&self) -> &dyn MetricService {
        &self.series
    }
    fn clock(&self) -> &dyn ClockService {
        self.backends.clock.as_ref()
    }
    fn mail(&self) -> &dyn MailService {
        self
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let counted = Counted::up(metrics::gauge!("jackfield_plugin_tasks", "plugin" => self.plugin.clone()));
        tokio::spawn(async move {
            let _counted = counted;
            task.await;
        });
    }
}

#[async_trait]
impl KvService for PluginServices {
    async fn get(&self, key: String) -> Result<Option<Bytes>, ServiceError> {
        self.need("kv")?;
        self.backends.kv.get(self.own(&key)).await
    }
    async fn set(&self, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<(), ServiceError> {
        self.need("kv")?;
        self.backends.kv.set(self.own(&key), value, ttl_ms).await
    }
    async fn set_new(&self, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<bool, ServiceError> {
        self.need("kv")?;
        self.backends.kv.set_new(self.own(&key), value, ttl_ms).await
    }
    async fn delete(&self, key: String) -> Result<(), ServiceError> {
        self.need("kv")?;
        self.backends.kv.delete(self.own(&key)).await
    }
}

#[async_trait]
impl PubSubService for PluginServices {
    async fn publish(&self, topic: String, message: Bytes) -> Result<(), ServiceError> {
        self.need("pubsub")?;
        self.backends.pubsub.publish(self.own(&topic), message).await
    }
    async fn subscribe(&self, topic: String) -> Result<u64, ServiceError> {
        self.need("pubsub")?;
        let id = self.backends.pubsub.subscribe(self.own(&topic)).await?;
        self.subscriptions().insert(id);
        Ok(id)
    }
    async fn next(&self, subscription: u64) -> Result<Option<Received>, ServiceError> {
        if !self.subscriptions().contains(&subscription) {
            return Ok(None);
        }
        self.backends.pubsub.next(subscription).await
    }
    async fn unsubscribe(&self, subscription: u64) -> Result<(), ServiceError> {
        if !self.subscriptions().remove(&subscription) {
            return Ok(());
        }
        self.backends.pubsub.unsubscribe(subscription).await
    }
}

#[async_trait]
impl VaultService for PluginServices {
    async fn get(&self, tenant: String, name: String) -> Result<Option<Bytes>, ServiceError> {
        self.need("vault")?;
        self.backends.vault.get(self.own(&tenant), name).await
    }
    async fn put(&self, tenant: String, name: String, value: Bytes) -> Result<(), ServiceError> {
        self.need("vault")?;
        self.backends.vault.put(self.own(&tenant), name, value).await
    }
    async fn delete(&self, tenant: String, name: String) -> Result<(), ServiceError> {
        self.need("vault")?;
        self.backends.vault.delete(self.own(&tenant), name).await
    }
    async fn seal(&self, tenant: String, name: String, value: Bytes) -> Result<Bytes, ServiceError> {
        self.need("vault")?;
        self.backends.vault.seal(self.own(&tenant), name, value).await
    }
    async fn open(&self, tenant: String, name: String, sealed: Bytes) -> Result<Bytes, ServiceError> {
        self.need("vault")?;
        self.backends.vault.open(self.own(&tenant), name, sealed).await
    }
}

#[async_trait]
impl DatabaseService for PluginServices {
    async fn dialect(&self) -> Result<Dialect, ServiceError> {
        self.database.dialect().await
    }
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>, ServiceError> {
        self.need("database")?;
        self.database.batch(statements).await
    }
    async fn begin(&self) -> Result<u64, ServiceError> {
        self.need("database")?;
        self.database.begin().await
    }
    async fn within(&self, transaction: u64, statement: Statement) -> Result<Rows, ServiceError> {
        self.need("database")?;
        self.database.within(transaction, statement).await
    }
    async fn commit(&self, transaction: u64) -> Result<(), ServiceError> {
        self.database.commit(transaction).await
    }
    async fn rollback(&self, transaction: u64) -> Result<(), ServiceError> {
        self.database.rollback(transaction).await
    }
}

#[async_trait]
impl JobService for PluginServices {
    async fn enqueue(&self, job: NewJob) -> Result<Uuid, ServiceError> {
        self.need("jobs")?;
        if !self.jobs.contains(&job.name) {
            return Err(ServiceError::invalid(format!(
                "`{}` declares no job `{}`; declare it with `jobs.job(\"{}\").handle(…)`",
                self.plugin, job.name, job.name
            )));
        }
        let id = Uuid::now_v7();
        let tenant = job.tenant.unwrap_or_default();
        let delivery_id = job.key.unwrap_or_else(|| id.to_string());
        let work = NewWork {
            id,
            kind: WorkKind::Job,
            plugin: self.plugin.clone(),
            dedup: DedupKey::of(&self.plugin, &format!("job:{}", job.name), &tenant, &delivery_id),
            event: job.name.clone(),
            handler: job.name,
            tenant,
            delivery_id,
            lane: job.lane,
            headers: Vec::new(),
            body: job.payload,
            delay_ms: job.delay_ms,
            held: None,
            lease_ms: None,
            death: None,
        };
        let stored = self
            .inbox
            .accept(work)
            .await
            .map_err(|error| ServiceError::unavailable(error.to_string()))?;
        Ok(stored.id())
    }

    async fn cancel(&self, id: Uuid) -> Result<bool, ServiceError> {
        self.need("jobs")?;
        let unavailable = |error: jackfield_inbox::store::StoreError| ServiceError::unavailable(error.to_string());
        let own = self.inbox.store().show(id).await.map_err(unavailable)?;
        if own.is_none_or(|detail| detail.summary.plugin != self.plugin) {
            return Ok(false);
        }
        self.inbox
            .cancel(id, "cancelled by its plugin")
            .await
            .map_err(unavailable)
    }

    async fn signal(&self, topic: String, value: Bytes) -> Result<i64, ServiceError> {
        self.need("jobs")?;
        let sent = self.inbox.signal(&self.plugin, &topic, value).await;
        sent.map_err(|error| ServiceError::unavailable(error.to_string()))
    }

    async fn cursor(&self, topic: String) -> Result<i64, ServiceError> {
        self.need("jobs")?;
        let cursor = self.inbox.store().cursor(&self.plugin, &topic).await;
        cursor.map_err(|error| ServiceError::unavailable(error.to_string()))
    }
}

#[async_trait]
impl MailService for PluginServices {
    async fn send(&self, mail: NewMail) -> Result<Uuid, ServiceError> {
        self.need("mail")?;
        let Backends { mail: way, vault, .. } = &self.backends;
        way.send(&self.inbox, vault.as_ref(), &self.plugin, mail).await
    }
    async fn ready(&self) -> Result<bool, ServiceError> {
        self.need("mail")?;
        Ok(self.backends.mail.is_ready())
    }
}
