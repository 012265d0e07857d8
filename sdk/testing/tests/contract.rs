//! The contract catches what it says it catches: one wrong plugin per rule, beside one that keeps them all.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::unused_async,
    reason = "handlers are async whether they wait or not"
)]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use jackfield_sdk::{
    manifest::{Described, Manifest},
    prelude::*,
};
use jackfield_testing::{Answer, Breach, Contract, assert_plugin_contract, check_plugin_contract};

/// Settings of the plugins here.
#[derive(Config)]
struct Common {
    /// Where the provider lives.
    #[config(default = "https://provider.example", egress)]
    api: Url,
    /// What it signs with.
    #[config(default = "canary-in-the-mine", secret)]
    key: Secret,
}

/// What every plugin here holds.
struct Kit {
    config: Common,
    http: Http,
}

impl Kit {
    async fn post(&self, path: &str, key: Option<&str>) -> Result<()> {
        let mut request = self.http.post(self.config.api.join(path)?);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request.await?.error_for_status()?;
        Ok(())
    }
}

/// A plugin whose webhook `in` runs `$handle`, with whatever else it does in its own way.
macro_rules! plugin {
    ($name:ident, $id:literal, |$this:ident, $run:ident| $handle:expr $(, $($more:tt)*)?) => {
        struct $name(Kit);

        #[plugin(id = $id, capabilities("http:{api}"))]
        impl Plugin for $name {
            type Config = Common;
            async fn create(config: Common, host: Host) -> Result<Self> {
                Ok(Self(Kit { config, http: host.http() }))
            }
            fn webhooks(hooks: &mut Webhooks<Self>) {
                hooks.at(concat!("/", $id, "/in")).name("in").verify(Verify::none("a test")).handle(Self::handle);
            }
            $($($more)*)?
        }

        impl $name {
            async fn handle(&self, $run: Run, (): ()) -> Result<Outcome> {
                let $this = &self.0;
                $handle
            }
        }
    };
}

fn contract() -> Contract {
    Contract::with("key = 'canary-in-the-mine'")
        .script(|provider| provider.on("POST /**", Answer::status(201)))
        .delivery("in", |it| it.body("{}"))
}

async fn breaches<P: Described>() -> Vec<Breach> {
    check_plugin_contract::<P>(&contract()).await
}

/// The one rule that is broken, and what is said of it.
#[track_caller]
fn only(breaches: &[Breach], rule: u8, what: &str) {
    assert!(!breaches.is_empty(), "nothing was found");
    for breach in breaches {
        assert_eq!(breach.rule, rule, "{breach}");
        assert!(!breach.fix.is_empty());
    }
    assert!(
        breaches.iter().any(|breach| breach.what.contains(what)),
        "{breaches:#?}"
    );
}

plugin!(
    Good,
    "good",
    |this, run| {
        run.step(
            "first",
            |attempt| async move { this.post("a", Some(attempt.key())).await },
        )
        .await?;
        run.step(
            "second",
            |attempt| async move { this.post("a", Some(attempt.key())).await },
        )
        .await?;
        tracing_says(&format!("{:?}", this.config.key));
        Ok(Outcome::done("good"))
    },
    async fn reconfigure(&self, _: Common) -> Result<Reconfigured> {
        Ok(Reconfigured::Applied)
    }
);

fn tracing_says(text: &str) {
    tracing::info!(text, "a plugin says");
}

#[tokio::test]
async fn a_plugin_that_keeps_the_rules_passes() {
    assert_plugin_contract::<Good>(contract()).await;
}

#[tokio::test]
#[should_panic(expected = "rule 4")]
async fn one_that_does_not_panics_with_the_rule() {
    assert_plugin_contract::<Unstepped>(contract()).await;
}

// Rule 1.

struct Nameless;

impl Plugin for Nameless {
    type Config = ();
    async fn create((): (), _: Host) -> Result<Self> {
        Ok(Self)
    }
}

impl Described for Nameless {
    const MANIFEST: &'static Manifest = &Manifest {
        id: "Name_Less",
        version: "one",
        description: "",
        config_schema: r#"{"type":"object","properties":{"depth":{"type":"integer","default":1}},"required":[]}"#,
        capabilities: &[],
        migrations: &[],
    };
}

#[tokio::test]
async fn rule_1_id_version_and_described_settings() {
    let found = check_plugin_contract::<Nameless>(&Contract::with(())).await;
    let first: Vec<&Breach> = found.iter().filter(|breach| breach.rule == 1).collect();
    assert_eq!(first.len(), 3, "{found:#?}");
    for what in [
        "`Name_Less` is no plugin id",
        "`one` is no version",
        "`depth` has no description",
    ] {
        assert!(
            first.iter().any(|breach| breach.what.contains(what)),
            "{what}: {found:#?}"
        );
    }
}

// Rule 2.

struct NeedsNetwork;

#[plugin(id = "needs-network", capabilities("http:{api}"))]
impl Plugin for NeedsNetwork {
    type Config = Common;
    async fn create(config: Common, host: Host) -> Result<Self> {
        host.http().get(config.api).timeout(Duration::from_secs(60)).await?;
        Ok(Self)
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_create_does_not_need_the_network() {
    let found = check_plugin_contract::<NeedsNetwork>(&Contract::with("key = 'canary'")).await;
    only(&found, 2, "did not end within 10 s");
}

// Rule 3.

struct Lost;

#[plugin(id = "lost")]
impl Plugin for Lost {
    type Config = ();
    async fn create((): (), _: Host) -> Result<Self> {
        Ok(Self)
    }
    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(elsewhere));
    }
    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks.at("/lost/in").handle(Self::handle);
    }
}

impl Lost {
    async fn handle(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done("in"))
    }
}

/// Somebody else's path.
#[utoipa::path(get, path = "/elsewhere", responses((status = 204, description = "Nothing")))]
async fn elsewhere(_: This<Lost>) -> NoContent {
    NoContent
}

#[tokio::test]
async fn rule_3_routes_and_webhooks_say_what_they_are() {
    let found = check_plugin_contract::<Lost>(&Contract::with(())).await;
    only(&found, 3, "GET /elsewhere does not say how it fails");
    only(&found, 3, "GET /elsewhere is outside");
    only(&found, 3, "webhook `lost-in` does not say how");
}

// Rule 4.

plugin!(Unstepped, "unstepped", |this, run| {
    this.post("a", Some("always the same")).await?;
    run.step(
        "second",
        |attempt| async move { this.post("b", Some(attempt.key())).await },
    )
    .await?;
    Ok(Outcome::done("twice"))
});

#[tokio::test]
async fn rule_4_effects_are_in_steps() {
    only(
        &breaches::<Unstepped>().await,
        4,
        "/a` took effect 2 times, without it 1 times",
    );
}

plugin!(Keyless, "keyless", |this, run| {
    run.step("first", |_| this.post("a", None)).await?;
    Ok(Outcome::done("keyless"))
});

#[tokio::test]
async fn rule_4_a_repeated_effect_carries_its_key() {
    let found = breaches::<Keyless>().await;
    only(
        &found,
        4,
        "crash_losing(\"first\"): `POST https://provider.example/a` took effect 2 times",
    );
    only(&found, 4, "replayed from the start");
    let kept_once = contract().idempotent("POST /a");
    assert!(check_plugin_contract::<Keyless>(&kept_once).await.is_empty());
}

plugin!(Moody, "moody", |this, run| {
    let name = format!("run {}", run.attempt());
    run.step(
        &name,
        |attempt| async move { this.post("a", Some(attempt.key())).await },
    )
    .await?;
    Ok(Outcome::done("moody"))
});

#[tokio::test]
async fn rule_4_names_are_stable() {
    only(&breaches::<Moody>().await, 4, "took effect 2 times");
}

plugin!(Fickle, "fickle", |this, run| {
    run.step(
        "first",
        |attempt| async move { this.post("a", Some(attempt.key())).await },
    )
    .await?;
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    Ok(if RUNS.fetch_add(1, Ordering::SeqCst) == 0 {
        Outcome::done("first")
    } else {
        Outcome::ignored("later")
    })
});

#[tokio::test]
async fn rule_4_a_crash_changes_nothing_about_the_end() {
    only(&breaches::<Fickle>().await, 4, "it ended as");
}

struct Twins;

#[plugin(id = "twins", capabilities("jobs"))]
impl Plugin for Twins {
    type Config = ();
    async fn create((): (), _: Host) -> Result<Self> {
        Ok(Self)
    }
    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("sweep").handle(Self::work);
        jobs.every("clean", hours(1)).alias("sweep").handle(Self::work);
    }
}

impl Twins {
    async fn work(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done("swept"))
    }
}

#[tokio::test]
async fn rule_4_no_two_handlers_have_one_name() {
    let contract = Contract::with(()).job("sweep", &()).schedule("clean");
    only(
        &check_plugin_contract::<Twins>(&contract).await,
        4,
        "2 handlers are called `sweep`",
    );
}

// Rule 7.

plugin!(
    Silent,
    "silent",
    |_this, _run| Ok(Outcome::done("silent")),
    async fn health(&self) -> Result<Health> {
        Ok(Health {
            detail: None,
            ..Health::unhealthy("")
        })
    }
);
plugin!(
    Slow,
    "slow",
    |_this, _run| Ok(Outcome::done("slow")),
    async fn health(&self) -> Result<Health> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Health::ok())
    }
);
plugin!(
    Panicky,
    "panicky",
    |_this, _run| Ok(Outcome::done("panicky")),
    async fn health(&self) -> Result<Health> {
        let answer = self.0.http.get(self.0.config.api.clone()).await;
        Ok(answer
            .expect("the provider is always there")
            .error_for_status()
            .map_or_else(Health::from, |_| Health::ok()))
    }
);

#[tokio::test(start_paused = true)]
async fn rule_7_health_answers_says_why_and_does_not_panic() {
    only(&breaches::<Silent>().await, 7, "says nothing about what is wrong");
    only(&breaches::<Slow>().await, 7, "did not answer within 2 s");
    only(
        &breaches::<Panicky>().await,
        7,
        "`health` panicked while its provider is not well",
    );
}

// Rule 8.

plugin!(Logging, "logging", |this, _run| {
    tracing_says(this.config.key.expose());
    Ok(Outcome::done("said"))
});
plugin!(Telling, "telling", |this, run| {
    let key = this.config.key.expose();
    run.step("first", |_| async move { Ok(format!("the key is {key}")) })
        .await?;
    Ok(Outcome::done("told"))
});
plugin!(
    Unwell,
    "unwell",
    |_this, _run| Ok(Outcome::done("unwell")),
    async fn health(&self) -> Result<Health> {
        Ok(Health::degraded(format!("{} was refused", self.0.config.key.expose())))
    }
);

/// Settings with a secret that is none.
#[derive(Config)]
struct Plain {
    /// Opens everything.
    #[config(default = "open sesame")]
    api_token: String,
}

struct Trusting;

#[plugin(id = "trusting")]
impl Plugin for Trusting {
    type Config = Plain;
    async fn create(config: Plain, _: Host) -> Result<Self> {
        assert!(!config.api_token.is_empty());
        Ok(Self)
    }
}

#[tokio::test]
async fn rule_8_secrets_stay_secret() {
    only(&breaches::<Logging>().await, 8, "the secret `key` stands in its logs");
    only(
        &breaches::<Telling>().await,
        8,
        "stands in what is kept of webhook `in`",
    );
    only(&breaches::<Unwell>().await, 8, "stands in its health");
    let found = check_plugin_contract::<Trusting>(&Contract::with(())).await;
    only(&found, 8, "the setting `api_token` holds a secret as plain text");
}

// Rule 9.

plugin!(
    Clinging,
    "clinging",
    |_this, _run| Ok(Outcome::done("on")),
    async fn drain(&self) {
        std::future::pending::<()>().await;
    }
);

#[tokio::test(start_paused = true)]
async fn rule_9_drain_returns() {
    only(&breaches::<Clinging>().await, 9, "did not return within 5 s");
}

// Rule 10.

plugin!(
    Stubborn,
    "stubborn",
    |_this, _run| Ok(Outcome::done("no")),
    async fn reconfigure(&self, _: Common) -> Result<Reconfigured> {
        Err(Error::permanent("never"))
    }
);

#[tokio::test]
async fn rule_10_settings_that_are_the_same_are_taken() {
    only(
        &breaches::<Stubborn>().await,
        10,
        "refuses the settings that it works with: never",
    );
}
