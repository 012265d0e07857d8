//! What sign-in is told.

use std::time::Duration;

use url::Url;

/// Settings of sign-in.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// The cookie's name.
    pub cookie: String,
    /// A session ends after so long without a request.
    pub idle: Duration,
    /// A session ends so long after its sign-in.
    pub lifetime: Duration,
    /// Whether people have to accept the terms of service first.
    pub terms: bool,
    /// Address of the person that a fresh local installation is made for.
    pub owner_email: String,
}

/// Where people come from; a running host takes other ones.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Address people use; the request's own host when none.
    pub public_url: Option<Url>,
    /// Origins beside our own whose pages may act with cookies.
    pub origins: Vec<String>,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            cookie: "keycloak_auth".to_owned(),
            idle: Duration::from_secs(7 * 86_400),
            lifetime: Duration::from_secs(30 * 86_400),
            terms: false,
            owner_email: "owner@localhost".to_owned(),
        }
    }
}
