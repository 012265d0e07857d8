//! Whether a plugin may call an address. Pure: no network, so that the test kit refuses what the client refuses.

use std::sync::Arc;

use jackfield_sdk::service::ServiceError;
use url::{Host, Url};

use crate::{address::is_public, grant::Grant};

/// Ports that `http:*` may use.
const PUBLIC_PORTS: [u16; 3] = [80, 443, 8443];

/// What one plugin may call.
#[derive(Debug, Clone)]
pub struct Admission {
    plugin: String,
    grants: Vec<Grant>,
    public: bool,
    allow: Arc<[Grant]>,
}

/// How an admitted call may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To whatever address the name has: an operator granted it.
    Granted,
    /// To public addresses only.
    Public,
}

impl Admission {
    /// The operator's `egress` values of one plugin, whether it holds `http:*`, and what every holder of it may reach.
    pub fn new(plugin: &str, egress: &[Url], public: bool, allow: Arc<[Grant]>) -> Self {
        Self {
            plugin: plugin.to_owned(),
            grants: egress.iter().filter_map(Grant::of).collect(),
            public,
            allow,
        }
    }

    /// How a request to `url` may connect. A refusal names the capability.
    pub fn admit(&self, url: &Url) -> Result<Reach, ServiceError> {
        let denied = || self.denied(url);
        let wanted = Grant::of(url)
            .ok_or_else(|| ServiceError::invalid(format!("`{}:` is not http or https with a host", url.scheme())))?;
        if self.grants.contains(&wanted) {
            return Ok(Reach::Granted);
        }
        if !self.public {
            return Err(denied());
        }
        if self.allow.contains(&wanted) {
            return Ok(Reach::Granted);
        }
        let literal_private = match url.host() {
            Some(Host::Ipv4(address)) => !is_public(address.into()),
            Some(Host::Ipv6(address)) => !is_public(address.into()),
            _ => false,
        };
        if literal_private || !PUBLIC_PORTS.contains(&url.port_or_known_default().unwrap_or(0)) {
            return Err(denied());
        }
        Ok(Reach::Public)
    }

    /// The refusal of a call to `url`.
    pub(crate) fn denied(&self, url: &Url) -> ServiceError {
        ServiceError::Denied {
            plugin: self.plugin.clone(),
            capability: format!("http:{}", url.host_str().unwrap_or_default()),
        }
    }
}
