//! Request id and W3C trace context (<https://www.w3.org/TR/trace-context/>): taken when valid, made otherwise.

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderName, HeaderValue};
use tracing::Span;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Names of a request, in its extensions and in every log line inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// `X-Request-Id`.
    pub request_id: String,
    /// 32 hex digits.
    pub trace_id: String,
    /// Our span: 16 hex digits.
    pub span_id: String,
    /// `00`, or `01` when the caller samples.
    pub flags: String,
}

impl RequestContext {
    fn of(request: &Request<Body>) -> Self {
        let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let request_id = header(&REQUEST_ID).filter(|id| acceptable(id));
        let parent = header(&TRACEPARENT).and_then(parse_traceparent);
        Self {
            request_id: request_id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
            trace_id: parent
                .as_ref()
                .map_or_else(|| Uuid::new_v4().simple().to_string(), |(trace, _)| trace.clone()),
            span_id: format!("{:016x}", Uuid::new_v4().as_u64_pair().0),
            flags: parent.map_or_else(|| "00".to_owned(), |(_, flags)| flags),
        }
    }

    /// What is sent on to services we call.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }
}

/// Names a request: its context goes into its extensions. Gives the span of everything that happens inside it, and the id
/// for the answer.
pub(crate) fn name(request: &mut Request<Body>) -> (Span, Option<HeaderValue>) {
    let context = RequestContext::of(request);
    let span = tracing::info_span!("request", request_id = context.request_id, trace_id = context.trace_id);
    let id = HeaderValue::from_str(&context.request_id).ok();
    request.extensions_mut().insert(context);
    (span, id)
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

/// Trace id and flags of a version 00 header.
fn parse_traceparent(text: &str) -> Option<(String, String)> {
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
    valid.then(|| (trace.to_owned(), flags.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            parse_traceparent(good),
            Some(("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "01".to_owned()))
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(parse_traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn request_ids() {
        assert!(acceptable("a-b_c.9"));
        assert!(!acceptable("") && !acceptable("a b") && !acceptable(&"x".repeat(129)));
    }
}
