//! Sign-in with Keycloak.
//!
//! The web client builds an authorize URL without PKCE, nonce or a secret state, and sends the browser to us instead of to
//! Keycloak ([`login`]): we keep what it asked for, add what is missing, and send the browser on. So there is one code flow,
//! and no path by which a code that somebody else began signs anybody in.

mod admin;
mod backchannel;
mod broker;
mod checks;
mod claims;
mod endpoints;
mod ends;
mod grants;
mod keys;
mod login;
mod settings;
mod work;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    routing::{get, post},
};
use jackfield_sdk::{
    host::VaultService,
    identity::{EmailChange, ProviderToken, SignIn},
};
use moka::sync::Cache;
use reqwest::{Certificate, redirect::Policy};
use secrecy::SecretString;
use tokio::{sync::mpsc, task::JoinSet};

use self::{
    admin::{Admin, Changed},
    broker::Broker,
    checks::LoginCheck,
    endpoints::{CallError, Endpoints},
    keys::Keys,
    work::Work,
};
use crate::{core::Identity, error::IdentityError, lease::Flights, provider::Provider, routes::OwnRoute};

pub use settings::KeycloakSettings;

/// Where Keycloak sends browsers back to.
pub(crate) const CALLBACK: &str = "/oauth/keycloak/callback";
/// Where Keycloak says that a session ended.
const BACKCHANNEL: &str = "/oauth/keycloak/backchannel-logout";
/// Where browsers begin.
const AUTHORIZE: &str = "/realms/{realm}/protocol/openid-connect/auth";
/// Who acts in the audit trail when Keycloak does.
const PROVIDER: &str = "keycloak";

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Work that waits; what does not fit comes again by itself.
const QUEUE: usize = 1024;
/// Calls beside each other.
const AT_ONCE: usize = 8;
/// Between two questions about somebody who is there.
const ASK: Duration = Duration::from_secs(15);
/// Between two looks for grants whose turn it is.
const DUE: Duration = Duration::from_secs(60);

/// A realm and our client in it.
pub struct Keycloak {
    settings: KeycloakSettings,
    endpoints: Endpoints,
    keys: Keys,
    admin: Admin,
    broker: Box<dyn Broker>,
    checks: Vec<Box<dyn LoginCheck>>,
    vault: Arc<dyn VaultService>,
    flights: Flights,
    /// Who was asked about lately.
    asked: Cache<String, ()>,
    queue: mpsc::Sender<Work>,
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
}

impl Keycloak {
    /// On a vault that keeps its tokens. Calls nobody yet: a host starts without Keycloak.
    pub fn new(settings: KeycloakSettings, vault: Arc<dyn VaultService>) -> Result<Arc<Self>, reqwest::Error> {
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT.min(settings.timeout))
            .timeout(settings.timeout);
        if let Some(pem) = &settings.extra_ca {
            http = http.tls_certs_merge(Certificate::from_pem_bundle(pem)?);
        }
        let http = http.build()?;
        let (queue, work) = mpsc::channel(QUEUE);
        Ok(Arc::new(Self {
            endpoints: Endpoints::new(http.clone(), &settings),
            keys: Keys::default(),
            admin: Admin::new(http, &settings),
            broker: Box::new(broker::StoredTokens),
            checks: checks::all(),
            vault,
            flights: Flights::default(),
            asked: Cache::builder().max_capacity(100_000).time_to_live(ASK).build(),
            queue,
            work: tokio::sync::Mutex::new(work),
            settings,
        }))
    }

    fn enqueue(&self, work: Work) {
        if self.queue.try_send(work).is_err() {
            tracing::warn!("too much waits for Keycloak; some of it is asked later");
        }
    }
}

/// A token as text.
fn text(opened: &[u8]) -> Result<SecretString, IdentityError> {
    let text =
        String::from_utf8(opened.to_vec()).map_err(|_| IdentityError::Provider("a token is no text".to_owned()))?;
    Ok(text.into())
}

impl From<CallError> for IdentityError {
    fn from(error: CallError) -> Self {
        Self::Provider(error.to_string())
    }
}

/// A handle, so that work may outlive the call that brings it.
pub struct KeycloakProvider(pub Arc<Keycloak>);

#[async_trait]
impl Provider for KeycloakProvider {
    fn sign_in(&self, _identity: &Identity) -> SignIn {
        SignIn {
            provider: PROVIDER.to_owned(),
            auth_url: Some(self.0.settings.page("")),
        }
    }

    fn is_up(&self) -> Option<bool> {
        Some(self.0.endpoints.is_up())
    }

    fn own_routes(&self) -> Vec<OwnRoute> {
        vec![
            OwnRoute::public("GET", AUTHORIZE),
            OwnRoute::public("GET", CALLBACK),
            // Keycloak calls from one address for everybody.
            OwnRoute {
                rate_limit: None,
                ..OwnRoute::public("POST", BACKCHANNEL)
            },
        ]
    }

    fn openapi(&self) -> &'static str {
        include_str!("../openapi/keycloak.json")
    }

    fn router(self: Arc<Self>, identity: Identity) -> Router {
        Router::new()
            .route(AUTHORIZE, get(login::authorize))
            .route(CALLBACK, get(login::callback))
            .route(BACKCHANNEL, post(backchannel::logout))
            .with_state((identity, Arc::clone(&self.0)))
    }

    fn used(&self, person: &str) {
        if !self.0.asked.contains_key(person) {
            self.0.asked.insert(person.to_owned(), ());
            self.0.enqueue(Work::Confirm(person.to_owned()));
        }
    }

    fn ended(&self, person: &str, grant: Option<&str>) {
        if let Some(grant) = grant {
            self.0.enqueue(Work::LogOut(grant.to_owned()));
        }
        self.0.enqueue(Work::Tidy(person.to_owned()));
    }

    async fn keep(&self, identity: &Identity) {
        let mut queue = self.0.work.lock().await;
        let mut due = tokio::time::interval(DUE);
        let mut working = JoinSet::new();
        loop {
            tokio::select! {
                Some(work) = queue.recv(), if working.len() < AT_ONCE => {
                    working.spawn(Arc::clone(&self.0).work(identity.clone(), work));
                }
                Some(_) = working.join_next() => {}
                _ = due.tick() => {
                    self.0.enqueue(Work::Look);
                    match self.0.due(identity).await {
                    Ok(grants) => grants.into_iter().for_each(|id| self.0.enqueue(Work::Refresh(id))),
                    Err(error) => tracing::warn!(%error, "cannot look for grants whose turn it is"),
                    }
                },
            }
        }
    }

    async fn clean(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.0.forget_logins(identity).await?;
        self.0.forget_logouts(identity).await?;
        self.0.forget_grants(identity).await
    }

    async fn token(
        &self,
        identity: &Identity,
        person: &str,
        provider: &str,
    ) -> Result<Option<ProviderToken>, IdentityError> {
        self.0.provider_token(identity, person, provider).await
    }

    async fn change_email(&self, person: &str, email: &str) -> Result<Option<EmailChange>, IdentityError> {
        Ok(Some(match self.0.admin.set_email(person, email).await? {
            Changed::Done => EmailChange::Changed,
            Changed::Taken => EmailChange::Taken,
            Changed::NoPerson => EmailChange::Unknown,
            Changed::Refused => return Err(IdentityError::Email(email.to_owned())),
        }))
    }

    async fn renew(&self, identity: &Identity, person: &str) -> Result<(), IdentityError> {
        self.0.renew_person(identity, person).await
    }

    async fn send_verification(&self, person: &str, signed_in: bool) -> Result<bool, IdentityError> {
        let path = if signed_in {
            "/api/email/verified"
        } else {
            "/login?email_verified=true"
        };
        let back = self.0.settings.page(path);
        let client = &self.0.settings.client_id;
        self.0.admin.send_verification(person, client, &back).await?;
        Ok(true)
    }
}
