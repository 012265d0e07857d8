//! Settings, custom secrets and git-provider tokens (spec/40 §7, §8): each person's own in each organisation; and what there is to
//! choose from (spec/10 §20.3).
//!
//! - A write changes the fields that it names and no other. Who sends `If-Match` writes only on the version that they read;
//!   of others the last one wins, field by field.
//! - Secrets are sealed in the vault and masked in every answer. A masked value that comes back changes nothing.
//! - E-mail address and its verification are the identity service's; nothing that is sent changes them.

mod answer;
mod body;
mod change;
mod mcp;
mod models;
mod options;
mod providers;
mod sealed;
mod secrets;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use jackfield_sdk::{
    identity::{AuditEntry, Identity},
    prelude::*,
};
use sealed::Sealed;

/// Where models are reached, under the reference's names.
#[derive(Config)]
pub struct SettingsConfig {
    /// Address of the language model proxy: where its models are reached, and what is not shown as anybody's own choice.
    #[config(default = "https://llm-proxy.app.all-hands.dev", env = "LITE_LLM_API_URL")]
    pub llm_proxy: Url,
    /// Model of who has chosen none.
    #[config(env = "LITELLM_DEFAULT_MODEL")]
    pub default_model: Option<String>,
    /// Models that clients offer beside the built-in ones, such as those of an Ollama or Bedrock of one's own.
    #[config(env = "JACKFIELD_MODELS")]
    pub models: Option<Vec<String>>,
}

/// The plugin.
pub struct Settings {
    config: SettingsConfig,
    host: Host,
    identity: Identity,
    database: Database,
    sealed: Sealed,
}

#[plugin(
    id = "settings",
    capabilities("database", "vault", "identity:users", "audit"),
    migrations = "migrations"
)]
impl Plugin for Settings {
    type Config = SettingsConfig;

    async fn create(config: SettingsConfig, host: Host) -> Result<Self> {
        Ok(Self {
            config,
            identity: host.identity(),
            database: host.database(),
            sealed: Sealed::new(&host),
            host,
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes
            .add(routes!(settings::load, settings::store))
            .add(routes!(settings::reset))
            .add(routes!(secrets::list, secrets::create))
            .add(routes!(secrets::update, secrets::delete))
            .add(routes!(providers::add))
            .add(routes!(providers::unset))
            .add(routes!(options::models))
            .add(routes!(options::agents))
            .add(routes!(options::analyzers));
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.every("sweep", hours(1)).handle(Self::sweep);
    }
}

impl Settings {
    /// Empties what a crash, or two writers at once, left in the vault.
    async fn sweep(&self, run: Run, (): ()) -> Result<Outcome> {
        let emptied = run.step("sweep", |_| self.sealed.sweep()).await?;
        Ok(match emptied {
            0 => Outcome::ignored("no sealed value is left behind"),
            emptied => Outcome::done(format!("removed {emptied} sealed values that no row names")),
        })
    }

    async fn note(&self, who: &Person, action: &str, target: &str, detail: serde_json::Value) -> Result<()> {
        let target = format!("{target}@{}", who.organization);
        let entry = AuditEntry::of(who, action, target).detail(detail);
        self.host.audit().record(entry).await
    }

    fn proxy(&self) -> &str {
        self.config.llm_proxy.as_str().trim_end_matches('/')
    }
}
