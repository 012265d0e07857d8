//! `/docs`: the merged OpenAPI document as a page, from files that are compiled in.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use axum::{
    body::Body,
    extract::Path,
    response::{IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jackfield_edge::content_security_policy;
use utoipa_swagger_ui::{Config, serve};

use crate::answer;

/// Without the badge that has another host check the document.
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["/openapi.json"]).validator_url("none")));

/// The one style that its script writes into the page, as vendored.
const STYLE: &str = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='";
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = content_security_policy(&[], &[], &[STYLE.to_owned()]);
    // Of base64 and what we wrote: always a header.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'self'"))
});

/// Its files are named from a folder on.
pub(crate) async fn page() -> Redirect {
    Redirect::permanent("/docs/")
}

/// `/docs/`.
pub(crate) async fn index() -> Response {
    file("index.html")
}

/// A file of the page.
pub(crate) async fn other(Path(name): Path<String>) -> Response {
    file(&name)
}

fn file(name: &str) -> Response {
    match serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => {
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            let mut response = Body::from(bytes).into_response();
            response
                .headers_mut()
                .insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
            if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            response
        }
        Ok(None) => answer::error(StatusCode::NOT_FOUND, "NotFound", "there is no such file"),
        Err(error) => {
            tracing::error!(%error, name, "a file of the page /docs cannot be read");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal", "the file cannot be read")
        }
    }
}
