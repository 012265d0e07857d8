//! Reading a request body within limits.
//!
//! A server that answers before it has read what is still being sent makes the sender see a reset instead of the answer, so
//! whoever refuses a body discards it first ([`discard`]).

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;

/// Most bytes that are discarded.
const DISCARD_BYTES: u64 = 64 << 20;
/// Longest time spent on discarding.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Most bytes that an announced length gets before anything has come: half-open posts by the thousand must not fill memory.
const FIRST_BUFFER: usize = 32 << 10;

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadBodyError {
    /// It has more bytes than allowed. The rest was discarded.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The sender went away.
    #[error("the body broke off")]
    Aborted,
}

/// Reads a body of at most `limit` bytes within `time`. `Content-Length` is believed only when it is too large.
pub async fn read_body(mut body: Body, limit: usize, time: Duration) -> Result<Bytes, ReadBodyError> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        discard(body).await;
        return Err(ReadBodyError::TooLarge { limit });
    }
    let read = async {
        let mut bytes = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0).min(FIRST_BUFFER));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ReadBodyError::Aborted)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > limit {
                return Err(ReadBodyError::TooLarge { limit });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    let result = tokio::time::timeout(time, read)
        .await
        .map_err(|_| ReadBodyError::Timeout(time))?;
    if matches!(result, Err(ReadBodyError::TooLarge { .. })) {
        discard(body).await;
    }
    result
}

/// Reads and forgets a body, up to 64 MiB or 5 s.
pub async fn discard(mut body: Body) {
    let drain = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            if seen > DISCARD_BYTES {
                break;
            }
        }
    };
    if tokio::time::timeout(DISCARD_TIME, drain).await.is_err() {
        tracing::debug!("a refused body was still arriving when its time was up");
    }
}

pin_project_lite::pin_project! {
    /// A body that keeps something alive until its last byte is sent or it is dropped. Length and end stay known.
    pub struct Keeping<G> {
        #[pin]
        body: Body,
        kept: G,
    }
}

impl<G: Send + 'static> Keeping<G> {
    /// `body`, keeping `kept`.
    pub fn wrap(body: Body, kept: G) -> Body {
        Body::new(Self { body, kept })
    }
}

impl<G> http_body::Body for Keeping<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
