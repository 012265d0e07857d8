//! The plugin as a host sees it. Crashes, retries and replays are played on the real engine in the end-to-end suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use jackfield_sdk::{
    descriptor::Descriptor,
    expr::Expr,
    handler::Delivery,
    health::HealthStatus,
    instance::{Instance, JobEnd, JobFailure},
    manifest::{Builtin, builtins},
    run::{MemoState, OutcomeResult},
    webhook::Scheme,
};
use serde_json::{Value, json};

use crate::fake::{Fake, NOW, answer, config, delivery, issue_comment};

const PERMISSION: &str = "GET /repos/acme/rocket/collaborators/octocat/permission";
const REACT: &str = "POST /repos/acme/rocket/issues/comments/55/reactions";
const REACTIONS: &str = "GET /repos/acme/rocket/issues/comments/55/reactions?content=eyes&per_page=100";
const COMMENTS: &str = "GET /repos/acme/rocket/issues/3/comments?per_page=100&page=1";

fn builtin() -> &'static Builtin {
    builtins()
        .into_iter()
        .find(|plugin| plugin.manifest.id == "github")
        .expect("the plugin")
}

async fn plugin(fake: &Arc<Fake>, config: Value) -> Arc<dyn Instance> {
    (builtin().create)(config, fake.host()).await.unwrap()
}

/// A GitHub where everything goes well.
fn willing() -> Arc<Fake> {
    let fake = Fake::new();
    fake.with_token();
    fake.on(PERMISSION, answer(200, &json!({ "permission": "write" })));
    fake.on(
        COMMENTS,
        answer(200, &json!([{ "id": 5, "body": "before", "user": { "login": "ann" } }])),
    );
    fake
}

fn mention() -> Delivery {
    delivery("issue_comment", &issue_comment("@openhands fix it"))
}

async fn handle(fake: &Arc<Fake>, delivery: Delivery) -> JobEnd {
    fake.attempt(plugin(fake, config()).await.as_ref(), "events", delivery, false)
        .await
}

#[track_caller]
fn summary(end: JobEnd, result: OutcomeResult) -> String {
    let outcome = end.result.expect("an outcome");
    assert_eq!(outcome.result, result, "{}", outcome.summary);
    outcome.summary
}

#[test]
fn it_declares_what_github_sends() {
    let Descriptor {
        webhooks, schedules, ..
    } = (builtin().descriptor)();
    let hook = &webhooks[0];
    assert_eq!(
        (hook.name.as_str(), hook.path.as_str()),
        ("events", "/integration/github/events")
    );
    assert!(
        matches!(&hook.verify.scheme, Scheme::HmacSha256 { header, prefix, .. } if header == "x-hub-signature-256" && prefix == "sha256=")
    );
    assert_eq!(hook.delivery_id, Some(Expr::Header("x-github-delivery".to_owned())));
    assert_eq!((hook.answer.status, hook.answer.body.as_str()), (200, crate::REACHED));
    assert_eq!(hook.retry.window_ms, 15 * 60 * 1000);
    assert_eq!(
        (schedules[0].job.name.as_str(), schedules[0].every_ms),
        ("reconcile", 300_000)
    );
    assert_eq!(builtin().manifest.capabilities, ["http:{api_url}", "kv"]);
}

#[test]
fn the_schema_names_environment_secrets_and_switches() {
    let schema: Value = serde_json::from_str(builtin().manifest.config_schema).unwrap();
    let field = |name: &str| schema["properties"][name].clone();
    for (name, env) in [
        ("client_id", "GITHUB_APP_CLIENT_ID"),
        ("private_key", "GITHUB_APP_PRIVATE_KEY"),
        ("webhook_secrets", "GITHUB_APP_WEBHOOK_SECRET"),
    ] {
        assert_eq!(
            (&field(name)["x-env"], &field(name)["x-enables"]),
            (&json!([env]), &json!(true))
        );
    }
    assert_eq!(
        (&field("private_key")["x-secret"], &field("webhook_secrets")["x-secret"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(field("api_url")["x-egress"], true);
    assert_eq!(field("web_host")["default"], "app.all-hands.dev");
}

#[test]
fn settings_are_checked() {
    let with = |name: &str, value: Value| {
        let mut config = config();
        config[name] = value;
        (builtin().validate)(config)
    };
    assert_eq!((builtin().validate)(config()), Ok(()));
    for (name, value) in [
        ("private_key", json!("topsecret")),
        ("client_id", json!("  ")),
        ("api_url", json!("ftp://ghe.example")),
        ("label", json!("open hands")),
        ("label", json!("")),
    ] {
        let error = with(name, value).unwrap_err();
        assert!(error.contains(name), "{error}");
        assert!(!error.contains("topsecret"), "{error}");
    }
}

#[test]
fn the_host_name_decides_the_label() {
    for (host, expected) in [
        ("app.all-hands.dev", "openhands"),
        ("staging.all-hands.dev", "openhands-exp"),
        ("main.staging.all-hands.dev", "openhands-exp"),
        ("localhost:3000", "openhands-exp"),
        ("  local  ", "openhands-exp"),
    ] {
        let mut config = config();
        config["web_host"] = json!(host);
        let read = |config: Value| <crate::GitHubConfig as jackfield_sdk::config::Config>::from_value(config).unwrap();
        assert_eq!(read(config.clone()).label(), expected, "{host:?}");
        config["label"] = json!("my-agent");
        assert_eq!(read(config).label(), "my-agent");
    }
}

#[tokio::test]
async fn a_mention_requests_a_conversation() {
    let fake = willing();
    fake.on(REACT, answer(201, &json!({ "id": 77, "content": "eyes" })));
    let outcome = handle(&fake, mention()).await.result.unwrap();
    assert_eq!(
        (outcome.result, outcome.summary.as_str()),
        (OutcomeResult::Done, "conversation requested")
    );
    let detail = outcome.detail.unwrap();
    assert_eq!(
        (&detail["message"], &detail["comments"][0]["body"]),
        (&json!("@openhands fix it"), &json!("before"))
    );
    assert_eq!(
        fake.asked(),
        ["POST /app/installations/7/access_tokens", PERMISSION, REACT, COMMENTS]
    );
    let names: Vec<String> = fake.memos().into_iter().map(|memo| memo.name).collect();
    assert_eq!(names, ["permission", "acknowledge", "context"]);
    let kept = format!("{:?}", fake.memos());
    assert!(!kept.contains("ghs_secret"), "a token was kept");

    // A later attempt finds everything done.
    let again = fake
        .attempt(plugin(&fake, config()).await.as_ref(), "events", mention(), true)
        .await;
    assert_eq!(again.result.unwrap().detail.unwrap(), detail);
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn who_may_not_write_is_ignored() {
    let fake = Fake::new();
    fake.with_token();
    fake.on(PERMISSION, answer(200, &json!({ "permission": "read" })));
    let why = summary(handle(&fake, mention()).await, OutcomeResult::Ignored);
    assert_eq!(why, "octocat has no write access to acme/rocket");
    assert_eq!(fake.asked().len(), 2, "nothing was acknowledged");
}

#[tokio::test]
async fn a_refused_reaction_does_not_stop_the_story() {
    let fake = willing();
    fake.on(REACT, answer(403, &json!({ "message": "Issue is locked" })));
    assert_eq!(
        summary(handle(&fake, mention()).await, OutcomeResult::Done),
        "conversation requested"
    );
    let memo = fake
        .memos()
        .into_iter()
        .find(|memo| memo.name == "acknowledge")
        .unwrap();
    assert!(matches!(memo.state, MemoState::Refused { failure } if failure.message.contains("Issue is locked")));
}

#[tokio::test]
async fn a_reaction_that_keeps_failing_is_given_up() {
    let fake = willing();
    fake.on(REACT, answer(500, &json!({})));
    fake.on(REACTIONS, answer(500, &json!({})));
    fake.on("GET /app", answer(200, &json!({ "slug": "agent" })));
    let plugin = plugin(&fake, config()).await;
    for _ in 0..2 {
        let end = fake.attempt(plugin.as_ref(), "events", mention(), true).await;
        assert!(matches!(end.result, Err(JobFailure::Failed(_))), "{end:?}");
    }
    let end = fake.attempt(plugin.as_ref(), "events", mention(), true).await;
    assert_eq!(summary(end, OutcomeResult::Done), "conversation requested");
}

#[tokio::test]
async fn after_a_crash_the_reaction_is_looked_for_first() {
    let theirs = json!({ "id": 70, "user": { "login": "octocat" } });
    let ours = json!({ "id": 71, "user": { "login": "Agent[bot]", "type": "Bot" } });
    for (listed, posts) in [(json!([theirs, ours]), false), (json!([theirs]), true)] {
        let fake = willing();
        fake.on("GET /app", answer(200, &json!({ "slug": "agent" })));
        fake.on(REACTIONS, answer(200, &listed));
        fake.on(REACT, answer(201, &json!({ "id": 72 })));
        let end = fake
            .attempt(plugin(&fake, config()).await.as_ref(), "events", mention(), true)
            .await;
        assert_eq!(summary(end, OutcomeResult::Done), "conversation requested");
        assert_eq!(fake.asked().iter().any(|call| call == REACT), posts);
    }
}

#[tokio::test]
async fn what_asks_for_nothing_costs_nothing() {
    let fake = Fake::new();
    for (delivery, reason) in [
        (delivery("ping", &json!({ "zen": "…" })), "`ping` names no installation"),
        (
            delivery("push", &json!({ "installation": { "id": 7 } })),
            "`push` never starts",
        ),
        (
            delivery("issue_comment", &issue_comment("thanks")),
            "does not mention @openhands",
        ),
    ] {
        let why = summary(handle(&fake, delivery).await, OutcomeResult::Ignored);
        assert!(why.contains(reason), "{why}");
    }
    let mut off = config();
    off["webhooks_enabled"] = json!(false);
    let plugin = plugin(&fake, off).await;
    for handler in ["events", "reconcile"] {
        let end = fake.attempt(plugin.as_ref(), handler, mention(), false).await;
        assert!(summary(end, OutcomeResult::Ignored).contains("GITHUB_WEBHOOKS_ENABLED"));
    }
    assert!(fake.asked().is_empty() && fake.memos().is_empty());
}

#[tokio::test]
async fn health_says_whether_id_and_key_fit() {
    for (given, status, detail) in [
        (
            answer(200, &json!({ "slug": "agent" })),
            HealthStatus::Healthy,
            "app agent",
        ),
        (answer(401, &json!({})), HealthStatus::Unhealthy, "do not fit"),
        (answer(502, &json!({})), HealthStatus::Degraded, "502"),
        (answer(0, &json!({})), HealthStatus::Degraded, "connection reset"),
    ] {
        let fake = Fake::new();
        fake.on("GET /app", given);
        let health = plugin(&fake, config()).await.health().await.unwrap();
        assert_eq!(health.status, status);
        assert!(health.detail.as_ref().unwrap().contains(detail), "{health:?}");
    }
}

#[tokio::test]
async fn lost_deliveries_are_asked_for_again() {
    let at = |late: i64| {
        let time = time::OffsetDateTime::from_unix_timestamp(NOW - late).unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let entry = |id: u64, guid: &str, late: i64, status: i64| json!({ "id": id, "guid": guid, "delivered_at": at(late), "status_code": status, "event": "issues", "redelivery": false });
    let fake = Fake::new();
    let list = "GET /app/hook/deliveries?per_page=100";
    let first = json!([entry(3, "c", 60, 503), entry(2, "b", 120, 200)]);
    let link = "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_2>; rel=\"next\"";
    fake.on(list, answer(200, &first).header("link", link));
    let second = json!([entry(1, "a", 180, 0), entry(9, "old", 7_200, 500)]);
    fake.on(
        &format!("{list}&cursor=v1_2"),
        answer(200, &second).header("link", link),
    );
    fake.on("POST /app/hook/deliveries/1/attempts", answer(202, &json!({})));
    fake.on(
        "POST /app/hook/deliveries/3/attempts",
        answer(404, &json!({ "message": "Not Found" })),
    );
    let plugin = plugin(&fake, config()).await;
    let end = fake
        .attempt(plugin.as_ref(), "reconcile", Delivery::default(), false)
        .await;
    assert_eq!(
        summary(end, OutcomeResult::Done),
        "asked GitHub to send 1 deliveries again; 1 it refused"
    );
    let asked = fake.asked();
    assert_eq!(
        asked[2..],
        [
            "POST /app/hook/deliveries/1/attempts",
            "POST /app/hook/deliveries/3/attempts"
        ]
    );
}
