//! A plugin's log lines and spans, on their way to the host. A shared library has its own copy of `tracing`, so the SDK sets
//! that copy's dispatcher once; which instance a line belongs to stands in a thread-local that every entry sets, and that
//! the threads of an instance's runtime keep.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Once},
};

use jackfield_abi as abi;
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;

use super::{buffer::lend, fields::Fields, plugin::HostRef, spans};

thread_local! {
    static INSIDE: RefCell<Vec<Arc<HostRef>>> = const { RefCell::new(Vec::new()) };
    static SPANS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives this thread is the host's, which is being told something. A host that shares this copy of `tracing` would
/// otherwise tell itself for ever.
struct Telling;

impl Telling {
    fn begin() -> Self {
        let _ = TELLING.try_with(|telling| telling.set(true));
        Self
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let _ = TELLING.try_with(|telling| telling.set(false));
    }
}

/// Where an instance's lines go.
#[derive(Clone)]
pub(super) struct Log(Arc<HostRef>);

impl Log {
    pub(super) fn new(host: Arc<HostRef>) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Where the plugin shares the host's copy of `tracing`, the host's dispatcher is set already and stays.
            if tracing::subscriber::set_global_default(Forward).is_ok() {
                log_panics();
            }
        });
        Self(host)
    }

    /// Lines of this thread are the instance's until the guard is dropped.
    pub(super) fn enter(&self) -> Entered {
        self.stay();
        Entered
    }

    /// Lines of this thread are the instance's until it ends.
    pub(super) fn stay(&self) {
        // A thread that is ending has no more lines.
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(Arc::clone(&self.0)));
    }
}

/// See [`Log::enter`].
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        // What is popped may be the last reference, so it is dropped when nothing is borrowed.
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// A panic of the plugin is a line of the host's log, with its place in the author's code. Panics outside of every instance
/// are told as before.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if inside().is_none() {
            return before(panic);
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("no text");
        tracing::error!(target: "panic", place, "panicked: {text}");
    }));
}

/// The host of the instance that this thread is inside.
fn inside() -> Option<Arc<HostRef>> {
    if TELLING.try_with(Cell::get).unwrap_or(true) {
        return None;
    }
    INSIDE
        .try_with(|inside| inside.try_borrow().ok()?.last().cloned())
        .ok()?
}

/// The span that this thread is in.
fn current() -> Option<u64> {
    SPANS
        .try_with(|spans| spans.try_borrow().ok()?.last().copied())
        .ok()
        .flatten()
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
        let metadata = attributes.metadata();
        let Some(host) = inside() else {
            // `enabled` said no; whoever goes on nevertheless has a span that nobody knows.
            return Id::from_u64(u64::MAX);
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let fields = fields.into_json();
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => current(),
            None => None,
        };
        let _telling = Telling::begin();
        let id = host.span(
            parent.map_or(0, |parent| spans::at(parent, &host)),
            level(*metadata.level()),
            lend(metadata.name().as_bytes()),
            lend(fields.as_bytes()),
        );
        Id::from_u64(spans::open(host, id, metadata))
    }

    fn record(&self, span: &Id, record: &Record<'_>) {
        let Some((host, id)) = spans::whose(span.into_u64()) else {
            return;
        };
        let mut fields = Fields::default();
        record.record(&mut fields);
        let _telling = Telling::begin();
        host.record(id, lend(fields.into_json().as_bytes()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(host) = inside() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let fields = fields.into_json();
        let span = match event.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if event.is_contextual() => current(),
            None => None,
        };
        let metadata = event.metadata();
        let _telling = Telling::begin();
        host.event(
            span.map_or(0, |span| spans::at(span, &host)),
            level(*metadata.level()),
            lend(metadata.target().as_bytes()),
            lend(fields.as_bytes()),
        );
    }

    fn enter(&self, span: &Id) {
        let _ = SPANS.try_with(|spans| spans.borrow_mut().push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let _ = SPANS.try_with(|spans| {
            let mut spans = spans.borrow_mut();
            if let Some(at) = spans.iter().rposition(|entered| *entered == span.into_u64()) {
                spans.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        spans::keep(span.into_u64());
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        spans::drop_handle(span.into_u64())
    }

    fn current_span(&self) -> Current {
        current().map_or_else(Current::none, spans::current)
    }
}
