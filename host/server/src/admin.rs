//! The admin API. The control socket serves the same router, so there is no second one. That only operators reach it is
//! decided in [`crate::web`].

mod actor;
mod people;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures_util::stream;
use http::StatusCode;
use jackfield_inbox::model::{Filter, ReplayMode, State as DeliveryState};
use jackfield_plugins::{ChangeError, PluginRow, PluginState};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use self::actor::Actor;
use crate::{answer, docs, serve::Running, show};

type Shared = State<Arc<Running>>;

/// `/api/admin/v1` and `/health/{plugin}`, for operators.
pub(crate) fn router(running: Arc<Running>) -> Router {
    let routes = Router::new()
        .route("/api/admin/v1/plugins", get(plugins))
        .route("/api/admin/v1/plugins/{id}/webhooks", get(webhooks))
        .route("/api/admin/v1/plugins/{id}/{action}", post(change))
        .route("/api/admin/v1/deliveries", get(deliveries))
        .route("/api/admin/v1/deliveries/replay", post(replay))
        .route("/api/admin/v1/deliveries/{id}", get(delivery))
        .route("/api/admin/v1/deliveries/{id}/cancel", post(cancel))
        .route("/api/admin/v1/replays/{id}", get(replay_state))
        .route("/api/admin/v1/routes", get(routes))
        .route("/api/admin/v1/config", get(config))
        .route("/api/admin/v1/health", get(health))
        .route("/api/admin/v1/stream", get(events))
        .route("/openapi.json", get(openapi))
        .route("/docs", get(docs::page))
        .route("/docs/", get(docs::index))
        .route("/docs/{file}", get(docs::other))
        .route("/health/{plugin}", get(plugin_health));
    routes.merge(people::router()).with_state(running)
}

async fn plugins(State(running): Shared) -> Response {
    Json(running.plugins.list()).into_response()
}

/// What a plugin declares about its webhooks; for one in a file, only the host that loaded it knows.
async fn webhooks(State(running): Shared, Path(id): Path<String>) -> Response {
    let codes = running.plugins.codes();
    match codes.iter().find(|code| code.manifest().id == id) {
        Some(code) => Json(&code.descriptor().webhooks).into_response(),
        None => refused(&ChangeError::Unknown(id)),
    }
}

#[derive(serde::Deserialize)]
struct How {
    #[serde(default)]
    force: bool,
}

async fn change(
    State(running): Shared,
    Path((id, action)): Path<(String, String)>,
    Query(how): Query<How>,
    who: Actor,
) -> Response {
    if !running.plugins.knows(&id) {
        return refused(&ChangeError::Unknown(id));
    }
    let done = match action.as_str() {
        "enable" => running.set_enabled(&id, true).await,
        "disable" => running.set_enabled(&id, false).await,
        "reload" => running.renew(&id, how.force).await,
        "pause" => running.plugins.pause(&id).await.map_err(Into::into),
        "resume" => running.plugins.resume(&id).await.map_err(Into::into),
        other => {
            let detail = format!("`{other}` is none of enable, disable, reload, pause, resume");
            return answer::error(StatusCode::NOT_FOUND, "NotFound", &detail);
        }
    };
    let row = running.plugins.list().into_iter().find(|row| row.id == id);
    let detail = json!({
        "done": done.is_ok(),
        "force": how.force,
        "state": row.as_ref().map(|row| row.state.as_str()),
    });
    if let Some(refusal) = noted(
        &running,
        &who,
        &format!("plugin.{action}"),
        format!("plugin:{id}"),
        detail,
    )
    .await
    {
        return refusal;
    }
    match done {
        // Asked to run it, and it cannot be made: what ran before, if anything, runs on.
        Ok(()) if matches!(action.as_str(), "enable" | "reload" | "resume") && failed(row.as_ref()) => {
            let reason = row.map(|row| row.reason).unwrap_or_default();
            let detail = format!("plugin `{id}` cannot be started: {reason}");
            answer::error(StatusCode::CONFLICT, "NotApplied", &detail)
        }
        Ok(()) => Json(row).into_response(),
        Err(crate::serve::ApplyError::Change(error)) => refused(&error),
        Err(error) => answer::error(StatusCode::CONFLICT, "NotApplied", &error.to_string()),
    }
}

/// Writes down what was done; when that cannot be, the answer that says so.
async fn noted(
    running: &Running,
    who: &Actor,
    action: &str,
    target: String,
    detail: serde_json::Value,
) -> Option<Response> {
    let error = who.note(&running.identity, action, target, detail).await.err()?;
    tracing::error!(%error, action, "the audit entry is not written");
    let detail = format!("it was done, and is not in the audit trail: {error}");
    Some(answer::error(StatusCode::SERVICE_UNAVAILABLE, "NotRecorded", &detail))
}

fn failed(row: Option<&PluginRow>) -> bool {
    row.is_some_and(|row| row.state == PluginState::Failed)
}

fn refused(error: &ChangeError) -> Response {
    let status = match error {
        ChangeError::Unknown(_) => StatusCode::NOT_FOUND,
        ChangeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        ChangeError::Conflict(_) | ChangeError::State { .. } => StatusCode::CONFLICT,
    };
    answer::error(status, "NotApplied", &error.to_string())
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    plugin: Option<String>,
    state: Option<DeliveryState>,
    since: Option<String>,
    limit: Option<u32>,
    cursor: Option<Uuid>,
}

async fn deliveries(State(running): Shared, Query(query): Query<ListQuery>) -> Response {
    let since_ms = match query
        .since
        .as_deref()
        .map(|since| (since, jackfield_inbox::when::parse(since)))
    {
        Some((since, None)) => {
            let detail = format!("since `{since}` is no RFC 3339 time such as 2026-11-01T00:00:00Z");
            return answer::error(StatusCode::BAD_REQUEST, "BadRequest", &detail);
        }
        Some((_, since)) => since,
        None => None,
    };
    let filter = Filter {
        plugin: query.plugin,
        state: query.state,
        since_ms,
        ..Filter::default()
    };
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    match running.plugins.inbox().store().list(&filter, query.cursor, limit).await {
        Ok(rows) => {
            let next = (rows.len() == limit as usize)
                .then(|| rows.last().map(|row| row.id))
                .flatten();
            Json(json!({ "deliveries": rows, "next_cursor": next })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn delivery(State(running): Shared, Path(id): Path<Uuid>) -> Response {
    match running.plugins.inbox().store().show(id).await {
        Ok(Some(detail)) => Json(show::detail(&detail)).into_response(),
        Ok(None) => answer::error(StatusCode::NOT_FOUND, "NotFound", "there is no such delivery"),
        Err(error) => unavailable(&error),
    }
}

async fn cancel(State(running): Shared, Path(id): Path<Uuid>, who: Actor) -> Response {
    let cancelled = running.plugins.inbox().cancel(id, "cancelled by an operator").await;
    if let Ok(true) = cancelled
        && let Some(refusal) = noted(
            &running,
            &who,
            "delivery.cancelled",
            format!("delivery:{id}"),
            json!({}),
        )
        .await
    {
        return refusal;
    }
    match cancelled {
        Ok(true) => Json(json!({ "cancelled": true })).into_response(),
        Ok(false) => answer::error(
            StatusCode::CONFLICT,
            "AlreadyEnded",
            "it has ended, or there is no such delivery",
        ),
        Err(error) => unavailable(&error),
    }
}

#[derive(Debug, Deserialize)]
struct ReplayRequest {
    #[serde(flatten)]
    filter: Filter,
    #[serde(default)]
    mode: ReplayMode,
    #[serde(default)]
    dry_run: bool,
}

async fn replay(State(running): Shared, who: Actor, Json(request): Json<ReplayRequest>) -> Response {
    let inbox = running.plugins.inbox();
    if request.dry_run {
        return match inbox.store().count(&request.filter).await {
            Ok(total) => Json(json!({ "total": total, "dry_run": true })).into_response(),
            Err(error) => unavailable(&error),
        };
    }
    match inbox.store().replay_begin(&request.filter, request.mode).await {
        Ok(replay) => {
            inbox.nudge();
            let detail = json!({ "filter": request.filter, "mode": request.mode });
            if let Some(refusal) = noted(
                &running,
                &who,
                "deliveries.replayed",
                format!("replay:{}", replay.id),
                detail,
            )
            .await
            {
                return refusal;
            }
            (StatusCode::ACCEPTED, Json(replay)).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn replay_state(State(running): Shared, Path(id): Path<Uuid>) -> Response {
    match running.plugins.inbox().store().replay_get(id).await {
        Ok(Some(replay)) => Json(replay).into_response(),
        Ok(None) => answer::error(StatusCode::NOT_FOUND, "NotFound", "there is no such replay"),
        Err(error) => unavailable(&error),
    }
}

async fn routes(State(running): Shared) -> Response {
    Json(running.plugins.table().rows()).into_response()
}

async fn config(State(running): Shared) -> Response {
    let rows: Vec<_> = running
        .loaded()
        .rows()
        .into_iter()
        .map(|(key, value, source)| json!({ "key": key, "value": value, "source": source }))
        .collect();
    Json(rows).into_response()
}

async fn health(State(running): Shared) -> Response {
    Json(crate::probes::report(&running).await).into_response()
}

async fn openapi(State(running): Shared) -> Response {
    Json(running.plugins.openapi(running.identity.openapi())).into_response()
}

async fn plugin_health(State(running): Shared, Path(plugin): Path<String>) -> Response {
    match running.plugins.list().into_iter().find(|row| row.id == plugin) {
        Some(row) => Json(json!({ "id": row.id, "state": row.state, "health": row.health })).into_response(),
        None => answer::error(StatusCode::NOT_FOUND, "NotFound", "there is no such plugin"),
    }
}

/// Each second: plugin states, counters, and the deliveries that moved.
async fn events(State(running): Shared) -> Response {
    let ticks = tokio::time::interval(Duration::from_secs(1));
    let stream = stream::unfold(
        (running, ticks, String::new()),
        |(running, mut ticks, seen)| async move {
            ticks.tick().await;
            let store = running.plugins.inbox().store();
            let deliveries = store.list(&Filter::default(), None, 50).await.unwrap_or_default();
            let counts = store.counts().await.unwrap_or_default();
            let counters: Vec<_> = counts
                .iter()
                .map(|count| json!({ "plugin": count.plugin, "state": count.state, "jobs": count.jobs }))
                .collect();
            let data = json!({ "plugins": running.plugins.list(), "counters": counters, "deliveries": deliveries })
                .to_string();
            let event = if data == seen {
                Event::default().comment("nothing moved")
            } else {
                Event::default().event("snapshot").data(&data)
            };
            Some((Ok::<_, Infallible>(event), (running, ticks, data)))
        },
    );
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

fn unavailable(error: &jackfield_inbox::store::StoreError) -> Response {
    let mut response = answer::error(StatusCode::SERVICE_UNAVAILABLE, "StoreUnavailable", &error.to_string());
    response
        .headers_mut()
        .insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("5"));
    response
}
