//! Talking to the running host through its control socket.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("no host runs on `{0}`; start it with `jackfield serve`, or set JACKFIELD_DATA_DIR")]
    NotRunning(String),
    #[error("the host does not answer: {0}")]
    Broken(String),
    #[error("{0}")]
    Refused(String),
}

/// Sends one request; gives the JSON of a good answer.
pub(crate) async fn call(
    data_dir: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, ControlError> {
    let socket = data_dir.join("control.sock");
    let stream = UnixStream::connect(&socket)
        .await
        .map_err(|_| ControlError::NotRunning(data_dir.display().to_string()))?;
    let broken = |error: hyper::Error| ControlError::Broken(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    tokio::spawn(connection);
    let text = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "control")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(text)))
        .map_err(|error| ControlError::Broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let detail = value.get("detail").and_then(Value::as_str).map(str::to_owned);
    Err(ControlError::Refused(detail.unwrap_or_else(|| {
        format!(
            "the host answered {}",
            status.canonical_reason().unwrap_or(StatusCode::BAD_GATEWAY.as_str())
        )
    })))
}
