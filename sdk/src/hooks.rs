//! Declaring webhooks, jobs and schedules. Declarations read no configuration, so descriptors are stable and can be
//! listed before an instance exists.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    config::SigningSecrets,
    descriptor::{Answer, Challenge, JobDescriptor, ScheduleDescriptor, WebhookDescriptor},
    error::Result,
    expr::Expr,
    handler::{Call, Death, Erased, FromDelivery, erase, erase_death},
    service::BoxFuture,
    webhook::{Retry, SecretSource, Verify},
};

/// Longest run of a handler unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Largest webhook body unless it says otherwise (GitHub sends at most 25 MB).
const MAX_BODY: u64 = 26 << 20;

/// The code behind the descriptors, by handler name.
pub(crate) struct Table<P> {
    pub(crate) handlers: HashMap<String, Arc<dyn Erased<P>>>,
    pub(crate) deaths: HashMap<String, Arc<dyn Erased<P>>>,
    pub(crate) verifiers: HashMap<String, Arc<dyn VerifyFn<P>>>,
    pub(crate) secrets: HashMap<String, Arc<dyn SecretsFn<P>>>,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self {
            handlers: HashMap::new(),
            deaths: HashMap::new(),
            verifiers: HashMap::new(),
            secrets: HashMap::new(),
        }
    }
}

/// A plugin's own verification: `async fn(&self, HeaderMap, Bytes) -> Result<bool>`.
pub(crate) trait VerifyFn<P>: Send + Sync {
    fn verify<'a>(&'a self, plugin: &'a P, headers: HeaderMap, body: Bytes) -> BoxFuture<'a, Result<bool>>;
}

/// A plugin's choice of secrets: `async fn(&self, String) -> Result<SigningSecrets>`.
pub(crate) trait SecretsFn<P>: Send + Sync {
    fn secrets<'a>(&'a self, plugin: &'a P, key: String) -> BoxFuture<'a, Result<SigningSecrets>>;
}

/// A method `async fn(&self, HeaderMap, Bytes) -> Result<bool>`.
pub trait VerifyCall<'a, P>: Send + Sync {
    /// What it returns.
    type Future: Future<Output = Result<bool>> + Send + 'a;
    /// Calls it.
    fn call(&self, plugin: &'a P, headers: HeaderMap, body: Bytes) -> Self::Future;
}

impl<'a, P: 'a, F, Fut> VerifyCall<'a, P> for F
where
    F: Fn(&'a P, HeaderMap, Bytes) -> Fut + Send + Sync,
    Fut: Future<Output = Result<bool>> + Send + 'a,
{
    type Future = Fut;
    fn call(&self, plugin: &'a P, headers: HeaderMap, body: Bytes) -> Fut {
        self(plugin, headers, body)
    }
}

/// A method `async fn(&self, String) -> Result<SigningSecrets>`.
pub trait SecretsCall<'a, P>: Send + Sync {
    /// What it returns.
    type Future: Future<Output = Result<SigningSecrets>> + Send + 'a;
    /// Calls it.
    fn call(&self, plugin: &'a P, key: String) -> Self::Future;
}

impl<'a, P: 'a, F, Fut> SecretsCall<'a, P> for F
where
    F: Fn(&'a P, String) -> Fut + Send + Sync,
    Fut: Future<Output = Result<SigningSecrets>> + Send + 'a,
{
    type Future = Fut;
    fn call(&self, plugin: &'a P, key: String) -> Fut {
        self(plugin, key)
    }
}

struct Own<H>(H);

impl<P: Send + Sync + 'static, H: for<'a> VerifyCall<'a, P>> VerifyFn<P> for Own<H> {
    fn verify<'a>(&'a self, plugin: &'a P, headers: HeaderMap, body: Bytes) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.0.call(plugin, headers, body))
    }
}

impl<P: Send + Sync + 'static, H: for<'a> SecretsCall<'a, P>> SecretsFn<P> for Own<H> {
    fn secrets<'a>(&'a self, plugin: &'a P, key: String) -> BoxFuture<'a, Result<SigningSecrets>> {
        Box::pin(self.0.call(plugin, key))
    }
}

/// Collects a plugin's webhooks.
pub struct Webhooks<P> {
    pub(crate) list: Vec<WebhookDescriptor>,
    pub(crate) table: Table<P>,
}

impl<P: Send + Sync + 'static> Webhooks<P> {
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::new(),
            table: Table::default(),
        }
    }

    /// Starts a webhook at an exact path; [`WebhookBuilder::handle`] ends it.
    pub fn at(&mut self, path: &str) -> WebhookBuilder<'_, P> {
        let descriptor = WebhookDescriptor {
            name: path.trim_matches('/').replace('/', "-"),
            aliases: Vec::new(),
            path: path.to_owned(),
            verify: Verify::none("not declared"),
            delivery_id: None,
            tenant: None,
            lane: None,
            event: None,
            retry: Retry::DEFAULT,
            max_body: MAX_BODY,
            answer: Answer {
                status: 200,
                content_type: "application/json".into(),
                body: r#"{"ok":true}"#.into(),
            },
            challenge: None,
            on_dead: false,
            timeout_ms: TIMEOUT.as_millis() as u64,
        };
        WebhookBuilder {
            hooks: self,
            descriptor,
            death: None,
            verifier: None,
            secrets: None,
        }
    }
}

/// A webhook being declared.
#[must_use = "a webhook is declared by `.handle(…)`"]
pub struct WebhookBuilder<'h, P> {
    hooks: &'h mut Webhooks<P>,
    descriptor: WebhookDescriptor,
    death: Option<Arc<dyn Erased<P>>>,
    verifier: Option<Arc<dyn VerifyFn<P>>>,
    secrets: Option<Arc<dyn SecretsFn<P>>>,
}

impl<P: Send + Sync + 'static> WebhookBuilder<'_, P> {
    /// The stable name that waiting jobs find the handler by; otherwise the path with dashes.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.descriptor.name);
        self
    }

    /// A former name.
    pub fn alias(mut self, old: &str) -> Self {
        self.descriptor.aliases.push(old.to_owned());
        self
    }

    /// How authenticity is proved. Required.
    pub fn verify(mut self, verify: Verify) -> Self {
        self.descriptor.verify = verify;
        self
    }

    /// The plugin's own verification over the raw bytes.
    pub fn verify_with<H: for<'a> VerifyCall<'a, P> + 'static>(mut self, verify: H) -> Self {
        self.descriptor.verify = Verify::plugin();
        self.verifier = Some(Arc::new(Own(verify)));
        self
    }

    /// The secrets depend on who sends: `key` may choose them and is trusted for nothing else.
    pub fn secrets_for<H: for<'a> SecretsCall<'a, P> + 'static>(mut self, key: Expr, secrets: H) -> Self {
        self.descriptor.verify.secrets = SecretSource::Plugin(key);
        self.secrets = Some(Arc::new(Own(secrets)));
        self
    }

    /// The sender's delivery id: the dedup key.
    pub fn delivery_id(mut self, from: Expr) -> Self {
        self.descriptor.delivery_id = Some(from);
        self
    }

    /// Whose data it is.
    pub fn tenant(mut self, from: Expr) -> Self {
        self.descriptor.tenant = Some(from);
        self
    }

    /// What is handled in order.
    pub fn lane(mut self, from: Expr) -> Self {
        self.descriptor.lane = Some(from);
        self
    }

    /// Kind of event, for people and filters.
    pub fn event(mut self, from: Expr) -> Self {
        self.descriptor.event = Some(from);
        self
    }

    /// Retry schedule; 12 attempts over 75 h unless said.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.descriptor.retry = retry;
        self
    }

    /// Largest accepted body in bytes; 26 MiB unless said.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.descriptor.max_body = bytes;
        self
    }

    /// What the sender is answered once the delivery is stored (JSON).
    pub fn answer(mut self, status: u16, body: &str) -> Self {
        self.descriptor.answer = Answer {
            status,
            content_type: "application/json".into(),
            body: body.to_owned(),
        };
        self
    }

    /// Answers a verified handshake instead of storing it.
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.descriptor.challenge = Some(challenge);
        self
    }

    /// Longest run of the handler; 5 min unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.descriptor.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Called once, as a job of its own, when the delivery is dead.
    pub fn on_dead<T: FromDelivery, H: for<'a> Call<'a, P, Death<T>> + 'static>(mut self, handler: H) -> Self {
        self.descriptor.on_dead = true;
        self.death = Some(erase_death(handler));
        self
    }

    /// The handler; ends the declaration.
    pub fn handle<T: FromDelivery, H: for<'a> Call<'a, P, T> + 'static>(self, handler: H) {
        let handler = erase(handler);
        let table = &mut self.hooks.table;
        let names = std::iter::once(&self.descriptor.name).chain(&self.descriptor.aliases);
        for name in names {
            table.handlers.insert(name.clone(), Arc::clone(&handler));
            if let Some(death) = &self.death {
                table.deaths.insert(name.clone(), Arc::clone(death));
            }
        }
        if let Some(verifier) = self.verifier {
            table.verifiers.insert(self.descriptor.name.clone(), verifier);
        }
        if let Some(secrets) = self.secrets {
            table.secrets.insert(self.descriptor.name.clone(), secrets);
        }
        self.hooks.list.push(self.descriptor);
    }
}

/// Collects a plugin's jobs and schedules.
pub struct Jobs<P> {
    pub(crate) jobs: Vec<JobDescriptor>,
    pub(crate) schedules: Vec<ScheduleDescriptor>,
    pub(crate) table: Table<P>,
}

impl<P: Send + Sync + 'static> Jobs<P> {
    pub(crate) fn new() -> Self {
        Self {
            jobs: Vec::new(),
            schedules: Vec::new(),
            table: Table::default(),
        }
    }

    /// A job that the plugin enqueues by `name`.
    pub fn job(&mut self, name: &str) -> JobBuilder<'_, P> {
        JobBuilder {
            jobs: self,
            descriptor: job_descriptor(name),
            every: None,
            death: None,
        }
    }

    /// A job that the host starts once per `every`, over all replicas; after downtime at most the last missed slot.
    pub fn every(&mut self, name: &str, every: Duration) -> JobBuilder<'_, P> {
        JobBuilder {
            jobs: self,
            descriptor: job_descriptor(name),
            every: Some(every),
            death: None,
        }
    }
}

fn job_descriptor(name: &str) -> JobDescriptor {
    JobDescriptor {
        name: name.to_owned(),
        aliases: Vec::new(),
        retry: Retry::DEFAULT,
        on_dead: false,
        timeout_ms: TIMEOUT.as_millis() as u64,
    }
}

/// A job being declared.
#[must_use = "a job is declared by `.handle(…)`"]
pub struct JobBuilder<'j, P> {
    jobs: &'j mut Jobs<P>,
    descriptor: JobDescriptor,
    every: Option<Duration>,
    death: Option<Arc<dyn Erased<P>>>,
}

impl<P: Send + Sync + 'static> JobBuilder<'_, P> {
    /// A former name.
    pub fn alias(mut self, old: &str) -> Self {
        self.descriptor.aliases.push(old.to_owned());
        self
    }

    /// Retry schedule; 12 attempts over 75 h unless said.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.descriptor.retry = retry;
        self
    }

    /// Longest run of the handler; 5 min unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.descriptor.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Called once, as a job of its own, when the job is dead.
    pub fn on_dead<T: FromDelivery, H: for<'a> Call<'a, P, Death<T>> + 'static>(mut self, handler: H) -> Self {
        self.descriptor.on_dead = true;
        self.death = Some(erase_death(handler));
        self
    }

    /// The handler; ends the declaration.
    pub fn handle<T: FromDelivery, H: for<'a> Call<'a, P, T> + 'static>(self, handler: H) {
        let handler = erase(handler);
        let table = &mut self.jobs.table;
        for name in std::iter::once(&self.descriptor.name).chain(&self.descriptor.aliases) {
            table.handlers.insert(name.clone(), Arc::clone(&handler));
            if let Some(death) = &self.death {
                table.deaths.insert(name.clone(), Arc::clone(death));
            }
        }
        match self.every {
            Some(every) => self.jobs.schedules.push(ScheduleDescriptor {
                job: self.descriptor,
                every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1),
            }),
            None => self.jobs.jobs.push(self.descriptor),
        }
    }
}
