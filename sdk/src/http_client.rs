//! Outgoing HTTP through the host's guarded client: deny by default, opened by the plugin's `http:{field}` capabilities
//! and `egress` fields; private addresses, redirects and oversized answers are refused unless the operator says so.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    config::Secret,
    error::Error,
    host::Services,
    service::{ServiceError, service},
};

service! {
    /// The host's guarded HTTP client. Capability: `http:…`.
    pub trait HttpService = 1, serve_http {
        /// Sends one request and reads the whole answer.
        1 => fn send(request: OutgoingRequest) -> IncomingResponse;
    }
}

/// One outgoing request, as it crosses the boundary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutgoingRequest {
    /// HTTP method.
    pub method: String,
    /// Absolute URL, `http` or `https`.
    pub url: Url,
    /// Headers in order.
    pub headers: Vec<(String, Bytes)>,
    /// Body; empty means none.
    pub body: Bytes,
    /// Longest wait for the whole answer, in milliseconds.
    pub timeout_ms: u64,
    /// Longest answer in bytes; a longer one is an error.
    pub max_bytes: u64,
    /// Redirects to follow, each checked like a first request.
    pub redirects: u8,
}

/// One answer, as it crosses the boundary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IncomingResponse {
    /// HTTP status.
    pub status: u16,
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// Headers in order.
    pub headers: Vec<(String, Bytes)>,
    /// Body.
    pub body: Bytes,
}

/// Outgoing HTTP. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    services: Arc<dyn Services>,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: {cause}")]
pub struct SendError {
    method: Method,
    url: String,
    cause: ServiceError,
}

impl SendError {
    /// The host's reason.
    pub fn cause(&self) -> &ServiceError {
        &self.cause
    }
}

impl Http {
    pub(crate) fn new(services: Arc<dyn Services>) -> Self {
        Self { services }
    }

    /// A GET request; `.await` sends it.
    pub fn get(&self, url: Url) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A POST request.
    pub fn post(&self, url: Url) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A request with any method.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        RequestBuilder {
            services: Arc::clone(&self.services),
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            max_bytes: 8 << 20,
            redirects: 0,
            invalid: None,
        }
    }
}

/// A request being made. `.await` sends it.
#[must_use = "a request is sent by awaiting it"]
pub struct RequestBuilder {
    services: Arc<dyn Services>,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    max_bytes: u64,
    redirects: u8,
    invalid: Option<String>,
}

impl RequestBuilder {
    /// Sets a header. An invalid value makes the request fail when it is sent.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => self.invalid = Some(format!("header `{name}` cannot be sent")),
        }
        self
    }

    /// `Authorization: Bearer …`.
    pub fn bearer(self, token: &Secret) -> Self {
        let value = format!("Bearer {}", token.expose());
        self.header("authorization", &value)
    }

    /// A JSON body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = bytes.into(),
            Err(error) => self.invalid = Some(format!("the body cannot be written as JSON: {error}")),
        }
        self.header("content-type", "application/json")
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Longest wait for the whole answer; 10 s unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Longest answer in bytes; 8 MiB unless said.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Follows up to `count` redirects; none unless said.
    pub fn redirects(mut self, count: u8) -> Self {
        self.redirects = count;
        self
    }

    async fn send(self) -> Result<HttpResponse, SendError> {
        let (method, place) = (self.method.clone(), place(&self.url));
        let failed = |cause| SendError {
            method: method.clone(),
            url: place.clone(),
            cause,
        };
        if let Some(message) = self.invalid {
            return Err(failed(ServiceError::invalid(message)));
        }
        let request = OutgoingRequest {
            method: self.method.to_string(),
            url: self.url,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes())))
                .collect(),
            body: self.body,
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            max_bytes: self.max_bytes,
            redirects: self.redirects,
        };
        let answer = self.services.http().send(request).await.map_err(&failed)?;
        let status = StatusCode::from_u16(answer.status)
            .map_err(|_| failed(ServiceError::invalid(format!("status {} is not HTTP", answer.status))))?;
        let headers = answer
            .headers
            .iter()
            .filter_map(|(name, value)| {
                Some((
                    HeaderName::try_from(name.as_str()).ok()?,
                    HeaderValue::from_bytes(value).ok()?,
                ))
            })
            .collect();
        Ok(HttpResponse {
            status,
            url: place,
            headers,
            body: answer.body,
        })
    }
}

impl IntoFuture for RequestBuilder {
    type Output = Result<HttpResponse, SendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    status: StatusCode,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpResponse {
    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Scheme, host and path it came from: no query, which may hold secrets.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON; one that does not parse is a permanent error.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::permanent(format!("{} answered JSON that does not fit: {error}", self.url)))
    }

    /// `Retry-After` in seconds form.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self
            .headers
            .get(http::header::RETRY_AFTER)?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Turns a status into an [`Error`] with its fate: 408, 425, 429 and 5xx may be tried again (no earlier than
    /// `Retry-After` says), every other 4xx is permanent.
    pub fn error_for_status(self) -> Result<Self, Error> {
        let status = self.status;
        if !(status.is_client_error() || status.is_server_error()) {
            return Ok(self);
        }
        let message = format!("{} answered {status}", self.url);
        let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        Err(match (again, self.retry_after()) {
            (true, Some(after)) => Error::retry(after, message),
            (true, None) => Error::transient(message),
            (false, _) => Error::permanent(message),
        })
    }
}

fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!(
        "{}://{}{port}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}
