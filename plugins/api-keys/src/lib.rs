//! API keys of the person who is signed in (spec/10 §18.2): `/api/keys`.
//!
//! A key is shown when it is made and never again. A key belongs to the organisation that its owner worked in, and may be
//! narrowed to scopes and given an end.

#[cfg(test)]
mod tests;

use jackfield_sdk::{
    axum::extract::rejection::{JsonRejection, PathRejection},
    identity::{ApiKey, AuditEntry, Identity, NewApiKey},
    prelude::*,
    principal::ALL,
};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Longest name.
const NAME: usize = 255;
/// Most keys that a person may have in an organisation.
const KEYS: usize = 100;

/// Nothing to set.
#[derive(Config)]
pub struct ApiKeysConfig {}

/// The plugin.
pub struct ApiKeys {
    host: Host,
    identity: Identity,
}

#[plugin(id = "api-keys", capabilities("identity:keys", "audit"))]
impl Plugin for ApiKeys {
    type Config = ApiKeysConfig;

    async fn create(_: ApiKeysConfig, host: Host) -> Result<Self> {
        Ok(Self {
            identity: host.identity(),
            host,
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(list, create)).add(routes!(delete));
    }
}

/// A key as its owner sees it. Times are RFC 3339.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyResponse {
    /// Number.
    id: i64,
    /// Name.
    name: Option<String>,
    /// First characters of the key.
    prefix: String,
    /// What it may do; empty is all that its owner may.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Option<String>,
    /// When it was used last.
    last_used_at: Option<String>,
    /// When it ends.
    expires_at: Option<String>,
}

/// A key that was just made: `key` is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyCreateResponse {
    #[serde(flatten)]
    shown: ApiKeyResponse,
    /// The secret.
    key: String,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
struct ApiKeyCreate {
    /// Name.
    #[serde(default)]
    name: Option<String>,
    /// When it ends (RFC 3339); never when left out.
    #[serde(default)]
    expires_at: Option<String>,
    /// What it may do; all that its owner may when left out.
    #[serde(default)]
    scopes: Vec<String>,
}

/// `{"detail":…}`, as the reference's clients read errors.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// What is wrong.
    detail: String,
}

type Refused = (StatusCode, Json<ErrorDetail>);

fn refused(status: StatusCode, detail: impl Into<String>) -> Refused {
    (status, Json(ErrorDetail { detail: detail.into() }))
}

fn failed(what: &'static str) -> impl Fn(Error) -> Refused {
    move |error| {
        tracing::error!(%error, what, "a key route failed");
        refused(StatusCode::INTERNAL_SERVER_ERROR, what)
    }
}

/// API keys of the current organisation, oldest first.
#[utoipa::path(get, path = "/api/keys", responses((status = 200, body = Vec<ApiKeyResponse>), (status = 500, body = ErrorDetail)))]
async fn list(keys: This<ApiKeys>, who: Person) -> std::result::Result<Json<Vec<ApiKeyResponse>>, Refused> {
    let all = keys.identity.keys(&who.id, &who.organization).await;
    let all = all.map_err(failed("Failed to list API keys"))?;
    Ok(Json(all.into_iter().map(shown).collect()))
}

/// Makes an API key. The answer holds the key, which nothing shows again.
#[utoipa::path(post, path = "/api/keys", request_body = ApiKeyCreate,
    responses((status = 200, body = ApiKeyCreateResponse), (status = 403, body = ErrorDetail), (status = 409, body = ErrorDetail), (status = 422, body = ErrorDetail)))]
async fn create(
    keys: This<ApiKeys>,
    caller: Principal,
    who: Person,
    body: std::result::Result<Json<Map<String, Value>>, JsonRejection>,
) -> std::result::Result<Json<ApiKeyCreateResponse>, Refused> {
    let new = read(body)?;
    let failed = failed("Failed to create API key");
    // A key gives no more than whoever makes it may do: no way around a key's scopes leads through another key.
    let all = [ALL.to_owned()];
    let asked = if new.scopes.is_empty() {
        &all[..]
    } else {
        &new.scopes[..]
    };
    if !caller.holds(asked) {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "scopes: a key may have only what you hold yourself; name some of yours",
        ));
    }
    let unprocessable = |text: &str| refused(StatusCode::UNPROCESSABLE_ENTITY, text);
    if new.name.as_ref().is_some_and(|name| name.chars().count() > NAME) {
        return Err(unprocessable("name: at most 255 characters"));
    }
    let ends = match &new.expires_at {
        None => None,
        Some(text) => Some(
            OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| unprocessable("expires_at: write a time with its offset, as 2027-01-31T00:00:00Z"))?,
        ),
    };
    if ends.is_some_and(|ends| ends <= keys.host.clock().now()) {
        return Err(unprocessable("expires_at: this time is past"));
    }
    let there = keys.identity.keys(&who.id, &who.organization).await.map_err(&failed)?;
    if there.len() >= KEYS {
        return Err(refused(StatusCode::CONFLICT, "there are 100 keys; delete one first"));
    }
    let made = keys
        .identity
        .create_key(NewApiKey {
            user: who.id.clone(),
            organization: who.organization.clone(),
            name: new.name,
            scopes: new.scopes,
            expires_ms: ends.map(millis),
        })
        .await
        .map_err(&failed)?;
    let detail = json!({ "name": made.listed.name, "scopes": made.listed.scopes });
    keys.note(&who, "key.created", made.listed.id, detail)
        .await
        .map_err(&failed)?;
    Ok(Json(ApiKeyCreateResponse {
        shown: shown(made.listed),
        key: made.key,
    }))
}

/// 422 for whatever is wrong with a body, as the reference has it. An array would do for serde, so an object is read first.
fn read(
    body: std::result::Result<Json<Map<String, Value>>, JsonRejection>,
) -> std::result::Result<ApiKeyCreate, Refused> {
    let Json(object) = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => refused(error.status(), error.body_text()),
        _ => refused(StatusCode::UNPROCESSABLE_ENTITY, error.body_text()),
    })?;
    serde_json::from_value(Value::Object(object))
        .map_err(|error| refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

/// Deletes an API key; it opens nothing a second later.
#[utoipa::path(delete, path = "/api/keys/{key_id}", params(("key_id" = i64, Path, description = "Number of the key")),
    responses((status = 200), (status = 404, body = ErrorDetail), (status = 422, body = ErrorDetail)))]
async fn delete(
    keys: This<ApiKeys>,
    who: Person,
    id: std::result::Result<Path<i64>, PathRejection>,
) -> std::result::Result<Json<Value>, Refused> {
    let Path(id) = id.map_err(|_| refused(StatusCode::UNPROCESSABLE_ENTITY, "key_id: a key is named by its number"))?;
    let failed = failed("Failed to delete API key");
    let deleted = keys.identity.delete_key(&who.id, &who.organization, id).await;
    if !deleted.map_err(&failed)? {
        return Err(refused(StatusCode::NOT_FOUND, "API key not found"));
    }
    keys.note(&who, "key.deleted", id, json!({})).await.map_err(&failed)?;
    Ok(Json(json!({ "message": "API key deleted successfully" })))
}

impl ApiKeys {
    async fn note(&self, who: &Person, action: &str, id: i64, detail: Value) -> Result<()> {
        let entry = AuditEntry::of(who, action, format!("key:{id}")).detail(detail);
        self.host.audit().record(entry).await
    }
}

fn shown(key: ApiKey) -> ApiKeyResponse {
    ApiKeyResponse {
        id: key.id,
        name: key.name,
        prefix: key.prefix,
        scopes: key.scopes,
        created_at: rfc3339(key.created_ms),
        last_used_at: key.last_used_ms.and_then(rfc3339),
        expires_at: key.expires_ms.and_then(rfc3339),
    }
}

fn rfc3339(ms: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    at.format(&Rfc3339).ok()
}

fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
