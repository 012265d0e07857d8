//! Settings, secrets and git-provider tokens at the shipped host, on SQLite and on two replicas of one PostgreSQL.

use std::path::Path;

use base64::Engine as _;
use jackfield_tests::{
    host::{Host, Setup, binary},
    postgres::database,
    scratch::Scratch,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::people::{Signed, follow, link, read};

async fn sign_in<'h>(host: &'h Host, email: &str) -> Signed<'h> {
    follow(host, &link(host, Some(email)).await).await.unwrap()
}

/// Everything that the routes do, seen from `there` after each change on `here`.
async fn story(here: &Signed<'_>, there: &Signed<'_>) {
    assert_eq!(
        there.get("/api/settings").await,
        (404, json!({ "error": "Settings not found" }))
    );
    let sent = json!({
        "language": "de", "confirmation_mode": true, "max_iterations": 7, "max_budget_per_task": 2, "llm_api_key": "canary-llm",
        "user_consents_to_analytics": null, "security_analyzer": null,
        "mcp_config": { "sse_servers": [{ "url": "https://mcp.example/canary-url", "api_key": "canary-mcp" }] },
    });
    let (status, told) = here.post("/api/settings", sent).await;
    assert_eq!((status, told), (200, json!({ "message": "Settings stored" })));
    let (status, shown) = there.get("/api/settings").await;
    assert_eq!((status, &shown["email"]), (200, &json!("ann@example.com")), "{shown}");
    assert_eq!(shown["mcp_config"]["sse_servers"][0]["api_key"], "****-mcp");
    assert_eq!(
        (&shown["max_budget_per_task"], &shown["llm_api_key_set"]),
        (&json!(2.0), &json!(true))
    );
    assert_eq!(here.post("/api/settings", shown.clone()).await.0, 200);
    assert_eq!(there.get("/api/settings").await.1, shown);
    assert_eq!(here.post("/api/settings", json!({ "llm_api_key": "" })).await.0, 200);
    assert_eq!(there.get("/api/settings").await.1["llm_api_key_set"], false);
    assert_eq!(here.post("/api/settings", json!({ "v1_enabled": null })).await.0, 422);

    for (name, status) in [("A", 201), ("A", 400), ("B", 201)] {
        let secret = json!({ "name": name, "value": "canary-value", "description": "canary-description" });
        assert_eq!(here.post("/api/secrets", secret).await.0, status, "{name}");
    }
    let put = async |path: &str, body: Value| read(here.send(Method::PUT, path, Some(body)).await).await.0;
    assert_eq!(put("/api/secrets/A", json!({ "name": "B" })).await, 400);
    assert_eq!(
        put("/api/secrets/A", json!({ "name": "C", "description": "other" })).await,
        200
    );
    assert_eq!(put("/api/secrets/A", json!({ "name": "D" })).await, 404);
    let secrets = json!({ "custom_secrets": [
        { "name": "B", "description": "canary-description" }, { "name": "C", "description": "other" },
    ] });
    assert_eq!(there.get("/api/secrets").await, (200, secrets));
    let deleted = here.send(Method::DELETE, "/api/secrets/C", None).await;
    assert_eq!(deleted.status(), 200);

    let tokens = json!({ "provider_tokens": { "github": { "token": "canary-token", "host": "git.example" }, "gitlab": { "token": "" } } });
    assert_eq!(here.post("/api/add-git-providers", tokens).await.0, 200);
    assert_eq!(
        there.get("/api/settings").await.1["provider_tokens_set"],
        json!({ "github": "git.example" })
    );
    assert_eq!(here.post("/api/unset-provider-tokens", json!({})).await.0, 200);
    assert_eq!(there.get("/api/settings").await.1["provider_tokens_set"], json!({}));
    assert_eq!(here.post("/api/reset-settings", json!({})).await.0, 410);
}

/// A program asks faster than people do.
const OFTEN: (&str, &str) = ("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "1000");

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_their_owners_and_no_file_holds_a_secret() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("settings");
    let host = Setup::plain(scratch.0.clone())
        .with("JACKFIELD_LOG", "debug")
        .with(OFTEN.0, OFTEN.1)
        .start()
        .await;
    let ann = sign_in(&host, "ann@example.com").await;
    story(&ann, &ann).await;
    let bob = sign_in(&host, "bob@example.com").await;
    assert_eq!(bob.get("/api/settings").await.0, 404);
    assert_eq!(bob.get("/api/secrets").await.1, json!({ "custom_secrets": [] }));
    assert!(!host.log().contains("canary-"), "a secret is in the log");
    let mut read = 0;
    search(&scratch.0, &mut read);
    assert!(read > 0, "the plugin's database was not found");
}

/// Looks at every file below; counts those of the plugin's database.
fn search(directory: &Path, read: &mut usize) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            search(&path, read);
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(7).any(|part| part == b"canary-"),
                "{} holds a secret",
                path.display()
            );
            *read += usize::from(path.ends_with("plugins/settings.db"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_have_the_same_settings() {
    let (Some(_), Some(url)) = (binary(), database().await) else {
        return;
    };
    let scratches = [Scratch::new("settings-one"), Scratch::new("settings-two")];
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let ring = format!("first:{key}");
    let setup = |at: usize| {
        let place = Setup::plain(scratches[at].0.clone());
        place
            .with("JACKFIELD_DATABASE_URL", &url)
            .with("JACKFIELD_KEYRING", &ring)
            .with(OFTEN.0, OFTEN.1)
    };
    let (first, second) = (setup(0).start().await, setup(1).start().await);
    let here = sign_in(&first, "ann@example.com").await;
    let there = sign_in(&second, "ann@example.com").await;
    story(&here, &there).await;
}
