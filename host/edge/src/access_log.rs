//! One log line and two metrics per request. Never the query string: it may hold secrets.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use axum::{body::Body, extract::Request, response::Response};
use http::{Method, Uri};
use metrics::{Counter, Histogram, counter, histogram};

use crate::client_addr::ClientAddr;

/// Which declared route answered: set on the response by the router, so that labels stay few.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteLabel {
    /// Route pattern, not path.
    pub route: Arc<str>,
    /// Plugin id, or `host`.
    pub plugin: Arc<str>,
}

/// A request whose answer will be noted.
pub(crate) struct Watched {
    begun: Instant,
    method: &'static str,
    /// Cheap to keep: its parts are shared with the request.
    uri: Uri,
    client: Option<ClientAddr>,
}

/// Handles of the metrics, by label. Looking one up here costs a hash; asking the recorder costs an owned copy of each label.
#[derive(Default)]
pub(crate) struct Meters(RwLock<HashMap<Labels, Meter>>);

type Labels = (RouteLabel, &'static str, u16);

#[derive(Clone)]
struct Meter {
    requests: Counter,
    seconds: Histogram,
}

pub(crate) fn watch(request: &Request<Body>) -> Watched {
    Watched {
        begun: Instant::now(),
        method: known(request.method()),
        uri: request.uri().clone(),
        client: request.extensions().get::<ClientAddr>().cloned(),
    }
}

impl Watched {
    /// Notes the answer, or its head when it streams.
    pub(crate) fn answered(self, response: &Response, meters: &Meters) {
        let (seconds, status) = (self.begun.elapsed().as_secs_f64(), response.status().as_u16());
        let label = response.extensions().get::<RouteLabel>().cloned();
        let label = label.unwrap_or_else(|| RouteLabel {
            route: "other".into(),
            plugin: "host".into(),
        });
        tracing::info!(
            target: "access",
            method = self.method,
            path = self.uri.path(),
            status,
            duration_ms = (seconds * 1e6).round() / 1e3,
            plugin = &*label.plugin,
            client = self.client.as_ref().map(ClientAddr::as_str),
            "request"
        );
        let meter = meters.of((label, self.method, status));
        meter.requests.increment(1);
        meter.seconds.record(seconds);
    }
}

impl Meters {
    fn of(&self, labels: Labels) -> Meter {
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&labels)
            .cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(labels).or_insert_with_key(Meter::of).clone()
        })
    }
}

impl Meter {
    fn of((label, method, status): &Labels) -> Self {
        let (route, plugin, method) = (label.route.to_string(), label.plugin.to_string(), *method);
        Self {
            requests: counter!(
                "jackfield_http_requests_total",
                "route" => route.clone(), "method" => method, "status" => status.to_string(), "plugin" => plugin.clone()
            ),
            seconds: histogram!(
                "jackfield_http_request_duration_seconds",
                "route" => route, "method" => method, "plugin" => plugin
            ),
        }
    }
}

/// Methods are labels: what nobody knows is one label.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
