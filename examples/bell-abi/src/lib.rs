//! A plugin without the SDK: the public route `GET /bell-abi` says how often the bell was rung, the signed webhook
//! `POST /bell-abi/ring` rings it, and it is well.
//!
//! Everything that a plugin has to do by itself stands here, against `jackfield-abi` and the standard library, for any compiler
//! from rustc 1.63 on. `examples/bell-c` is the same plugin in C.
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(clippy::missing_safety_doc)]

mod pack;

use std::{
    any::Any,
    ffi::c_void,
    mem::size_of,
    panic::{catch_unwind, AssertUnwindSafe},
    ptr::{null, null_mut},
    sync::atomic::{AtomicU32, Ordering},
};

use jackfield_abi as abi;

#[cfg(target_arch = "x86_64")]
macro_rules! arch {
    () => {
        "x86_64"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! arch {
    () => {
        "aarch64"
    };
}
#[cfg(target_env = "gnu")]
macro_rules! env_of_target {
    () => {
        "gnu"
    };
}
#[cfg(target_env = "musl")]
macro_rules! env_of_target {
    () => {
        "musl"
    };
}

/// The manifest. `x-enables` switches the plugin on as soon as there is a secret; `x-secret` keeps it out of every log.
const MANIFEST: &str = concat!(
    r#"{"manifest":1,"id":"bell-abi","version":"1.0.0","description":"A bell without the SDK","abi":[1,1],"target":""#,
    arch!(),
    "-unknown-linux-",
    env_of_target!(),
    r#"","panic":"unwind","config_schema":{"type":"object","additionalProperties":false,"required":["secrets"],"#,
    r#""properties":{"secrets":{"description":"Secrets the bell signs with","x-secret":true,"x-enables":true,"#,
    r#""x-env":["BELL_ABI_SECRET"],"oneOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]}}}}"#,
);

/// What it declares. The host checks the signature, stores the delivery and answers its sender before a line of this file runs.
const DESCRIPTOR: &str = r#"{"routes":[{"method":"GET","path":"/bell-abi","policy":"public"}],
"webhooks":[{"name":"ring","path":"/bell-abi/ring",
"verify":{"scheme":{"scheme":"hmac_sha256","header":"x-bell-signature","prefix":"sha256=","encoding":"hex"},
"secrets":{"config":"secrets"}},"delivery_id":{"header":"x-bell-delivery"},
"retry":{"attempts":8,"window_ms":900000},"max_body":65536,"timeout_ms":10000,
"answer":{"status":202,"content_type":"application/json","body":"{\"rung\":true}"}}]}"#;

/// The text itself, not a pointer to it: the host reads it without loading the file.
#[no_mangle]
#[used]
#[allow(non_upper_case_globals)]
pub static jackfield_manifest_bell_abi: [u8; MANIFEST.len()] = {
    let mut text = [0; MANIFEST.len()];
    let mut at = 0;
    while at < text.len() {
        text[at] = MANIFEST.as_bytes()[at];
        at += 1;
    }
    text
};

#[no_mangle]
pub extern "C" fn jackfield_entry_bell_abi() -> *const abi::Entry {
    static ENTRY: abi::Entry = abi::Entry {
        size: size_of::<abi::Entry>(),
        major: abi::MAJOR,
        minor: abi::MINOR,
        descriptor,
        validate,
        instance,
    };
    &ENTRY
}

/// An instance begins with its vtable; the rest is ours.
#[repr(C)]
struct Bell {
    abi: abi::Instance,
    host: *const abi::Host,
    rung: AtomicU32,
}

static INSTANCE: abi::InstanceVtable = abi::InstanceVtable {
    size: size_of::<abi::InstanceVtable>(),
    call,
    serve,
    retire,
    release,
    tasks: None,
};

unsafe extern "C" fn descriptor(out: *mut abi::Buffer) -> u32 {
    // SAFETY: the caller gives a place for one buffer.
    unsafe { out.write(fixed(DESCRIPTOR)) };
    abi::READY
}

/// The host has checked the configuration against the schema, which says all there is to say.
unsafe extern "C" fn validate(_: abi::Slice, out: *mut abi::Buffer) -> u32 {
    // SAFETY: the caller gives a place for one buffer.
    unsafe { out.write(fixed("")) };
    abi::READY
}

unsafe extern "C" fn instance(host: *const abi::Host, out: *mut abi::Buffer) -> *const abi::Instance {
    let bell = Bell {
        abi: abi::Instance { vtable: &INSTANCE },
        host,
        rung: AtomicU32::new(0),
    };
    // SAFETY: the caller gives a place for one buffer.
    unsafe { out.write(fixed("")) };
    Box::into_raw(Box::new(bell)) as *const abi::Instance
}

unsafe extern "C" fn call(instance: *const abi::Instance, op: u32, input: abi::Slice, span: u64) -> abi::Future {
    // SAFETY: only `instance` makes instances with this vtable; the input is lent for this call.
    let (bell, input) = unsafe { (&*(instance as *const Bell), view(&input)) };
    let answered = catch_unwind(AssertUnwindSafe(|| match op {
        abi::OP_CREATE | abi::OP_DRAIN => (abi::READY, Vec::new()),
        abi::OP_RUN => bell.run(input, span),
        abi::OP_HEALTH => (abi::READY, br#"{"status":"healthy"}"#.to_vec()),
        // The host reads the secrets itself, so another one needs no new instance.
        abi::OP_RECONFIGURE => (abi::READY, b"true".to_vec()),
        other => (
            abi::FAILED,
            format!("the bell does not know operation {}", other).into_bytes(),
        ),
    }));
    let (status, bytes) = answered.unwrap_or_else(|panic| (abi::PANICKED, text_of(panic).into_bytes()));
    done(status, bytes)
}

impl Bell {
    /// One attempt of a job: a `JobCall` in, a `JobEnd` out.
    fn run(&self, input: &[u8], span: u64) -> (u32, Vec<u8>) {
        let body = match pack::Reader::new(input)
            .member("delivery")
            .and_then(|it| it.member("body"))
        {
            Some(mut body) => body.blob().unwrap_or_default(),
            None => return (abi::FAILED, b"the job has no body".to_vec()),
        };
        if body == b"panic" {
            // What a mistake in a plugin looks like from outside: caught at the entry, and the job is tried again.
            panic!("the clapper fell off");
        }
        let times = self.rung.fetch_add(1, Ordering::SeqCst) + 1;
        self.say(span, r#"{"message":"the bell was rung"}"#);
        let summary = format!("rung with {} bytes, {} times by now", body.len(), times);
        (abi::READY, pack::done(&summary))
    }

    fn say(&self, span: u64, fields: &str) {
        // SAFETY: the host is ours until `release`; the views are lent for this call.
        unsafe { ((*(*self.host).vtable).event)(self.host, span, abi::LEVEL_INFO, lend("bell_abi"), lend(fields)) }
    }
}

/// The route table leads one route here, so the head says nothing new. The body is ours, and not needed.
unsafe extern "C" fn serve(
    instance: *const abi::Instance,
    _: *const abi::RequestHead,
    body: abi::Body,
) -> abi::ResponseFuture {
    static ANSWER: abi::ResponseFutureVtable = abi::ResponseFutureVtable {
        size: size_of::<abi::ResponseFutureVtable>(),
        poll: answer_poll,
        drop: answer_drop,
    };
    // SAFETY: the body was given to us; we drop it once.
    unsafe { ((*body.vtable).drop)(body.data) };
    // An answer needs nothing but the instance, which outlives it.
    abi::ResponseFuture {
        data: instance as *mut c_void,
        vtable: &ANSWER,
    }
}

unsafe extern "C" fn answer_poll(
    data: *mut c_void,
    _: *const abi::Waker,
    out: *mut abi::Response,
    error: *mut abi::Buffer,
) -> u32 {
    static BODY: abi::BodyVtable = abi::BodyVtable {
        size: size_of::<abi::BodyVtable>(),
        poll: page_poll,
        remaining: page_remaining,
        drop: page_drop,
    };
    /// Header views are pointers, which a static may hold only when told that they may be shared.
    struct Shared([abi::Header; 1]);
    // SAFETY: they point to static text.
    unsafe impl Sync for Shared {}
    static HEADERS: Shared = Shared([abi::Header {
        name: constant("content-type"),
        value: constant("text/plain; charset=utf-8"),
    }]);
    let made = catch_unwind(|| {
        // SAFETY: `serve` gave the instance.
        let bell = unsafe { &*(data as *const Bell) };
        let text = format!("rung {} times\n", bell.rung.load(Ordering::SeqCst));
        Box::into_raw(Box::new(Some(text.into_bytes())))
    });
    match made {
        Ok(page) => {
            let response = abi::Response {
                size: size_of::<abi::Response>(),
                status: 200,
                headers: HEADERS.0.as_ptr(),
                headers_len: HEADERS.0.len(),
                owner: null_mut(),
                free: None,
                body: abi::Body {
                    data: page as *mut c_void,
                    vtable: &BODY,
                },
            };
            // SAFETY: the caller gives a place for one response.
            unsafe { out.write(response) };
            abi::READY
        }
        Err(panic) => {
            // SAFETY: the caller gives a place for one buffer.
            unsafe { error.write(owned(text_of(panic).into_bytes())) };
            abi::PANICKED
        }
    }
}

unsafe extern "C" fn answer_drop(_: *mut c_void) {}

/// A body of one piece.
type Page = Option<Vec<u8>>;

unsafe extern "C" fn page_poll(data: *mut c_void, _: *const abi::Waker, out: *mut abi::Buffer) -> u32 {
    // SAFETY: `answer_poll` made it; one thread polls at a time.
    match unsafe { &mut *(data as *mut Page) }.take() {
        Some(bytes) => {
            // SAFETY: the caller gives a place for one buffer.
            unsafe { out.write(owned(bytes)) };
            abi::READY
        }
        None => abi::ENDED,
    }
}

unsafe extern "C" fn page_remaining(data: *const c_void, lower: *mut u64) -> u32 {
    // SAFETY: as above, and the caller gives a place for the number.
    unsafe { lower.write((*(data as *const Page)).as_ref().map_or(0, |page| page.len() as u64)) };
    1
}

unsafe extern "C" fn page_drop(data: *mut c_void) {
    // SAFETY: `answer_poll` made it, and the holder drops it once.
    drop(unsafe { Box::from_raw(data as *mut Page) });
}

/// It has no threads or tasks to end.
unsafe extern "C" fn retire(_: *const abi::Instance) {}

unsafe extern "C" fn release(instance: *const abi::Instance) {
    // SAFETY: `instance` made it; this is its end. The reference to the host is ours and goes with it.
    unsafe {
        let bell = Box::from_raw(instance as *mut Bell);
        ((*(*bell.host).vtable).release)(bell.host);
    }
}

/// A future that is finished when it is made.
struct Done {
    status: u32,
    bytes: Vec<u8>,
}

fn done(status: u32, bytes: Vec<u8>) -> abi::Future {
    static DONE: abi::FutureVtable = abi::FutureVtable {
        size: size_of::<abi::FutureVtable>(),
        poll: done_poll,
        drop: done_drop,
    };
    abi::Future {
        data: Box::into_raw(Box::new(Done { status, bytes })) as *mut c_void,
        vtable: &DONE,
    }
}

unsafe extern "C" fn done_poll(data: *mut c_void, _: *const abi::Waker, out: *mut abi::Buffer) -> u32 {
    // SAFETY: `done` made it; one thread polls at a time; the caller gives a place for one buffer.
    unsafe {
        let done = &mut *(data as *mut Done);
        out.write(owned(std::mem::take(&mut done.bytes)));
        done.status
    }
}

unsafe extern "C" fn done_drop(data: *mut c_void) {
    // SAFETY: `done` made it, and the holder drops it once.
    drop(unsafe { Box::from_raw(data as *mut Done) });
}

/// Bytes that nobody frees.
fn fixed(text: &'static str) -> abi::Buffer {
    abi::Buffer {
        ptr: text.as_ptr(),
        len: text.len(),
        owner: null_mut(),
        free: None,
    }
}

/// Bytes that their holder frees.
fn owned(bytes: Vec<u8>) -> abi::Buffer {
    let owner = Box::new(bytes);
    abi::Buffer {
        ptr: if owner.is_empty() { null() } else { owner.as_ptr() },
        len: owner.len(),
        owner: Box::into_raw(owner) as *mut c_void,
        free: Some(free),
    }
}

unsafe extern "C" fn free(owner: *mut c_void) {
    // SAFETY: `owned` made it, and the holder frees it once.
    drop(unsafe { Box::from_raw(owner as *mut Vec<u8>) });
}

const fn constant(text: &'static str) -> abi::Slice {
    abi::Slice {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

fn lend(text: &str) -> abi::Slice {
    abi::Slice {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

/// # Safety
/// The slice is lent to us for as long as it is borrowed.
unsafe fn view(slice: &abi::Slice) -> &[u8] {
    if slice.len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(slice.ptr, slice.len) }
}

/// The text of a panic; dropping what was thrown must not throw again.
fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no text".to_owned(),
    };
    std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(panic))));
    text
}
