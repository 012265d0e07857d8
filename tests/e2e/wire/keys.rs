//! API keys (§18).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Ground, ME, Row, detail, error, get, post, row};

/// A key as it is shown; with its secret when it was just made.
fn shown(id: &Value, name: &Value, secret: bool) -> Value {
    let mut shape = json!({
        "id": id, "name": name, "created_at": "<time>", "last_used_at": null, "expires_at": null,
        // More than the reference has: what tells keys apart, and what they may do (30.9).
        "prefix": "<text>", "scopes": [],
    });
    if secret {
        shape["key"] = json!("<key>");
    }
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_deleted() {
    let Some(ground) = Ground::start("wire-keys", &[]).await else {
        return;
    };
    let (ann, bob) = (
        ground.person("ann@example.com").await,
        ground.person("bob@example.com").await,
    );
    let make = |of| post(of, "/api/keys").cookie(&ann.cookie);
    let int = json!("<int>");
    let first = make("§18.2")
        .json(&json!({ "name": "ci" }))
        .says(shown(&int, &json!("ci"), true));
    let first = ground.told(first).await;
    // Of two with one name it is the new one that is told (30.40).
    let second = make("§18.2").json(&json!({ "name": "ci", "expires_at": null }));
    let second = ground.told(second.says(shown(&int, &json!("ci"), true))).await;
    assert_ne!((&first["id"], &first["key"]), (&second["id"], &second["key"]));
    let unnamed = make("§18.2").json(&json!({})).says(shown(&int, &Value::Null, true));
    let third = ground.told(unnamed).await["id"].clone();
    // It is no name of ours: no hidden key has it (30.9).
    let reserved = make("§18.1").json(&json!({ "name": "MCP_API_KEY" }));
    let fourth = ground
        .told(reserved.says(shown(&int, &json!("MCP_API_KEY"), true)))
        .await["id"]
        .clone();
    let ends = make("§18.2").json(&json!({ "name": "late", "expires_at": "2999-01-31T01:00:00+01:00" }));
    let ends = ground
        .told(ends.tells("/expires_at", json!("2999-01-31T00:00:00Z")))
        .await;
    let all = json!([
        shown(&first["id"], &json!("ci"), false),
        shown(&second["id"], &json!("ci"), false),
        shown(&third, &Value::Null, false),
        shown(&fourth, &json!("MCP_API_KEY"), false),
        { "id": ends["id"], "name": "late", "created_at": "<time>", "last_used_at": null,
          "expires_at": "2999-01-31T00:00:00Z", "prefix": "<text>", "scopes": [] },
    ]);
    let delete = |of, id: &Value| row(of, Method::DELETE, &format!("/api/keys/{id}"));
    let gone = || detail("API key not found");
    let secret = first["key"].as_str().unwrap();
    ground
        .holds([
            get("§18.2: times have their zone, so that no client guesses", "/api/keys")
                .cookie(&ann.cookie)
                .says(all),
            get("§18.2: of whoever asks", "/api/keys")
                .cookie(&bob.cookie)
                .says(json!([])),
            delete("§18.2", &first["id"]).cookie(&bob.cookie).gets(404).says(gone()),
            get("§18.1", ME)
                .bearer(secret)
                .tells("/email", json!("ann@example.com")),
            delete("§18.2", &first["id"])
                .cookie(&ann.cookie)
                .says(json!({ "message": "API key deleted successfully" })),
            delete("§18.2", &first["id"]).cookie(&ann.cookie).gets(404).says(gone()),
            get("§18.1, §5", ME)
                .bearer(secret)
                .gets(401)
                .says(error("NoCredentialsError")),
            delete("§18.2", &json!(999_999))
                .cookie(&ann.cookie)
                .gets(404)
                .says(gone()),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_key_is_422() {
    let Some(ground) = Ground::start("wire-no-key", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let make = |of| post(of, "/api/keys").cookie(&ann.cookie);
    // One text for people instead of the validator's list; its status and its member are the reference's.
    let wrong = |row: Row| row.gets(422).says(detail("<text>"));
    ground
        .holds([
            wrong(make("§18.2").json(&json!({ "expires_at": "2020-01-01T00:00:00Z" }))),
            wrong(make("§18.2: 422 and not 500 (30.40)").json(&json!({ "expires_at": "2999-01-01T00:00:00" }))),
            wrong(make("§18.2").json(&json!({ "expires_at": "soon" }))),
            wrong(make("§18.2").json(&json!({ "name": 1 }))),
            wrong(make("§18.2").json(&json!([]))),
            wrong(make("§18.2").body("application/json", "{")),
            wrong(make("§18.2").body("text/plain", "{}")),
            wrong(make("§18.2")),
            wrong(row("§18.2", Method::DELETE, "/api/keys/one").cookie(&ann.cookie)),
            get("§18.2: and none was made", "/api/keys")
                .cookie(&ann.cookie)
                .says(json!([])),
            post("§18.2", "/api/keys")
                .json(&json!({}))
                .gets(401)
                .says(error("NoCredentialsError")),
            row("§18.2", Method::DELETE, "/api/keys/1")
                .gets(401)
                .says(error("NoCredentialsError")),
        ])
        .await;
}
