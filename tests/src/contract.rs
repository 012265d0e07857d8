//! What every plugin can count on, whoever carries it: one list of behaviours, played on any [`Stage`] for any [`Subject`].

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{host::chaos, sign};

/// A running host with the plugin under test.
#[allow(async_fn_in_trait, reason = "only the suites here use it, on their own runtime")]
pub trait Stage {
    /// A GET as the operator: status and text.
    async fn get(&self, path: &str) -> (u16, String);
    /// A POST as anybody: status and text.
    async fn post(&self, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> (u16, String);
    /// `pause`, `resume` or `reload`.
    async fn act(&self, action: &str);
    /// Other settings, as an edit of `plugins.toml`; waits until they are taken.
    async fn set(&self, settings: Value);
    /// Number of the generation that serves.
    async fn generation(&self) -> u64;
    /// `healthy`, `degraded` or `unhealthy`.
    async fn health(&self) -> String;
    /// How often the plugin called each path of the world outside.
    async fn told(&self) -> BTreeMap<String, usize>;
    /// Waits until every delivery is done; gives their outcomes.
    async fn settled(&self) -> Vec<String>;
    /// Runs `deliver`; the host dies when the step that calls `first` is kept and the one that calls `second` is not, and comes
    /// back.
    async fn die_between(&mut self, first: &str, second: &str, hook: &Hook, id: &str, body: Vec<u8>);
}

/// What a plugin does that can be looked for. What it does not do is none.
pub struct Subject {
    /// Its id.
    pub id: &'static str,
    /// A GET route, and what stands in its answer.
    pub route: (&'static str, &'static str),
    /// A GET route that panics.
    pub panics: Option<&'static str>,
    /// A POST route that sends back what comes.
    pub echo: Option<&'static str>,
    /// A GET route that sends events, and their data.
    pub events: Option<(&'static str, Vec<String>)>,
    /// A webhook.
    pub hook: Option<Hook>,
    /// Settings that `reconfigure` takes, and what the route shows then.
    pub settings: Option<(Value, &'static str)>,
}

/// A webhook that is signed over the body with HMAC-SHA256.
pub struct Hook {
    /// Its path.
    pub path: &'static str,
    /// Header of the signature, `sha256=…`.
    pub signature: &'static str,
    /// Header of the delivery id, when it has one.
    pub id: Option<&'static str>,
    /// Secret.
    pub secret: &'static str,
    /// Body of the delivery with this number.
    pub body: fn(usize) -> Vec<u8>,
    /// What it is answered.
    pub answer: u16,
    /// What its outcome begins with.
    pub outcome: fn(usize) -> String,
    /// The paths that its two steps call, in order, when it has two.
    pub steps: Option<fn(usize) -> [String; 2]>,
}

impl Hook {
    /// Headers of a delivery.
    pub fn headers(&self, id: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let signature = (self.signature, sign::hub_signature(self.secret, body));
        let id = self.id.map(|header| (header, id.to_owned()));
        std::iter::once(signature).chain(id).collect()
    }

    /// How many of these outcomes are those of the delivery with this number.
    fn count(&self, outcomes: &[String], number: usize) -> usize {
        let wanted = (self.outcome)(number);
        outcomes.iter().filter(|outcome| outcome.starts_with(&wanted)).count()
    }
}

/// The turnstile.
pub fn turnstile(build: &str) -> Subject {
    Subject {
        id: "turnstile",
        route: ("/turnstile", "one at a time"),
        panics: Some("/turnstile/panics"),
        echo: Some("/turnstile/echo"),
        events: Some((
            "/turnstile/events/7",
            (0..7).map(|at| format!("{build} {at}")).collect(),
        )),
        hook: Some(Hook {
            path: "/turnstile/coins",
            signature: "x-coin-signature",
            id: Some("x-coin-id"),
            secret: crate::turnstile::SECRET,
            body: |number| format!(r#"{{"number":{number}}}"#).into_bytes(),
            answer: 200,
            outcome: |number| format!("{number} passed"),
            steps: Some(|number| [format!("/count/{number}"), format!("/open/{number}")]),
        }),
        settings: Some((serde_json::json!({ "sign": "two at a time" }), "two at a time")),
    }
}

/// Secret of a bell.
pub const BELL_SECRET: &str = "a secret of a bell";

/// A bell without the SDK: its page, and where it is rung.
pub fn bell(id: &'static str, page: &'static str, ring: &'static str) -> Subject {
    Subject {
        id,
        route: (page, "rung"),
        panics: None,
        echo: None,
        events: None,
        hook: Some(Hook {
            path: ring,
            signature: "x-bell-signature",
            id: None,
            secret: BELL_SECRET,
            body: |number| vec![b'x'; 10 * number],
            answer: 202,
            outcome: |number| format!("rung with {} bytes", 10 * number),
            steps: None,
        }),
        settings: None,
    }
}

/// Plays everything that the subject can do.
pub async fn play(stage: &mut impl Stage, subject: &Subject) {
    routes(stage, subject).await;
    if let Some(hook) = &subject.hook {
        webhook(stage, hook).await;
        paused(stage, hook).await;
    }
    assert_eq!(stage.health().await, "healthy");
    reconfigured(stage, subject).await;
    reloaded(stage, subject).await;
    if let Some((hook, steps)) = subject.hook.as_ref().and_then(|hook| Some((hook, hook.steps?))) {
        durable(stage, hook, steps).await;
    }
}

async fn routes(stage: &impl Stage, subject: &Subject) {
    let (path, shows) = subject.route;
    let (status, text) = stage.get(path).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains(shows), "{text}");
    assert_eq!(stage.post(path, &[], Vec::new()).await.0, 405);
    if let Some(echo) = subject.echo {
        let body: String = (0..350_000).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect();
        let (status, text) = stage.post(echo, &[], body.clone().into_bytes()).await;
        assert_eq!(status, 200);
        assert!(text == body, "{} bytes came back of {}", text.len(), body.len());
        assert_eq!(stage.post(echo, &[], Vec::new()).await, (200, String::new()));
    }
    if let Some((path, expected)) = &subject.events {
        let (status, text) = stage.get(path).await;
        let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!((status, data), (200, expected.iter().map(String::as_str).collect()));
    }
    if let Some(panics) = subject.panics {
        assert_eq!(stage.get(panics).await.0, 500, "a panic is an answer");
        assert_eq!(stage.get(path).await.0, 200, "and its plugin runs on");
    }
}

async fn webhook(stage: &impl Stage, hook: &Hook) {
    let body = (hook.body)(1);
    let signed = hook.headers("one", &body);
    assert_eq!(stage.post(hook.path, &signed, body.clone()).await.0, hook.answer);
    assert_eq!(
        stage.post(hook.path, &signed, body.clone()).await.0,
        hook.answer,
        "once more"
    );
    let forged = hook.headers("two", &(hook.body)(2));
    assert_eq!(stage.post(hook.path, &forged, body.clone()).await.0, 401);
    assert_eq!(stage.post(hook.path, &[], body).await.0, 401);
    let outcomes = stage.settled().await;
    assert_eq!((outcomes.len(), hook.count(&outcomes, 1)), (1, 1), "{outcomes:?}");
    if let Some(steps) = hook.steps {
        let told = stage.told().await;
        assert_eq!(told, steps(1).into_iter().map(|path| (path, 1)).collect());
    }
}

async fn paused(stage: &impl Stage, hook: &Hook) {
    stage.act("pause").await;
    let body = (hook.body)(4);
    let signed = hook.headers("four", &body);
    assert_eq!(
        stage.post(hook.path, &signed, body).await.0,
        hook.answer,
        "it is stored while its plugin pauses"
    );
    if let Some(steps) = hook.steps {
        let told = stage.told().await;
        assert!(!told.contains_key(&steps(4)[0]), "{told:?}");
    }
    stage.act("resume").await;
    let outcomes = stage.settled().await;
    assert_eq!(hook.count(&outcomes, 4), 1, "and handled afterwards: {outcomes:?}");
}

async fn reconfigured(stage: &impl Stage, subject: &Subject) {
    let Some((settings, shows)) = &subject.settings else {
        return;
    };
    let before = stage.generation().await;
    stage.set(settings.clone()).await;
    let (status, text) = stage.get(subject.route.0).await;
    assert!(status == 200 && text.contains(shows), "{text}");
    if !chaos() {
        assert_eq!(stage.generation().await, before, "the instance took them");
    }
}

async fn reloaded(stage: &impl Stage, subject: &Subject) {
    let before = stage.generation().await;
    stage.act("reload").await;
    assert!(stage.generation().await > before);
    let shows = subject.settings.as_ref().map_or(subject.route.1, |(_, shows)| shows);
    let (status, text) = stage.get(subject.route.0).await;
    assert!(status == 200 && text.contains(shows), "settings are kept: {text}");
}

async fn durable(stage: &mut impl Stage, hook: &Hook, steps: fn(usize) -> [String; 2]) {
    let [first, second] = steps(5);
    stage.die_between(&first, &second, hook, "five", (hook.body)(5)).await;
    let outcomes = stage.settled().await;
    assert_eq!(hook.count(&outcomes, 5), 1, "{outcomes:?}");
    let told = stage.told().await;
    assert_eq!(told.get(&first), Some(&1), "what was kept is not repeated");
    assert!(
        told.get(&second).is_some_and(|times| (1..=2).contains(times)),
        "{told:?}"
    );
}
