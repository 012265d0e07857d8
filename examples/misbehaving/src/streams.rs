//! Bodies: streamed out, streamed in, streamed through, and one that panics.

use std::{convert::Infallible, sync::atomic::Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use jackfield_sdk::{
    axum::{
        body::Body,
        response::{Sse, sse::Event},
    },
    prelude::*,
};
use tokio::sync::broadcast::error::RecvError;

use crate::{Alive, Misbehaving, touch};

/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;

pub(crate) fn routes(routes: &mut Routes<Misbehaving>) {
    routes
        .add(routes!(panics_in_body))
        .add(routes!(huge))
        .add(routes!(echoes))
        .add(routes!(takes))
        .add(routes!(events))
        .add(routes!(tells))
        .add(routes!(touches_in_a_body));
}

/// Sends one chunk and panics instead of a second.
#[utoipa::path(get, path = "/misbehaving/panic/body", security(()), responses((status = 200, body = String)))]
async fn panics_in_body() -> Body {
    let chunks = stream::iter(0..2).then(|at| async move {
        tokio::task::yield_now().await;
        assert!(at == 0, "misbehaving panics in a body");
        Ok::<_, Infallible>("first")
    });
    Body::from_stream(chunks)
}

#[derive(Deserialize, utoipa::IntoParams)]
struct Size {
    /// Mebibytes.
    mib: usize,
}

/// Sends much.
#[utoipa::path(get, path = "/misbehaving/huge", params(Size), security(()), responses((status = 200, body = String)))]
async fn huge(plugin: This<Misbehaving>, Query(size): Query<Size>) -> Body {
    let counts = std::sync::Arc::clone(&plugin.counts);
    let alive = Alive::new(&counts, |counts| &counts.open);
    let chunks = stream::iter(0..size.mib * (1 << 20) / CHUNK).map(move |_| {
        let _ = &alive;
        counts.produced.fetch_add(CHUNK as u64, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from(vec![b'x'; CHUNK]))
    });
    Body::from_stream(chunks)
}

/// Sends back what comes, while it comes.
#[utoipa::path(post, path = "/misbehaving/echo", security(()), responses((status = 200, body = String)))]
async fn echoes(body: Body) -> Body {
    Body::from_stream(body.into_data_stream())
}

/// Takes nothing of the body until it is told `take` at `/misbehaving/tell`, then all; answers how much it was.
#[utoipa::path(post, path = "/misbehaving/take", security(()), responses((status = 200, body = String), Problem))]
async fn takes(plugin: This<Misbehaving>, body: Body) -> Result<String> {
    let (mut told, mut taken) = (plugin.told.subscribe(), 0);
    let _alive = Alive::new(&plugin.counts, |counts| &counts.open);
    while told.recv().await? != "take" {}
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        taken += chunk?.len();
    }
    Ok(taken.to_string())
}

/// Server-sent events: one for each text that `/misbehaving/tell` is told.
#[utoipa::path(get, path = "/misbehaving/events", security(()), responses((status = 200, body = String)))]
async fn events(plugin: This<Misbehaving>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let alive = Alive::new(&plugin.counts, |counts| &counts.open);
    let state = (plugin.told.subscribe(), alive);
    let told = stream::unfold(state, |(mut told, alive)| async move {
        let event = match told.recv().await {
            Ok(text) => Event::default().event("told").data(text),
            Err(RecvError::Lagged(missed)) => Event::default().event("missed").data(missed.to_string()),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (told, alive)))
    });
    Sse::new(told)
}

/// Tells whoever listens; answers how many do.
#[utoipa::path(post, path = "/misbehaving/tell", request_body = String, security(()), responses((status = 200, body = String)))]
async fn tells(plugin: This<Misbehaving>, text: String) -> String {
    plugin.told.send(text).unwrap_or(0).to_string()
}

/// Uses a timer and a socket while the body is polled.
#[utoipa::path(get, path = "/misbehaving/touch", security(()), responses((status = 200, body = String)))]
async fn touches_in_a_body(plugin: This<Misbehaving>) -> Body {
    let host = plugin.host.clone();
    Body::from_stream(stream::once(async move {
        let touched = touch(&host, "body").await;
        touched.map(|()| "touched").map_err(|error| error.to_string())
    }))
}
