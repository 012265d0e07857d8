//! What there is to choose from.

use jackfield_sdk::http::StatusCode;
use jackfield_testing::TestHost;
use serde_json::{Value, json};

use crate::Settings;

#[tokio::test]
async fn models_are_sorted_and_those_of_the_operator_are_among_them() {
    let host = TestHost::new()
        .plugin::<Settings>("")
        .env("LITELLM_DEFAULT_MODEL", "openhands/house-model")
        .env(
            "JACKFIELD_MODELS",
            r#"["ollama/llama3", "openhands/o3", "bedrock/own"]"#,
        )
        .start()
        .await;
    let models: Vec<String> = host.get("/api/options/models").as_user("ann").await.expect(200).json();
    assert!(
        models.is_sorted() && models.windows(2).all(|two| two[0] != two[1]),
        "{models:?}"
    );
    for there in [
        "bedrock/own",
        "ollama/llama3",
        "openhands/house-model",
        "openhands/o3",
        "anthropic/claude-sonnet-4-20250514",
    ] {
        assert!(models.iter().any(|model| model == there), "{there}: {models:?}");
    }
}

#[tokio::test]
async fn agents_and_analyzers_are_those_of_the_agent_server() {
    let host = super::host().await;
    let agents: Value = host.get("/api/options/agents").as_user("ann").await.expect(200).json();
    let expected = [
        "BrowsingAgent",
        "CodeActAgent",
        "DummyAgent",
        "LocAgent",
        "ReadOnlyAgent",
        "VisualBrowsingAgent",
    ];
    assert_eq!(agents, json!(expected));
    let analyzers: Value = host
        .get("/api/options/security-analyzers")
        .as_user("ann")
        .await
        .expect(200)
        .json();
    assert_eq!(analyzers, json!(["grayswan", "invariant", "llm"]));
}

#[tokio::test]
async fn a_credential_that_opens_nothing_sees_no_options() {
    let host = super::host().await;
    for path in ["models", "agents", "security-analyzers"] {
        let reply = host.get(&format!("/api/options/{path}")).await;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}
