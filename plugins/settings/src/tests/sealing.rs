//! Masking, and that secrets are sealed, replaced and forgotten.

use jackfield_sdk::http::Method;
use serde_json::{Value, json};

use super::{Settings, call, change, host, places, post, sealed, settings};
use crate::sealed::mask;

#[test]
fn a_mask_shows_the_last_four_characters() {
    for (secret, shown) in [
        ("", ""),
        ("a", "****"),
        ("abcd", "****"),
        ("abcde", "****bcde"),
        ("schlüssel", "****ssel"),
        ("schlüße", "****lüße"),
    ] {
        assert_eq!(mask(secret), shown, "{secret}");
    }
}

#[tokio::test]
async fn servers_may_be_written_briefly_and_are_shown_masked() {
    let host = host().await;
    let servers = json!({ "mcp_config": {
        "stdio_servers": [{ "name": "x", "command": "npx", "args": "-y 'foo bar'", "env": "A=b, TOKEN=t=oken-1234" }],
        "sse_servers": ["https://a.b/c"],
        "shttp_servers": [{ "url": "https://a.b/d", "api_key": "key-5678" }, { "url": "https://a.b/e", "timeout": null }],
    } });
    change(&host, servers).await;
    let shown = settings(&host).await;
    let expected = json!({
        "sse_servers": [{ "url": "https://a.b/c", "api_key": null }],
        "stdio_servers": [{ "name": "x", "command": "npx", "args": ["-y", "foo bar"], "env": { "A": "****", "TOKEN": "****1234" } }],
        "shttp_servers": [
            { "url": "https://a.b/d", "api_key": "****5678", "timeout": 60 },
            { "url": "https://a.b/e", "api_key": null, "timeout": null },
        ],
    });
    assert_eq!(shown["mcp_config"], expected);

    // One server is added, and the arguments of another change, by who sees nothing but masks.
    let mut sent = shown["mcp_config"].clone();
    sent["sse_servers"][0]["api_key"] = json!("new-key-9999");
    sent["stdio_servers"][0]["args"] = json!([]);
    change(&host, json!({ "mcp_config": sent })).await;
    let stored = sealed(&host, "SELECT mcp_config FROM settings").await.unwrap();
    let expected = json!({
        "sse_servers": [{ "url": "https://a.b/c", "api_key": "new-key-9999" }],
        "stdio_servers": [{ "name": "x", "command": "npx", "args": [], "env": { "A": "b", "TOKEN": "t=oken-1234" } }],
        "shttp_servers": [
            { "url": "https://a.b/d", "api_key": "key-5678", "timeout": 60 },
            { "url": "https://a.b/e", "api_key": null, "timeout": null },
        ],
    });
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), expected);
    change(&host, json!({ "mcp_config": null })).await;
    assert_eq!(settings(&host).await["mcp_config"], Value::Null);
}

#[tokio::test]
async fn nothing_secret_is_in_an_answer_the_trail_or_the_database() {
    let host = host().await;
    let servers = json!({
        "sse_servers": [{ "url": "https://a.b/c?key=canary-01-abcd", "api_key": "canary-02-abcd" }],
        "stdio_servers": [{ "name": "x", "command": "npx", "args": ["--token=canary-03-abcd"], "env": { "A": "canary-04-abcd" } }],
    });
    let keys = json!({ "llm_api_key": "canary-05-abcd", "search_api_key": "canary-06-abcd", "sandbox_api_key": "canary-07-abcd", "mcp_config": servers });
    change(&host, keys).await;
    let secret = json!({ "name": "A", "value": "canary-08-abcd", "description": "canary-09-abcd" });
    post(&host, "/api/secrets", &secret).await.expect(201);
    let tokens = json!({ "provider_tokens": { "github": { "token": "canary-10-abcd" } } });
    post(&host, "/api/add-git-providers", &tokens).await.expect(200);

    // Addresses, arguments and descriptions are their owner's to read; the rest is not.
    let shown = settings(&host).await.to_string() + &host.get("/api/secrets").as_user("ann").await.text();
    for readable in ["canary-01", "canary-03", "canary-09"] {
        assert!(shown.contains(readable), "{readable}: {shown}");
    }
    for hidden in ["02", "04", "05", "06", "07", "08", "10"] {
        assert!(!shown.contains(&format!("canary-{hidden}")), "{hidden}: {shown}");
    }
    for entry in host.audit() {
        assert!(!format!("{entry:?}").contains("canary"), "{entry:?}");
    }
    let mut files = vec![host.database_directory().unwrap().to_owned()];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        read += usize::from(holds(b"custom_secret"));
        assert!(!holds(b"canary"), "{} holds a secret", path.display());
    }
    assert!(read > 0, "the plugin's database was not found");
}

#[tokio::test]
async fn what_is_replaced_or_deleted_is_forgotten() {
    let host = host().await;
    change(&host, json!({ "llm_api_key": "one", "search_api_key": "two" })).await;
    assert_eq!(places(&host).await, 2);
    change(&host, json!({ "llm_api_key": "three" })).await;
    assert_eq!(places(&host).await, 2);
    change(&host, json!({ "llm_api_key": "" })).await;
    assert_eq!(places(&host).await, 1);

    let secret = json!({ "name": "A", "value": "v", "description": "d" });
    post(&host, "/api/secrets", &secret).await.expect(201);
    assert_eq!(places(&host).await, 3);
    post(&host, "/api/secrets", &secret).await.expect(400);
    assert_eq!(places(&host).await, 3);
    call(&host, Method::PUT, "/api/secrets/A", &json!({ "name": "B" }))
        .await
        .expect(200);
    assert_eq!(places(&host).await, 2);
    call(&host, Method::DELETE, "/api/secrets/B", &json!({}))
        .await
        .expect(200);
    assert_eq!(places(&host).await, 1);

    let tokens = |token: &str| json!({ "provider_tokens": { "gitlab": { "token": token } } });
    for token in ["t1", "t2"] {
        post(&host, "/api/add-git-providers", &tokens(token)).await.expect(200);
        assert_eq!(places(&host).await, 2);
    }
    post(&host, "/api/unset-provider-tokens", &json!({})).await.expect(200);
    assert_eq!(places(&host).await, 1);
}

#[tokio::test]
async fn what_a_crash_leaves_behind_is_swept_an_hour_later() {
    let host = host().await;
    change(&host, json!({ "llm_api_key": "kept" })).await;
    // As it is when the host dies between the vault and the row.
    let plugin = host.of::<Settings>();
    let left = jackfield_sdk::prelude::sql(
        "INSERT INTO place (name, organization, made_ms) SELECT 'left', 'ann', made_ms FROM place",
    );
    plugin.database().execute(left).await.unwrap();
    let secret = jackfield_sdk::config::Secret::new("left behind".to_owned());
    plugin.vault().put("ann", "left", &secret).await.unwrap();

    host.fire("sweep").await;
    host.settle().await;
    assert_eq!(places(&host).await, 2, "it may be a request's that is under way");
    host.advance(jackfield_sdk::prelude::hours(2));
    host.fire("sweep").await;
    host.settle().await;
    assert_eq!(places(&host).await, 1);
    assert!(plugin.vault().get("ann", "left").await.unwrap().is_none());
    assert_eq!(
        sealed(&host, "SELECT llm_api_key FROM settings").await.as_deref(),
        Some("kept")
    );
}
