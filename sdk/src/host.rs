//! What the host gives a plugin: [`Host`] and the services behind it.
//!
//! Each service is a trait of the boundary (`…Service`) and a typed handle for authors. The capability is checked in the
//! host's implementation, on every call.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    config::Secret,
    database::{Database, DatabaseService, serve_database},
    error::Result,
    http_client::{Http, HttpService, serve_http},
    identity::{Audit, AuditService, Identity, IdentityService, serve_audit, serve_identity},
    mail::{Mail, MailService, serve_mail},
    run::{RunService, serve_run},
    service::{BoxFuture, ServiceError, service},
};

service! {
    /// Key-value store shared by all replicas. Capability: `kv`. Keys are the plugin's own; others never see them.
    pub trait KvService = 3, serve_kv {
        /// The value of a key.
        1 => fn get(key: String) -> Option<Bytes>;
        /// Sets a key, for `ttl_ms` when given.
        2 => fn set(key: String, value: Bytes, ttl_ms: Option<u64>) -> ();
        /// Sets a key that is not there; tells whether it did.
        3 => fn set_new(key: String, value: Bytes, ttl_ms: Option<u64>) -> bool;
        /// Removes a key.
        4 => fn delete(key: String) -> ();
    }
}

service! {
    /// Fire-and-forget messages between replicas. Capability: `pubsub`. What must not be lost is a job or a signal.
    pub trait PubSubService = 4, serve_pubsub {
        /// Publishes on a topic of this plugin.
        1 => fn publish(topic: String, message: Bytes) -> ();
        /// Opens a subscription; gives its id.
        2 => fn subscribe(topic: String) -> u64;
        /// What comes next; none when the subscription has ended.
        3 => fn next(subscription: u64) -> Option<Received>;
        /// Ends a subscription.
        4 => fn unsubscribe(subscription: u64) -> ();
    }
}

service! {
    /// The plugin's own jobs and signals. Capability: `jobs`.
    pub trait JobService = 5, serve_jobs {
        /// Stores a job; the same key gives the same job. Gives its id.
        1 => fn enqueue(job: NewJob) -> Uuid;
        /// Cancels a job that has not ended; tells whether it did.
        2 => fn cancel(id: Uuid) -> bool;
        /// Sends a signal to whoever waits on a topic of this plugin; kept 30 days. Gives its sequence number.
        3 => fn signal(topic: String, value: Bytes) -> i64;
        /// Sequence number of the topic's newest signal, 0 when there is none.
        4 => fn cursor(topic: String) -> i64;
    }
}

service! {
    /// Secrets per tenant, encrypted at rest. Capability: `vault`.
    pub trait VaultService = 6, serve_vault {
        /// Reads a secret.
        1 => fn get(tenant: String, name: String) -> Option<Bytes>;
        /// Writes a secret.
        2 => fn put(tenant: String, name: String, value: Bytes) -> ();
        /// Removes a secret.
        3 => fn delete(tenant: String, name: String) -> ();
        /// Seals a value that is kept elsewhere, for this place.
        4 => fn seal(tenant: String, name: String, value: Bytes) -> Bytes;
        /// Opens what was sealed for this place.
        5 => fn open(tenant: String, name: String, sealed: Bytes) -> Bytes;
    }
}

/// Metrics, named `jackfield_plugin_{id}_{name}`.
pub trait MetricService: Send + Sync {
    /// Adds to a counter.
    fn count(&self, name: &str, labels: &[(&str, &str)], by: u64);
    /// Sets a gauge.
    fn gauge(&self, name: &str, labels: &[(&str, &str)], value: f64);
    /// Records into a histogram, in base units.
    fn record(&self, name: &str, labels: &[(&str, &str)], value: f64);
}

/// The host's clock; tests move it by hand.
pub trait ClockService: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Received {
    /// A message.
    Message(Bytes),
    /// At least so many messages are lost, because the subscriber was too slow or (0: nobody knows how many) Redis was
    /// away: read anew what they told about.
    Missed(u64),
}

/// A job as a plugin enqueues it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Name of a declared job.
    pub name: String,
    /// Payload (JSON).
    pub payload: Bytes,
    /// Dedup key; the same key within 30 days is the same job.
    pub key: Option<String>,
    /// Lane; jobs of one lane run in order.
    pub lane: Option<String>,
    /// Tenant.
    pub tenant: Option<String>,
    /// Milliseconds to wait before the first attempt.
    pub delay_ms: u64,
}

/// Every service of one plugin instance. The host implements it; in a shared library `ffi` speaks it over the boundary.
pub trait Services: Send + Sync {
    /// The plugin's id.
    fn plugin(&self) -> &str;
    /// Outgoing HTTP.
    fn http(&self) -> &dyn HttpService;
    /// Durable runs.
    fn runs(&self) -> &dyn RunService;
    /// Key-value.
    fn kv(&self) -> &dyn KvService;
    /// Messages.
    fn pubsub(&self) -> &dyn PubSubService;
    /// Jobs and signals.
    fn jobs(&self) -> &dyn JobService;
    /// Secrets.
    fn vault(&self) -> &dyn VaultService;
    /// SQL.
    fn database(&self) -> &dyn DatabaseService;
    /// People.
    fn identity(&self) -> &dyn IdentityService;
    /// The audit trail.
    fn audit(&self) -> &dyn AuditService;
    /// Metrics.
    fn metrics(&self) -> &dyn MetricService;
    /// Clock.
    fn clock(&self) -> &dyn ClockService;
    /// Mail.
    fn mail(&self) -> &dyn MailService;
    /// Runs a task of the instance; [`Host::spawn`] ends it with the instance.
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

pub(crate) async fn dispatch(
    services: &dyn Services,
    service: u32,
    method: u32,
    input: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    match service {
        1 => serve_http(services.http(), method, input).await,
        2 => serve_run(services.runs(), method, input).await,
        3 => serve_kv(services.kv(), method, input).await,
        4 => serve_pubsub(services.pubsub(), method, input).await,
        5 => serve_jobs(services.jobs(), method, input).await,
        6 => serve_vault(services.vault(), method, input).await,
        7 => serve_database(services.database(), method, input).await,
        8 => serve_identity(services.identity(), method, input).await,
        9 => serve_audit(services.audit(), method, input).await,
        10 => serve_mail(services.mail(), method, input).await,
        other => Err(ServiceError::invalid(format!(
            "this host does not know service {other}"
        ))),
    }
}

/// A plugin instance's way to its host. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    services: Arc<dyn Services>,
    retired: watch::Receiver<bool>,
}

impl Host {
    /// Made by the host. `retired` turns true when the instance is retired: its tasks end.
    pub fn new(services: Arc<dyn Services>, retired: watch::Receiver<bool>) -> Self {
        Self { services, retired }
    }

    /// The services behind the handles.
    pub fn services(&self) -> Arc<dyn Services> {
        Arc::clone(&self.services)
    }

    /// Outgoing HTTP.
    pub fn http(&self) -> Http {
        Http::new(self.services())
    }

    /// Key-value store. Capability: `kv`.
    pub fn kv(&self) -> Kv {
        Kv(self.services())
    }

    /// Messages between replicas. Capability: `pubsub`.
    pub fn pubsub(&self) -> PubSub {
        PubSub(self.services())
    }

    /// Jobs and signals. Capability: `jobs`.
    pub fn jobs(&self) -> JobQueue {
        JobQueue(self.services())
    }

    /// Secrets per tenant. Capability: `vault`.
    pub fn vault(&self) -> Vault {
        Vault(self.services())
    }

    /// The plugin's own database. Capability: `database`.
    pub fn database(&self) -> Database {
        Database::new(self.services())
    }

    /// People, their sessions and API keys. Capabilities: `identity:users`, `identity:accounts`, `identity:sessions`,
    /// `identity:keys`.
    pub fn identity(&self) -> Identity {
        Identity::new(self.services())
    }

    /// The audit trail. Capability: `audit`.
    pub fn audit(&self) -> Audit {
        Audit::new(self.services())
    }

    /// Metrics.
    pub fn metrics(&self) -> Metrics {
        Metrics(self.services())
    }

    /// The host's clock.
    pub fn clock(&self) -> Clock {
        Clock(self.services())
    }

    /// Mail to people. Capability: `mail`.
    pub fn mail(&self) -> Mail {
        Mail(self.services())
    }

    /// Runs a task until it ends or the instance is retired.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut retired = self.retired.clone();
        self.services.spawn(Box::pin(async move {
            tokio::select! {
                () = task => {}
                _ = retired.wait_for(|retired| *retired) => {}
            }
        }));
    }

    /// Runs CPU work off the request workers.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(tokio::task::spawn_blocking(work).await?)
    }
}

/// Key-value handle.
#[derive(Clone)]
pub struct Kv(Arc<dyn Services>);

impl Kv {
    /// The value of `key`, read as JSON.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.0.kv().get(key.to_owned()).await? {
            Some(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            None => Ok(None),
        }
    }

    /// Sets `key` to `value` (JSON), for `ttl` when given.
    pub async fn set<T: Serialize + Sync>(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<()> {
        let bytes = serde_json::to_vec(value)?.into();
        Ok(self.0.kv().set(key.to_owned(), bytes, ttl.map(millis)).await?)
    }

    /// Sets a key that is not there; tells whether it did.
    pub async fn set_new<T: Serialize + Sync>(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<bool> {
        let bytes = serde_json::to_vec(value)?.into();
        Ok(self.0.kv().set_new(key.to_owned(), bytes, ttl.map(millis)).await?)
    }

    /// Removes a key.
    pub async fn delete(&self, key: &str) -> Result<()> {
        Ok(self.0.kv().delete(key.to_owned()).await?)
    }
}

/// Messages between replicas.
#[derive(Clone)]
pub struct PubSub(Arc<dyn Services>);

impl PubSub {
    /// Publishes `message` on `topic`.
    pub async fn publish(&self, topic: &str, message: impl Into<Bytes>) -> Result<()> {
        Ok(self.0.pubsub().publish(topic.to_owned(), message.into()).await?)
    }

    /// Listens on `topic` from now on.
    pub async fn subscribe(&self, topic: &str) -> Result<Subscription> {
        let id = self.0.pubsub().subscribe(topic.to_owned()).await?;
        Ok(Subscription {
            services: Arc::clone(&self.0),
            id,
        })
    }
}

/// An open subscription. It ends when it is dropped.
pub struct Subscription {
    services: Arc<dyn Services>,
    id: u64,
}

impl Subscription {
    /// What comes next; none when the subscription has ended.
    pub async fn next(&mut self) -> Result<Option<Received>> {
        Ok(self.services.pubsub().next(self.id).await?)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let (services, id) = (Arc::clone(&self.services), self.id);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = services.pubsub().unsubscribe(id).await {
                    tracing::debug!(%error, "a subscription was not ended");
                }
            });
        }
    }
}

/// Jobs and signals.
#[derive(Clone)]
pub struct JobQueue(Arc<dyn Services>);

impl JobQueue {
    /// Stores a job with a JSON payload; gives its id.
    pub async fn enqueue<T: Serialize + Sync>(&self, name: &str, payload: &T) -> Result<Uuid> {
        self.enqueue_with(name, payload, JobOptions::default()).await
    }

    /// [`JobQueue::enqueue`] with key, lane, tenant or delay.
    pub async fn enqueue_with<T: Serialize + Sync>(&self, name: &str, payload: &T, with: JobOptions) -> Result<Uuid> {
        let job = NewJob {
            name: name.to_owned(),
            payload: serde_json::to_vec(payload)?.into(),
            key: with.key,
            lane: with.lane,
            tenant: with.tenant,
            delay_ms: millis(with.delay),
        };
        Ok(self.0.jobs().enqueue(job).await?)
    }

    /// Cancels a job that has not ended; tells whether it did.
    pub async fn cancel(&self, id: Uuid) -> Result<bool> {
        Ok(self.0.jobs().cancel(id).await?)
    }

    /// Sends `value` to whoever waits for a signal of `topic`.
    pub async fn signal<T: Serialize + Sync>(&self, topic: &str, value: &T) -> Result<i64> {
        Ok(self
            .0
            .jobs()
            .signal(topic.to_owned(), serde_json::to_vec(value)?.into())
            .await?)
    }

    /// Sequence number of the topic's newest signal, 0 when there is none: where a later wait starts to count.
    pub async fn cursor(&self, topic: &str) -> Result<i64> {
        Ok(self.0.jobs().cursor(topic.to_owned()).await?)
    }
}

/// Options of a job.
#[derive(Debug, Clone, Default)]
pub struct JobOptions {
    /// Dedup key; the same key within 30 days is the same job.
    pub key: Option<String>,
    /// Lane; jobs of one lane run in order.
    pub lane: Option<String>,
    /// Tenant.
    pub tenant: Option<String>,
    /// Time before the first attempt.
    pub delay: Duration,
}

/// Secrets per tenant.
#[derive(Clone)]
pub struct Vault(Arc<dyn Services>);

impl Vault {
    /// Reads a secret; one that is not UTF-8 is an error.
    pub async fn get(&self, tenant: &str, name: &str) -> Result<Option<Secret>> {
        match self.0.vault().get(tenant.to_owned(), name.to_owned()).await? {
            Some(bytes) => Ok(Some(Secret::new(String::from_utf8(bytes.into())?))),
            None => Ok(None),
        }
    }

    /// Writes a secret.
    pub async fn put(&self, tenant: &str, name: &str, secret: &Secret) -> Result<()> {
        let value = Bytes::copy_from_slice(secret.expose().as_bytes());
        Ok(self.0.vault().put(tenant.to_owned(), name.to_owned(), value).await?)
    }

    /// Removes a secret.
    pub async fn delete(&self, tenant: &str, name: &str) -> Result<()> {
        Ok(self.0.vault().delete(tenant.to_owned(), name.to_owned()).await?)
    }

    /// Seals a value that is kept elsewhere: in a row, or in a job's payload. Under another tenant or name it does not open.
    pub async fn seal(&self, tenant: &str, name: &str, value: &Secret) -> Result<Bytes> {
        let value = Bytes::copy_from_slice(value.expose().as_bytes());
        Ok(self.0.vault().seal(tenant.to_owned(), name.to_owned(), value).await?)
    }

    /// Opens what [`seal`](Self::seal) gave; an error when it was changed, or is of another place.
    pub async fn open(&self, tenant: &str, name: &str, sealed: Bytes) -> Result<Secret> {
        let opened = self.0.vault().open(tenant.to_owned(), name.to_owned(), sealed);
        Ok(Secret::new(String::from_utf8(opened.await?.into())?))
    }
}

/// Metrics, named `jackfield_plugin_{id}_{name}`.
#[derive(Clone)]
pub struct Metrics(Arc<dyn Services>);

impl Metrics {
    /// Adds to a counter.
    pub fn count(&self, name: &str, labels: &[(&str, &str)], by: u64) {
        self.0.metrics().count(name, labels, by);
    }

    /// Sets a gauge.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.metrics().gauge(name, labels, value);
    }

    /// Records into a histogram, in base units.
    pub fn record(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.metrics().record(name, labels, value);
    }
}

/// The host's clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Services>);

impl Clock {
    /// Now.
    pub fn now(&self) -> time::OffsetDateTime {
        let nanos = i128::from(self.0.clock().now_ms()) * 1_000_000;
        time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
