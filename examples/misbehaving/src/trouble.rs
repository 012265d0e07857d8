//! Routes that do something wrong, and some that tell what is alive.

use std::time::Duration;

use jackfield_sdk::prelude::*;
use serde_json::{Value, json};

use crate::{Alive, BUILD, Misbehaving, touch};

pub(crate) fn routes(routes: &mut Routes<Misbehaving>) {
    routes
        .add(routes!(fine))
        .add(routes!(who))
        .add(routes!(alive))
        .add(routes!(panics_early))
        .add(routes!(panics_in_poll))
        .add(routes!(hangs))
        .add(routes!(slow))
        .add(routes!(blocks))
        .add(routes!(tells_a_secret))
        .add(routes!(logs))
        .add(routes!(touches))
        .add(routes!(spawns))
        .add(routes!(series));
}

/// Which build answers.
#[utoipa::path(get, path = "/misbehaving/fine", security(()), responses((status = 200, body = String)))]
async fn fine() -> &'static str {
    BUILD
}

/// Who calls.
#[utoipa::path(get, path = "/misbehaving/who", responses((status = 200, body = String), Problem))]
async fn who(who: Principal) -> String {
    who.id
}

/// What is alive in this instance.
#[utoipa::path(get, path = "/misbehaving/alive", security(()), responses((status = 200, body = Value)))]
async fn alive(plugin: This<Misbehaving>) -> Json<Value> {
    use std::sync::atomic::Ordering::SeqCst;
    let counts = &plugin.counts;
    Json(json!({
        "open": counts.open.load(SeqCst), "tasks": counts.tasks.load(SeqCst), "produced": counts.produced.load(SeqCst),
    }))
}

/// Panics before there is a future.
#[utoipa::path(get, path = "/misbehaving/panic/early", security(()), responses((status = 200, body = String)))]
fn panics_early(plugin: This<Misbehaving>) -> impl Future<Output = String> {
    assert!(
        plugin.settings.vendor.as_str().is_empty(),
        "misbehaving panics before its future exists"
    );
    std::future::ready("never".to_owned())
}

/// Panics after it has waited.
#[utoipa::path(get, path = "/misbehaving/panic/poll", security(()), responses((status = 200, body = String)))]
async fn panics_in_poll(plugin: This<Misbehaving>) -> String {
    let _alive = Alive::new(&plugin.counts, |counts| &counts.open);
    tokio::time::sleep(Duration::from_millis(2)).await;
    panic!("misbehaving panics in a poll")
}

/// Never answers.
#[utoipa::path(get, path = "/misbehaving/hang", security(()), responses((status = 200, body = String)))]
async fn hangs(plugin: This<Misbehaving>) -> &'static str {
    let _alive = Alive::new(&plugin.counts, |counts| &counts.open);
    std::future::pending().await
}

#[derive(Deserialize, utoipa::IntoParams)]
struct Length {
    /// Milliseconds.
    ms: u64,
}

/// Answers late.
#[utoipa::path(get, path = "/misbehaving/slow", params(Length), security(()), responses((status = 200, body = String)))]
async fn slow(plugin: This<Misbehaving>, Query(length): Query<Length>) -> &'static str {
    let _alive = Alive::new(&plugin.counts, |counts| &counts.open);
    tokio::time::sleep(Duration::from_millis(length.ms)).await;
    "at last"
}

/// Blocks the worker that polls it.
#[utoipa::path(get, path = "/misbehaving/block", params(Length), security(()), responses((status = 200, body = String)))]
async fn blocks(Query(length): Query<Length>) -> &'static str {
    std::thread::sleep(Duration::from_millis(length.ms));
    "blocked"
}

/// Writes a secret into its log.
#[utoipa::path(post, path = "/misbehaving/secret", security(()), responses((status = 204, description = "Told")))]
async fn tells_a_secret(plugin: This<Misbehaving>) -> NoContent {
    if let Some(token) = &plugin.settings.token {
        let token = token.expose();
        tracing::info!(token, "the token is {token}");
    }
    NoContent
}

/// Writes a line of each level, within two spans.
#[utoipa::path(post, path = "/misbehaving/log", security(()), responses((status = 204, description = "Written")))]
async fn logs(plugin: This<Misbehaving>) -> NoContent {
    use tracing::Instrument;
    let outer = tracing::info_span!("outer", floor = 1, late = tracing::field::Empty);
    outer.record("late", "recorded");
    let again = outer.clone();
    let within = async {
        let inner = tracing::info_span!("inner", room = "a \"b\"");
        async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tracing::error!(count = 1, "an error");
            tracing::warn!(count = 2, "a warning");
            tracing::info!(count = 3, "an information");
            tracing::debug!(count = 4, "a detail");
            tracing::trace!(count = 5, "a trace");
        }
        .instrument(inner)
        .await;
        tracing::info!("in the outer one");
    };
    within.instrument(outer).await;
    // A span is open until its last handle is gone.
    again.in_scope(|| tracing::info!("in its clone"));
    drop(again);
    let host = plugin.host.clone();
    tokio::spawn(async move {
        tracing::info!("in a task of its own runtime");
        host.metrics().count("own_tasks", &[], 1);
    });
    NoContent
}

/// Uses a timer and a socket.
#[utoipa::path(post, path = "/misbehaving/touch", security(()), responses((status = 204, description = "Touched"), Problem))]
async fn touches(plugin: This<Misbehaving>) -> Result<NoContent> {
    touch(&plugin.host, "route").await?;
    Ok(NoContent)
}

/// Spawns tasks that never end: two that the host counts, one of its own runtime, and one that panics.
#[utoipa::path(post, path = "/misbehaving/spawn", security(()), responses((status = 204, description = "Spawned")))]
async fn spawns(plugin: This<Misbehaving>) -> NoContent {
    for _ in 0..2 {
        let (alive, host) = (Alive::new(&plugin.counts, |counts| &counts.tasks), plugin.host.clone());
        plugin.host.spawn(async move {
            let _alive = alive;
            match touch(&host, "task").await {
                Ok(()) => tracing::info!("a task runs"),
                Err(error) => tracing::error!(%error, "a task has no timer or no socket"),
            }
            std::future::pending::<()>().await;
        });
    }
    let alive = Alive::new(&plugin.counts, |counts| &counts.tasks);
    tokio::spawn(async move {
        let _alive = alive;
        std::future::pending::<()>().await;
    });
    plugin.host.spawn(async {
        tokio::task::yield_now().await;
        panic!("misbehaving panics in a task")
    });
    NoContent
}

/// Makes a series of metrics for each of 1,200 ids.
#[utoipa::path(post, path = "/misbehaving/series", security(()), responses((status = 204, description = "Counted")))]
async fn series(plugin: This<Misbehaving>) -> NoContent {
    for id in 0..1_200 {
        plugin.host.metrics().count("ids", &[("id", &id.to_string())], 1);
    }
    NoContent
}
