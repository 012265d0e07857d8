//! A connection that must send its first byte in time, and must not idle between requests.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Requests of one connection that are in flight: while there is one, its connection is not idle.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<AtomicUsize>);

/// One request in flight; ends when the response's body ends.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Arc<AtomicUsize>);

impl InFlight {
    pub(crate) fn enter(&self) -> InFlightGuard {
        self.0.fetch_add(1, Ordering::SeqCst);
        InFlightGuard(Arc::clone(&self.0))
    }

    fn none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pin_project! {
    /// See the module text.
    pub(crate) struct DeadlineIo<T> {
        #[pin]
        inner: T,
        #[pin]
        deadline: Sleep,
        idle: Duration,
        in_flight: InFlight,
    }
}

impl<T> DeadlineIo<T> {
    pub(crate) fn new(inner: T, first_byte: Duration, idle: Duration, in_flight: InFlight) -> Self {
        Self {
            inner,
            deadline: sleep(first_byte),
            idle,
            in_flight,
        }
    }
}

impl<T: AsyncRead> AsyncRead for DeadlineIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        let before = buf.filled().len();
        if let Poll::Ready(done) = this.inner.poll_read(cx, buf) {
            if buf.filled().len() > before {
                this.deadline.as_mut().reset(Instant::now() + *this.idle);
            }
            return Poll::Ready(done);
        }
        while this.deadline.as_mut().poll(cx).is_ready() {
            if this.in_flight.none() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection was idle")));
            }
            this.deadline.as_mut().reset(Instant::now() + *this.idle);
        }
        Poll::Pending
    }
}

impl<T: AsyncWrite> AsyncWrite for DeadlineIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut this = self.project();
        let written = this.inner.poll_write(cx, buf);
        if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
            this.deadline.as_mut().reset(Instant::now() + *this.idle);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut this = self.project();
        let written = this.inner.poll_write_vectored(cx, bufs);
        if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
            this.deadline.as_mut().reset(Instant::now() + *this.idle);
        }
        written
    }
}
