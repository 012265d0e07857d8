//! What sign-in with Keycloak is told.

use std::{fmt, time::Duration};

use secrecy::SecretString;
use url::Url;

/// A Keycloak realm and our client in it.
#[derive(Clone)]
pub struct KeycloakSettings {
    /// Where this host reaches Keycloak, without a slash at its end.
    pub server_url: String,
    /// Where browsers reach it: tokens name it as their issuer.
    pub browser_url: String,
    /// Realm.
    pub realm: String,
    /// Our client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Address that people use for this host.
    pub public_url: Url,
    /// Whether only people with the claim `roles` come in.
    pub role_check: bool,
    /// Whether a new person may not have an address that differs from another's only in what follows a `+`.
    pub duplicate_email_check: bool,
    /// For one call to Keycloak.
    pub timeout: Duration,
    /// More certificate authorities, PEM.
    pub extra_ca: Option<Vec<u8>>,
}

impl fmt::Debug for KeycloakSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeycloakSettings")
            .field("server_url", &self.server_url)
            .field("realm", &self.realm)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl KeycloakSettings {
    /// The issuer of its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/realms/{}", self.browser_url, self.realm)
    }

    /// The one address that Keycloak sends browsers back to.
    pub(crate) fn callback(&self) -> String {
        self.page(super::CALLBACK)
    }

    /// The address of a path of ours.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}
