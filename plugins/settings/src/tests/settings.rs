//! Loading and changing settings.

use jackfield_testing::{Carrier, TestHost, person};
use serde_json::{Value, json};

use super::{Settings, change, host, post, settings};

#[tokio::test]
async fn who_has_none_is_told_so_and_has_the_defaults_after_the_first_change() {
    for carrier in Carrier::ALL {
        let host = TestHost::new().carrier(carrier).plugin::<Settings>("").start().await;
        host.add_person(person("ann"));
        let none = host.get("/api/settings").as_user("ann").await.expect(404);
        assert_eq!(none.json::<Value>(), json!({ "error": "Settings not found" }));

        assert_eq!(change(&host, json!({})).await, "\"1\"");
        let reply = host.get("/api/settings").as_user("ann").await.expect(200);
        assert_eq!(reply.header("etag"), Some("\"1\""));
        // Fields in the reference's order.
        let expected = concat!(
            r#"{"language":null,"agent":null,"max_iterations":null,"security_analyzer":null,"confirmation_mode":null,"#,
            r#""llm_model":null,"llm_api_key":null,"llm_base_url":null,"user_version":null,"#,
            r#""remote_runtime_resource_factor":null,"secrets_store":{"provider_tokens":{}},"enable_default_condenser":true,"#,
            r#""enable_sound_notifications":false,"enable_proactive_conversation_starters":true,"#,
            r#""enable_solvability_analysis":true,"user_consents_to_analytics":null,"sandbox_base_container_image":null,"#,
            r#""sandbox_runtime_container_image":null,"mcp_config":null,"search_api_key":null,"sandbox_api_key":null,"#,
            r#""max_budget_per_task":null,"condenser_max_size":null,"email":"ann@example.com","email_verified":true,"#,
            r#""git_user_name":null,"git_user_email":null,"v1_enabled":true,"provider_tokens_set":{},"#,
            r#""llm_api_key_set":false,"search_api_key_set":false}"#,
        );
        assert_eq!(reply.text(), expected);
    }
}

#[tokio::test]
async fn what_is_not_sent_stays() {
    let host = host().await;
    change(&host, json!({
        "language": "de", "agent": "CodeActAgent", "max_iterations": 50, "security_analyzer": "llm", "confirmation_mode": true,
        "remote_runtime_resource_factor": 2, "enable_default_condenser": false, "enable_sound_notifications": true,
        "user_consents_to_analytics": false, "sandbox_base_container_image": "debian", "max_budget_per_task": 1.5,
        "condenser_max_size": 240, "git_user_name": "openhands", "git_user_email": "openhands@all-hands.dev", "v1_enabled": false,
    }))
    .await;
    let before = settings(&host).await;
    assert_eq!(before["max_budget_per_task"], 1.5);
    assert_eq!(before["max_iterations"], 50);

    change(&host, json!({ "language": "fr", "security_analyzer": null })).await;
    let mut expected = before;
    expected["language"] = json!("fr");
    expected["security_analyzer"] = Value::Null;
    assert_eq!(settings(&host).await, expected);
}

#[tokio::test]
async fn everything_that_was_read_can_be_sent_back_and_nothing_is_changed() {
    let host = host().await;
    change(&host, json!({
        "llm_model": "openai/gpt-5", "llm_api_key": "sk-llm", "search_api_key": "tvly-1", "sandbox_api_key": "box-1",
        "user_consents_to_analytics": true, "condenser_max_size": 240, "max_budget_per_task": 3,
        "mcp_config": { "sse_servers": [{ "url": "https://a.b/c", "api_key": "sse-key-1234" }],
            "stdio_servers": [{ "name": "x", "command": "npx", "env": { "TOKEN": "stdio-5678" } }] },
    }))
    .await;
    let read = settings(&host).await;
    let mut sent = read.clone();
    sent["is_new_user"] = json!(false);
    sent["search_api_key"] = json!("");
    change(&host, sent).await;
    assert_eq!(settings(&host).await, read);
    for (column, value) in [
        ("llm_api_key", "sk-llm"),
        ("search_api_key", "tvly-1"),
        ("sandbox_api_key", "box-1"),
    ] {
        let stored = super::sealed(&host, &format!("SELECT {column} FROM settings")).await;
        assert_eq!(stored.as_deref(), Some(value), "{column}");
    }
    let mcp = super::sealed(&host, "SELECT mcp_config FROM settings").await.unwrap();
    assert!(mcp.contains("sse-key-1234") && mcp.contains("stdio-5678"), "{mcp}");
}

#[tokio::test]
async fn nobody_changes_who_they_are() {
    let host = host().await;
    let mut ann = person("ann");
    ann.email_verified = false;
    host.add_person(ann);
    change(
        &host,
        json!({ "email": "root@example.com", "email_verified": true, "user_version": 5, "nonsense": [1] }),
    )
    .await;
    let shown = settings(&host).await;
    assert_eq!(shown["email"], "ann@example.com");
    assert_eq!(shown["email_verified"], false);
}

#[tokio::test]
async fn an_empty_key_clears_and_null_keeps() {
    let host = host().await;
    change(&host, json!({ "llm_api_key": "sk-1", "search_api_key": "tvly-1" })).await;
    change(&host, json!({ "llm_api_key": null, "search_api_key": null })).await;
    let shown = settings(&host).await;
    assert_eq!(
        (&shown["llm_api_key_set"], &shown["search_api_key_set"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&shown["llm_api_key"], &shown["search_api_key"]),
        (&Value::Null, &Value::Null)
    );
    change(&host, json!({ "llm_api_key": "", "search_api_key": "" })).await;
    let shown = settings(&host).await;
    assert_eq!(
        (&shown["llm_api_key_set"], &shown["search_api_key_set"]),
        (&json!(false), &json!(true))
    );
}

#[tokio::test]
async fn an_address_that_is_the_models_own_is_nobodys_choice() {
    let host = TestHost::new()
        .plugin::<Settings>("default_model = 'litellm_proxy/claude'")
        .env("LITE_LLM_API_URL", "https://llm.example.com")
        .start()
        .await;
    host.add_person(person("ann"));
    let cases = [
        (json!({}), "litellm_proxy/claude", Value::Null),
        // The proxy's models are reached at the proxy, never at another vendor.
        (
            json!({ "llm_model": "litellm_proxy/x", "llm_base_url": "https://llm.example.com/" }),
            "litellm_proxy/x",
            Value::Null,
        ),
        (
            json!({ "llm_model": "litellm_proxy/x", "llm_base_url": "https://api.openai.com/v1" }),
            "litellm_proxy/x",
            json!("https://api.openai.com/v1"),
        ),
        // Another model leaves the address of the one before.
        (json!({ "llm_model": "openai/gpt-5" }), "openai/gpt-5", Value::Null),
        (
            json!({ "llm_base_url": "https://my.example" }),
            "openai/gpt-5",
            json!("https://my.example"),
        ),
        (
            json!({ "llm_model": "openai/gpt-5" }),
            "openai/gpt-5",
            json!("https://my.example"),
        ),
        (
            json!({ "llm_model": null, "llm_base_url": "" }),
            "openai/gpt-5",
            Value::Null,
        ),
        (
            json!({ "llm_base_url": "https://api.openai.com" }),
            "openai/gpt-5",
            Value::Null,
        ),
        (
            json!({ "llm_model": "gemini/pro", "llm_base_url": "https://generativelanguage.googleapis.com/v1beta/models/pro:generateContent" }),
            "gemini/pro",
            Value::Null,
        ),
        (
            json!({ "llm_model": "openrouter/x", "llm_base_url": "https://openrouter.ai" }),
            "openrouter/x",
            json!("https://openrouter.ai"),
        ),
        (
            json!({ "llm_model": "claude-4", "llm_base_url": "https://api.anthropic.com" }),
            "claude-4",
            Value::Null,
        ),
    ];
    for (sent, model, address) in cases {
        change(&host, sent.clone()).await;
        let shown = settings(&host).await;
        assert_eq!(
            (&shown["llm_model"], &shown["llm_base_url"]),
            (&json!(model), &address),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn resetting_is_gone() {
    let host = host().await;
    let gone = post(&host, "/api/reset-settings", &json!({})).await.expect(410);
    assert_eq!(
        gone.json::<Value>(),
        json!({ "error": "Reset settings functionality has been removed." })
    );
}

#[tokio::test]
async fn a_change_is_on_record_without_its_values() {
    let host = host().await;
    change(&host, json!({ "language": "de", "llm_api_key": "sk-canary" })).await;
    let trail = host.audit();
    assert_eq!(trail.len(), 1);
    assert_eq!(
        (trail[0].actor.as_str(), trail[0].action.as_str()),
        ("ann", "settings.changed")
    );
    assert_eq!(
        trail[0].detail["detail"],
        json!({ "fields": ["language", "llm_api_key"] })
    );
}
