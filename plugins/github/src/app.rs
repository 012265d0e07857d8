//! The app's own identity: signed statements (JWT) that it is the app, and tokens to act inside an installation.
//!
//! Tokens live in memory until five minutes before they end. Whoever needs one while it is being fetched waits for that
//! one request. <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app>.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_sdk::{http::StatusCode, http_client::HttpResponse, prelude::*};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::rest::{Rest, accepted};

/// A statement begins this many seconds before now, for clocks that are late.
const BACKDATED: i64 = 60;
/// A statement ends this many seconds from now; GitHub takes at most 600.
const STATEMENT: i64 = 300;
/// A token is no longer used this many seconds before it ends.
const MARGIN: i64 = 300;
/// Installations whose tokens are kept; beyond that, those that ended are let go.
const KEPT: usize = 1_000;

/// Makes statements and tokens.
pub(crate) struct App {
    rest: Rest,
    issuer: String,
    key: EncodingKey,
    slug: OnceCell<String>,
    tokens: Mutex<HashMap<u64, Arc<Cell>>>,
}

/// The token of one installation; the lock is held while it is fetched.
type Cell = tokio::sync::Mutex<Option<Token>>;

#[derive(Clone)]
struct Token {
    secret: Secret,
    /// Seconds since the Unix epoch.
    ends: i64,
}

#[derive(Serialize)]
struct Claims<'c> {
    iat: i64,
    exp: i64,
    iss: &'c str,
}

/// Reads a PEM key (PKCS#1 or PKCS#8, `\n` also as two characters) and proves that it signs. The error holds nothing of it.
pub(crate) fn signing_key(pem: &Secret) -> Result<EncodingKey> {
    let pem = pem.expose().replace("\\n", "\n");
    let refused = || {
        Error::permanent(
            "private_key is no RSA private key in PEM form; paste the file that GitHub gave for the app (GITHUB_APP_PRIVATE_KEY)",
        )
    };
    let key = EncodingKey::from_rsa_pem(pem.trim().as_bytes()).map_err(|_| refused())?;
    sign(&key, "probe", 0).map_err(|_| refused())?;
    Ok(key)
}

fn sign(key: &EncodingKey, issuer: &str, now: i64) -> jsonwebtoken::errors::Result<String> {
    let claims = Claims {
        iat: now - BACKDATED,
        exp: now + STATEMENT,
        iss: issuer,
    };
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, key)
}

impl App {
    /// `issuer` is the client id or the app id.
    pub(crate) fn new(rest: Rest, issuer: &str, key: EncodingKey) -> Self {
        Self {
            rest,
            issuer: issuer.to_owned(),
            key,
            slug: OnceCell::new(),
            tokens: Mutex::default(),
        }
    }

    /// A statement that we are the app, good for five minutes.
    pub(crate) fn statement(&self) -> Result<Secret> {
        sign(&self.key, &self.issuer, self.rest.now())
            .map(Secret::new)
            .map_err(|error| Error::permanent(format!("the app's key does not sign: {error}")))
    }

    /// `GET /app`, whatever it answers.
    pub(crate) async fn about(&self, timeout: std::time::Duration) -> Result<HttpResponse> {
        self.rest
            .send(self.rest.get(&["app"], &[]).bearer(&self.statement()?).timeout(timeout))
            .await
    }

    /// The app's name in addresses; its bot is called `{slug}[bot]`.
    pub(crate) async fn slug(&self) -> Result<&str> {
        let fetch = || async {
            let answer = accepted(self.about(seconds(10)).await?)?;
            Ok::<_, Error>(answer.json::<About>()?.slug)
        };
        self.slug.get_or_try_init(fetch).await.map(String::as_str)
    }

    /// A token for an installation.
    pub(crate) async fn token(&self, installation: u64) -> Result<Secret> {
        let cell = self.cell(installation);
        let mut kept = cell.lock().await;
        let now = self.rest.now();
        if let Some(token) = kept.as_ref().filter(|token| token.ends - MARGIN > now) {
            return Ok(token.secret.clone());
        }
        let token = self.fetch(installation).await?;
        *kept = Some(token.clone());
        Ok(token.secret)
    }

    /// Lets go of a token that GitHub no longer takes, unless a newer one is there already.
    pub(crate) async fn forget(&self, installation: u64, refused: &Secret) {
        let cell = self.cell(installation);
        let mut kept = cell.lock().await;
        if kept.as_ref().is_some_and(|token| token.secret == *refused) {
            *kept = None;
        }
    }

    fn cell(&self, installation: u64) -> Arc<Cell> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= KEPT && !tokens.contains_key(&installation) {
            let now = self.rest.now();
            tokens.retain(|_, cell| {
                cell.try_lock()
                    .is_ok_and(|kept| kept.as_ref().is_some_and(|it| it.ends > now))
                    || Arc::strong_count(cell) > 1
            });
        }
        Arc::clone(tokens.entry(installation).or_default())
    }

    async fn fetch(&self, installation: u64) -> Result<Token> {
        #[derive(Deserialize)]
        struct Made {
            token: Secret,
            #[serde(with = "time::serde::rfc3339")]
            expires_at: OffsetDateTime,
        }
        let id = installation.to_string();
        let request = self
            .rest
            .post(&["app", "installations", &id, "access_tokens"])
            .bearer(&self.statement()?);
        let answer = self.rest.send(request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Error::permanent(format!(
                "the app is no longer installed (installation {installation})"
            )));
        }
        let made: Made = accepted(answer)?.json()?;
        Ok(Token {
            secret: made.token,
            ends: made.expires_at.unix_timestamp(),
        })
    }
}

/// The answer of `GET /app`.
#[derive(Deserialize)]
pub(crate) struct About {
    pub(crate) slug: String,
}

#[cfg(test)]
mod tests;
