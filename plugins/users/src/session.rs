//! Whether somebody is signed in, who they are, and their sessions.

use jackfield_sdk::{
    bytes::Bytes,
    http::HeaderMap,
    identity::{AuditEntry, User},
    prelude::*,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Users,
    answer::{Answer, Message, RedirectUrl, Refusal, Refused, away, optional, refused},
};

impl Users {
    pub(crate) async fn note(&self, who: &Person, action: &str, target: String) -> std::result::Result<(), Refused> {
        let entry = AuditEntry::of(who, action, target);
        self.host.audit().record(entry).await.map_err(away)
    }

    pub(crate) async fn user(&self, who: &Person) -> std::result::Result<User, Refused> {
        match self.identity.user(&who.id).await.map_err(away)? {
            Some(user) => Ok(user),
            None => Err((
                StatusCode::UNAUTHORIZED,
                Json(json!({ "error": "User does not exist" })),
            )),
        }
    }
}

/// Whether the caller is signed in.
#[utoipa::path(post, path = "/api/authenticate", extensions(("x-jackfield-before" = json!(["email"]))),
    responses((status = 200, body = Message), (status = 401, body = Refusal)))]
pub(crate) async fn authenticate(_who: Person) -> Json<Value> {
    Json(json!({ "message": "User authenticated" }))
}

/// Ends the session that asks, and takes its cookie away. An API key has no session: nothing ends.
#[utoipa::path(post, path = "/api/logout", extensions(("x-jackfield-before" = json!(["terms", "email"]))),
    responses((status = 200, body = Message)))]
pub(crate) async fn logout(users: This<Users>, who: Person) -> Answer<Value> {
    if let Some(session) = &who.session {
        users.identity.end_session(&who.id, session).await.map_err(away)?;
        users.note(&who, "session.ended", format!("session:{session}")).await?;
    }
    Ok(Json(json!({ "message": "User logged out" })))
}

/// Where the client goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct AcceptTerms {
    /// A path, or an address of this host; anything else becomes `/`.
    #[serde(default)]
    redirect_url: Option<String>,
}

/// Accepts the terms of service.
#[utoipa::path(post, path = "/api/accept_tos", request_body = AcceptTerms,
    extensions(("x-jackfield-before" = json!(["terms", "email"]))),
    responses((status = 200, body = RedirectUrl), (status = 401, body = Refusal), (status = 422, body = Refusal)))]
pub(crate) async fn accept_terms(users: This<Users>, who: Person, headers: HeaderMap, body: Bytes) -> Answer<Value> {
    let wrong = "write the body as {\"redirect_url\":\"/\"}, or leave it out";
    let accepted: AcceptTerms = optional(&body, wrong)?;
    if !users.identity.accept_terms(&who.id).await.map_err(away)? {
        return refused(StatusCode::UNAUTHORIZED, "User does not exist");
    }
    users.note(&who, "terms.accepted", format!("person:{}", who.id)).await?;
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let next = accepted.redirect_url.filter(|url| is_ours(url, host));
    Ok(Json(json!({ "redirect_url": next.unwrap_or_else(|| "/".to_owned()) })))
}

/// A path of this host, or an address of it: nobody is sent elsewhere from here.
fn is_ours(url: &str, host: Option<&str>) -> bool {
    // Browsers drop tabs and line breaks, and take a backslash for a slash.
    if url.contains(|c: char| c.is_control() || c == '\\') {
        return false;
    }
    if let Some(path) = url.strip_prefix('/') {
        return !path.starts_with('/');
    }
    let Ok(parsed) = Url::parse(url) else { return false };
    let authority = parsed.host_str().map(|name| match parsed.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    });
    matches!(parsed.scheme(), "http" | "https") && authority.is_some() && authority.as_deref() == host
}

/// The person who calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentUser {
    id: String,
    username: String,
    email: Option<String>,
    email_verified: bool,
    name: Option<String>,
    /// The organisation they work in now.
    organization: String,
    /// Whether they operate this host.
    operator: bool,
    /// When the terms of service were accepted.
    terms_accepted_at: Option<String>,
}

/// The person who calls.
#[utoipa::path(get, path = "/api/v1/users/me", extensions(("x-jackfield-before" = json!(["terms", "email"]))),
    responses((status = 200, body = CurrentUser)))]
pub(crate) async fn me(users: This<Users>, who: Person) -> Answer<CurrentUser> {
    let user = users.user(&who).await?;
    Ok(Json(CurrentUser {
        terms_accepted_at: user.terms_accepted_ms.and_then(rfc3339),
        id: user.id,
        username: user.username,
        email: user.email,
        email_verified: user.email_verified,
        name: user.name,
        organization: who.organization,
        operator: user.operator,
    }))
}

/// The person who calls, as a git provider would say it (spec/10 §19), from what the identity provider told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserInfo {
    id: String,
    login: String,
    avatar_url: String,
    company: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

/// The person who calls, as a git provider would say it.
#[utoipa::path(get, path = "/api/user/info", responses((status = 200, body = UserInfo)))]
pub(crate) async fn info(users: This<Users>, who: Person) -> Answer<UserInfo> {
    let user = users.user(&who).await?;
    Ok(Json(UserInfo {
        id: user.id,
        login: user.username,
        avatar_url: String::new(),
        company: user.company,
        name: user.name,
        email: user.email,
    }))
}

/// A session of the person who calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenSession {
    id: String,
    created_at: Option<String>,
    last_seen_at: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

/// Open sessions, newest first.
#[utoipa::path(get, path = "/api/v1/users/me/sessions", responses((status = 200, body = Vec<OpenSession>)))]
pub(crate) async fn sessions(users: This<Users>, who: Person) -> Answer<Vec<OpenSession>> {
    let all = users.identity.sessions(&who.id).await.map_err(away)?;
    let shown = all.into_iter().map(|session| OpenSession {
        current: who.session.as_deref() == Some(session.id.as_str()),
        id: session.id,
        created_at: rfc3339(session.created_ms),
        last_seen_at: rfc3339(session.seen_ms),
        address: session.address,
        user_agent: session.user_agent,
    });
    Ok(Json(shown.collect()))
}

/// Ends a session; it opens nothing a second later.
#[utoipa::path(delete, path = "/api/v1/users/me/sessions/{id}", params(("id" = String, Path, description = "Id, as listed")),
    responses((status = 200, body = Message), (status = 404, body = Refusal)))]
pub(crate) async fn end(users: This<Users>, who: Person, Path(id): Path<String>) -> Answer<Value> {
    if !users.identity.end_session(&who.id, &id).await.map_err(away)? {
        return refused(StatusCode::NOT_FOUND, "no such session");
    }
    users.note(&who, "session.ended", format!("session:{id}")).await?;
    Ok(Json(json!({ "message": "Session ended" })))
}

fn rfc3339(ms: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    at.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn nobody_is_sent_elsewhere() {
        let host = Some("app.example.com");
        for ours in [
            "/",
            "/conversations/1?a=b",
            "https://app.example.com/x",
            "http://app.example.com",
        ] {
            assert!(is_ours(ours, host), "{ours}");
        }
        let elsewhere = [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/x",
            "https://app.example.com.evil.example",
            "https://app.example.com:444/",
            "javascript:alert(1)",
            "/\t/evil.example",
            "evil",
            "",
        ];
        for elsewhere in elsewhere {
            assert!(!is_ours(elsewhere, host), "{elsewhere}");
        }
        assert!(!is_ours("https://app.example.com/", None));
    }
}
