//! The account of the person who is signed in (spec/10 §14, §16, §20): whether they are, terms of service, e-mail address,
//! sessions, and what the web client is told before anybody is.

mod answer;
mod client;
mod elsewhere;
mod email;
mod session;
#[cfg(test)]
mod tests;
mod verification;

use jackfield_sdk::{
    identity::{Identity, SignIn},
    prelude::*,
};

/// What the web client is told, under the reference's names (spec/10 §20.1).
#[derive(Config)]
pub struct UsersConfig {
    /// `saas`, or `oss` for a client without sign-in.
    #[config(default = "saas", env = "OH_APP_MODE")]
    pub app_mode: String,
    /// Public key of PostHog; none means that nothing is measured.
    #[config(env = "OH_WEB_CLIENT_POSTHOG_CLIENT_KEY")]
    pub posthog_client_key: Option<String>,
    /// Whether the client shows billing.
    #[config(default = false, env = "OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_BILLING")]
    pub enable_billing: bool,
    /// Whether the client hides the language model's settings.
    #[config(default = false, env = "OH_WEB_CLIENT_FEATURE_FLAGS_HIDE_LLM_SETTINGS")]
    pub hide_llm_settings: bool,
    /// Whether the client offers Jira Cloud.
    #[config(default = false, env = "OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_JIRA")]
    pub enable_jira: bool,
    /// Whether the client offers Jira Data Center.
    #[config(default = false, env = "OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_JIRA_DC")]
    pub enable_jira_dc: bool,
    /// Whether the client offers Linear.
    #[config(default = false, env = "OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_LINEAR")]
    pub enable_linear: bool,
    /// Identity providers that the sign-in page offers: `github`, `gitlab`, `bitbucket`, `enterprise_sso`.
    #[config(env = "OH_WEB_CLIENT_PROVIDERS_CONFIGURED")]
    pub providers_configured: Option<Vec<String>>,
    /// When maintenance begins (RFC 3339): the client shows a banner.
    #[config(env = "OH_WEB_CLIENT_MAINTENANCE_START_TIME")]
    pub maintenance_start_time: Option<String>,
    /// Host that the client goes to for sign-in; with Keycloak this host unless said otherwise.
    #[config(env = "OH_WEB_CLIENT_AUTH_URL")]
    pub auth_url: Option<String>,
    /// Site key of reCAPTCHA.
    #[config(env = "OH_WEB_CLIENT_RECAPTCHA_SITE_KEY")]
    pub recaptcha_site_key: Option<String>,
    /// Models that do not work now: the client shows a banner.
    #[config(env = "OH_WEB_CLIENT_FAULTY_MODELS")]
    pub faulty_models: Option<Vec<String>>,
    /// What is wrong now: the client shows it in a banner.
    #[config(env = "OH_WEB_CLIENT_ERROR_MESSAGE")]
    pub error_message: Option<String>,
    /// When the banner's words changed last (RFC 3339): one that was closed shows again.
    #[config(default = "2026-01-01T00:00:00Z", env = "OH_WEB_CLIENT_UPDATED_AT")]
    pub updated_at: String,
    /// Short name of the GitHub App.
    #[config(env = "OH_WEB_CLIENT_GITHUB_APP_SLUG")]
    pub github_app_slug: Option<String>,
}

/// Modes that the client knows.
const MODES: [&str; 2] = ["saas", "oss"];
/// Identity providers that the client knows.
const PROVIDERS: [&str; 5] = ["github", "gitlab", "bitbucket", "azure_devops", "enterprise_sso"];

/// The plugin.
pub struct Users {
    config: UsersConfig,
    sign_in: SignIn,
    identity: Identity,
    database: Database,
    host: Host,
}

#[plugin(
    id = "users",
    capabilities(
        "identity:users",
        "identity:accounts",
        "identity:sessions",
        "audit",
        "database",
        "mail"
    ),
    migrations = "migrations"
)]
impl Plugin for Users {
    type Config = UsersConfig;

    fn validate(config: &UsersConfig) -> Result<()> {
        one_of("app_mode", "OH_APP_MODE", &config.app_mode, &MODES)?;
        for provider in config.providers_configured.iter().flatten() {
            one_of(
                "providers_configured",
                "OH_WEB_CLIENT_PROVIDERS_CONFIGURED",
                provider,
                &PROVIDERS,
            )?;
        }
        client::time("updated_at", "OH_WEB_CLIENT_UPDATED_AT", &config.updated_at)?;
        if let Some(begins) = &config.maintenance_start_time {
            client::time("maintenance_start_time", "OH_WEB_CLIENT_MAINTENANCE_START_TIME", begins)?;
        }
        Ok(())
    }

    async fn create(config: UsersConfig, host: Host) -> Result<Self> {
        let identity = host.identity();
        Ok(Self {
            config,
            sign_in: identity.sign_in().await?,
            identity,
            database: host.database(),
            host,
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes
            .add(routes!(client::config))
            .add(routes!(client::old_config))
            .add(routes!(session::authenticate))
            .add(routes!(session::logout))
            .add(routes!(session::accept_terms))
            .add(routes!(email::change))
            .add(routes!(email::resend))
            .add(routes!(email::verified))
            .add(routes!(session::me))
            .add(routes!(session::info))
            .add(routes!(session::sessions))
            .add(routes!(session::end));
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.every("sweep", hours(1)).handle(Self::sweep);
    }
}

fn one_of(field: &str, variable: &str, value: &str, known: &[&str]) -> Result<()> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::permanent(format!(
        "{field} is `{value}`; write one of {} ({variable})",
        known.join(", ")
    )))
}
