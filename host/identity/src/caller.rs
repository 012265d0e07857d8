//! From the headers of a request to who calls, and the answers to who may not pass (spec/10 §5, §9).

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jackfield_edge::PeerCred;
use jackfield_sdk::Principal;

use crate::{cache::Known, core::Identity, error::IdentityError, operator::Operators, seen::Use, token, token::Hash};

/// Headers that may carry an API key, in the order they are looked at.
const KEY_HEADERS: [&str; 2] = ["x-session-api-key", "x-access-token"];

pub(crate) enum Caller {
    /// Nobody that we know.
    Anonymous,
    /// A session or a key.
    Known { known: Arc<Known>, by_cookie: bool },
    /// An operator without an account.
    Operator,
    /// A key or token that opens nothing, and no cookie.
    BadKey,
    /// The cookie opens nothing.
    BadCookie,
    /// The database does not answer.
    Away,
}

impl Caller {
    pub(crate) fn principal(&self) -> Option<Principal> {
        match self {
            Self::Known { known, .. } => Some(known.principal.clone()),
            Self::Operator => Some(Operators::principal()),
            Self::Anonymous | Self::BadKey | Self::BadCookie | Self::Away => None,
        }
    }
}

impl Identity {
    /// `peer` is who is at the other end of the control socket, when that is where the request came from.
    pub(crate) async fn caller(&self, peer: Option<PeerCred>, headers: &HeaderMap) -> Caller {
        if let Some(peer) = peer {
            return if self.0.operators.is_ours(peer.uid) {
                Caller::Operator
            } else {
                Caller::Anonymous
            };
        }
        match self.look_up(headers).await {
            Ok(caller) => caller,
            Err(error) => {
                tracing::warn!(%error, "cannot look up who calls");
                Caller::Away
            }
        }
    }

    async fn look_up(&self, headers: &HeaderMap) -> Result<Caller, IdentityError> {
        let mut brought_key = false;
        for key in keys(headers) {
            brought_key = true;
            if self.0.operators.holds(key) {
                return Ok(Caller::Operator);
            }
            if key.starts_with(token::KEY_PREFIX)
                && let Some(known) = self.opens(token::hash(key), true).await?
            {
                return Ok(Caller::Known {
                    known,
                    by_cookie: false,
                });
            }
        }
        let Some(cookie) = self.cookie(headers) else {
            return Ok(if brought_key { Caller::BadKey } else { Caller::Anonymous });
        };
        Ok(match self.opens(token::hash(cookie), false).await? {
            Some(known) => Caller::Known { known, by_cookie: true },
            None => Caller::BadCookie,
        })
    }

    /// What a credential opens, as it was a minute ago at most.
    async fn opens(&self, hash: Hash, is_key: bool) -> Result<Option<Arc<Known>>, IdentityError> {
        let now = self.now();
        let known = match self.0.cache.get(&hash) {
            Some(known) => known,
            None => {
                let found = if is_key {
                    self.key_of(hash, now).await?
                } else {
                    self.session_of(hash, now).await?
                };
                let Some(known) = found.map(Arc::new) else {
                    return Ok(None);
                };
                self.0.cache.put(hash, Arc::clone(&known));
                known
            }
        };
        if known.ends_ms <= now {
            return Ok(None);
        }
        self.0.seen.note(hash, Use { at_ms: now, is_key });
        if let Some(person) = &known.principal.user {
            self.0.provider.used(person);
        }
        Ok(Some(known))
    }
}

/// Bearer tokens and keys of a request; an `Authorization` header of another scheme is passed over.
fn keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let others = KEY_HEADERS
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok());
    bearer.into_iter().chain(others)
}

/// `{"error":…}`.
pub(crate) fn refusal(status: StatusCode, error: &str) -> Response {
    json(status, &serde_json::json!({ "error": error }))
}

/// `{"error":…,"detail":…}`.
pub(crate) fn refusal_with(status: StatusCode, error: &str, detail: &str) -> Response {
    json(status, &serde_json::json!({ "error": error, "detail": detail }))
}

/// The database is away: whoever calls may try again.
pub(crate) fn away() -> Response {
    unavailable("who calls cannot be looked up now; try again")
}

/// What signs people in, or the database, is away.
pub(crate) fn provider_away() -> Response {
    unavailable("the identity provider does not answer; start again from the sign-in page in a moment")
}

fn unavailable(detail: &str) -> Response {
    let mut response = refusal_with(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", detail);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    jackfield_edge::answer::json(status, body.to_string())
}
