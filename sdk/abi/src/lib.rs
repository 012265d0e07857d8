//! The boundary between a Jackfield host and a plugin in a shared library: `#[repr(C)]` types, no code, no dependencies.
//!
//! Most authors never see it: `jackfield-sdk` speaks it for them. It is enough by itself for a plugin in C, or in Rust
//! without the SDK.
//!
//! # Rules
//!
//! - **Two symbols** per plugin, with `-` in the id written `_`: `jackfield_manifest_{id}`, a constant with JSON text
//!   that the host reads without loading the file ([`MANIFEST_PREFIX`]), and `jackfield_entry_{id}`, an [`EntryFn`].
//! - **Evolution**: every struct that may grow begins with `size`, the bytes its maker knew, and grows at its end only.
//!   Whoever reads a field first checks that `size` covers it, and goes without what is missing. [`MAJOR`] changes when
//!   that is not enough; [`MINOR`] counts additions. A host runs plugins of its own minor and of every earlier one, never
//!   of a later one: what a plugin gives may be shorter than the host's struct, what a host gives may be longer than the
//!   plugin's. What is added to a plugin's structs may be null, so that a source that does not know it builds as before where
//!   what is not named is zero. [`Slice`], [`Buffer`], [`Header`], [`Future`], [`Body`] and [`ResponseFuture`] never grow.
//! - **Ownership**: an owned value is freed by its own function, exactly once, by whoever holds it. Nothing that one side
//!   allocates is freed by the other's allocator. Borrowed values ([`Slice`], `*const Waker`, `*const RequestHead`) are
//!   valid until the call returns.
//! - **Threads**: every object may be used from any thread; a future, a body or a response future is polled by one thread
//!   at a time. `retain`, `release`, `clone`, `wake`, `drop` and `call` may be called at any time.
//! - **Unwinding** never crosses. A function that may run plugin code catches panics and answers [`PANICKED`].
//! - **Encodings**: descriptor, configuration and the control operations ([`OP_CREATE`], [`OP_HEALTH`], [`OP_RECONFIGURE`],
//!   [`OP_DRAIN`]) are JSON; jobs and host services are MessagePack, arguments as an array, structs as maps.
#![no_std]
#![deny(missing_docs)]

use core::ffi::c_void;

/// Incompatible changes so far.
pub const MAJOR: u32 = 1;
/// Compatible additions since [`MAJOR`]. 1: [`InstanceVtable::tasks`], [`HostVtable::record`].
pub const MINOR: u32 = 1;

/// What a manifest symbol's name begins with.
pub const MANIFEST_PREFIX: &str = "jackfield_manifest_";
/// What an entry symbol's name begins with.
pub const ENTRY_PREFIX: &str = "jackfield_entry_";

/// Not finished; the waker was kept and will be woken.
pub const PENDING: u32 = 0;
/// Finished well; the out value is set.
pub const READY: u32 = 1;
/// Finished badly; the error buffer is set.
pub const FAILED: u32 = 2;
/// The plugin panicked; the error buffer holds the panic's text.
pub const PANICKED: u32 = 3;
/// A body has ended; nothing is set.
pub const ENDED: u32 = 4;
/// A body frame that holds trailers: `name: value` lines, each ended by CR LF.
pub const TRAILERS: u32 = 5;

/// Borrowed bytes. `ptr` may be null when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

/// Owned bytes. Without `free` they are static.
#[repr(C)]
pub struct Buffer {
    /// First byte; null when `len` is 0.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
    /// What `free` takes.
    pub owner: *mut c_void,
    /// Frees the bytes.
    pub free: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// Wakes a task. A pointer to an object whose first word is its vtable; the maker's own fields may follow.
#[repr(C)]
pub struct Waker {
    /// Functions.
    pub vtable: *const WakerVtable,
}

/// Functions of a [`Waker`].
#[repr(C)]
pub struct WakerVtable {
    /// Bytes of this struct.
    pub size: usize,
    /// Another owned waker for the same task.
    pub clone: unsafe extern "C" fn(waker: *const Waker) -> *const Waker,
    /// Wakes and drops.
    pub wake: unsafe extern "C" fn(waker: *const Waker),
    /// Wakes.
    pub wake_by_ref: unsafe extern "C" fn(waker: *const Waker),
    /// Drops.
    pub drop: unsafe extern "C" fn(waker: *const Waker),
}

/// A future of bytes.
#[repr(C)]
pub struct Future {
    /// Its state.
    pub data: *mut c_void,
    /// Functions.
    pub vtable: *const FutureVtable,
}

/// Functions of a [`Future`].
#[repr(C)]
pub struct FutureVtable {
    /// Bytes of this struct.
    pub size: usize,
    /// [`PENDING`]; or [`READY`], [`FAILED`], [`PANICKED`] with `out` set. Not called again after that.
    pub poll: unsafe extern "C" fn(data: *mut c_void, waker: *const Waker, out: *mut Buffer) -> u32,
    /// Drops the state, finished or not.
    pub drop: unsafe extern "C" fn(data: *mut c_void),
}

/// One header field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    /// Lower-case name.
    pub name: Slice,
    /// Value.
    pub value: Slice,
}

/// The head of a request.
#[repr(C)]
pub struct RequestHead {
    /// Bytes of this struct.
    pub size: usize,
    /// `GET`, …
    pub method: Slice,
    /// Path and query as they came.
    pub uri: Slice,
    /// Headers in order.
    pub headers: *const Header,
    /// Number of headers.
    pub headers_len: usize,
    /// Who calls, as JSON `{"id","kind","scopes"}`; empty for the anonymous.
    pub principal: Slice,
    /// Id of the host's span that the plugin's spans belong under; 0 for the one that the host is in while it polls.
    pub span: u64,
}

/// A stream of bytes. Dropping it early cancels it.
#[repr(C)]
pub struct Body {
    /// Its state.
    pub data: *mut c_void,
    /// Functions.
    pub vtable: *const BodyVtable,
}

/// Functions of a [`Body`].
#[repr(C)]
pub struct BodyVtable {
    /// Bytes of this struct.
    pub size: usize,
    /// [`PENDING`]; [`READY`] with data; [`TRAILERS`]; [`ENDED`]; [`FAILED`] or [`PANICKED`] with a text.
    pub poll: unsafe extern "C" fn(data: *mut c_void, waker: *const Waker, out: *mut Buffer) -> u32,
    /// Bytes that are left: at least `lower`; exactly `lower` when it answers 1, unknown above when it answers 0.
    pub remaining: unsafe extern "C" fn(data: *const c_void, lower: *mut u64) -> u32,
    /// Drops the state.
    pub drop: unsafe extern "C" fn(data: *mut c_void),
}

/// An answer. `headers` stay valid until `free(owner)`; the body is owned by whoever holds the response.
#[repr(C)]
pub struct Response {
    /// Bytes of this struct.
    pub size: usize,
    /// HTTP status.
    pub status: u32,
    /// Headers in order.
    pub headers: *const Header,
    /// Number of headers.
    pub headers_len: usize,
    /// What `free` takes.
    pub owner: *mut c_void,
    /// Frees the headers; none when they are static.
    pub free: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// The body.
    pub body: Body,
}

/// A future of a [`Response`].
#[repr(C)]
pub struct ResponseFuture {
    /// Its state.
    pub data: *mut c_void,
    /// Functions.
    pub vtable: *const ResponseFutureVtable,
}

/// Functions of a [`ResponseFuture`].
#[repr(C)]
pub struct ResponseFutureVtable {
    /// Bytes of this struct.
    pub size: usize,
    /// [`PENDING`]; [`READY`] with `out` set; [`FAILED`] or [`PANICKED`] with `error` set.
    pub poll:
        unsafe extern "C" fn(data: *mut c_void, waker: *const Waker, out: *mut Response, error: *mut Buffer) -> u32,
    /// Drops the state, finished or not.
    pub drop: unsafe extern "C" fn(data: *mut c_void),
}

/// What `jackfield_entry_{id}` is. The answer is static.
pub type EntryFn = unsafe extern "C" fn() -> *const Entry;

/// A plugin's code.
#[repr(C)]
pub struct Entry {
    /// Bytes of this struct.
    pub size: usize,
    /// [`MAJOR`] it was built with.
    pub major: u32,
    /// [`MINOR`] it was built with.
    pub minor: u32,
    /// The descriptor as JSON. [`READY`], or [`PANICKED`] with a text in `out`.
    pub descriptor: unsafe extern "C" fn(out: *mut Buffer) -> u32,
    /// Checks a configuration (JSON) without side effects. [`READY`], or [`FAILED`] or [`PANICKED`] with a text in `out`.
    pub validate: unsafe extern "C" fn(config: Slice, out: *mut Buffer) -> u32,
    /// An instance that is not created yet: [`OP_CREATE`] follows. Takes over one reference to `host`. Null with a text in
    /// `out` when there can be none.
    pub instance: unsafe extern "C" fn(host: *const Host, out: *mut Buffer) -> *const Instance,
}

/// Creates; takes the configuration (JSON), gives nothing.
pub const OP_CREATE: u32 = 1;
/// Runs one attempt of a job; takes a `JobCall`, gives a `JobEnd` (MessagePack).
pub const OP_RUN: u32 = 2;
/// The plugin's own verification; takes `[hook, [[name, value]…], body]`, gives `{"Ok": boolean}` or `{"Err": Failure}`
/// (MessagePack).
pub const OP_VERIFY: u32 = 3;
/// The secrets of a webhook for a sender; takes `[hook, key]`, gives `{"Ok": [[value, not_after_ms or nil]…]}` or
/// `{"Err": Failure}` (MessagePack).
pub const OP_SECRETS: u32 = 4;
/// How it is; takes nothing, gives `{"status","detail"}` (JSON).
pub const OP_HEALTH: u32 = 5;
/// Takes a configuration (JSON), gives `true` when it works with it from now on, `false` when it asks for a new instance.
pub const OP_RECONFIGURE: u32 = 6;
/// Lets go of what it holds; takes and gives nothing.
pub const OP_DRAIN: u32 = 7;

/// A running plugin. A pointer to an object whose first word is its vtable; the maker's own fields may follow.
#[repr(C)]
pub struct Instance {
    /// Functions.
    pub vtable: *const InstanceVtable,
}

/// Functions of an [`Instance`].
#[repr(C)]
pub struct InstanceVtable {
    /// Bytes of this struct.
    pub size: usize,
    /// One of the `OP_…` operations. An unknown one answers [`FAILED`]. `span` as in [`RequestHead::span`].
    pub call: unsafe extern "C" fn(instance: *const Instance, op: u32, input: Slice, span: u64) -> Future,
    /// Answers a request. Takes over the body.
    pub serve: unsafe extern "C" fn(instance: *const Instance, head: *const RequestHead, body: Body) -> ResponseFuture,
    /// Ends its tasks. Called once, after its futures are dropped, on a thread that may block.
    pub retire: unsafe extern "C" fn(instance: *const Instance),
    /// Drops it. Called once, last.
    pub release: unsafe extern "C" fn(instance: *const Instance),
    /// How many tasks its own runtime has; the host only shows the number. Since minor 1; none when it has no such runtime.
    pub tasks: Option<unsafe extern "C" fn(instance: *const Instance) -> u64>,
}

/// The host, as one instance sees it. A pointer to an object whose first word is its vtable.
#[repr(C)]
pub struct Host {
    /// Functions.
    pub vtable: *const HostVtable,
}

/// Adds to a counter.
pub const METRIC_COUNT: u32 = 0;
/// Sets a gauge.
pub const METRIC_GAUGE: u32 = 1;
/// Records into a histogram.
pub const METRIC_RECORD: u32 = 2;

/// Log levels, as `tracing` orders them.
pub const LEVEL_ERROR: u32 = 1;
/// See [`LEVEL_ERROR`].
pub const LEVEL_WARN: u32 = 2;
/// See [`LEVEL_ERROR`].
pub const LEVEL_INFO: u32 = 3;
/// See [`LEVEL_ERROR`].
pub const LEVEL_DEBUG: u32 = 4;
/// See [`LEVEL_ERROR`].
pub const LEVEL_TRACE: u32 = 5;

/// Functions of a [`Host`].
#[repr(C)]
pub struct HostVtable {
    /// Bytes of this struct.
    pub size: usize,
    /// One more reference.
    pub retain: unsafe extern "C" fn(host: *const Host),
    /// One reference less.
    pub release: unsafe extern "C" fn(host: *const Host),
    /// Calls a method of a service; [`FAILED`] carries a `ServiceError` (MessagePack).
    pub call: unsafe extern "C" fn(host: *const Host, service: u32, method: u32, input: Slice) -> Future,
    /// Milliseconds since the Unix epoch, by the host's clock.
    pub now_ms: unsafe extern "C" fn(host: *const Host) -> i64,
    /// A metric of kind `METRIC_…`; `labels` are `name=value` lines, each ended by LF.
    pub metric: unsafe extern "C" fn(host: *const Host, kind: u32, name: Slice, labels: Slice, value: f64),
    /// The most verbose level that is written.
    pub level: unsafe extern "C" fn(host: *const Host) -> u32,
    /// Opens a span of a level under `parent` (0 for the one that the host is in) and gives its id; 0 when it is not kept,
    /// and then what is said in it is said in `parent`. `fields` is a JSON object.
    pub span: unsafe extern "C" fn(host: *const Host, parent: u64, level: u32, name: Slice, fields: Slice) -> u64,
    /// Ends a span.
    pub close: unsafe extern "C" fn(host: *const Host, span: u64),
    /// Writes an event in a span (0 for the one that the host is in). `fields` is a JSON object; `message` is one of them.
    pub event: unsafe extern "C" fn(host: *const Host, span: u64, level: u32, target: Slice, fields: Slice),
    /// Runs a task until it ends or the instance is retired; its result is dropped.
    pub spawn: unsafe extern "C" fn(host: *const Host, task: Future),
    /// Adds fields (a JSON object) to a span. Since minor 1; without it they are lost.
    pub record: unsafe extern "C" fn(host: *const Host, span: u64, fields: Slice),
}

// SAFETY: each is a pointer to a static vtable, and the rules let every object be used from any thread.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}
// SAFETY: as above.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}
// SAFETY: as above.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}
