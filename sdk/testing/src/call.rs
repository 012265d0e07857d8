//! Calls to routes, as whoever the test likes.

use std::{
    future::{Future, IntoFuture},
    net::IpAddr,
    pin::Pin,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use jackfield_edge::ClientAddr;
use jackfield_sdk::{Principal, PrincipalKind, principal::ALL};
use serde::{Serialize, de::DeserializeOwned};

use crate::host::TestHost;

impl TestHost {
    /// A GET; `.await` sends it.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// A POST.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// Any method. Nobody is signed in unless it says so.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            host: self,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            principal: None,
            address: None,
        }
    }

    /// Puts a request through the plugins as the host does: route table, policy, handler.
    pub(crate) async fn serve(&self, request: Request<Body>) -> Reply {
        let boot = self.boot();
        let answered = tokio::select! {
            () = boot.process.died() => panic!("the host was killed while it answered"),
            answered = boot.plugins.serve(request) => answered,
        };
        let response = answered.unwrap_or_else(|_| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        });
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.unwrap_or_else(|error| panic!("the answer breaks off: {error}")),
        }
    }
}

/// A request to a route. `.await` sends it.
#[must_use = "a call is sent by awaiting it"]
pub struct Call<'h> {
    host: &'h TestHost,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    principal: Option<Principal>,
    address: Option<IpAddr>,
}

impl Call<'_> {
    /// As a person who is signed in, in their own organisation, with a session of the same name.
    pub fn as_user(self, id: &str) -> Self {
        self.as_principal(Principal {
            id: id.to_owned(),
            kind: PrincipalKind::User,
            scopes: vec![ALL.to_owned()],
            user: Some(id.to_owned()),
            organization: Some(id.to_owned()),
            session: Some(id.to_owned()),
        })
    }

    /// As an API key of a person, with these scopes.
    pub fn as_api_key(self, id: &str, scopes: &[&str]) -> Self {
        self.as_principal(Principal {
            id: id.to_owned(),
            kind: PrincipalKind::ApiKey,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            user: Some(id.to_owned()),
            organization: Some(id.to_owned()),
            session: None,
        })
    }

    /// As the operator, who holds every scope and is nobody's.
    pub fn as_operator(self) -> Self {
        self.as_principal(Principal {
            id: "operator".to_owned(),
            kind: PrincipalKind::Operator,
            scopes: Vec::new(),
            user: None,
            organization: None,
            session: None,
        })
    }

    /// As anybody.
    pub fn as_principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// From this address. Panics when it is none.
    pub fn from_address(mut self, address: &str) -> Self {
        let parsed = address.parse();
        self.address = Some(parsed.unwrap_or_else(|_| panic!("`{address}` is no IP address")));
        self
    }

    /// A JSON body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.body = written(body);
        self.header("content-type", "application/json")
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header. Panics when it is not HTTP.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        set(&mut self.headers, name, value);
        self
    }

    async fn send(self) -> Reply {
        let mut request = request(self.method, &self.path, self.headers, self.body);
        if let Some(principal) = self.principal {
            request.extensions_mut().insert(principal);
        }
        if let Some(address) = self.address {
            request.extensions_mut().insert(ClientAddr::new(address));
        }
        self.host.serve(request).await
    }
}

impl<'h> IntoFuture for Call<'h> {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// What the host answered.
#[derive(Clone)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    /// Status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of a header, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics when it does not fit.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("the answer is another JSON: {error}\n{self:?}"),
        }
    }

    /// Panics with the whole answer when the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

pub(crate) fn request(method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Request<Body> {
    let built = Request::builder().method(method).uri(path).body(Body::from(body));
    let mut request = built.unwrap_or_else(|error| panic!("`{path}` is no path: {error}"));
    *request.headers_mut() = headers;
    request
}

pub(crate) fn written<T: Serialize + ?Sized>(body: &T) -> Bytes {
    serde_json::to_vec(body)
        .unwrap_or_else(|error| panic!("the body is no JSON: {error}"))
        .into()
}

pub(crate) fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => headers.insert(name, value),
        _ => panic!("`{name}: {value}` is no header"),
    };
}
