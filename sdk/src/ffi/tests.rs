//! What must hold however the other side behaves. These also run under Miri (`cargo xtask test --long`).
#![allow(clippy::unwrap_used)]

use std::{
    ffi::c_void,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response};
use jackfield_abi as abi;
use tokio::runtime::{Builder, Runtime};

use super::{
    buffer,
    future::{self, Answer, Context},
    message, sized, waker,
};
use crate::{instance::Panicked, service::BoxFuture};

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn context(runtime: &Runtime) -> Arc<Context> {
    Arc::new(Context {
        handle: runtime.handle().clone(),
        log: None,
    })
}

/// Counts how often it wakes.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Its drop is counted, and panics.
struct Bomb(&'static AtomicUsize);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a drop that panics");
    }
}

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        b"bytes with an owner"
    }
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut TaskContext::from_waker(Waker::noop()))
}

#[test]
fn bytes_whose_owner_panics_are_freed_quietly() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let given = buffer::give(Bytes::from_owner(Bomb(&DROPPED)));
    // SAFETY: it was just given, and is taken once.
    let taken = unsafe { buffer::take(given) };
    let part = taken.slice(6..10);
    drop(taken);
    assert_eq!((&part[..], DROPPED.load(Ordering::SeqCst)), (&b"with"[..], 0));
    std::thread::spawn(move || drop(part)).join().unwrap();
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    // SAFETY: nothing is behind it.
    assert!(unsafe { buffer::take(buffer::give(Bytes::new())) }.is_empty());
}

#[test]
fn an_answer_whose_headers_panic_when_they_are_freed_arrives() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let runtime = runtime();
    let answering: BoxFuture<'static, _> = Box::pin(async {
        let mut answer = Response::new(Body::from("the body"));
        let value = HeaderValue::from_maybe_shared(Bytes::from_owner(Bomb(&DROPPED))).unwrap();
        answer.headers_mut().insert("x-bomb", value);
        Ok(answer)
    });
    // SAFETY: it was just exported, and is taken once.
    let imported = unsafe { message::Imported::new(message::export(answering, context(&runtime))) };
    let Poll::Ready(Ok(answer)) = poll(imported) else {
        unreachable!("it is ready");
    };
    assert_eq!(answer.headers()["x-bomb"], "bytes with an owner");
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    let body = runtime.block_on(axum::body::to_bytes(answer.into_body(), 100)).unwrap();
    assert_eq!(body, "the body");
}

#[test]
fn a_future_that_panics_drops_its_values_once_also_those_that_panic() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let runtime = runtime();
    for polls in [true, false] {
        DROPPED.store(0, Ordering::SeqCst);
        let future = async {
            let bomb = std::mem::ManuallyDrop::new(Bomb(&DROPPED));
            tokio::task::yield_now().await;
            let _armed = std::mem::ManuallyDrop::into_inner(bomb);
            std::future::pending::<Result<Bytes, Bytes>>().await
        };
        // SAFETY: it was just exported, and is taken once.
        let mut imported = unsafe { future::Imported::new(future::export(Box::pin(future), context(&runtime))) };
        if polls {
            assert!(poll(&mut imported).is_pending());
            assert!(poll(&mut imported).is_pending());
        }
        drop(imported);
        assert_eq!(DROPPED.load(Ordering::SeqCst), usize::from(polls));
    }
}

#[test]
fn a_panics_payload_may_panic_when_it_is_dropped() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let runtime = runtime();
    let future = async { std::panic::panic_any(Bomb(&DROPPED)) };
    // SAFETY: it was just exported, and is taken once.
    let imported = unsafe { future::Imported::new(future::export(Box::pin(future), context(&runtime))) };
    let Poll::Ready(Answer::Panicked(text)) = poll(imported) else {
        unreachable!("it panics");
    };
    assert_eq!((text.as_str(), DROPPED.load(Ordering::SeqCst)), ("no text", 1));
}

#[test]
fn what_has_ended_may_be_polled_again() {
    let runtime = runtime();
    let exported = future::export(Box::pin(async { Ok(Bytes::from("once")) }), context(&runtime));
    let woken = Waker::from(Arc::<Woken>::default());
    let lent = waker::Lent::new(&woken);
    let mut out = buffer::EMPTY;
    // SAFETY: it was just exported, and is dropped below; the places live for the calls.
    let (first, text) = unsafe {
        let first = ((*exported.vtable).poll)(exported.data, lent.as_abi(), &raw mut out);
        (first, buffer::take_text(std::mem::replace(&mut out, buffer::EMPTY)))
    };
    assert_eq!((first, text.as_str()), (abi::READY, "once"));
    // SAFETY: as above.
    let (second, text) = unsafe {
        let second = ((*exported.vtable).poll)(exported.data, lent.as_abi(), &raw mut out);
        ((*exported.vtable).drop)(exported.data);
        (second, buffer::take_text(out))
    };
    assert_eq!(
        (second, text.as_str()),
        (abi::FAILED, "a finished future was polled again")
    );

    // SAFETY: it was just exported, and is taken once.
    let mut imported = unsafe {
        let ready = Box::pin(async { Ok(Bytes::new()) });
        future::Imported::new(future::export(ready, context(&runtime)))
    };
    assert!(matches!(poll(&mut imported), Poll::Ready(Answer::Ready(_))));
    assert!(matches!(poll(&mut imported), Poll::Ready(Answer::Failed(_))));
}

#[test]
fn a_waker_outlives_its_future_and_its_runtime_on_any_thread() {
    let runtime = runtime();
    let (tell, kept) = std::sync::mpsc::channel();
    let keeps = std::future::poll_fn(move |cx| {
        tell.send(cx.waker().clone()).unwrap();
        Poll::<Result<Bytes, Bytes>>::Pending
    });
    // SAFETY: it was just exported, and is taken once.
    let mut imported = unsafe { future::Imported::new(future::export(Box::pin(keeps), context(&runtime))) };
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    assert!(
        pin!(&mut imported)
            .poll(&mut TaskContext::from_waker(&waker))
            .is_pending()
    );
    drop((imported, waker, runtime));
    let kept = kept.recv().unwrap();
    let other = kept.clone();
    assert!(kept.will_wake(&kept) && Arc::strong_count(&woken) > 1);
    std::thread::spawn(move || {
        other.wake_by_ref();
        other.wake();
    })
    .join()
    .unwrap();
    kept.wake();
    assert_eq!((woken.0.load(Ordering::SeqCst), Arc::strong_count(&woken)), (3, 1));
}

#[test]
fn a_body_streams_with_its_trailers_and_is_dropped_early() {
    let runtime = runtime();
    let frames = [
        Ok(http_body::Frame::data(Bytes::from("one"))),
        Ok(http_body::Frame::trailers(
            [("x-sum".parse().unwrap(), HeaderValue::from_static("3"))]
                .into_iter()
                .collect(),
        )),
        Err("broken"),
    ];
    let export = |frames: Vec<Result<http_body::Frame<Bytes>, &'static str>>| {
        let stream = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        message::export_body(Body::new(stream), context(&runtime))
    };
    // SAFETY: it was just exported, and is taken once.
    let mut body = unsafe { message::import_body(export(frames.into_iter().collect())) };
    let mut next = || {
        let frame = http_body_util::BodyExt::frame(&mut body);
        match poll(frame) {
            Poll::Ready(frame) => frame,
            Poll::Pending => unreachable!("it is ready"),
        }
    };
    assert_eq!(next().unwrap().unwrap().into_data().unwrap(), "one");
    assert_eq!(next().unwrap().unwrap().into_trailers().unwrap()["x-sum"], "3");
    assert!(next().unwrap().is_err());
    assert!(next().is_none(), "nothing comes after an error");
    // SAFETY: as above.
    drop(unsafe { message::import_body(export(Vec::new())) });
    // SAFETY: as above.
    drop(unsafe { message::import_body(message::export_body(Body::empty(), context(&runtime))) });
}

/// Never called: a struct that is too short is not used at all.
unsafe extern "C" fn never(_: *mut c_void) {
    std::process::abort();
}
unsafe extern "C" fn never_polled(_: *mut c_void, _: *const abi::Waker, _: *mut abi::Buffer) -> u32 {
    std::process::abort();
}
unsafe extern "C" fn never_answered(
    _: *mut c_void,
    _: *const abi::Waker,
    _: *mut abi::Response,
    _: *mut abi::Buffer,
) -> u32 {
    std::process::abort();
}
unsafe extern "C" fn never_remaining(_: *const c_void, _: *mut u64) -> u32 {
    std::process::abort();
}

#[test]
fn structs_that_are_too_short_are_not_used() {
    static FUTURE: abi::FutureVtable = abi::FutureVtable {
        size: sized::FUTURE - 1,
        poll: never_polled,
        drop: never,
    };
    static ANSWER: abi::ResponseFutureVtable = abi::ResponseFutureVtable {
        size: sized::RESPONSE_FUTURE - 1,
        poll: never_answered,
        drop: never,
    };
    static BODY: abi::BodyVtable = abi::BodyVtable {
        size: sized::BODY - 1,
        poll: never_polled,
        remaining: never_remaining,
        drop: never,
    };
    let data = std::ptr::null_mut();
    for vtable in [&raw const FUTURE, std::ptr::null()] {
        // SAFETY: what is too short, or not there, may be given.
        let imported = unsafe { future::Imported::new(abi::Future { data, vtable }) };
        assert!(matches!(poll(imported), Poll::Ready(Answer::Failed(text)) if text == sized::SHORT));
    }
    for vtable in [&raw const ANSWER, std::ptr::null()] {
        // SAFETY: as above.
        let imported = unsafe { message::Imported::new(abi::ResponseFuture { data, vtable }) };
        assert!(matches!(poll(imported), Poll::Ready(Err(Panicked(text))) if text == sized::SHORT));
    }
    for vtable in [&raw const BODY, std::ptr::null()] {
        // SAFETY: as above.
        let body = unsafe { message::import_body(abi::Body { data, vtable }) };
        let read = poll(axum::body::to_bytes(body, 10));
        assert!(matches!(read, Poll::Ready(Err(error)) if error.to_string().contains(sized::SHORT)));
    }
}

#[test]
fn an_answer_that_says_it_is_shorter_is_not_read() {
    unsafe extern "C" fn short(
        _: *mut c_void,
        _: *const abi::Waker,
        out: *mut abi::Response,
        _: *mut abi::Buffer,
    ) -> u32 {
        // SAFETY: the place is there; only its first field is written, as a maker of another boundary might.
        unsafe { (&raw mut (*out).size).write(size_of::<usize>()) };
        abi::READY
    }
    unsafe extern "C" fn nothing(_: *mut c_void) {}
    static ANSWER: abi::ResponseFutureVtable = abi::ResponseFutureVtable {
        size: sized::RESPONSE_FUTURE,
        poll: short,
        drop: nothing,
    };
    let (data, vtable) = (std::ptr::null_mut(), &raw const ANSWER);
    // SAFETY: its functions do nothing with the data.
    let imported = unsafe { message::Imported::new(abi::ResponseFuture { data, vtable }) };
    assert!(matches!(poll(imported), Poll::Ready(Err(Panicked(text))) if text == sized::SHORT));
}

#[test]
fn more_headers_than_http_allows_are_an_error() {
    let runtime = runtime();
    let header = abi::Header {
        name: buffer::lend(b"x-one"),
        value: buffer::lend(b"1"),
    };
    let headers = vec![header; if cfg!(miri) { 33_000 } else { 70_000 }];
    let head = abi::RequestHead {
        size: size_of::<abi::RequestHead>(),
        method: buffer::lend(b"GET"),
        uri: buffer::lend(b"/"),
        headers: headers.as_ptr(),
        headers_len: headers.len(),
        principal: buffer::lend(b""),
        span: 0,
    };
    let body = message::export_body(Body::empty(), context(&runtime));
    // SAFETY: head and headers live here, the body is given away.
    let refused = unsafe { message::request(&raw const head, body) };
    assert_eq!(refused.unwrap_err(), "there are more headers than HTTP allows");
    let short = abi::RequestHead {
        size: sized::HEAD - 1,
        ..head
    };
    let body = message::export_body(Body::empty(), context(&runtime));
    // SAFETY: as above.
    let refused = unsafe { message::request(&raw const short, body) };
    assert_eq!(refused.unwrap_err(), sized::SHORT);
}
