//! One call on its way: what is sent, and what a redirect makes of it. Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jackfield_sdk::{http_client::OutgoingRequest, service::ServiceError};
use url::Url;

use crate::grant::Grant;

/// Headers that belong to the connection: the host sets them.
const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that may go to another origin: no other is known to hold no secret.
const HARMLESS: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::RANGE,
    header::USER_AGENT,
];

/// What is sent next.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    left: u8,
}

impl Hop {
    /// The first one; what is not HTTP is refused.
    pub fn first(request: OutgoingRequest) -> Result<Self, ServiceError> {
        let method: Method = request
            .method
            .parse()
            .map_err(|_| ServiceError::invalid(format!("`{}` is no method", request.method)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::try_from(name).map_err(|_| ServiceError::invalid("a header's name is not HTTP"))?;
            let value =
                HeaderValue::from_bytes(value).map_err(|_| ServiceError::invalid("a header's value is not HTTP"))?;
            if OURS.contains(&name.as_str()) {
                return Err(ServiceError::invalid(format!(
                    "the host sets the header `{name}`; leave it out"
                )));
            }
            headers.append(name, value);
        }
        Ok(Self {
            method,
            url: request.url,
            headers,
            body: request.body,
            left: request.redirects,
        })
    }

    /// Moves on when the answer is a redirect that is to be followed; false means that the answer is the last one.
    /// Neither headers that may hold credentials nor a body go to another origin, and nothing goes from https to http.
    pub fn follow(&mut self, status: u16, location: Option<&str>) -> Result<bool, ServiceError> {
        if self.left == 0 || !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        let Some(next) = location.and_then(|location| self.url.join(location).ok()) else {
            return Ok(false);
        };
        if self.url.scheme() == "https" && next.scheme() == "http" {
            return Err(ServiceError::invalid("a redirect from https to http is not followed"));
        }
        let keeps_body = matches!(status, 307 | 308) && !self.body.is_empty();
        if Grant::of(&next) != Grant::of(&self.url) {
            if keeps_body {
                return Err(ServiceError::invalid(
                    "a redirect that sends the body to another origin is not followed",
                ));
            }
            let kept = HARMLESS.into_iter().filter_map(|name| {
                let value = self.headers.remove(&name)?;
                Some((name, value))
            });
            self.headers = kept.collect();
        }
        if matches!(status, 301..=303) && self.method != Method::HEAD {
            (self.method, self.body) = (Method::GET, Bytes::new());
            self.headers.remove(header::CONTENT_TYPE);
        }
        self.url = next;
        self.left -= 1;
        Ok(true)
    }
}
