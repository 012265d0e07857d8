//! Requests, answers and bodies over the boundary. Headers are views into one block on the giving side and are copied once
//! into one block on the taking side; bodies stream with the taker's back-pressure.

use std::{
    ffi::c_void,
    future::Future,
    mem::size_of,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use axum::{BoxError, body::Body};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use jackfield_abi as abi;

use super::{
    buffer::{self, lend, view},
    future::Context,
    guard, quiet, sized, waker,
};
use crate::{instance::Panicked, principal::Principal, service::BoxFuture};

/// Views of a head's headers.
pub(super) fn headers(map: &HeaderMap) -> Vec<abi::Header> {
    map.iter()
        .map(|(name, value)| abi::Header {
            name: lend(name.as_str().as_bytes()),
            value: lend(value.as_bytes()),
        })
        .collect()
}

/// Their headers, copied into one block.
///
/// # Safety
/// `list` points to `len` headers that follow the rules.
unsafe fn header_map(list: *const abi::Header, len: usize) -> Result<HeaderMap, String> {
    if len == 0 {
        return Ok(HeaderMap::new());
    }
    // SAFETY: the caller's promise.
    let list = unsafe { std::slice::from_raw_parts(list, len) };
    let mut block = BytesMut::with_capacity(list.iter().map(|header| header.value.len).sum());
    for header in list {
        // SAFETY: the caller's promise.
        block.extend_from_slice(unsafe { view(header.value) });
    }
    let mut block = block.freeze();
    let too_many = |_| "there are more headers than HTTP allows";
    let mut map = HeaderMap::try_with_capacity(len).map_err(too_many)?;
    for header in list {
        // SAFETY: the caller's promise.
        let name = HeaderName::from_bytes(unsafe { view(header.name) }).map_err(|_| "a header's name is not HTTP")?;
        let value = HeaderValue::from_maybe_shared(block.split_to(header.value.len))
            .map_err(|_| format!("the value of header `{name}` is not HTTP"))?;
        map.try_append(name, value).map_err(too_many)?;
    }
    Ok(map)
}

/// Their request.
///
/// # Safety
/// `head` follows the rules for this call, `body` is taken over.
pub(super) unsafe fn request(head: *const abi::RequestHead, body: abi::Body) -> Result<Request<Body>, String> {
    // SAFETY: the body is ours from here on, whatever becomes of the head.
    let body = unsafe { import_body(body) };
    let mut request = Request::new(body);
    // SAFETY: the caller's promise, for the head and for each view below.
    unsafe {
        if !sized::reaches(head, sized::HEAD) {
            return Err(sized::SHORT.to_owned());
        }
        *request.method_mut() = Method::from_bytes(view((*head).method)).map_err(|_| "the method is not HTTP")?;
        *request.uri_mut() = Uri::try_from(view((*head).uri)).map_err(|_| "the target is not HTTP")?;
        *request.headers_mut() = header_map((*head).headers, (*head).headers_len)?;
        if (*head).principal.len > 0 {
            let principal: Principal = serde_json::from_slice(view((*head).principal))
                .map_err(|error| format!("the principal cannot be read: {error}"))?;
            request.extensions_mut().insert(principal);
        }
    }
    Ok(request)
}

struct Head {
    /// What the views point into. `HeaderMap`'s values do not move while it is not changed.
    map: HeaderMap,
    views: Vec<abi::Header>,
}

/// Our answer, given away.
fn response(response: Response<Body>, context: Arc<Context>) -> abi::Response {
    let (parts, body) = response.into_parts();
    let mut head = Box::new(Head {
        map: parts.headers,
        views: Vec::new(),
    });
    head.views = headers(&head.map);
    let (headers, headers_len) = (head.views.as_ptr(), head.views.len());
    abi::Response {
        size: size_of::<abi::Response>(),
        status: parts.status.as_u16().into(),
        headers,
        headers_len,
        owner: Box::into_raw(head).cast(),
        free: Some(free_head),
        body: export_body(body, context),
    }
}

unsafe extern "C" fn free_head(owner: *mut c_void) {
    // SAFETY: `owner` came from `response`, and the holder frees once.
    let head = unsafe { Box::from_raw(owner.cast::<Head>()) };
    // As in `buffer`: a header's value may have an owner.
    quiet(|| drop(head));
}

/// Their answer.
///
/// # Safety
/// `theirs` follows the rules and is not used again.
unsafe fn take_response(theirs: abi::Response) -> Result<Response<Body>, String> {
    if theirs.size < sized::RESPONSE {
        return Err(sized::SHORT.to_owned());
    }
    // SAFETY: the caller's promise.
    let body = unsafe { import_body(theirs.body) };
    // SAFETY: the caller's promise.
    let headers = unsafe { header_map(theirs.headers, theirs.headers_len) };
    if let Some(free) = theirs.free {
        // SAFETY: the headers are copied; we free once.
        unsafe { free(theirs.owner) }
    }
    let mut response = Response::new(body);
    let status = u16::try_from(theirs.status)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    *response.status_mut() = status.ok_or_else(|| format!("status {} is not HTTP", theirs.status))?;
    *response.headers_mut() = headers?;
    Ok(response)
}

/// An answer on its way.
type Answering = BoxFuture<'static, Result<Response<Body>, Panicked>>;

struct Exported {
    future: Option<Answering>,
    context: Arc<Context>,
}

static EXPORTED: abi::ResponseFutureVtable = abi::ResponseFutureVtable {
    size: size_of::<abi::ResponseFutureVtable>(),
    poll,
    drop: drop_exported,
};

/// Our answer on its way, given to the other side.
pub(super) fn export(future: Answering, context: Arc<Context>) -> abi::ResponseFuture {
    let exported = Exported {
        future: Some(future),
        context,
    };
    abi::ResponseFuture {
        data: Box::into_raw(Box::new(exported)).cast(),
        vtable: &raw const EXPORTED,
    }
}

unsafe extern "C" fn poll(
    data: *mut c_void,
    waker: *const abi::Waker,
    out: *mut abi::Response,
    error: *mut abi::Buffer,
) -> u32 {
    // SAFETY: `data` came from `export`; one thread polls at a time.
    let exported = unsafe { &mut *data.cast::<Exported>() };
    let polled = guard(|| {
        let _entered = exported.context.enter();
        let Some(future) = exported.future.as_mut() else {
            return Poll::Ready(Err(Panicked("a finished answer was polled again".to_owned())));
        };
        // SAFETY: the waker is lent for this call.
        let waker = unsafe { waker::borrow(waker) };
        let polled = future.as_mut().poll(&mut TaskContext::from_waker(&waker));
        if polled.is_ready() {
            exported.future = None;
        }
        polled
    });
    let text = match polled {
        Ok(Poll::Pending) => return abi::PENDING,
        Ok(Poll::Ready(Ok(answer))) => {
            // SAFETY: the caller gives a place for one response.
            unsafe { out.write(response(answer, Arc::clone(&exported.context))) };
            return abi::READY;
        }
        Ok(Poll::Ready(Err(Panicked(text)))) | Err(text) => text,
    };
    // SAFETY: the caller gives a place for one buffer.
    unsafe { error.write(buffer::give(text.into())) };
    abi::PANICKED
}

unsafe extern "C" fn drop_exported(data: *mut c_void) {
    // SAFETY: `data` came from `export`, and the holder drops once.
    let mut exported = unsafe { Box::from_raw(data.cast::<Exported>()) };
    quiet(|| {
        let _entered = exported.context.enter();
        exported.future = None;
    });
    quiet(|| drop(exported));
}

/// Their answer on its way, as a future of ours.
pub(super) struct Imported {
    /// None when it cannot be used.
    future: Option<abi::ResponseFuture>,
    done: bool,
}

// SAFETY: the rules let every object be used from any thread, one at a time.
unsafe impl Send for Imported {}

impl Imported {
    /// # Safety
    /// `future` follows the rules of [`abi::ResponseFuture`] and is not used again.
    pub(super) unsafe fn new(future: abi::ResponseFuture) -> Self {
        // SAFETY: the caller's promise.
        let usable = unsafe { sized::reaches(future.vtable, sized::RESPONSE_FUTURE) };
        Self {
            future: usable.then_some(future),
            done: false,
        }
    }
}

impl Future for Imported {
    type Output = Result<Response<Body>, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.done {
            return Poll::Ready(Err(Panicked("a finished answer was polled again".to_owned())));
        }
        let Some(future) = &self.future else {
            return Poll::Ready(Err(Panicked(sized::SHORT.to_owned())));
        };
        let lent = waker::Lent::new(cx.waker());
        // Zeros are a value of it, of size 0: what an older maker does not write is not read.
        let mut out = std::mem::MaybeUninit::<abi::Response>::zeroed();
        let mut error = buffer::EMPTY;
        // SAFETY: `new`'s promise; waker and places live for this call.
        let status = unsafe { ((*future.vtable).poll)(future.data, lent.as_abi(), out.as_mut_ptr(), &raw mut error) };
        if status == abi::PENDING {
            return Poll::Pending;
        }
        self.done = true;
        Poll::Ready(if status == abi::READY {
            // SAFETY: READY has set `out`, which is ours now.
            unsafe { take_response(out.assume_init()) }.map_err(Panicked)
        } else {
            // SAFETY: any other status has set `error`, which is ours now.
            Err(Panicked(unsafe { buffer::take_text(error) }))
        })
    }
}

impl Drop for Imported {
    fn drop(&mut self) {
        if let Some(future) = &self.future {
            // SAFETY: `new`'s promise; we drop once.
            unsafe { ((*future.vtable).drop)(future.data) }
        }
    }
}

struct ExportedBody {
    body: Option<Body>,
    context: Arc<Context>,
}

static BODY: abi::BodyVtable = abi::BodyVtable {
    size: size_of::<abi::BodyVtable>(),
    poll: poll_body,
    remaining,
    drop: drop_body,
};

static NO_BODY: abi::BodyVtable = abi::BodyVtable {
    size: size_of::<abi::BodyVtable>(),
    poll: poll_nothing,
    remaining: remaining_nothing,
    drop: drop_nothing,
};

/// Our body, given to the other side.
pub(super) fn export_body(body: Body, context: Arc<Context>) -> abi::Body {
    if body.is_end_stream() {
        return abi::Body {
            data: std::ptr::null_mut(),
            vtable: &raw const NO_BODY,
        };
    }
    let exported = ExportedBody {
        body: Some(body),
        context,
    };
    abi::Body {
        data: Box::into_raw(Box::new(exported)).cast(),
        vtable: &raw const BODY,
    }
}

unsafe extern "C" fn poll_nothing(_: *mut c_void, _: *const abi::Waker, _: *mut abi::Buffer) -> u32 {
    abi::ENDED
}

unsafe extern "C" fn remaining_nothing(_: *const c_void, lower: *mut u64) -> u32 {
    // SAFETY: the caller gives a place for one number.
    unsafe { lower.write(0) };
    1
}

unsafe extern "C" fn drop_nothing(_: *mut c_void) {}

unsafe extern "C" fn poll_body(data: *mut c_void, waker: *const abi::Waker, out: *mut abi::Buffer) -> u32 {
    // SAFETY: `data` came from `export_body`; one thread polls at a time.
    let exported = unsafe { &mut *data.cast::<ExportedBody>() };
    let polled = guard(|| {
        let _entered = exported.context.enter();
        let Some(body) = exported.body.as_mut() else {
            return Poll::Ready(None);
        };
        // SAFETY: the waker is lent for this call.
        let waker = unsafe { waker::borrow(waker) };
        let polled = Pin::new(body).poll_frame(&mut TaskContext::from_waker(&waker));
        if let Poll::Ready(None | Some(Err(_))) = polled {
            exported.body = None;
        }
        polled
    });
    let (status, value) = match polled {
        Ok(Poll::Pending) => return abi::PENDING,
        Ok(Poll::Ready(None)) => return abi::ENDED,
        Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
            Ok(data) => (abi::READY, data),
            Err(frame) => (abi::TRAILERS, trailers(frame.into_trailers().unwrap_or_default())),
        },
        Ok(Poll::Ready(Some(Err(error)))) => (abi::FAILED, error.to_string().into()),
        Err(text) => (abi::PANICKED, text.into()),
    };
    // SAFETY: the caller gives a place for one buffer.
    unsafe { out.write(buffer::give(value)) };
    status
}

unsafe extern "C" fn remaining(data: *const c_void, lower: *mut u64) -> u32 {
    // SAFETY: `data` came from `export_body`.
    let exported = unsafe { &*data.cast::<ExportedBody>() };
    let hint = exported.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
    // SAFETY: the caller gives a place for one number.
    unsafe { lower.write(hint.lower()) };
    u32::from(hint.exact().is_some())
}

unsafe extern "C" fn drop_body(data: *mut c_void) {
    // SAFETY: `data` came from `export_body`, and the holder drops once.
    let mut exported = unsafe { Box::from_raw(data.cast::<ExportedBody>()) };
    quiet(|| {
        let _entered = exported.context.enter();
        exported.body = None;
    });
    quiet(|| drop(exported));
}

fn trailers(map: HeaderMap) -> Bytes {
    let mut text = BytesMut::new();
    for (name, value) in &map {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.freeze()
}

fn read_trailers(text: &[u8]) -> HeaderMap {
    let line = |line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        Some((name, value))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// # Safety
/// `body` follows the rules of [`abi::Body`] and is not used again.
pub(super) unsafe fn import_body(body: abi::Body) -> Body {
    // SAFETY: the caller's promise.
    if !unsafe { sized::reaches(body.vtable, sized::BODY) } {
        let broken = futures_util::stream::once(std::future::ready(Err::<Bytes, _>(sized::SHORT)));
        return Body::from_stream(broken);
    }
    let foreign = ForeignBody { body, ended: false };
    if foreign.is_end_stream() {
        return Body::empty();
    }
    Body::new(foreign)
}

struct ForeignBody {
    body: abi::Body,
    ended: bool,
}

// SAFETY: the rules let every object be used from any thread, one at a time.
unsafe impl Send for ForeignBody {}

impl http_body::Body for ForeignBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let lent = waker::Lent::new(cx.waker());
        let mut out = buffer::EMPTY;
        // SAFETY: the body follows the rules; waker and place live for this call.
        let status = unsafe { ((*self.body.vtable).poll)(self.body.data, lent.as_abi(), &raw mut out) };
        // SAFETY: every status but PENDING and ENDED has set `out`, which is ours then.
        Poll::Ready(match status {
            abi::PENDING => return Poll::Pending,
            abi::READY => Some(Ok(Frame::data(unsafe { buffer::take(out) }))),
            abi::TRAILERS => Some(Ok(Frame::trailers(read_trailers(&unsafe { buffer::take(out) })))),
            abi::ENDED => {
                self.ended = true;
                None
            }
            _ => {
                self.ended = true;
                Some(Err(unsafe { buffer::take_text(out) }.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended {
            return SizeHint::with_exact(0);
        }
        let mut lower = 0;
        // SAFETY: the body follows the rules; the place lives for this call.
        let exact = unsafe { ((*self.body.vtable).remaining)(self.body.data, &raw mut lower) };
        if exact == 1 {
            return SizeHint::with_exact(lower);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(lower);
        hint
    }
}

impl Drop for ForeignBody {
    fn drop(&mut self) {
        // SAFETY: the body follows the rules; we drop once.
        unsafe { ((*self.body.vtable).drop)(self.body.data) }
    }
}
