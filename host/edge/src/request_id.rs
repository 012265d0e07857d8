//! Request id and W3C trace context (<https://www.w3.org/TR/trace-context/>): taken when valid, made otherwise.

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderName, HeaderValue};
use tracing::Span;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Names a request. Gives the span of everything that happens inside it, and the id for the answer.
pub(crate) fn name(request: &Request<Body>) -> (Span, Option<HeaderValue>) {
    let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let parent = header(&TRACEPARENT).and_then(trace_of);
    let (mut id_text, mut trace_text) = (Uuid::encode_buffer(), Uuid::encode_buffer());
    let id = match header(&REQUEST_ID).filter(|id| acceptable(id)) {
        Some(id) => id,
        None => Uuid::now_v7().as_hyphenated().encode_lower(&mut id_text),
    };
    let trace = match parent {
        Some(trace) => trace,
        None => Uuid::new_v4().as_simple().encode_lower(&mut trace_text),
    };
    let span = tracing::info_span!("request", request_id = id, trace_id = trace);
    (span, HeaderValue::from_str(id).ok())
}

/// Tells the caller the id.
pub(crate) fn tell(id: Option<HeaderValue>, response: &mut Response) {
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

fn acceptable(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Trace id of a version 00 header.
fn trace_of(text: &str) -> Option<&str> {
    let mut parts = text.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let valid = version == "00"
        && parts.next().is_none()
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2);
    valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_of(good), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(trace_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn request_ids() {
        assert!(acceptable("a-b_c.9"));
        assert!(!acceptable("") && !acceptable("a b") && !acceptable(&"x".repeat(129)));
    }
}
