//! A cap on requests at once, which sheds with 503 before memory grows. A place is held until the answer's last byte;
//! event streams and upgrades give it back once their head is sent.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{answer::json, body::Keeping};

/// The places.
#[derive(Clone)]
pub(crate) struct Places(Arc<Semaphore>);

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The answer when there is no place.
pub(crate) fn shed() -> Response {
    counter!("jackfield_http_shed_total").increment(1);
    let body = r#"{"error":"Overloaded","detail":"too many requests at once; try again in a second"}"#;
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, body);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Keeps the place for as long as it must be kept.
pub(crate) fn hold(place: OwnedSemaphorePermit, response: Response) -> Response {
    let streams = response.status() == StatusCode::SWITCHING_PROTOCOLS
        || response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if streams {
        return response;
    }
    response.map(|body| Keeping::wrap(body, place))
}
