//! What is wrong with a body is named: all of it, in the reference's words, and never with a secret.

use jackfield_sdk::http::Method;
use serde_json::{Value, json};

use super::{call, change, host, post, settings};

#[tokio::test]
async fn mistakes_in_settings_are_named() {
    let host = host().await;
    let server = |name: &str, server: Value| json!({ "mcp_config": { name: [server] } });
    let sse = |url: &str| server("sse_servers", json!({ "url": url }));
    let stdio = |field: &str, value: Value| {
        let mut one = json!({ "name": "x", "command": "npx" });
        one[field] = value;
        server("stdio_servers", one)
    };
    let cases = [
        (
            json!({ "enable_default_condenser": null }),
            "bool_type",
            json!(["body", "enable_default_condenser"]),
        ),
        (
            json!({ "v1_enabled": "maybe" }),
            "bool_parsing",
            json!(["body", "v1_enabled"]),
        ),
        (
            json!({ "condenser_max_size": 19 }),
            "value_error",
            json!(["body", "condenser_max_size"]),
        ),
        (
            json!({ "condenser_max_size": 20.5 }),
            "int_from_float",
            json!(["body", "condenser_max_size"]),
        ),
        (
            json!({ "max_iterations": "many" }),
            "int_parsing",
            json!(["body", "max_iterations"]),
        ),
        (
            json!({ "max_iterations": 1e30 }),
            "int_parsing_size",
            json!(["body", "max_iterations"]),
        ),
        (
            json!({ "max_budget_per_task": "NaN" }),
            "float_parsing",
            json!(["body", "max_budget_per_task"]),
        ),
        (json!({ "language": 7 }), "string_type", json!(["body", "language"])),
        (
            json!({ "language": "x".repeat(4_097) }),
            "string_too_long",
            json!(["body", "language"]),
        ),
        (
            json!({ "language": "a\u{0}b" }),
            "value_error",
            json!(["body", "language"]),
        ),
        (
            json!({ "llm_api_key": ["k"] }),
            "string_type",
            json!(["body", "llm_api_key"]),
        ),
        (
            json!({ "mcp_config": { "bogus": 1 } }),
            "extra_forbidden",
            json!(["body", "mcp_config", "bogus"]),
        ),
        (json!({ "mcp_config": [] }), "model_type", json!(["body", "mcp_config"])),
        (
            json!({ "mcp_config": { "sse_servers": {} } }),
            "list_type",
            json!(["body", "mcp_config", "sse_servers"]),
        ),
        (
            server("sse_servers", json!({})),
            "missing",
            json!(["body", "mcp_config", "sse_servers", 0, "url"]),
        ),
        (
            sse(""),
            "value_error",
            json!(["body", "mcp_config", "sse_servers", 0, "url"]),
        ),
        (
            sse("ftp://a.b"),
            "value_error",
            json!(["body", "mcp_config", "sse_servers", 0, "url"]),
        ),
        (
            sse("a.b/c"),
            "value_error",
            json!(["body", "mcp_config", "sse_servers", 0, "url"]),
        ),
        (
            server("shttp_servers", json!({ "url": "https://a.b", "timeout": 3601 })),
            "value_error",
            json!(["body", "mcp_config", "shttp_servers", 0, "timeout"]),
        ),
        (
            stdio("name", json!("a b")),
            "value_error",
            json!(["body", "mcp_config", "stdio_servers", 0, "name"]),
        ),
        (
            stdio("command", json!("npx -y")),
            "value_error",
            json!(["body", "mcp_config", "stdio_servers", 0, "command"]),
        ),
        (
            stdio("args", json!("'open")),
            "value_error",
            json!(["body", "mcp_config", "stdio_servers", 0, "args"]),
        ),
        (
            stdio("args", json!([1])),
            "string_type",
            json!(["body", "mcp_config", "stdio_servers", 0, "args"]),
        ),
        (
            stdio("env", json!({ "1A": "b" })),
            "value_error",
            json!(["body", "mcp_config", "stdio_servers", 0, "env"]),
        ),
        (
            stdio("env", json!("A")),
            "dict_type",
            json!(["body", "mcp_config", "stdio_servers", 0, "env"]),
        ),
    ];
    for (sent, kind, loc) in cases {
        let told: Value = post(&host, "/api/settings", &sent).await.expect(422).json();
        let told = &told["detail"];
        assert_eq!(
            (told.as_array().unwrap().len(), &told[0]["type"]),
            (1, &json!(kind)),
            "{sent}: {told}"
        );
        assert_eq!(told[0]["loc"], loc, "{told}");
    }
    let condenser: Value = post(&host, "/api/settings", &json!({ "condenser_max_size": 3 }))
        .await
        .json();
    assert_eq!(
        condenser["detail"][0]["msg"],
        "Value error, condenser_max_size must be at least 20"
    );
    let none = host.get("/api/settings").as_user("ann").await;
    assert_eq!(none.status(), 404, "a refused change was stored");
}

#[tokio::test]
async fn all_mistakes_are_told_at_once_and_no_secret_is() {
    let host = host().await;
    let sent = json!({
        "llm_api_key": ["canary-1"], "v1_enabled": null,
        "mcp_config": { "stdio_servers": [{ "name": "x", "command": "npx canary-2", "env": { "A": 1, "B": "canary-3" } }] },
    });
    let told = post(&host, "/api/settings", &sent).await.expect(422);
    assert_eq!(told.json::<Value>()["detail"].as_array().unwrap().len(), 4);
    let nameless = post(&host, "/api/secrets", &json!({ "value": "canary-4" }))
        .await
        .expect(422);
    for text in [told.text(), nameless.text()] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_named() {
    let host = host().await;
    let cases = [
        ("", "missing", json!(["body"])),
        ("{\n \"a\": }", "json_invalid", json!(["body", 8])),
        ("[1]", "model_attributes_type", json!(["body"])),
    ];
    for (sent, kind, loc) in cases {
        let call = host.post("/api/settings").as_user("ann").body(sent);
        let told: Value = call.await.expect(422).json();
        assert_eq!(
            (&told["detail"][0]["type"], &told["detail"][0]["loc"]),
            (&json!(kind), &loc),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn mistakes_in_secrets_are_named() {
    let host = host().await;
    let long = "x".repeat(64 * 1024 + 1);
    let cases = [
        (json!({ "value": "v" }), "missing", "name"),
        (json!({ "name": "A" }), "missing", "value"),
        (json!({ "name": null, "value": "v" }), "string_type", "name"),
        (json!({ "name": "", "value": "v" }), "string_pattern_mismatch", "name"),
        (json!({ "name": "1A", "value": "v" }), "string_pattern_mismatch", "name"),
        (
            json!({ "name": "A-B", "value": "v" }),
            "string_pattern_mismatch",
            "name",
        ),
        (
            json!({ "name": "A".repeat(256), "value": "v" }),
            "string_too_long",
            "name",
        ),
        (json!({ "name": "A", "value": long }), "string_too_long", "value"),
        (json!({ "name": "A", "value": "a\u{0}b" }), "value_error", "value"),
        (
            json!({ "name": "A", "value": "v", "description": 1 }),
            "string_type",
            "description",
        ),
    ];
    for (sent, kind, field) in cases {
        let told: Value = post(&host, "/api/secrets", &sent).await.expect(422).json();
        let told = &told["detail"];
        assert_eq!(
            (&told[0]["type"], &told[0]["loc"]),
            (&json!(kind), &json!(["body", field])),
            "{told}"
        );
    }
    let told: Value = call(&host, Method::PUT, "/api/secrets/A", &json!({}))
        .await
        .expect(422)
        .json();
    assert_eq!(told["detail"][0]["loc"], json!(["body", "name"]));
}

#[tokio::test]
async fn mistakes_in_providers_are_named() {
    let host = host().await;
    let sent = json!({ "provider_tokens": { "zzz": { "token": "canary" }, "github": 1 } });
    let told = post(&host, "/api/add-git-providers", &sent).await.expect(422);
    assert!(!told.text().contains("canary"));
    let told: Value = told.json();
    let of = |kind: &str| {
        let all = told["detail"].as_array().unwrap();
        all.iter().find(|one| one["type"] == kind).unwrap().clone()
    };
    assert_eq!(of("enum")["loc"], json!(["body", "provider_tokens", "zzz", "[key]"]));
    assert_eq!(
        of("model_attributes_type")["loc"],
        json!(["body", "provider_tokens", "github"])
    );
    for sent in [
        json!({ "provider_tokens": null }),
        json!({ "mcp_config": { "bogus": 1 } }),
    ] {
        post(&host, "/api/add-git-providers", &sent).await.expect(422);
    }
}

#[tokio::test]
async fn a_mask_that_stands_for_nothing_is_refused() {
    let host = host().await;
    change(&host, json!({ "llm_api_key": "sk-one-1111", "mcp_config": { "sse_servers": [{ "url": "https://a.b/c", "api_key": "key-2222" }] } })).await;
    let before = settings(&host).await;
    let cases = [
        (json!({ "llm_api_key": "****9999" }), json!(["body", "llm_api_key"])),
        (
            json!({ "search_api_key": "**********" }),
            json!(["body", "search_api_key"]),
        ),
        // The key of one server is not given to another.
        (
            json!({ "mcp_config": { "sse_servers": [{ "url": "https://evil.example/c", "api_key": "****2222" }] } }),
            json!(["body", "mcp_config", "sse_servers", 0, "api_key"]),
        ),
        (
            json!({ "mcp_config": { "stdio_servers": [{ "name": "x", "command": "npx", "env": { "A": "****" } }] } }),
            json!(["body", "mcp_config", "stdio_servers", 0, "env", "A"]),
        ),
    ];
    for (sent, loc) in cases {
        let told: Value = post(&host, "/api/settings", &sent).await.expect(422).json();
        assert_eq!(told["detail"][0]["loc"], loc, "{told}");
        assert!(
            told["detail"][0]["msg"]
                .as_str()
                .unwrap()
                .contains("send the value itself"),
            "{told}"
        );
    }
    assert_eq!(settings(&host).await, before);
    // The mask of the key that is there changes nothing.
    change(&host, json!({ "llm_api_key": "****1111" })).await;
    let key = super::sealed(&host, "SELECT llm_api_key FROM settings").await;
    assert_eq!(key.as_deref(), Some("sk-one-1111"));
}
