//! A plugin's log lines and spans, on their way to the host. A shared library has its own copy of `tracing`, so the SDK sets
//! that copy's dispatcher once; which instance a line belongs to stands in a thread-local that every entry sets.

use std::{
    cell::RefCell,
    sync::{Arc, Once},
};

use jackfield_abi as abi;
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

use super::{buffer::lend, fields::Fields, plugin::HostRef};

thread_local! {
    static INSIDE: RefCell<Vec<Arc<HostRef>>> = const { RefCell::new(Vec::new()) };
    static SPANS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Where an instance's lines go.
#[derive(Clone)]
pub(super) struct Log(Arc<HostRef>);

impl Log {
    pub(super) fn new(host: Arc<HostRef>) -> Self {
        static ONCE: Once = Once::new();
        // Where the plugin shares the host's copy of `tracing`, the host's dispatcher is set already and stays.
        ONCE.call_once(|| drop(tracing::subscriber::set_global_default(Forward)));
        Self(host)
    }

    /// Lines of this thread are the instance's until the guard is dropped.
    pub(super) fn enter(&self) -> Entered {
        INSIDE.with_borrow_mut(|inside| inside.push(Arc::clone(&self.0)));
        Entered
    }
}

/// See [`Log::enter`].
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}

/// The host of the instance that this thread is inside.
fn inside() -> Option<Arc<HostRef>> {
    INSIDE
        .try_with(|inside| inside.try_borrow().ok()?.last().cloned())
        .ok()?
}

fn current() -> u64 {
    SPANS
        .try_with(|spans| spans.try_borrow().ok()?.last().copied())
        .ok()
        .flatten()
        .unwrap_or(0)
}

fn level(level: Level) -> u32 {
    match level {
        Level::ERROR => abi::LEVEL_ERROR,
        Level::WARN => abi::LEVEL_WARN,
        Level::INFO => abi::LEVEL_INFO,
        Level::DEBUG => abi::LEVEL_DEBUG,
        _ => abi::LEVEL_TRACE,
    }
}

struct Forward;

impl Subscriber for Forward {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        inside().is_some_and(|host| level(*metadata.level()) <= host.level())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = attributes.parent().map_or_else(current, Id::into_u64);
        let metadata = attributes.metadata();
        let id = inside().map_or(0, |host| {
            let fields = fields.into_json();
            host.span(
                parent,
                level(*metadata.level()),
                lend(metadata.name().as_bytes()),
                lend(fields.as_bytes()),
            )
        });
        // An id is never 0; the host answers 0 for a span it does not keep.
        Id::from_u64(id.max(1))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(host) = inside() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let fields = fields.into_json();
        let span = event.parent().map_or_else(current, Id::into_u64);
        let metadata = event.metadata();
        host.event(
            span,
            level(*metadata.level()),
            lend(metadata.target().as_bytes()),
            lend(fields.as_bytes()),
        );
    }

    fn enter(&self, span: &Id) {
        SPANS.with_borrow_mut(|spans| spans.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        SPANS.with_borrow_mut(|spans| {
            if let Some(at) = spans.iter().rposition(|entered| *entered == span.into_u64()) {
                spans.remove(at);
            }
        });
    }

    fn try_close(&self, span: Id) -> bool {
        if let Some(host) = inside() {
            host.close(span.into_u64());
        }
        true
    }
}
