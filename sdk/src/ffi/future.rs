//! Futures over the boundary, in both directions.

use std::{
    ffi::c_void,
    future::Future,
    mem::size_of,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use jackfield_abi as abi;
use tokio::runtime::{EnterGuard, Handle};

use super::{buffer, guard, quiet, sized, trace, waker};
use crate::service::BoxFuture;

/// Where code of this side runs, whichever thread calls it.
pub(super) struct Context {
    pub(super) handle: Handle,
    /// On the plugin's side: where its log lines go.
    pub(super) log: Option<trace::Log>,
}

impl Context {
    /// Until the guard is dropped, this thread is inside this side's runtime.
    pub(super) fn enter(&self) -> (EnterGuard<'_>, Option<trace::Entered>) {
        (self.handle.enter(), self.log.as_ref().map(trace::Log::enter))
    }
}

/// How the other side's future ended.
pub(super) enum Answer {
    Ready(Bytes),
    Failed(Bytes),
    Panicked(String),
}

struct Exported {
    future: Option<BoxFuture<'static, Result<Bytes, Bytes>>>,
    context: Arc<Context>,
}

static EXPORTED: abi::FutureVtable = abi::FutureVtable {
    size: size_of::<abi::FutureVtable>(),
    poll,
    drop: drop_exported,
};

/// Ours, given to the other side.
pub(super) fn export(future: BoxFuture<'static, Result<Bytes, Bytes>>, context: Arc<Context>) -> abi::Future {
    let exported = Exported {
        future: Some(future),
        context,
    };
    abi::Future {
        data: Box::into_raw(Box::new(exported)).cast(),
        vtable: &raw const EXPORTED,
    }
}

unsafe extern "C" fn poll(data: *mut c_void, waker: *const abi::Waker, out: *mut abi::Buffer) -> u32 {
    // SAFETY: `data` came from `export`; one thread polls at a time.
    let exported = unsafe { &mut *data.cast::<Exported>() };
    let polled = guard(|| {
        let _entered = exported.context.enter();
        let Some(future) = exported.future.as_mut() else {
            return Poll::Ready(Err(Bytes::from_static(b"a finished future was polled again")));
        };
        // SAFETY: the waker is lent for this call.
        let waker = unsafe { waker::borrow(waker) };
        let polled = future.as_mut().poll(&mut TaskContext::from_waker(&waker));
        if polled.is_ready() {
            exported.future = None;
        }
        polled
    });
    let (status, value) = match polled {
        Ok(Poll::Pending) => return abi::PENDING,
        Ok(Poll::Ready(Ok(value))) => (abi::READY, value),
        Ok(Poll::Ready(Err(value))) => (abi::FAILED, value),
        Err(text) => (abi::PANICKED, text.into()),
    };
    // SAFETY: the caller gives a place for one buffer.
    unsafe { out.write(buffer::give(value)) };
    status
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

/// Theirs, as a future of ours.
pub(super) struct Imported {
    /// None when it cannot be used.
    future: Option<abi::Future>,
    done: bool,
}

// SAFETY: the rules let every object be used from any thread, one at a time.
unsafe impl Send for Imported {}

impl Imported {
    /// # Safety
    /// `future` follows the rules of [`abi::Future`] and is not used again.
    pub(super) unsafe fn new(future: abi::Future) -> Self {
        // SAFETY: the caller's promise.
        let usable = unsafe { sized::reaches(future.vtable, sized::FUTURE) };
        Self {
            future: usable.then_some(future),
            done: false,
        }
    }
}

impl Future for Imported {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Answer> {
        if self.done {
            return Poll::Ready(Answer::Failed(Bytes::from_static(
                b"a finished future was polled again",
            )));
        }
        let Some(future) = &self.future else {
            return Poll::Ready(Answer::Failed(Bytes::from_static(sized::SHORT.as_bytes())));
        };
        let lent = waker::Lent::new(cx.waker());
        let mut out = buffer::EMPTY;
        // SAFETY: `new`'s promise; the waker and the place live for this call.
        let status = unsafe { ((*future.vtable).poll)(future.data, lent.as_abi(), &raw mut out) };
        if status == abi::PENDING {
            return Poll::Pending;
        }
        self.done = true;
        // SAFETY: any other status has set `out`, which is ours now.
        let answer = unsafe {
            match status {
                abi::READY => Answer::Ready(buffer::take(out)),
                abi::PANICKED => Answer::Panicked(buffer::take_text(out)),
                _ => Answer::Failed(buffer::take(out)),
            }
        };
        Poll::Ready(answer)
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
