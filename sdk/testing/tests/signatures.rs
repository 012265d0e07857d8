//! Every signature scheme: what is signed as declared gets in, and nothing else does.
#![allow(
    clippy::unwrap_used,
    clippy::unused_async,
    reason = "handlers are async whether they wait or not"
)]

use jackfield_sdk::{axum::body::Bytes, http::HeaderMap, prelude::*};
use jackfield_testing::TestHost;

/// Settings.
#[derive(Config)]
struct Gates {
    /// What every sender here signs with.
    #[config(enables)]
    secrets: SigningSecrets,
}

struct Gate(Gates);

#[plugin(id = "gate")]
impl Plugin for Gate {
    type Config = Gates;

    async fn create(config: Gates, _: Host) -> Result<Self> {
        Ok(Self(config))
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        let mut gate = |name: &str, verify: Verify| {
            let gate = hooks
                .at(&format!("/gate/{name}"))
                .name(name)
                .verify(verify.secrets("secrets"));
            gate.handle(Self::enter);
        };
        gate("hex", Verify::hmac_sha256("X-Signature"));
        gate("github", Verify::hmac_sha256("X-Hub-Signature-256").prefix("sha256="));
        gate("base64", Verify::hmac_sha256("X-Signature").base64());
        gate("standard", Verify::standard_webhooks());
        gate("slack", Verify::slack_v0());
        gate("stripe", Verify::stripe());
        gate("token", Verify::shared_token("X-Gitlab-Token"));
        gate(
            "either",
            Verify::by_header([Verify::hmac_sha256("X-New"), Verify::shared_token("X-Old")]),
        );
        hooks
            .at("/gate/chosen")
            .name("chosen")
            .verify(Verify::hmac_sha256("X-Signature"))
            .secrets_for(json("/site"), Self::secrets_of)
            .handle(Self::enter);
        hooks
            .at("/gate/own")
            .name("own")
            .verify_with(Self::own)
            .handle(Self::enter);
    }
}

impl Gate {
    async fn enter(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done(format!("{} keys", self.0.secrets.0.len())))
    }

    async fn secrets_of(&self, site: String) -> Result<SigningSecrets> {
        Ok(SigningSecrets::one(format!("secret of {site}")))
    }

    async fn own(&self, headers: HeaderMap, body: Bytes) -> Result<bool> {
        Ok(headers
            .get("x-length")
            .is_some_and(|length| *length == *body.len().to_string()))
    }
}

const TIMED: [&str; 3] = ["standard", "slack", "stripe"];

async fn host() -> TestHost {
    TestHost::new().plugin::<Gate>("secrets = 'open sesame'").start().await
}

#[tokio::test]
async fn signed_gets_in_and_nothing_else() {
    let host = host().await;
    for gate in [
        "hex", "github", "base64", "standard", "slack", "stripe", "token", "either",
    ] {
        let deliver = || host.deliver(gate).json(&gate);
        let work = deliver().settled().await;
        assert_eq!(work.done(), "1 keys", "{gate}");
        let before = host.list().await.len();
        deliver().forged().await.expect(401);
        deliver().unsigned().await.expect(401);
        if gate != "token" {
            deliver().tampered().await.expect(401);
        }
        assert_eq!(host.list().await.len(), before, "{gate}");
    }
}

#[tokio::test]
async fn signed_times_go_stale_on_the_tests_clock() {
    let host = host().await;
    for gate in TIMED {
        host.deliver(gate).json(&1).signed_ago(minutes(4)).await.expect(200);
        host.deliver(gate).json(&2).signed_ago(minutes(6)).await.expect(401);
    }
}

#[tokio::test]
async fn a_header_chooses_its_scheme_and_no_other() {
    let host = host().await;
    let old = || Verify::shared_token("X-Old");
    host.deliver("either").signed_as(old()).await.expect(200);
    // The new header is there and wrong: the old one is not tried.
    host.deliver("either")
        .signed_as(old())
        .header("X-New", "00")
        .await
        .expect(401);
}

#[tokio::test]
async fn the_sender_may_choose_the_secret() {
    let host = host().await;
    let deliver = || host.deliver("chosen").json(&serde_json::json!({ "site": "north" }));
    deliver().secret("secret of north").await.expect(200);
    deliver().secret("secret of south").await.expect(401);
}

#[tokio::test]
async fn a_plugin_may_verify_itself() {
    let host = host().await;
    host.deliver("own")
        .body("abc")
        .header("X-Length", "3")
        .await
        .expect(200);
    host.deliver("own")
        .body("abc")
        .header("X-Length", "4")
        .await
        .expect(401);
}
