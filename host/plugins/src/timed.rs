//! Times every poll of plugin code: a plugin that computes on a request worker keeps others waiting (contract, rule 6).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant as Moment},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use jackfield_sdk::{
    Reconfigured,
    config::SigningSecrets,
    error::Failure,
    health::Health,
    instance::{Instance, JobCall, JobEnd, Panicked},
    service::BoxFuture,
};
use metrics::Histogram;
use pin_project_lite::pin_project;

/// Longest poll that is nobody's business.
const SLOW: Duration = Duration::from_millis(10);

/// An instance whose polls are timed.
pub(crate) struct TimedInstance {
    instance: Arc<dyn Instance>,
    times: PollTimes,
}

impl TimedInstance {
    pub(crate) fn new(plugin: &str, instance: Arc<dyn Instance>) -> Self {
        let times = PollTimes {
            plugin: plugin.into(),
            histogram: metrics::histogram!("jackfield_plugin_poll_seconds", "plugin" => plugin.to_owned()),
        };
        Self { instance, times }
    }

    fn time<T: 'static>(&self, doing: &'static str, future: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
        Box::pin(Timed {
            future,
            times: self.times.clone(),
            doing,
        })
    }
}

impl Instance for TimedInstance {
    fn serve(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Panicked>> {
        self.time("route", self.instance.serve(request))
    }
    fn run(&self, call: JobCall) -> BoxFuture<'static, JobEnd> {
        self.time("handler", self.instance.run(call))
    }
    fn verify(&self, hook: &str, headers: HeaderMap, body: Bytes) -> BoxFuture<'static, Result<bool, Failure>> {
        self.time("verify", self.instance.verify(hook, headers, body))
    }
    fn secrets(&self, hook: &str, key: String) -> BoxFuture<'static, Result<SigningSecrets, Failure>> {
        self.time("secrets", self.instance.secrets(hook, key))
    }
    fn health(&self) -> BoxFuture<'static, Result<Health, Panicked>> {
        self.time("health", self.instance.health())
    }
    fn reconfigure(&self, config: serde_json::Value) -> BoxFuture<'static, Result<Reconfigured, String>> {
        self.time("reconfigure", self.instance.reconfigure(config))
    }
    fn drain(&self) -> BoxFuture<'static, ()> {
        self.time("drain", self.instance.drain())
    }
    fn tasks(&self) -> Option<u64> {
        self.instance.tasks()
    }
}

/// Where the polls of one plugin are recorded.
#[derive(Clone)]
struct PollTimes {
    plugin: Arc<str>,
    histogram: Histogram,
}

impl PollTimes {
    fn record(&self, doing: &str, took: Duration) {
        self.histogram.record(took.as_secs_f64());
        if took > SLOW {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                plugin = %self.plugin, doing, took_ms,
                "the plugin blocked a worker; move CPU work to `host.blocking()`"
            );
        }
    }
}

pin_project! {
    struct Timed<F> {
        #[pin]
        future: F,
        times: PollTimes,
        doing: &'static str,
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let begun = Moment::now();
        let polled = this.future.poll(cx);
        this.times.record(this.doing, begun.elapsed());
        polled
    }
}
