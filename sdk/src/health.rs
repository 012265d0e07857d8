//! Whether a plugin is well, and what to do when it is not. Unhealthy is not failed: the plugin keeps serving.

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    http_client::{HttpResponse, SendError},
};

/// A health report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
    /// What is wrong and what to do; nothing secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything works.
    Healthy,
    /// It serves, but something it needs does not answer.
    Degraded,
    /// It cannot do its work.
    Unhealthy,
}

impl Health {
    /// Everything works.
    pub fn ok() -> Self {
        Self {
            status: HealthStatus::Healthy,
            detail: None,
        }
    }

    /// It serves, but something it needs does not answer.
    pub fn degraded(detail: impl Into<String>) -> Self {
        Self {
            status: HealthStatus::Degraded,
            detail: Some(detail.into()),
        }
    }

    /// It cannot do its work.
    pub fn unhealthy(detail: impl Into<String>) -> Self {
        Self {
            status: HealthStatus::Unhealthy,
            detail: Some(detail.into()),
        }
    }
}

impl From<Result<HttpResponse, SendError>> for Health {
    fn from(answer: Result<HttpResponse, SendError>) -> Self {
        match answer {
            Ok(response) if response.status().is_success() => Self::ok(),
            Ok(response) => Self::degraded(format!("{} answered {}", response.url(), response.status())),
            Err(error) => Self::degraded(error.to_string()),
        }
    }
}

impl From<Error> for Health {
    fn from(error: Error) -> Self {
        Self::unhealthy(error.to_string())
    }
}
