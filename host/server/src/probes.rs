//! Probes. The store decides about readiness; plugins only degrade it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use jackfield_plugins::PluginState;
use metrics::gauge;
use serde_json::{Value, json};

use crate::serve::Running;

type Shared = State<Arc<Running>>;

/// The admin listener's routes: no session, so never expose it.
pub(crate) fn admin_router(running: Arc<Running>) -> Router {
    Router::new()
        .route(
            "/startupz",
            get(|State(running): Shared| async move { answer(running.started.load(Ordering::SeqCst)) }),
        )
        .route("/livez", get(|| async { answer(true) }))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(|State(running): Shared| async move { running.metrics.render() }),
        )
        .route("/health/{plugin}", get(plugin_health))
        .with_state(running)
}

/// The reference's probes, on the main listener.
pub(crate) fn public_router(running: Arc<Running>) -> Router {
    Router::new()
        .route("/alive", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/health", get(|| async { Json("OK") }))
        .route("/saas", get(|| async { Json(json!({ "saas": true })) }))
        .route("/ready", get(ready))
        .route("/server_info", get(server_info))
        .with_state(running)
}

fn answer(good: bool) -> Response {
    if good {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not yet\n").into_response()
    }
}

/// Whether requests should come here. The store is asked at most once a second.
async fn is_ready(running: &Running) -> bool {
    if running.draining.is_cancelled() || !running.started.load(Ordering::SeqCst) {
        return false;
    }
    let mut cached = running.store_answers.lock().await;
    if let Some((at, up)) = *cached
        && at.elapsed() < Duration::from_secs(1)
    {
        return up;
    }
    let asked = tokio::time::timeout(Duration::from_secs(2), running.plugins.inbox().store().now_ms()).await;
    let up = matches!(asked, Ok(Ok(_)));
    gauge!("jackfield_dependency_up", "dependency" => "store").set(if up { 1.0 } else { 0.0 });
    *cached = Some((tokio::time::Instant::now(), up));
    up
}

async fn readyz(State(running): Shared, RawQuery(query): RawQuery) -> Response {
    let ready = is_ready(&running).await;
    if query.is_some_and(|query| query.contains("verbose")) {
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        return (status, Json(report(&running).await)).into_response();
    }
    answer(ready)
}

/// The reference's shape; what is wrong with the database is in the log, not here.
async fn ready(State(running): Shared) -> Response {
    if is_ready(&running).await {
        return Json("OK").into_response();
    }
    let body = json!({ "detail": "the host is not ready: it is starting, draining, or its database does not answer" });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// What is well and what is not.
pub(crate) async fn report(running: &Running) -> Value {
    let store = is_ready(running).await;
    let plugins: Vec<Value> = running
        .plugins
        .list()
        .into_iter()
        .filter(|row| row.state != PluginState::Disabled)
        .map(|row| json!({ "id": row.id, "state": row.state, "health": row.health }))
        .collect();
    let word = |up| if up { "up" } else { "down" };
    // Losing Redis degrades and loses nothing, so it is listed and does not decide.
    let redis = running.redis.as_ref().map(|redis| word(redis.is_up()));
    let mut report = json!({ "ready": store, "store": word(store), "redis": redis, "plugins": plugins });
    // So does what signs people in: who is signed in stays so.
    if let Some((name, up)) = running.identity.provider_is_up() {
        report[name] = word(up).into();
    }
    report
}

async fn plugin_health(State(running): Shared, Path(plugin): Path<String>) -> Response {
    match running.plugins.list().into_iter().find(|row| row.id == plugin) {
        Some(row) => Json(json!({ "id": row.id, "state": row.state, "health": row.health })).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "detail": "there is no such plugin" })),
        )
            .into_response(),
    }
}

/// Uptime and memory, in the reference's members; disk and IO of the machine are nobody's business here.
async fn server_info(State(running): Shared) -> Response {
    let uptime = running.begun.elapsed().as_secs_f64();
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = memory.split_whitespace().filter_map(|text| text.parse::<u64>().ok());
    let (vms, rss) = (pages.next().unwrap_or(0) * 4096, pages.next().unwrap_or(0) * 4096);
    let body = json!({ "uptime": uptime, "idle_time": 0, "resources": { "memory": { "rss": rss, "vms": vms } } });
    Json(body).into_response()
}
