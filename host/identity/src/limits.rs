//! How often callers may come: people by who they are, over all their sessions and keys; whoever is not signed in by address,
//! and that only where somebody could guess or pile up rows.

use axum::response::Response;
use http::StatusCode;
use jackfield_limits::{ADDRESS, Class, DEVICE, Limit, RateLimits, Verdict};

use crate::caller::refusal;

/// The class that no request is counted in.
const NONE: &str = "none";

/// Rate limits by class.
pub struct Rates {
    limits: RateLimits,
    default: Class,
}

impl Rates {
    /// With the default class's limits.
    pub fn new(limits: RateLimits, default: Vec<Limit>) -> Self {
        Self {
            limits,
            default: Class::new("default", default),
        }
    }

    /// Counts a request of somebody who is known.
    pub(crate) async fn known(&self, class: Option<&str>, person: &str) -> Option<Verdict> {
        let class = match class {
            Some(NONE) => return None,
            Some(name) if name == DEVICE.name() => &DEVICE,
            Some(name) if name == ADDRESS.name() => &ADDRESS,
            _ => &self.default,
        };
        if class.limits().is_empty() {
            return None;
        }
        Some(self.limits.check(class, person).await)
    }

    /// Counts a request of nobody to a public route that names its class.
    pub(crate) async fn anonymous(&self, class: Option<&str>, address: &str) -> Option<Verdict> {
        let class = match class {
            Some(name) if name == DEVICE.name() => &DEVICE,
            Some(name) if name == ADDRESS.name() => &ADDRESS,
            _ => return None,
        };
        Some(self.limits.check(class, address).await)
    }

    /// Counts a credential that opens nothing: guesses are few.
    pub(crate) async fn guess(&self, address: &str) -> Verdict {
        self.limits.check(&ADDRESS, address).await
    }
}

/// The answer to who comes too often; none when they may pass.
pub(crate) fn refuse(verdict: &Verdict) -> Option<Response> {
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &verdict.refusal()?);
    response.headers_mut().extend(verdict.headers());
    Some(response)
}
