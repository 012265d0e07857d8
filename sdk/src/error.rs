//! What can go wrong in a plugin, and what the host does about it.
//!
//! One type, three fates: *transient* (tried again on the handler's schedule), *retry* (tried again no earlier than
//! stated), *permanent* (goes dead at once). Any `std::error::Error` becomes a transient [`Error`] through `?`, so a
//! handler only says more when it knows more. In a route, an [`Error`] answers as `application/problem+json`
//! (RFC 9457) with the status it names, 503 when a service was away, 500 otherwise; its causes are logged, never sent.

use std::{fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The result of everything a plugin does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure and its fate. See the module text.
pub struct Error {
    fate: Fate,
    status: StatusCode,
    code: Option<String>,
    message: String,
    tell: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the engine does with a failed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Tried again with exponential back-off.
    Transient,
    /// Tried again no earlier than after this many milliseconds (a provider's `Retry-After`).
    Retry {
        /// Milliseconds from now.
        after_ms: u64,
    },
    /// Not tried again.
    Permanent,
}

impl Error {
    /// A failure that another attempt may cure.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Fate::Transient, StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// A failure that goes away after `after` at the earliest.
    pub fn retry(after: Duration, message: impl Into<String>) -> Self {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self::new(Fate::Retry { after_ms }, StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// A failure that no other attempt cures: the job goes dead at once.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(Fate::Permanent, StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The caller's mistake, answered with `status` and `message`; permanent in a job.
    pub fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(Fate::Permanent, status, message)
    }

    /// Adds what may be told to the people who wait (`Death::for_people`).
    pub fn tell(mut self, text: impl Into<String>) -> Self {
        self.tell = Some(text.into());
        self
    }

    /// Adds a stable code such as `JF-S001`.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Prefixes the message with what was being done.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What the engine does with it.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    pub(crate) fn is_fenced(&self) -> bool {
        use crate::service::ServiceError;
        self.source
            .as_ref()
            .and_then(|source| source.downcast_ref::<ServiceError>())
            == Some(&ServiceError::Fenced)
    }

    /// The wire form: message and causes in one text, no backtrace.
    pub fn to_failure(&self) -> Failure {
        Failure {
            fate: self.fate,
            message: self.full(),
            tell: self.tell.clone(),
            code: self.code.clone(),
        }
    }

    fn new(fate: Fate, status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            fate,
            status,
            code: None,
            message: message.into(),
            tell: None,
            source: None,
        }
    }

    fn full(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source.as_deref().and_then(std::error::Error::source);
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fate, self.full())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full())
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        use crate::{http_client::SendError, service::ServiceError};
        let any = &error as &dyn std::any::Any;
        let refused = any
            .downcast_ref::<ServiceError>()
            .or_else(|| any.downcast_ref::<SendError>().map(SendError::cause));
        let fate = refused.map_or(Fate::Transient, ServiceError::fate);
        let status = match refused {
            Some(ServiceError::Unavailable { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut made = Self::new(fate, status, error.to_string());
        made.source = Some(Box::new(error));
        made
    }
}

/// A failure as the engine stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happens next.
    pub fate: Fate,
    /// What happened, with its causes. No secrets.
    pub message: String,
    /// What may be told to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tell: Option<String>,
    /// A stable code (`JF-…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let mut error = Self::new(failure.fate, StatusCode::INTERNAL_SERVER_ERROR, failure.message);
        error.tell = failure.tell;
        error.code = failure.code;
        error
    }
}

/// An error answer, `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, utoipa::IntoResponses)]
#[response(
    status = "default",
    description = "What went wrong",
    content_type = "application/problem+json"
)]
pub struct Problem {
    /// HTTP status code.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What happened and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// A stable code (`JF-…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Problem {
    /// A problem with its status's own title.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: Some(detail.into()),
            code: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let own_words = self.status.is_client_error();
        let status = match self.fate {
            Fate::Retry { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => self.status,
        };
        if !own_words {
            tracing::error!(error = %self.full(), "route failed");
        }
        let mut problem = Problem::new(status, if own_words { self.message.clone() } else { String::new() });
        if !own_words {
            problem.detail.clone_from(&self.tell);
        }
        problem.code = self.code;
        let mut response = problem.into_response();
        if let Fate::Retry { after_ms } = self.fate {
            let seconds = after_ms.div_ceil(1000);
            response
                .headers_mut()
                .insert(http::header::RETRY_AFTER, http::HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ServiceError;

    #[test]
    fn a_service_that_is_away_is_no_fault_of_the_route() {
        let status = |error: ServiceError| Error::from(error).into_response().status();
        let away = status(ServiceError::unavailable("the database does not answer"));
        assert_eq!(away, StatusCode::SERVICE_UNAVAILABLE);
        let wrong = ServiceError::Invalid {
            message: "no such table".to_owned(),
        };
        assert_eq!(status(wrong), StatusCode::INTERNAL_SERVER_ERROR);
        let other = Error::from(std::io::Error::other("a bug")).into_response();
        assert_eq!(other.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
