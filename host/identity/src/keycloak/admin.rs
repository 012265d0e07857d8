//! Keycloak's admin REST, by the service account of our own client: role `manage-users`, nothing else (spec/15 §7).

use std::time::Instant;

use async_trait::async_trait;
use keycloak::{KeycloakAdmin, KeycloakError, KeycloakTokenSupplier, types::UserRepresentation};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::{
    endpoints::{CallError, Endpoints},
    settings::KeycloakSettings,
};

/// Most people that a search for one address looks at.
const FOUND: i32 = 500;
/// Seconds before its end at which a token is no longer used.
const MARGIN: u64 = 20;

pub(crate) struct Admin {
    realm: String,
    rest: KeycloakAdmin<ServiceAccount>,
}

/// The crate's own one fetches a token for every call.
struct ServiceAccount {
    endpoints: Endpoints,
    token: Mutex<Option<(SecretString, Instant)>>,
}

#[async_trait]
impl KeycloakTokenSupplier for ServiceAccount {
    async fn get(&self, _url: &str) -> Result<String, KeycloakError> {
        let mut kept = self.token.lock().await;
        if let Some((token, ends)) = &*kept
            && *ends > Instant::now()
        {
            return Ok(token.expose_secret().to_owned());
        }
        let tokens = self.endpoints.service_account().await.map_err(|error| {
            let status = if error.refusal().is_some() { 401 } else { 503 };
            KeycloakError::HttpFailure {
                status,
                body: None,
                text: error.to_string(),
            }
        })?;
        let lives = u64::try_from(tokens.expires_in).unwrap_or(0).saturating_sub(MARGIN);
        let token = tokens.access_token.expose_secret().to_owned();
        *kept = Some((
            tokens.access_token,
            Instant::now() + std::time::Duration::from_secs(lives),
        ));
        Ok(token)
    }
}

/// What became of a new address at Keycloak.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Done,
    Taken,
    Refused,
    NoPerson,
}

impl Admin {
    pub(crate) fn new(http: Client, settings: &KeycloakSettings) -> Self {
        let account = ServiceAccount {
            endpoints: Endpoints::new(http.clone(), settings),
            token: Mutex::default(),
        };
        Self {
            realm: settings.realm.clone(),
            rest: KeycloakAdmin::new(&settings.server_url, account, http),
        }
    }

    /// Whether the person is there and may come in.
    pub(crate) async fn lets_in(&self, person: &str) -> Result<bool, CallError> {
        match self.rest.realm_users_with_user_id_get(&self.realm, person, None).await {
            Ok(user) => Ok(user.enabled.unwrap_or(true)),
            Err(KeycloakError::HttpFailure { status: 404, .. }) => Ok(false),
            Err(error) => Err(call_error(error)),
        }
    }

    /// Whether somebody else has verified an address that is `local@domain`, or that with something after a `+`.
    pub(crate) async fn others_have(&self, local: &str, domain: &str, person: &str) -> Result<bool, CallError> {
        let found = self
            .rest
            .realm_users_get(
                &self.realm,
                Some(true),
                None,
                None,
                None,
                Some(true),
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                Some(FOUND),
                None,
                Some(format!("{local}*@{domain}")),
                None,
            )
            .await
            .map_err(call_error)?;
        Ok(found.iter().any(|user| {
            let other = user.id.as_deref() != Some(person);
            let email = user.email.as_deref().map(crate::people::email_key).unwrap_or_default();
            other && user.email_verified == Some(true) && crate::people::same_base(&email, local, domain)
        }))
    }

    /// Sets an address that is yet to be verified. The whole record is sent: fields that are left out may be erased.
    pub(crate) async fn set_email(&self, person: &str, email: &str) -> Result<Changed, CallError> {
        let found = self.rest.realm_users_with_user_id_get(&self.realm, person, None).await;
        let record = match found {
            Ok(record) => record,
            Err(KeycloakError::HttpFailure { status: 404, .. }) => return Ok(Changed::NoPerson),
            Err(error) => return Err(call_error(error)),
        };
        let record = UserRepresentation {
            email: Some(email.into()),
            email_verified: Some(false),
            ..record
        };
        match self
            .rest
            .realm_users_with_user_id_put(&self.realm, person, record)
            .await
        {
            Ok(_) => Ok(Changed::Done),
            Err(KeycloakError::HttpFailure { status: 409, .. }) => Ok(Changed::Taken),
            Err(KeycloakError::HttpFailure { status: 400, .. }) => Ok(Changed::Refused),
            Err(error) => Err(call_error(error)),
        }
    }

    /// Has Keycloak send the mail that verifies the person's address; its link leads to `back`. Nobody, and somebody whose
    /// address is verified, gets none.
    pub(crate) async fn send_verification(&self, person: &str, client: &str, back: &str) -> Result<(), CallError> {
        let found = self.rest.realm_users_with_user_id_get(&self.realm, person, None).await;
        match found {
            Ok(user) if user.email_verified == Some(true) => return Ok(()),
            Ok(_) => {}
            Err(KeycloakError::HttpFailure { status: 404, .. }) => return Ok(()),
            Err(error) => return Err(call_error(error)),
        }
        let (client, back) = (Some(client.to_owned()), Some(back.to_owned()));
        let sent = self
            .rest
            .realm_users_with_user_id_send_verify_email_put(&self.realm, person, client, None, back);
        sent.await.map(drop).map_err(call_error)
    }
}

/// Without the answer's text: it may name people.
fn call_error(error: KeycloakError) -> CallError {
    match error {
        KeycloakError::ReqwestFailure(error) => CallError::Away(error.without_url().to_string()),
        KeycloakError::HttpFailure { status, .. } if status >= 500 => CallError::Away(format!("status {status}")),
        KeycloakError::HttpFailure { status: 401 | 403, .. } => CallError::Refused {
            error: "forbidden".to_owned(),
            description: "the client's service account needs the role manage-users of realm-management".to_owned(),
        },
        KeycloakError::HttpFailure { status, .. } => CallError::Refused {
            error: status.to_string(),
            description: "the admin call fails".to_owned(),
        },
    }
}
