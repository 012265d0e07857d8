//! Tokens of git providers.

use serde_json::{Value, json};

use super::{change, host, post, sealed, settings};

#[tokio::test]
async fn tokens_are_kept_shown_as_linked_and_removed() {
    let host = host().await;
    change(&host, json!({})).await;
    let add = async |tokens: Value| {
        let reply = post(&host, "/api/add-git-providers", &json!({ "provider_tokens": tokens }))
            .await
            .expect(200);
        assert_eq!(reply.json::<Value>(), json!({ "message": "Git providers stored" }));
    };
    let token = async |provider: &str| {
        sealed(
            &host,
            &format!("SELECT token FROM provider_token WHERE provider = '{provider}'"),
        )
        .await
    };
    // As the client does: an empty one for each provider that it knows.
    add(json!({ "github": { "token": "gh-token-1" }, "gitlab": { "token": "", "host": "" }, "bitbucket": {} })).await;
    assert_eq!(settings(&host).await["provider_tokens_set"], json!({ "github": null }));
    add(json!({ "github": { "token": "", "host": "git.example.com" }, "gitlab": { "token": "gl-token-1" } })).await;
    let shown = settings(&host).await;
    assert_eq!(
        shown["provider_tokens_set"],
        json!({ "github": "git.example.com", "gitlab": null })
    );
    assert_eq!(token("github").await.as_deref(), Some("gh-token-1"));

    add(json!({ "github": { "token": "****en-1" }, "gitlab": { "token": "gl-token-2" }, "forgejo": { "user_id": "7" } })).await;
    assert_eq!(token("github").await.as_deref(), Some("gh-token-1"));
    assert_eq!(token("gitlab").await.as_deref(), Some("gl-token-2"));
    let wrong =
        json!({ "provider_tokens": { "github": { "token": "****zzzz" }, "gitlab": { "token": "gl-token-3" } } });
    let told: Value = post(&host, "/api/add-git-providers", &wrong).await.expect(422).json();
    assert_eq!(
        told["detail"][0]["loc"],
        json!(["body", "provider_tokens", "github", "token"])
    );
    assert_eq!(
        token("gitlab").await.as_deref(),
        Some("gl-token-2"),
        "a part of a refused body was stored"
    );

    let reply = host.get("/api/settings").as_user("ann").await.expect(200);
    assert_eq!(
        reply.header("etag"),
        Some("\"4\""),
        "what the settings show has another version"
    );
    let unset = post(&host, "/api/unset-provider-tokens", &json!({})).await.expect(200);
    assert_eq!(unset.json::<Value>(), json!({ "message": "Unset Git provider tokens" }));
    assert_eq!(settings(&host).await["provider_tokens_set"], json!({}));
    let trail = host.audit();
    let last = trail.last().unwrap();
    assert_eq!(last.action, "provider_tokens.removed");
    assert!(
        trail
            .iter()
            .all(|entry| entry.address.as_deref() == Some("203.0.113.9"))
    );
    assert_eq!(
        last.detail["detail"],
        json!({ "providers": ["forgejo", "github", "gitlab"] })
    );
}

#[tokio::test]
async fn servers_may_come_along() {
    let host = host().await;
    let sent = json!({ "provider_tokens": {}, "mcp_config": { "sse_servers": ["https://a.b/c"] } });
    post(&host, "/api/add-git-providers", &sent).await.expect(200);
    assert_eq!(
        settings(&host).await["mcp_config"]["sse_servers"][0]["url"],
        "https://a.b/c"
    );
}
