//! The host, as one instance behind the boundary sees it.

use std::{
    collections::HashMap,
    mem::size_of,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use jackfield_abi as abi;
use tokio::runtime::Handle;
use tracing::{Level, Span};

use super::{
    buffer::view,
    future::{self, Answer, Context, Imported},
    plugin::pack,
};
use crate::host::{Host, Services, dispatch};

/// The host, as one instance sees it.
#[repr(C)]
pub(super) struct HostObject {
    abi: abi::Host,
    host: Host,
    services: Arc<dyn Services>,
    context: Arc<Context>,
    spans: Mutex<HashMap<u64, Span>>,
    next: AtomicU64,
}

static HOST: abi::HostVtable = abi::HostVtable {
    size: size_of::<abi::HostVtable>(),
    retain,
    release,
    call,
    now_ms,
    metric,
    level,
    span,
    close: close_span,
    event,
    spawn,
    record,
};

/// Open spans of one instance; more are not kept.
const MAX_SPANS: usize = 10_000;

impl HostObject {
    pub(super) fn new(host: Host) -> Arc<Self> {
        Arc::new(Self {
            abi: abi::Host {
                vtable: &raw const HOST,
            },
            services: host.services(),
            host,
            context: Arc::new(Context {
                handle: Handle::current(),
                log: None,
            }),
            spans: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    /// Where code of this side runs.
    pub(super) fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    fn span(&self, id: u64) -> Span {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.get(&id).cloned().unwrap_or_else(Span::current)
    }
}

/// SAFETY: whoever calls holds a reference to a host that `HostObject::new` made.
unsafe fn object<'h>(host: *const abi::Host) -> &'h HostObject {
    // SAFETY: see above.
    unsafe { &*host.cast::<HostObject>() }
}

unsafe extern "C" fn retain(host: *const abi::Host) {
    // SAFETY: see `object`.
    unsafe { Arc::increment_strong_count(host.cast::<HostObject>()) }
}

unsafe extern "C" fn release(host: *const abi::Host) {
    // SAFETY: the caller gives one reference up.
    let host = unsafe { Arc::from_raw(host.cast::<HostObject>()) };
    super::quiet(|| drop(host));
}

unsafe extern "C" fn call(host: *const abi::Host, service: u32, method: u32, input: abi::Slice) -> abi::Future {
    // SAFETY: see `object`; the input is lent for this call.
    let (object, input) = unsafe { (object(host), view(input).to_vec()) };
    let services = Arc::clone(&object.services);
    let calling = Box::pin(async move {
        let answer = dispatch(services.as_ref(), service, method, &input).await;
        answer
            .map(Bytes::from)
            .map_err(|error| pack(&error).unwrap_or_default())
    });
    future::export(calling, Arc::clone(&object.context))
}

unsafe extern "C" fn now_ms(host: *const abi::Host) -> i64 {
    // SAFETY: see `object`.
    let object = unsafe { object(host) };
    super::guard(|| object.services.clock().now_ms()).unwrap_or(0)
}

unsafe extern "C" fn metric(host: *const abi::Host, kind: u32, name: abi::Slice, labels: abi::Slice, value: f64) {
    // SAFETY: see `object`; the views are lent for this call.
    let (object, name, labels) = unsafe {
        (
            object(host),
            String::from_utf8_lossy(view(name)),
            String::from_utf8_lossy(view(labels)),
        )
    };
    let labels: Vec<(&str, &str)> = labels.lines().filter_map(|line| line.split_once('=')).collect();
    let metrics = object.services.metrics();
    super::quiet(|| match kind {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        abi::METRIC_COUNT => metrics.count(&name, &labels, value as u64),
        abi::METRIC_GAUGE => metrics.gauge(&name, &labels, value),
        _ => metrics.record(&name, &labels, value),
    });
}

unsafe extern "C" fn level(_: *const abi::Host) -> u32 {
    match tracing::level_filters::LevelFilter::current().into_level() {
        None => 0,
        Some(Level::ERROR) => abi::LEVEL_ERROR,
        Some(Level::WARN) => abi::LEVEL_WARN,
        Some(Level::INFO) => abi::LEVEL_INFO,
        Some(Level::DEBUG) => abi::LEVEL_DEBUG,
        Some(_) => abi::LEVEL_TRACE,
    }
}

unsafe extern "C" fn span(
    host: *const abi::Host,
    parent: u64,
    level: u32,
    name: abi::Slice,
    fields: abi::Slice,
) -> u64 {
    // SAFETY: see `object`; the views are lent for this call.
    let (object, name, fields) = unsafe {
        (
            object(host),
            String::from_utf8_lossy(view(name)),
            String::from_utf8_lossy(view(fields)),
        )
    };
    super::guard(|| object.open(parent, level, &name, &fields)).unwrap_or(0)
}

/// Makes a span of a level that is known only when it runs.
macro_rules! span_at {
    ($level:expr, $parent:expr, $($fields:tt)*) => {
        match $level {
            abi::LEVEL_ERROR => tracing::error_span!(target: "plugin", parent: $parent, "plugin", $($fields)*),
            abi::LEVEL_WARN => tracing::warn_span!(target: "plugin", parent: $parent, "plugin", $($fields)*),
            abi::LEVEL_INFO => tracing::info_span!(target: "plugin", parent: $parent, "plugin", $($fields)*),
            abi::LEVEL_DEBUG => tracing::debug_span!(target: "plugin", parent: $parent, "plugin", $($fields)*),
            _ => tracing::trace_span!(target: "plugin", parent: $parent, "plugin", $($fields)*),
        }
    };
}

impl HostObject {
    fn open(&self, parent: u64, level: u32, name: &str, fields: &str) -> u64 {
        let parent = self.span(parent);
        let (plugin, recorded) = (self.services.plugin(), tracing::field::Empty);
        let made = span_at!(level, &parent, plugin, span = name, fields, recorded);
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_disabled() || spans.len() >= MAX_SPANS {
            return 0;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        spans.insert(id, made);
        id
    }
}

unsafe extern "C" fn record(host: *const abi::Host, span: u64, fields: abi::Slice) {
    // SAFETY: see `object`; the view is lent for this call.
    let (object, fields) = unsafe { (object(host), String::from_utf8_lossy(view(fields))) };
    let span = object
        .spans
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&span)
        .cloned();
    super::quiet(|| {
        if let Some(span) = span {
            span.record("recorded", &*fields);
        }
    });
}

unsafe extern "C" fn close_span(host: *const abi::Host, span: u64) {
    // SAFETY: see `object`.
    let object = unsafe { object(host) };
    let gone = object
        .spans
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&span);
    super::quiet(|| drop(gone));
}

unsafe extern "C" fn event(host: *const abi::Host, span: u64, level: u32, target: abi::Slice, fields: abi::Slice) {
    // SAFETY: see `object`; the views are lent for this call.
    let (object, from, fields) = unsafe {
        (
            object(host),
            String::from_utf8_lossy(view(target)),
            String::from_utf8_lossy(view(fields)),
        )
    };
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&fields).unwrap_or_default();
    let message = match fields.remove("message") {
        Some(serde_json::Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let fields = if fields.is_empty() {
        String::new()
    } else {
        serde_json::Value::Object(fields).to_string()
    };
    let (plugin, parent) = (object.services.plugin(), object.span(span));
    super::quiet(|| match level {
        abi::LEVEL_ERROR => {
            tracing::error!(target: "plugin", parent: &parent, plugin, from = %from, %fields, "{message}");
        }
        abi::LEVEL_WARN => {
            tracing::warn!(target: "plugin", parent: &parent, plugin, from = %from, %fields, "{message}");
        }
        abi::LEVEL_INFO => {
            tracing::info!(target: "plugin", parent: &parent, plugin, from = %from, %fields, "{message}");
        }
        abi::LEVEL_DEBUG => {
            tracing::debug!(target: "plugin", parent: &parent, plugin, from = %from, %fields, "{message}");
        }
        _ => tracing::trace!(target: "plugin", parent: &parent, plugin, from = %from, %fields, "{message}"),
    });
}

unsafe extern "C" fn spawn(host: *const abi::Host, task: abi::Future) {
    // SAFETY: see `object`; the task is ours now.
    let (object, task) = unsafe { (object(host), Imported::new(task)) };
    let plugin = object.services.plugin().to_owned();
    let task = async move {
        if let Answer::Panicked(text) = task.await {
            tracing::error!(plugin, panic = text, "a task panicked");
        }
    };
    super::quiet(|| {
        let _entered = object.context.handle.enter();
        object.host.spawn(task);
    });
}
