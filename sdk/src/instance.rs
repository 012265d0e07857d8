//! A running plugin as the host sees it: no types of the plugin, and a panic guard at every entry.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;

use crate::{
    config::{Config, SigningSecrets},
    descriptor::Descriptor,
    error::{Error, Failure},
    handler::{DeathRecord, Delivery},
    health::Health,
    hooks::{Jobs, Table, Webhooks},
    host::{Host, Services},
    plugin::{Plugin, Reconfigured},
    routes::{Routes, Shared, describe},
    run::{Outcome, Run, RunHead},
    service::BoxFuture,
};

/// A plugin's code panicked; the text of the panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plugin panicked: {0}")]
pub struct Panicked(pub String);

/// One job for an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobCall {
    /// Name of the webhook, job or schedule.
    pub handler: String,
    /// Attempt, fence, memos.
    pub head: RunHead,
    /// What it is about.
    pub delivery: Delivery,
    /// Set when the `on_dead` handler is meant.
    pub death: Option<DeathRecord>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// Result.
    pub result: Result<Outcome, JobFailure>,
    /// Memos that this run did not visit.
    pub orphans: Vec<String>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobFailure {
    /// The handler returned an error.
    Failed(Failure),
    /// The handler panicked.
    Panicked(String),
    /// The plugin has no handler of that name: the job is held.
    NoHandler,
    /// The run lost its lease; nothing of it may be written.
    Fenced,
}

/// A running plugin. Object-safe: every carrier implements it.
pub trait Instance: Send + Sync {
    /// Answers an HTTP request.
    fn serve(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Panicked>>;
    /// Runs one attempt of a job. Dropping the future drops the handler.
    fn run(&self, call: JobCall) -> BoxFuture<'static, JobEnd>;
    /// The plugin's own verification of webhook `hook`.
    fn verify(&self, hook: &str, headers: HeaderMap, body: Bytes) -> BoxFuture<'static, Result<bool, Failure>>;
    /// The secrets of webhook `hook` for a sender.
    fn secrets(&self, hook: &str, key: String) -> BoxFuture<'static, Result<SigningSecrets, Failure>>;
    /// How it is.
    fn health(&self) -> BoxFuture<'static, Result<Health, Panicked>>;
    /// Takes another configuration, or asks for a new generation.
    fn reconfigure(&self, config: serde_json::Value) -> BoxFuture<'static, Result<Reconfigured, String>>;
    /// Lets go of what it holds; the host adds the deadline.
    fn drain(&self) -> BoxFuture<'static, ()>;
    /// How many tasks its own runtime has; none when it has no runtime of its own, or does not tell.
    fn tasks(&self) -> Option<u64> {
        None
    }
}

/// The descriptor of `P`, from its declarations.
pub fn descriptor<P: Plugin>() -> Descriptor {
    let mut routes = Routes::<P>::new();
    P::routes(&mut routes);
    let (_, document) = routes.split();
    let openapi = serde_json::to_value(&document).unwrap_or_default();
    let mut hooks = Webhooks::<P>::new();
    P::webhooks(&mut hooks);
    let mut jobs = Jobs::<P>::new();
    P::jobs(&mut jobs);
    Descriptor {
        routes: describe(&openapi),
        webhooks: hooks.list,
        jobs: jobs.jobs,
        schedules: jobs.schedules,
        openapi,
    }
}

/// Checks a configuration for `P`.
pub fn validate<P: Plugin>(config: serde_json::Value) -> Result<(), String> {
    let config = P::Config::from_value(config)?;
    guard(|| P::validate(&config))
        .map_err(|panic| panic.to_string())?
        .map_err(|error| error.to_string())
}

/// Makes an instance of `P`.
pub fn create<P: Plugin>(
    config: serde_json::Value,
    host: Host,
) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>> {
    Box::pin(async move {
        let config = P::Config::from_value(config)?;
        let made = AssertUnwindSafe(async { P::create(config, host.clone()).await })
            .catch_unwind()
            .await;
        let plugin = made
            .map_err(|payload| Panicked(panic_text(payload)).to_string())?
            .map_err(|error| error.to_string())?;
        let instance = guard(|| Running::new(plugin, &host)).map_err(|panic| panic.to_string())?;
        Ok(Arc::new(instance) as Arc<dyn Instance>)
    })
}

/// An instance of a plugin type, with its router and its handlers.
struct Running<P> {
    plugin: Arc<P>,
    router: axum::Router,
    table: Arc<Table<P>>,
    services: Arc<dyn Services>,
}

impl<P: Plugin> Running<P> {
    fn new(plugin: P, host: &Host) -> Self {
        let plugin = Arc::new(plugin);
        let mut routes = Routes::<P>::new();
        P::routes(&mut routes);
        let (router, _) = routes.split();
        let mut hooks = Webhooks::<P>::new();
        P::webhooks(&mut hooks);
        let mut jobs = Jobs::<P>::new();
        P::jobs(&mut jobs);
        let mut table = hooks.table;
        table.handlers.extend(jobs.table.handlers);
        table.deaths.extend(jobs.table.deaths);
        Self {
            router: router.with_state(Shared(Arc::clone(&plugin))),
            plugin,
            table: Arc::new(table),
            services: host.services(),
        }
    }
}

impl<P: Plugin> Instance for Running<P> {
    fn serve(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Panicked>> {
        let router = self.router.clone();
        Box::pin(async move {
            let answer = AssertUnwindSafe(router.oneshot(request)).catch_unwind().await;
            match answer {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(never)) => match never {},
                Err(payload) => Err(Panicked(panic_text(payload))),
            }
        })
    }

    fn run(&self, call: JobCall) -> BoxFuture<'static, JobEnd> {
        let handlers = if call.death.is_some() {
            &self.table.deaths
        } else {
            &self.table.handlers
        };
        let Some(handler) = handlers.get(&call.handler).cloned() else {
            let end = JobEnd {
                result: Err(JobFailure::NoHandler),
                orphans: Vec::new(),
            };
            return Box::pin(std::future::ready(end));
        };
        let (plugin, services) = (Arc::clone(&self.plugin), Arc::clone(&self.services));
        Box::pin(async move {
            let visited = Arc::new(Mutex::new(HashSet::new()));
            let known: Vec<String> = call.head.memos.iter().map(|memo| memo.name.clone()).collect();
            let run = Run::new(call.head, services, Arc::clone(&visited));
            let ended =
                AssertUnwindSafe(async { handler.call(&plugin, run, &call.delivery, call.death).await }).catch_unwind();
            let result = match ended.await {
                Ok(Ok(outcome)) => Ok(outcome),
                Ok(Err(error)) if error.is_fenced() => Err(JobFailure::Fenced),
                Ok(Err(error)) => Err(JobFailure::Failed(error.to_failure())),
                Err(payload) => Err(JobFailure::Panicked(panic_text(payload))),
            };
            let visited = visited.lock().unwrap_or_else(PoisonError::into_inner);
            let orphans = known.into_iter().filter(|name| !visited.contains(name)).collect();
            JobEnd { result, orphans }
        })
    }

    fn verify(&self, hook: &str, headers: HeaderMap, body: Bytes) -> BoxFuture<'static, Result<bool, Failure>> {
        let verifier = self.table.verifiers.get(hook).cloned();
        let plugin = Arc::clone(&self.plugin);
        let hook = hook.to_owned();
        Box::pin(async move {
            let Some(verifier) = verifier else {
                return Err(Error::permanent(format!("webhook `{hook}` declares no `verify_with`")).to_failure());
            };
            let ended = AssertUnwindSafe(async { verifier.verify(&plugin, headers, body).await })
                .catch_unwind()
                .await;
            guarded(ended)
        })
    }

    fn secrets(&self, hook: &str, key: String) -> BoxFuture<'static, Result<SigningSecrets, Failure>> {
        let secrets = self.table.secrets.get(hook).cloned();
        let plugin = Arc::clone(&self.plugin);
        let hook = hook.to_owned();
        Box::pin(async move {
            let Some(secrets) = secrets else {
                return Err(Error::permanent(format!("webhook `{hook}` declares no `secrets_for`")).to_failure());
            };
            let ended = AssertUnwindSafe(async { secrets.secrets(&plugin, key).await })
                .catch_unwind()
                .await;
            guarded(ended)
        })
    }

    fn health(&self) -> BoxFuture<'static, Result<Health, Panicked>> {
        let plugin = Arc::clone(&self.plugin);
        Box::pin(async move {
            match AssertUnwindSafe(async { plugin.health().await }).catch_unwind().await {
                Ok(Ok(health)) => Ok(health),
                Ok(Err(error)) => Ok(error.into()),
                Err(payload) => Err(Panicked(panic_text(payload))),
            }
        })
    }

    fn reconfigure(&self, config: serde_json::Value) -> BoxFuture<'static, Result<Reconfigured, String>> {
        let plugin = Arc::clone(&self.plugin);
        Box::pin(async move {
            let config = P::Config::from_value(config)?;
            match AssertUnwindSafe(async { plugin.reconfigure(config).await })
                .catch_unwind()
                .await
            {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(payload) => Err(Panicked(panic_text(payload)).to_string()),
            }
        })
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let plugin = Arc::clone(&self.plugin);
        Box::pin(async move {
            if let Err(payload) = AssertUnwindSafe(async { plugin.drain().await }).catch_unwind().await {
                tracing::error!(panic = %panic_text(payload), "drain panicked");
            }
        })
    }
}

fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked(panic_text(payload)))
}

fn guarded<T>(ended: Result<crate::error::Result<T>, Box<dyn std::any::Any + Send>>) -> Result<T, Failure> {
    match ended {
        Ok(done) => done.map_err(|error| error.to_failure()),
        Err(payload) => Err(Error::transient(Panicked(panic_text(payload)).to_string()).to_failure()),
    }
}

/// The text of a panic. The payload's own drop may panic too, so it is dropped under a guard.
pub(crate) fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned());
    if let Err(second) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text
}
