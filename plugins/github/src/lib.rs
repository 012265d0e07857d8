//! GitHub: a label on an issue or a mention in a comment starts a conversation.
//!
//! One webhook takes every event of a GitHub App; what it means is decided off the request path, in the story
//! [`GitHub::on_event`]. A schedule asks GitHub for deliveries that never arrived.

mod api;
mod app;
mod event;
mod mention;
mod prompt;
mod reconcile;
mod rest;
mod trigger;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod sample;

use jackfield_sdk::{health::HealthStatus, http::StatusCode, prelude::*};

use crate::{
    api::Api,
    app::{About, App},
    event::Event,
    prompt::PromptInputs,
    rest::Rest,
    trigger::{Decision, Rule},
};

/// What GitHub is answered, as the reference answers it.
const REACHED: &str = r#"{"message":"GitHub events endpoint reached successfully."}"#;
/// Where the reconciler keeps what it knows.
const RECONCILE_KEY: &str = "reconcile";

/// Settings of the GitHub App.
#[derive(Config)]
pub struct GitHubConfig {
    /// Client id of the GitHub App; its app id does as well.
    #[config(env = "GITHUB_APP_CLIENT_ID", enables)]
    pub client_id: String,
    /// Private key of the GitHub App in PEM form; a line break may be written as `\n`.
    #[config(env = "GITHUB_APP_PRIVATE_KEY", enables)]
    pub private_key: Secret,
    /// Secrets that GitHub signs deliveries with.
    #[config(env = "GITHUB_APP_WEBHOOK_SECRET", enables)]
    pub webhook_secrets: SigningSecrets,
    /// Base of the REST API; on GitHub Enterprise Server `https://HOST/api/v3`.
    #[config(default = "https://api.github.com", env = "GITHUB_API_URL", egress)]
    pub api_url: Url,
    /// Host name that people use; one with `staging` or `local` in it listens to `openhands-exp` instead of `openhands`.
    #[config(default = "app.all-hands.dev", env = "WEB_HOST")]
    pub web_host: String,
    /// Label, and name that is mentioned, instead of the one that the host name decides.
    pub label: Option<String>,
    /// Whether deliveries are acted on; otherwise they are acknowledged and ignored.
    #[config(default = true, env = "GITHUB_WEBHOOKS_ENABLED")]
    pub webhooks_enabled: bool,
}

impl GitHubConfig {
    /// The label, and the name that is mentioned.
    fn label(&self) -> &str {
        let host = self.web_host.trim();
        match &self.label {
            Some(label) => label,
            None if host.contains("staging") || host.contains("local") => "openhands-exp",
            None => "openhands",
        }
    }
}

/// The plugin.
pub struct GitHub {
    api: Api,
    rule: Rule,
    enabled: bool,
    kv: Kv,
}

#[plugin(id = "github", capabilities("http:{api_url}", "kv"))]
impl Plugin for GitHub {
    type Config = GitHubConfig;

    fn validate(config: &GitHubConfig) -> Result<()> {
        app::signing_key(&config.private_key)?;
        if config.client_id.trim().is_empty() {
            return Err(Error::permanent(
                "client_id is empty; GitHub shows it on the app's page (GITHUB_APP_CLIENT_ID)",
            ));
        }
        if !matches!(config.api_url.scheme(), "http" | "https") {
            return Err(Error::permanent(
                "api_url is no http address; write https://api.github.com or https://HOST/api/v3",
            ));
        }
        let label = config.label();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if label.is_empty() || !label.chars().all(plain) {
            return Err(Error::permanent(format!(
                "label `{label}` cannot be mentioned; use letters, digits, `-` and `_`"
            )));
        }
        Ok(())
    }

    async fn create(config: GitHubConfig, host: Host) -> Result<Self> {
        let client_id = config.client_id.trim();
        let rest = Rest::new(&host, config.api_url.clone());
        let app = App::new(rest.clone(), client_id, app::signing_key(&config.private_key)?);
        Ok(Self {
            api: Api::new(rest, app),
            rule: Rule::new(config.label(), client_id),
            enabled: config.webhooks_enabled,
            kv: host.kv(),
        })
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks
            .at("/integration/github/events")
            .name("events")
            .verify(
                Verify::hmac_sha256("X-Hub-Signature-256")
                    .prefix("sha256=")
                    .secrets("webhook_secrets"),
            )
            .delivery_id(header("X-GitHub-Delivery"))
            .event(first([
                concat([header("X-GitHub-Event"), text("."), json("/action")]),
                header("X-GitHub-Event"),
            ]))
            .tenant(json("/installation/id"))
            .lane(concat([
                json("/repository/full_name"),
                text("#"),
                first([json("/issue/number"), json("/pull_request/number")]),
            ]))
            .retry(Retry::within(minutes(15)))
            .answer(200, REACHED)
            .handle(Self::on_event);
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.every("reconcile", minutes(5))
            .retry(Retry::within(minutes(4)).attempts(3))
            .handle(Self::reconcile);
    }

    async fn health(&self) -> Result<Health> {
        let answer = match self.api.app().about(std::time::Duration::from_millis(1_800)).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Health::degraded(error.to_string())),
        };
        Ok(match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => {
                Health::unhealthy("GITHUB_APP_CLIENT_ID and GITHUB_APP_PRIVATE_KEY do not fit together")
            }
            status if status.is_success() => {
                let about: About = answer.json()?;
                Health {
                    status: HealthStatus::Healthy,
                    detail: Some(format!("app {}", about.slug)),
                }
            }
            status => Health::degraded(format!("{} answered {status}", answer.url())),
        })
    }
}

impl GitHub {
    async fn on_event(&self, run: Run, event: Event) -> Result<Outcome> {
        if !self.enabled {
            return Ok(Outcome::ignored(
                "GitHub webhooks are switched off (GITHUB_WEBHOOKS_ENABLED)",
            ));
        }
        let candidate = match event {
            Event::NoInstallation { kind } => return Ok(Outcome::ignored(format!("`{kind}` names no installation"))),
            Event::Other { kind } => return Ok(Outcome::ignored(format!("`{kind}` never starts a conversation"))),
            Event::Candidate(candidate) => candidate,
        };
        let request = match self.rule.decide(&candidate) {
            Decision::Start(request) => request,
            Decision::Nothing(why) => return Ok(Outcome::ignored(why)),
        };
        let access = run.step("permission", |_| self.api.permission(&request)).await?;
        if !access.may_write() {
            let (who, what) = (&request.asker.login, request.full_name());
            return Ok(Outcome::ignored(format!("{who} has no write access to {what}")));
        }
        // A reaction is a courtesy: its refusal is kept beside the step and the story goes on.
        let _seen = run
            .try_step("acknowledge", |attempt| self.api.acknowledge(&request, attempt))
            .await?;
        let context = run.step("context", |_| self.api.context(&request)).await?;
        Outcome::done("conversation requested").with(&PromptInputs::new(&request, context))
    }

    async fn reconcile(&self, run: Run, (): ()) -> Result<Outcome> {
        if !self.enabled {
            return Ok(Outcome::ignored(
                "GitHub webhooks are switched off (GITHUB_WEBHOOKS_ENABLED)",
            ));
        }
        let plan = run
            .step("look", |_| async {
                let known = self.kv.get(RECONCILE_KEY).await?.unwrap_or_default();
                reconcile::look(&self.api, known).await
            })
            .await?;
        let mut refused = 0;
        for id in &plan.due {
            let asked = run
                .try_step(&format!("redeliver/{id}"), |_| reconcile::redeliver(&self.api, *id))
                .await?;
            refused += usize::from(asked.is_err());
        }
        run.step("remember", |_| self.kv.set(RECONCILE_KEY, &plan.state, None))
            .await?;
        Ok(told(&plan, refused))
    }
}

fn told(plan: &reconcile::Plan, refused: usize) -> Outcome {
    let mut notes = vec![format!(
        "asked GitHub to send {} deliveries again",
        plan.due.len() - refused
    )];
    if refused > 0 {
        notes.push(format!("{refused} it refused"));
    }
    if plan.given_up > 0 {
        notes.push(format!("{} failed for three days and were given up", plan.given_up));
    }
    if plan.cut_short {
        notes.push("GitHub's list was longer than one look reads: older deliveries were not seen".to_owned());
    }
    match notes.len() == 1 && plan.due.is_empty() {
        true => Outcome::ignored("every delivery arrived"),
        false => Outcome::done(notes.join("; ")),
    }
}

#[cfg(test)]
mod tests;
