//! What an operator allows.

use url::Url;

/// Exactly one scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    scheme: String,
    host: String,
    port: u16,
}

impl Grant {
    /// What `url` stands for; none when it is neither `http` nor `https` with a host.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = matches!(url.scheme(), "http" | "https").then(|| url.scheme().to_owned())?;
        Some(Self {
            scheme,
            host: url.host_str()?.to_ascii_lowercase(),
            port: url.port_or_known_default()?,
        })
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}
