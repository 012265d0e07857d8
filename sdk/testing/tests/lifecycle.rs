//! What one plugin does to itself, and never to another: declared twice, failing to be made, panicking, hanging.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use jackfield_plugins::{BuiltinCode, Enablement, PluginState, Wanted};
use jackfield_sdk::{
    manifest::{Builtin, Described},
    prelude::*,
};
use jackfield_testing::{State, TestHost};

/// Settings of a plugin that misbehaves on request.
#[derive(Config)]
struct RoughConfig {
    /// What it says.
    #[config(default = "hello")]
    word: String,
    /// Secrets that deliveries are signed with.
    #[config(default = "s3cret")]
    secrets: SigningSecrets,
    /// How `create` ends: `well`, `badly`, `never`.
    #[config(default = "well")]
    create: String,
}

struct Rough {
    word: std::sync::Mutex<String>,
}

#[plugin(id = "rough")]
impl Plugin for Rough {
    type Config = RoughConfig;

    async fn create(config: RoughConfig, _: Host) -> Result<Self> {
        match config.create.as_str() {
            "badly" => Err(Error::permanent("it was asked to fail")),
            "never" => std::future::pending().await,
            _ => Ok(Self {
                word: std::sync::Mutex::new(config.word),
            }),
        }
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(say)).add(routes!(fail)).add(routes!(hang));
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks
            .at("/rough/events")
            .name("events")
            .verify(Verify::hmac_sha256("X-Signature").secrets("secrets"))
            .delivery_id(header("X-Id"))
            .handle(Self::on_event);
    }

    async fn reconfigure(&self, config: RoughConfig) -> Result<Reconfigured> {
        *self.word.lock().unwrap() = config.word;
        Ok(Reconfigured::Applied)
    }
}

impl Rough {
    async fn on_event(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done(self.word.lock().unwrap().clone()))
    }
}

/// Says its word.
#[utoipa::path(get, path = "/rough/say", security(()), responses((status = 200, body = String), Problem))]
async fn say(rough: This<Rough>) -> String {
    rough.word.lock().unwrap().clone()
}

/// Panics.
#[utoipa::path(get, path = "/rough/panic", security(()), responses((status = 200, body = String), Problem))]
async fn fail(_: This<Rough>) -> String {
    panic!("it was asked to panic")
}

/// Never answers.
#[utoipa::path(get, path = "/rough/hang", security(()), responses((status = 200, body = String), Problem))]
async fn hang(_: This<Rough>) -> String {
    std::future::pending().await
}

struct Twin;

#[plugin(id = "twin")]
impl Plugin for Twin {
    type Config = ();

    async fn create((): (), _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(twin_own)).add(routes!(twin_say));
    }
}

/// Its own.
#[utoipa::path(get, path = "/twin/own", security(()), responses((status = 200, body = String), Problem))]
async fn twin_own(_: This<Twin>) -> &'static str {
    "twin"
}

/// Somebody else's.
#[utoipa::path(get, path = "/rough/say", security(()), responses((status = 200, body = String), Problem))]
async fn twin_say(_: This<Twin>) -> &'static str {
    "twin"
}

struct Calm;

#[plugin(id = "calm")]
impl Plugin for Calm {
    type Config = ();

    async fn create((): (), _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(calm));
    }
}

/// Stays calm.
#[utoipa::path(get, path = "/calm", security(()), responses((status = 200, body = String), Problem))]
async fn calm(_: This<Calm>) -> &'static str {
    "calm"
}

fn wanted<P: Described>(config: serde_json::Value) -> Wanted {
    struct Of<P>(std::marker::PhantomData<P>);
    impl<P: Described> Of<P> {
        const BUILTIN: &'static Builtin = &Builtin::of::<P>();
    }
    Wanted {
        id: P::MANIFEST.id.to_owned(),
        code: Some(Arc::new(BuiltinCode::new(Of::<P>::BUILTIN).unwrap())),
        enablement: Enablement::Enabled("test".to_owned()),
        config,
        capabilities: Vec::new(),
        egress: Vec::new(),
    }
}

fn rough(word: &str, create: &str) -> Wanted {
    wanted::<Rough>(serde_json::json!({ "word": word, "secrets": "s3cret", "create": create }))
}

fn calmly() -> Wanted {
    wanted::<Calm>(serde_json::json!({}))
}

async fn host() -> TestHost {
    TestHost::new().plugin::<Rough>("").plugin::<Calm>("").start().await
}

fn state(host: &TestHost, id: &str) -> (PluginState, String, u64) {
    let row = host.plugins().list().into_iter().find(|row| row.id == id).unwrap();
    (row.state, row.reason, row.generation)
}

#[tokio::test]
async fn a_route_declared_twice_changes_nothing_and_names_both() {
    let host = host().await;
    let all = vec![rough("other", "well"), calmly(), wanted::<Twin>(serde_json::json!({}))];
    let refused = host.plugins().apply(all).await.unwrap_err().to_string();
    assert!(
        refused.contains("GET /rough/say") && refused.contains("`rough`") && refused.contains("`twin`"),
        "{refused}"
    );
    assert_eq!(host.get("/rough/say").await.expect(200).text(), "hello");
    host.get("/twin/own").await.expect(404);
    host.get("/calm").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_made_harms_nobody_and_its_deliveries_wait() {
    let host = TestHost::new().plugin::<Calm>("").start().await;
    for (create, why) in [("badly", "it was asked to fail"), ("never", "within 10 s")] {
        host.plugins().apply(vec![rough("x", create), calmly()]).await.unwrap();
        let (state, reason, _) = state(&host, "rough");
        assert_eq!(state, PluginState::Failed);
        assert!(reason.contains(why), "{reason}");
        host.get("/rough/say").await.expect(503);
        host.get("/calm").await.expect(200);
    }
    let sent = host
        .post("/rough/events")
        .header("x-id", "1")
        .header("x-signature", &signature())
        .body("{}")
        .await;
    sent.expect(200);
    assert_eq!(host.list().await[0].state(), State::Held);
    host.plugins()
        .apply(vec![rough("back", "well"), calmly()])
        .await
        .unwrap();
    host.settle().await;
    assert_eq!(host.list().await[0].done(), "back");
}

#[tokio::test]
async fn panics_are_answered_and_the_fifth_ends_in_quarantine_until_a_probe_succeeds() {
    let host = host().await;
    for _ in 0..5 {
        host.get("/rough/panic").await.expect(500);
        host.get("/calm").await.expect(200);
    }
    host.plugins().judge().await.unwrap();
    let (now, reason, _) = state(&host, "rough");
    assert_eq!(
        (now, reason.as_str()),
        (PluginState::Quarantined, "5 panics within 60 s")
    );
    host.get("/rough/say").await.expect(503);
    host.advance(Duration::from_secs(61));
    host.plugins().judge().await.unwrap();
    // The probe: it panics again, so the next one comes later.
    host.get("/rough/panic").await.expect(500);
    host.plugins().judge().await.unwrap();
    host.get("/rough/say").await.expect(503);
    host.advance(Duration::from_secs(301));
    host.plugins().judge().await.unwrap();
    host.get("/rough/say").await.expect(200);
    host.plugins().judge().await.unwrap();
    assert_eq!(state(&host, "rough").0, PluginState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_hangs_is_cut_and_others_are_served() {
    let host = host().await;
    let (hung, calm) = tokio::join!(host.get("/rough/hang").into_future(), host.get("/calm").into_future());
    hung.expect(504);
    calm.expect(200);
}

#[tokio::test]
async fn settings_are_taken_back_and_forth_without_a_new_generation() {
    let host = host().await;
    for word in ["one", "two", "hello", "one"] {
        host.plugins().apply(vec![rough(word, "well"), calmly()]).await.unwrap();
        assert_eq!(host.get("/rough/say").await.expect(200).text(), word);
    }
    assert_eq!(state(&host, "rough").2, 1);
}

#[tokio::test]
async fn what_configuration_no_longer_names_is_gone() {
    let host = host().await;
    host.plugins().apply(vec![calmly()]).await.unwrap();
    host.get("/rough/say").await.expect(404);
    host.plugins().settled("rough", Duration::from_secs(5)).await;
    tokio::task::yield_now().await;
    assert_eq!(state(&host, "rough").0, PluginState::Disabled);
}

/// HMAC-SHA256 of `{}` with `s3cret`.
fn signature() -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(b"{}");
    hex::encode(mac.finalize().into_bytes())
}
