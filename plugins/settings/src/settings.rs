//! `/api/settings` and `/api/reset-settings`.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join;
use jackfield_sdk::{database::Statement, http::HeaderMap, identity::User, prelude::*};
use serde_json::{Value, json};

use crate::{
    Settings,
    answer::{Answer, Refused, SettingsError, SettingsMessage, SettingsMistakes, done, etag, failed},
    body::Body,
    change::Wish,
    mcp::McpConfig,
    models,
    store::{self, Linked, Row},
};

/// Settings as people see and send them. Keys are never shown: `…_set` says whether there is one.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserSettings {
    language: Option<String>,
    agent: Option<String>,
    max_iterations: Option<i64>,
    security_analyzer: Option<String>,
    confirmation_mode: Option<bool>,
    llm_model: Option<String>,
    llm_api_key: Option<String>,
    /// None: the model's own.
    llm_base_url: Option<String>,
    user_version: Option<i64>,
    remote_runtime_resource_factor: Option<i64>,
    secrets_store: Value,
    enable_default_condenser: bool,
    enable_sound_notifications: bool,
    enable_proactive_conversation_starters: bool,
    enable_solvability_analysis: bool,
    user_consents_to_analytics: Option<bool>,
    sandbox_base_container_image: Option<String>,
    sandbox_runtime_container_image: Option<String>,
    /// Keys and values of variables are masked.
    mcp_config: Option<McpConfig>,
    search_api_key: Option<String>,
    sandbox_api_key: Option<String>,
    max_budget_per_task: Option<f64>,
    condenser_max_size: Option<i64>,
    email: Option<String>,
    email_verified: bool,
    git_user_name: Option<String>,
    git_user_email: Option<String>,
    v1_enabled: bool,
    /// Git providers that are linked, each with its host when it is not the provider's own.
    provider_tokens_set: BTreeMap<String, Option<String>>,
    llm_api_key_set: bool,
    search_api_key_set: bool,
}

/// Settings of the person in the organisation. `ETag` is their version.
#[utoipa::path(get, path = "/api/settings", extensions(("x-jackfield-before" = json!(["email"]))),
    responses((status = 200, body = UserSettings), (status = 404, body = SettingsError), (status = 500, body = SettingsError)))]
pub(crate) async fn load(settings: This<Settings>, who: Person) -> Answer<impl IntoResponse> {
    let failed = failed("Something went wrong loading settings");
    let rows = settings
        .database
        .batch::<Statement>([store::select(&who), store::select_linked(&who)]);
    let (rows, user) = try_join(rows, settings.identity.user(&who.id)).await.map_err(failed)?;
    let mut rows = rows.into_iter();
    let row: Option<Row> = store::first(rows.next()).map_err(failed)?;
    let linked: Vec<Linked> = rows.next().unwrap_or_default().read().map_err(failed)?;
    let (Some(row), Some(user)) = (row, user) else {
        return Err(Refused::error(StatusCode::NOT_FOUND, "Settings not found"));
    };
    let mcp = settings.mcp_there(&who, &row).await.map_err(failed)?;
    let version = etag(row.version);
    Ok(([version], Json(settings.shown(row, user, mcp, linked))))
}

/// Changes the fields that are sent, and no other; with `If-Match` only on that version.
#[utoipa::path(post, path = "/api/settings", request_body = UserSettings, extensions(("x-jackfield-before" = json!(["email"]))),
    params(("if-match" = Option<String>, Header, description = "`ETag` of the settings that were read")),
    responses((status = 200, body = SettingsMessage), (status = 412, body = SettingsError),
        (status = 422, body = SettingsMistakes), (status = 500, body = SettingsError)))]
pub(crate) async fn store(
    settings: This<Settings>,
    who: Person,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<impl IntoResponse> {
    let mut body = Body::read(&body)?;
    let wish = Wish::read(&mut body);
    let wish = body.checked(Some(wish))?;
    let version = settings.change(&who, wish, &headers).await?;
    Ok(([etag(version)], done("Settings stored")))
}

/// Gone: nothing resets all settings at once.
#[utoipa::path(post, path = "/api/reset-settings", responses((status = 410, body = SettingsError)))]
pub(crate) async fn reset(_who: Person) -> Refused {
    Refused::error(StatusCode::GONE, "Reset settings functionality has been removed.")
}

impl Settings {
    fn shown(&self, row: Row, user: User, mcp: Option<McpConfig>, linked: Vec<Linked>) -> UserSettings {
        let model = row.llm_model.or_else(|| self.config.default_model.clone());
        UserSettings {
            llm_base_url: models::chosen(row.llm_base_url, model.as_deref(), self.proxy()),
            llm_model: model,
            language: row.language,
            agent: row.agent,
            max_iterations: row.max_iterations,
            security_analyzer: row.security_analyzer,
            confirmation_mode: row.confirmation_mode,
            llm_api_key: None,
            user_version: None,
            remote_runtime_resource_factor: row.remote_runtime_resource_factor,
            secrets_store: json!({ "provider_tokens": {} }),
            enable_default_condenser: row.enable_default_condenser.unwrap_or(true),
            enable_sound_notifications: row.enable_sound_notifications.unwrap_or(false),
            enable_proactive_conversation_starters: row.enable_proactive_conversation_starters.unwrap_or(true),
            enable_solvability_analysis: row.enable_solvability_analysis.unwrap_or(true),
            user_consents_to_analytics: row.user_consents_to_analytics,
            sandbox_base_container_image: row.sandbox_base_container_image,
            sandbox_runtime_container_image: row.sandbox_runtime_container_image,
            mcp_config: mcp.map(McpConfig::masked),
            llm_api_key_set: row.llm_api_key.is_some(),
            search_api_key_set: row.search_api_key.is_some(),
            search_api_key: None,
            sandbox_api_key: None,
            max_budget_per_task: row.max_budget_per_task,
            condenser_max_size: row.condenser_max_size,
            email: user.email,
            email_verified: user.email_verified,
            git_user_name: row.git_user_name,
            git_user_email: row.git_user_email,
            v1_enabled: row.v1_enabled.unwrap_or(true),
            provider_tokens_set: linked.into_iter().map(|one| (one.provider, one.host)).collect(),
        }
    }
}
