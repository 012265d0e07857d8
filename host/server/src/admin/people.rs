//! People, their sessions and keys, and the audit trail, for operators.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::StatusCode;
use jackfield_identity::{Identity, IdentityError};
use jackfield_sdk::identity::{NewApiKey, User};
use serde::Deserialize;
use serde_json::json;

use super::actor::Actor;
use crate::{answer, serve::Running};

type Shared = State<Arc<Running>>;

/// Most audit entries of a page.
const PAGE: u64 = 1_000;

pub(super) fn router() -> Router<Arc<Running>> {
    Router::new()
        .route("/api/admin/v1/users", get(users))
        .route("/api/admin/v1/users/{id}", post(set))
        .route("/api/admin/v1/users/{id}/sessions", get(sessions).delete(end_all))
        .route("/api/admin/v1/users/{id}/sessions/{session}", delete(end))
        .route("/api/admin/v1/sessions", get(all_sessions))
        .route("/api/admin/v1/sign-in-links", post(link))
        .route("/api/admin/v1/keys", post(key))
        .route("/api/admin/v1/audit", get(audit))
        .route("/api/admin/v1/blocked-domains", get(blocked).post(block))
        .route("/api/admin/v1/blocked-domains/{domain}", delete(unblock))
}

async fn users(State(running): Shared) -> Response {
    match running.identity.users().await {
        Ok(users) => Json(users).into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    operator: Option<bool>,
    disabled: Option<bool>,
}

async fn set(State(running): Shared, Path(id): Path<String>, who: Actor, Json(change): Json<Change>) -> Response {
    let identity = &running.identity;
    let done = async {
        let mut user = identity.user(&id).await?.ok_or(IdentityError::NoPerson(id.clone()))?;
        if let Some(operator) = change.operator {
            user = identity.set_operator(&id, operator).await?;
            let detail = json!({ "operator": operator });
            who.note(identity, "person.operator", format!("person:{id}"), detail)
                .await?;
        }
        if let Some(disabled) = change.disabled {
            user = identity.set_disabled(&id, disabled).await?;
            let detail = json!({ "disabled": disabled });
            who.note(identity, "person.disabled", format!("person:{id}"), detail)
                .await?;
        }
        Ok::<User, IdentityError>(user)
    };
    match done.await {
        Ok(user) => Json(user).into_response(),
        Err(error) => refused(&error),
    }
}

async fn sessions(State(running): Shared, Path(id): Path<String>) -> Response {
    match running.identity.sessions(&id).await {
        Ok(sessions) => Json(sessions).into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    cursor: Option<String>,
    limit: Option<u64>,
}

async fn all_sessions(State(running): Shared, Query(page): Query<Page>) -> Response {
    let limit = page.limit.unwrap_or(50).clamp(1, 500);
    match running.identity.all_sessions(page.cursor.as_deref(), limit).await {
        Ok(rows) => {
            let last = rows.last().filter(|_| rows.len() as u64 == limit);
            let next = last.map(|row| row.session.id.clone());
            Json(json!({ "sessions": rows, "next_cursor": next })).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn end(State(running): Shared, Path((id, session)): Path<(String, String)>, who: Actor) -> Response {
    let ended = running.identity.end_session(&id, &session).await;
    note_end(&running.identity, &who, &id, ended.map(u64::from)).await
}

async fn end_all(State(running): Shared, Path(id): Path<String>, who: Actor) -> Response {
    let ended = running.identity.end_sessions(&id).await;
    note_end(&running.identity, &who, &id, ended).await
}

async fn note_end(identity: &Identity, who: &Actor, id: &str, ended: Result<u64, IdentityError>) -> Response {
    let noted = async {
        let ended = ended?;
        let detail = json!({ "sessions": ended });
        who.note(identity, "session.ended", format!("person:{id}"), detail)
            .await?;
        Ok::<u64, IdentityError>(ended)
    };
    match noted.await {
        Ok(ended) => Json(json!({ "ended": ended })).into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    /// The owner of this installation when none.
    email: Option<String>,
}

async fn link(State(running): Shared, who: Actor, Json(whom): Json<Whom>) -> Response {
    let identity = &running.identity;
    let made = async {
        let user = match &whom.email {
            Some(email) => find_or_make(identity, email).await?,
            None => owner(identity).await?,
        };
        let link = identity.link(&user.id).await?;
        who.note(identity, "sign_in_link.made", format!("person:{}", user.id), json!({}))
            .await?;
        Ok::<_, IdentityError>(link)
    };
    match made.await {
        Ok(link) => Json(json!({
            "url": format!("{}{}", running.base(), link.path),
            "expires_at": rfc3339(link.expires_ms),
        }))
        .into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    email: String,
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
}

async fn key(State(running): Shared, who: Actor, Json(new): Json<NewKey>) -> Response {
    let identity = &running.identity;
    let made = async {
        let user = find_or_make(identity, &new.email).await?;
        let created = identity
            .create_key(NewApiKey {
                user: user.id,
                organization: user.organization,
                name: Some(new.name.clone()),
                scopes: new.scopes.clone(),
                expires_ms: None,
            })
            .await?;
        let detail = json!({ "name": new.name, "scopes": new.scopes });
        who.note(identity, "key.created", format!("key:{}", created.listed.id), detail)
            .await?;
        Ok::<_, IdentityError>(created)
    };
    match made.await {
        Ok(created) => Json(json!({
            "id": created.listed.id,
            "name": created.listed.name,
            "key": created.key,
        }))
        .into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    after: i64,
    limit: Option<u64>,
}

async fn audit(State(running): Shared, Query(from): Query<From>) -> Response {
    let limit = from.limit.unwrap_or(PAGE).min(PAGE);
    match running.identity.audit(from.after, limit).await {
        Ok(rows) => Json(rows).into_response(),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Domain {
    domain: String,
}

async fn blocked(State(running): Shared) -> Response {
    match running.identity.blocked_domains().await {
        Ok(domains) => Json(
            domains
                .into_iter()
                .map(|domain| json!({ "domain": domain }))
                .collect::<Vec<_>>(),
        )
        .into_response(),
        Err(error) => refused(&error),
    }
}

async fn block(State(running): Shared, who: Actor, Json(new): Json<Domain>) -> Response {
    let done = async {
        let domain = running.identity.block_domain(&new.domain).await?;
        who.note(
            &running.identity,
            "domain.blocked",
            format!("domain:{domain}"),
            json!({}),
        )
        .await?;
        Ok(domain)
    };
    match done.await {
        Ok(domain) => Json(json!({ "domain": domain })).into_response(),
        Err(error) => refused(&error),
    }
}

async fn unblock(State(running): Shared, who: Actor, Path(domain): Path<String>) -> Response {
    let done = async {
        let was = running.identity.unblock_domain(&domain).await?;
        who.note(
            &running.identity,
            "domain.unblocked",
            format!("domain:{domain}"),
            json!({}),
        )
        .await?;
        Ok(was)
    };
    match done.await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => answer::error(
            StatusCode::NOT_FOUND,
            "NotFound",
            &format!("`{domain}` is not blocked; `jackfield admin blocked-domains list` shows what is"),
        ),
        Err(error) => refused(&error),
    }
}

/// Whoever operates a local installation first.
async fn owner(identity: &Identity) -> Result<User, IdentityError> {
    let users = identity.users().await?;
    let owner = users.into_iter().find(|user| user.operator && user.provider == "local");
    owner.ok_or_else(|| IdentityError::NoPerson("the owner".to_owned()))
}

/// With local identity an operator's word makes somebody; elsewhere the identity provider does.
async fn find_or_make(identity: &Identity, email: &str) -> Result<User, IdentityError> {
    if let Some(user) = identity.user_by_email(email).await? {
        return Ok(user);
    }
    identity.invite(email).await
}

fn refused(error: &IdentityError) -> Response {
    let status = match error {
        IdentityError::Store(_) | IdentityError::Service(_) | IdentityError::Provider(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        IdentityError::NoPerson(_) => StatusCode::NOT_FOUND,
        IdentityError::Taken | IdentityError::NotLocal(_) => StatusCode::CONFLICT,
        IdentityError::Email(_)
        | IdentityError::Domain(_)
        | IdentityError::Scope(_)
        | IdentityError::GitProvider(_)
        | IdentityError::NotOperator => StatusCode::BAD_REQUEST,
    };
    answer::error(status, "NotDone", &error.to_string())
}

fn rfc3339(ms: i64) -> Option<String> {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    at.format(&time::format_description::well_known::Rfc3339).ok()
}
