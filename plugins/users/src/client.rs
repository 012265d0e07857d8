//! What the web client is told before anybody signs in.

use jackfield_sdk::prelude::*;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::Users;

/// A time of the configuration.
pub(crate) fn time(field: &str, variable: &str, text: &str) -> Result<()> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339);
    parsed.map(|_| ()).map_err(|_| {
        Error::permanent(format!(
            "{field} is `{text}`; write a time with its offset, as 2027-01-31T00:00:00Z ({variable})"
        ))
    })
}

/// What the web client is told at its start (spec/10 §20.1), and what signs people in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientConfig {
    app_mode: String,
    posthog_client_key: Option<String>,
    feature_flags: FeatureFlags,
    providers_configured: Vec<String>,
    maintenance_start_time: Option<String>,
    auth_url: Option<String>,
    recaptcha_site_key: Option<String>,
    faulty_models: Vec<String>,
    error_message: Option<String>,
    updated_at: String,
    github_app_slug: Option<String>,
    identity_provider: String,
    /// Whether this host sends sign-in links by mail (`POST /api/v1/sign-in/link`).
    sign_in_links: bool,
    kind: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeatureFlags {
    enable_billing: bool,
    hide_llm_settings: bool,
    enable_jira: bool,
    enable_jira_dc: bool,
    enable_linear: bool,
}

/// What the web client is told at its start.
#[utoipa::path(get, path = "/api/v1/web-client/config", security(()), responses((status = 200, body = ClientConfig)))]
pub(crate) async fn config(users: This<Users>) -> Json<ClientConfig> {
    let config = &users.config;
    Json(ClientConfig {
        app_mode: config.app_mode.clone(),
        posthog_client_key: config.posthog_client_key.clone(),
        feature_flags: FeatureFlags {
            enable_billing: config.enable_billing,
            hide_llm_settings: config.hide_llm_settings,
            enable_jira: config.enable_jira,
            enable_jira_dc: config.enable_jira_dc,
            enable_linear: config.enable_linear,
        },
        providers_configured: config.providers_configured.clone().unwrap_or_default(),
        maintenance_start_time: config.maintenance_start_time.clone(),
        auth_url: users.auth_url(),
        recaptcha_site_key: config.recaptcha_site_key.clone(),
        faulty_models: config.faulty_models.clone().unwrap_or_default(),
        error_message: config.error_message.clone(),
        updated_at: config.updated_at.clone(),
        github_app_slug: config.github_app_slug.clone(),
        identity_provider: users.sign_in.provider.clone(),
        sign_in_links: users.signs_in_here() && users.sends_mail().await,
        kind: "WebClientConfig",
    })
}

/// The same for older clients (spec/10 §20.2), from the same settings, so that the two never disagree.
#[utoipa::path(get, path = "/api/options/config", security(()), responses((status = 200, body = Object)))]
pub(crate) async fn old_config(users: This<Users>) -> Json<Value> {
    let config = &users.config;
    let mut told = json!({
        "APP_MODE": config.app_mode,
        "APP_SLUG": config.github_app_slug,
        "POSTHOG_CLIENT_KEY": config.posthog_client_key,
        "FEATURE_FLAGS": {
            "ENABLE_BILLING": config.enable_billing,
            "HIDE_LLM_SETTINGS": config.hide_llm_settings,
            "ENABLE_JIRA": config.enable_jira,
            "ENABLE_JIRA_DC": config.enable_jira_dc,
            "ENABLE_LINEAR": config.enable_linear,
        },
        "PROVIDERS_CONFIGURED": config.providers_configured.clone().unwrap_or_default(),
    });
    if let Some(begins) = &config.maintenance_start_time {
        told["MAINTENANCE"] = json!({ "startTime": begins });
    }
    if let Some(url) = users.auth_url() {
        told["AUTH_URL"] = json!(url);
    }
    if let Some(key) = &config.recaptcha_site_key {
        told["RECAPTCHA_SITE_KEY"] = json!(key);
    }
    Json(told)
}

impl Users {
    /// Whether this host signs people in itself, and so sends its own mail about their addresses.
    pub(crate) fn signs_in_here(&self) -> bool {
        self.sign_in.provider == "local"
    }

    /// Where the client begins: with Keycloak our own address (the host adds what the client's URL lacks).
    fn auth_url(&self) -> Option<String> {
        self.config.auth_url.clone().or_else(|| self.sign_in.auth_url.clone())
    }
}
