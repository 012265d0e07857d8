//! Keycloak's OpenID Connect endpoints, as a confidential client calls them (spec/15 §3 to §6).

use std::sync::atomic::{AtomicBool, Ordering};

use jsonwebtoken::jwk::JwkSet;
use metrics::gauge;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::settings::KeycloakSettings;

/// Why a call brought nothing. Holds no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer in time, or one that says to come later.
    #[error("Keycloak does not answer: {0}")]
    Away(String),
    /// It says no.
    #[error("Keycloak refuses: {error}: {description}")]
    Refused { error: String, description: String },
}

/// What a refused refresh means for the session behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The session is over.
    Over,
    /// The person may not come in now; the same token works when they may again.
    Person,
    /// Our own settings are wrong.
    Ours,
}

impl CallError {
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let Self::Refused { error, description } = self else {
            return None;
        };
        let ours = |text: &str| {
            text == "Invalid refresh token"
                || text.starts_with("Invalid token issuer")
                || text.contains("Token client and authorized client don't match")
        };
        Some(match (error.as_str(), description.as_str()) {
            ("invalid_grant", "User disabled") => Refusal::Person,
            ("invalid_grant", text) if !ours(text) => Refusal::Over,
            _ => Refusal::Ours,
        })
    }
}

/// Answer of the token endpoint.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: SecretString,
    /// Seconds.
    #[serde(default)]
    pub(crate) expires_in: i64,
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) id_token: Option<SecretString>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(rename = "errorMessage", default)]
    message: String,
}

/// The endpoints.
pub(crate) struct Endpoints {
    http: Client,
    /// Whether the last call was answered.
    up: AtomicBool,
    realm: String,
    client_id: String,
    client_secret: SecretString,
}

impl Endpoints {
    pub(crate) fn new(http: Client, settings: &KeycloakSettings) -> Self {
        Self {
            http,
            up: AtomicBool::new(true),
            realm: format!("{}/realms/{}", settings.server_url, settings.realm),
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
        }
    }

    /// Whether the last call was answered.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    fn note<T>(&self, done: Result<T, CallError>) -> Result<T, CallError> {
        let up = !matches!(done, Err(CallError::Away(_)));
        self.up.store(up, Ordering::Relaxed);
        gauge!("jackfield_dependency_up", "dependency" => "keycloak").set(if up { 1.0 } else { 0.0 });
        done
    }

    /// A code of the callback, for tokens.
    pub(crate) async fn exchange(&self, code: &str, verifier: &str, callback: &str) -> Result<Tokens, CallError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback),
            ("code_verifier", verifier),
        ];
        self.tokens(&fields).await
    }

    pub(crate) async fn refresh(&self, token: &SecretString) -> Result<Tokens, CallError> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose_secret()),
        ];
        self.tokens(&fields).await
    }

    /// A token of our client's service account.
    pub(crate) async fn service_account(&self) -> Result<Tokens, CallError> {
        self.tokens(&[("grant_type", "client_credentials")]).await
    }

    /// Ends an offline session by its refresh token. Again is no error.
    pub(crate) async fn end(&self, token: &SecretString) -> Result<(), CallError> {
        let fields = [("refresh_token", token.expose_secret())];
        self.post("protocol/openid-connect/logout", &fields).await.map(drop)
    }

    /// Ends the browser's session at Keycloak, which an ID token names; what is offline stays.
    pub(crate) async fn end_browser_session(&self, id_token: &SecretString) -> Result<(), CallError> {
        let fields = [("id_token_hint", id_token.expose_secret())];
        self.post("protocol/openid-connect/logout", &fields).await.map(drop)
    }

    pub(crate) async fn keys(&self) -> Result<JwkSet, CallError> {
        let call = self.http.get(format!("{}/protocol/openid-connect/certs", self.realm));
        let answer = self.note(answered(call.send().await).await)?;
        answer.json().await.map_err(away)
    }

    /// Text of the stored token of a brokered provider.
    pub(crate) async fn broker(&self, provider: &str, access: &SecretString) -> Result<String, CallError> {
        let call = self.http.get(format!("{}/broker/{provider}/token", self.realm));
        let answer = answered(call.bearer_auth(access.expose_secret()).send().await).await?;
        answer.text().await.map_err(away)
    }

    async fn tokens(&self, fields: &[(&str, &str)]) -> Result<Tokens, CallError> {
        let answer = self.post("protocol/openid-connect/token", fields).await?;
        answer.json().await.map_err(away)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response, CallError> {
        let ours = [
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose_secret()),
        ];
        let form: Vec<_> = fields.iter().chain(&ours).collect();
        let call = self.http.post(format!("{}/{path}", self.realm)).form(&form);
        self.note(answered(call.send().await).await)
    }
}

fn away(error: reqwest::Error) -> CallError {
    // The address holds no secret, but is long.
    CallError::Away(error.without_url().to_string())
}

/// An answer that says yes; Keycloak sends browsers on with 302.
async fn answered(answer: reqwest::Result<Response>) -> Result<Response, CallError> {
    let answer = answer.map_err(away)?;
    let status = answer.status();
    if status.is_success() || status.is_redirection() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let said = serde_json::from_str(&text).unwrap_or(Said {
        error: String::new(),
        error_description: String::new(),
        message: String::new(),
    });
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    if status.is_server_error() || later.contains(&status) {
        return Err(CallError::Away(format!("status {}, {}", status.as_u16(), said.message)));
    }
    let error = if said.error.is_empty() {
        status.as_str().to_owned()
    } else {
        said.error
    };
    let description = if said.error_description.is_empty() {
        said.message
    } else {
        said.error_description
    };
    Err(CallError::Refused { error, description })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_the_session_is_over_ends_it() {
        // spec/15 §4
        let grant = [
            ("Token is not active", Refusal::Over),
            ("Session not active", Refusal::Over),
            ("Session doesn't have required client", Refusal::Over),
            ("Offline user session not found", Refusal::Over),
            ("Stale token", Refusal::Over),
            ("Maximum allowed refresh token reuse exceeded", Refusal::Over),
            ("User disabled", Refusal::Person),
            ("Invalid refresh token", Refusal::Ours),
            (
                "Invalid refresh token. Token client and authorized client don't match",
                Refusal::Ours,
            ),
            ("Invalid token issuer. Expected 'http://kc/realms/a'", Refusal::Ours),
        ];
        for (description, means) in grant {
            let error = CallError::Refused {
                error: "invalid_grant".to_owned(),
                description: description.to_owned(),
            };
            assert_eq!(error.refusal(), Some(means), "{description}");
        }
        let client = CallError::Refused {
            error: "unauthorized_client".to_owned(),
            description: "Invalid client or Invalid client credentials".to_owned(),
        };
        assert_eq!(client.refusal(), Some(Refusal::Ours));
        assert_eq!(CallError::Away("slow".to_owned()).refusal(), None);
    }
}
