//! Two people, and one person in two organisations.

use jackfield_sdk::{Principal, http::Method};
use jackfield_testing::{Reply, TestHost};
use serde_json::{Value, json};

use super::{host, member};

async fn send(host: &TestHost, who: &Principal, method: Method, path: &str, body: Value) -> Reply {
    host.call(method, path).as_principal(who.clone()).json(&body).await
}

#[tokio::test]
async fn nobody_sees_or_changes_what_somebody_else_has() {
    let host = host().await;
    let everybody = [
        member("ann", "ann"),
        member("ann", "team"),
        member("bob", "team"),
        member("bob", "bob"),
    ];
    for (at, who) in everybody.iter().enumerate() {
        let none = send(&host, who, Method::GET, "/api/settings", Value::Null).await;
        assert_eq!(none.status(), 404, "{who:?}");
        let body =
            json!({ "language": format!("l{at}"), "mcp_config": { "sse_servers": [format!("https://{at}.example")] } });
        send(&host, who, Method::POST, "/api/settings", body).await.expect(200);
        let secret = json!({ "name": "SAME", "value": format!("v{at}"), "description": format!("d{at}") });
        send(&host, who, Method::POST, "/api/secrets", secret).await.expect(201);
        let token = json!({ "provider_tokens": { "gitlab": { "token": format!("t{at}"), "host": format!("h{at}") } } });
        send(&host, who, Method::POST, "/api/add-git-providers", token)
            .await
            .expect(200);
    }
    // One of the four removes everything.
    let (gone, left) = everybody.split_first().unwrap();
    send(&host, gone, Method::DELETE, "/api/secrets/SAME", Value::Null)
        .await
        .expect(200);
    send(&host, gone, Method::POST, "/api/unset-provider-tokens", json!({}))
        .await
        .expect(200);
    send(
        &host,
        gone,
        Method::POST,
        "/api/settings",
        json!({ "mcp_config": null }),
    )
    .await
    .expect(200);
    for (at, who) in (1..).zip(left) {
        let shown: Value = send(&host, who, Method::GET, "/api/settings", Value::Null)
            .await
            .expect(200)
            .json();
        assert_eq!(shown["language"], format!("l{at}"));
        assert_eq!(
            shown["mcp_config"]["sse_servers"][0]["url"],
            format!("https://{at}.example")
        );
        assert_eq!(shown["provider_tokens_set"], json!({ "gitlab": format!("h{at}") }));
        let secrets: Value = send(&host, who, Method::GET, "/api/secrets", Value::Null)
            .await
            .expect(200)
            .json();
        assert_eq!(
            secrets,
            json!({ "custom_secrets": [{ "name": "SAME", "description": format!("d{at}") }] })
        );
    }
    // The mask of another's key stands for nothing.
    send(
        &host,
        &left[0],
        Method::POST,
        "/api/settings",
        json!({ "llm_api_key": "sk-of-ann-1" }),
    )
    .await
    .expect(200);
    let mask = json!({ "llm_api_key": "****nn-1" });
    send(&host, &left[0], Method::POST, "/api/settings", mask.clone())
        .await
        .expect(200);
    send(&host, &left[1], Method::POST, "/api/settings", mask)
        .await
        .expect(422);
}
