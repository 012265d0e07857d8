//! Tokens that Keycloak signed: checked, and what they say.

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Keycloak, endpoints::CallError};
use crate::people::Arrival;

/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 60;

/// Why a token is not believed. Holds nothing of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is not a token that Keycloak signs: {0}")]
    Malformed(&'static str),
    #[error("its key `{0}` is none of the realm's")]
    Key(String),
    #[error("{0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    #[error("its `{0}` is not what it must be")]
    Claim(&'static str),
    #[error(transparent)]
    Keycloak(#[from] CallError),
}

/// What an ID token says (spec/10 §11.3; spec/15 §3).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) sid: Option<String>,
    nonce: Option<String>,
    azp: Option<String>,
    typ: Option<String>,
    pub(crate) preferred_username: Option<String>,
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) email_verified: bool,
    identity_provider: Option<String>,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    company: Option<String>,
    roles: Option<Value>,
}

/// What a logout token says (OpenID Connect Back-Channel Logout 1.0 §2.4).
#[derive(Debug, Deserialize)]
pub(crate) struct LogoutClaims {
    pub(crate) sub: Option<String>,
    pub(crate) sid: Option<String>,
    pub(crate) jti: String,
    pub(crate) exp: i64,
    events: Value,
    #[serde(default)]
    nonce: Option<Value>,
}

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl Claims {
    /// Name for people: `name`, else given and family name.
    fn display_name(&self) -> Option<String> {
        let whole = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        if let Some(name) = whole {
            return Some(name.to_owned());
        }
        let parts = [&self.given_name, &self.family_name].into_iter().flatten();
        let parts: Vec<&str> = parts.map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    pub(crate) fn has_roles(&self) -> bool {
        self.roles.is_some()
    }

    /// Who they are, for our own rows.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival {
            id: Some(self.sub.clone()),
            provider: self.provider().to_owned(),
            username: self.preferred_username.clone().unwrap_or_default(),
            email: self.email.clone(),
            email_verified: self.email_verified,
            name: self.display_name(),
            company: self.company.clone(),
            operator: false,
        }
    }

    /// The brokered provider: `github`; with a type behind it as `enterprise_sso:saml`.
    fn provider(&self) -> &str {
        let named = self.identity_provider.as_deref().unwrap_or("keycloak");
        named.split(':').next().unwrap_or(named)
    }
}

impl Keycloak {
    /// The claims of a sign-in's ID token.
    pub(crate) async fn id_claims(&self, token: &SecretString, nonce: &str) -> Result<Claims, TokenError> {
        let claims: Claims = self.signed(token, true).await?;
        let must = [
            ("nonce", claims.nonce.as_deref() == Some(nonce)),
            (
                "azp",
                claims.azp.as_deref().is_none_or(|azp| azp == self.settings.client_id),
            ),
            ("typ", claims.typ.as_deref() == Some("ID")),
        ];
        match must.into_iter().find(|(_, holds)| !holds) {
            Some((claim, _)) => Err(TokenError::Claim(claim)),
            None => Ok(claims),
        }
    }

    /// The claims of an ID token that came with a refresh: it has no nonce.
    pub(crate) async fn refreshed_claims(&self, token: &SecretString) -> Result<Claims, TokenError> {
        let claims: Claims = self.signed(token, true).await?;
        match claims.typ.as_deref() {
            Some("ID") => Ok(claims),
            _ => Err(TokenError::Claim("typ")),
        }
    }

    /// Whether the access token names roles, for realms that say them only there.
    pub(crate) async fn access_has_roles(&self, token: &SecretString) -> Result<bool, TokenError> {
        let claims: Claims = self.signed(token, false).await?;
        let ours = claims.azp.as_deref() == Some(self.settings.client_id.as_str());
        if !ours || claims.typ.as_deref() != Some("Bearer") {
            return Err(TokenError::Claim(if ours { "typ" } else { "azp" }));
        }
        Ok(claims.has_roles())
    }

    pub(crate) async fn logout_claims(&self, token: &SecretString) -> Result<LogoutClaims, TokenError> {
        let header = decode_header(token.expose_secret())?;
        let typed = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !["logout+jwt", "jwt"].contains(&typed.as_str()) {
            return Err(TokenError::Claim("typ"));
        }
        let claims: LogoutClaims = self.signed(token, true).await?;
        let must = [
            ("events", claims.events.get(LOGOUT).is_some_and(Value::is_object)),
            ("nonce", claims.nonce.is_none()),
            ("sid", claims.sid.is_some() || claims.sub.is_some()),
        ];
        match must.into_iter().find(|(_, holds)| !holds) {
            Some((claim, _)) => Err(TokenError::Claim(claim)),
            None => Ok(claims),
        }
    }

    /// Signature, issuer, end, and audience where it is to be us.
    async fn signed<C: DeserializeOwned>(&self, token: &SecretString, for_us: bool) -> Result<C, TokenError> {
        let token = token.expose_secret();
        let header = decode_header(token)?;
        if header.alg != Algorithm::RS256 {
            return Err(TokenError::Malformed("its algorithm is not RS256"));
        }
        let id = header.kid.ok_or(TokenError::Malformed("it names no key"))?;
        let key = self.keys.key(&self.endpoints, &id).await?;
        let key = key.ok_or(TokenError::Key(id))?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = LEEWAY;
        rules.set_issuer(&[self.settings.issuer()]);
        rules.set_required_spec_claims(&["exp", "iss"]);
        if for_us {
            rules.set_audience(&[&self.settings.client_id]);
            rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        } else {
            rules.validate_aud = false;
        }
        Ok(decode::<C>(token, &key, &rules)?.claims)
    }
}
