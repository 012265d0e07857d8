//! What the plugin declares. What it does is played on the real engine in `tests/story.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use jackfield_sdk::{
    descriptor::Descriptor,
    expr::Expr,
    manifest::{Builtin, builtins},
    webhook::Scheme,
};
use serde_json::{Value, json};

use crate::sample::config;

fn builtin() -> &'static Builtin {
    builtins()
        .into_iter()
        .find(|plugin| plugin.manifest.id == "github")
        .expect("the plugin")
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
