//! Spans of this side that are open at a host. Each belongs to the instance that opened it, and is open until its last
//! handle is gone, on whichever thread that happens.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::Metadata;
use tracing_core::span::Current;

use super::plugin::HostRef;

/// A span that is open.
struct Open {
    host: Arc<HostRef>,
    /// The host's id; 0 when it does not keep the span.
    id: u64,
    metadata: &'static Metadata<'static>,
    handles: usize,
}

/// By this side's id. Two instances of one image share the table, and the ids in it are never the same.
static OPEN: LazyLock<Mutex<HashMap<u64, Open>>> = LazyLock::new(Mutex::default);

fn spans() -> MutexGuard<'static, HashMap<u64, Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a span that `host` has opened as `id`; gives this side's id.
pub(super) fn open(host: Arc<HostRef>, id: u64, metadata: &'static Metadata<'static>) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let own = NEXT.fetch_add(1, Ordering::Relaxed);
    let span = Open {
        host,
        id,
        metadata,
        handles: 1,
    };
    spans().insert(own, span);
    own
}

/// One more handle.
pub(super) fn keep(own: u64) {
    if let Some(span) = spans().get_mut(&own) {
        span.handles += 1;
    }
}

/// One handle less; tells the host when it was the last one.
pub(super) fn drop_handle(own: u64) -> bool {
    let mut spans = spans();
    let Some(span) = spans.get_mut(&own) else { return false };
    span.handles -= 1;
    if span.handles > 0 {
        return false;
    }
    let gone = spans.remove(&own);
    // The host is told, and perhaps let go of, while nobody waits.
    drop(spans);
    if let Some(gone) = gone {
        gone.host.close(gone.id);
    }
    true
}

/// The id that `host` knows a span by; 0 when it is not one of its own.
pub(super) fn at(own: u64, host: &Arc<HostRef>) -> u64 {
    spans()
        .get(&own)
        .filter(|span| Arc::ptr_eq(&span.host, host))
        .map_or(0, |span| span.id)
}

/// Whose span it is, and its id there.
pub(super) fn whose(own: u64) -> Option<(Arc<HostRef>, u64)> {
    spans().get(&own).map(|span| (Arc::clone(&span.host), span.id))
}

/// As `tracing` wants it.
pub(super) fn current(own: u64) -> Current {
    match spans().get(&own) {
        Some(span) => Current::new(tracing::Id::from_u64(own), span.metadata),
        None => Current::none(),
    }
}
