//! `/api/secrets`, by the reference's vectors.

use jackfield_sdk::http::Method;
use jackfield_testing::TestHost;
use serde_json::{Value, json};

use super::{call, host, post, sealed};

async fn listed(host: &TestHost) -> Value {
    host.get("/api/secrets").as_user("ann").await.expect(200).json()
}

#[tokio::test]
async fn a_secret_is_made_listed_renamed_and_deleted() {
    let host = host().await;
    assert_eq!(listed(&host).await, json!({ "custom_secrets": [] }));
    let answers = [
        (
            Method::POST,
            "/api/secrets",
            json!({ "name": "A", "value": "1", "description": "first" }),
            201,
            json!({ "message": "Secret created successfully" }),
        ),
        (
            Method::POST,
            "/api/secrets",
            json!({ "name": "A", "value": "2" }),
            400,
            json!({ "message": "Secret A already exists" }),
        ),
        (
            Method::POST,
            "/api/secrets",
            json!({ "name": "B", "value": "" }),
            201,
            json!({ "message": "Secret created successfully" }),
        ),
        (
            Method::PUT,
            "/api/secrets/ZZ",
            json!({ "name": "A" }),
            404,
            json!({ "error": "Secret with ID ZZ not found" }),
        ),
        (
            Method::PUT,
            "/api/secrets/A",
            json!({ "name": "B" }),
            400,
            json!({ "message": "Secret B already exists" }),
        ),
        (
            Method::PUT,
            "/api/secrets/A",
            json!({ "name": "A", "description": "same name" }),
            200,
            json!({ "message": "Secret updated successfully" }),
        ),
        (
            Method::DELETE,
            "/api/secrets/ZZ",
            json!({}),
            404,
            json!({ "error": "Secret with ID ZZ not found" }),
        ),
    ];
    for (method, path, sent, status, told) in answers {
        let reply = call(&host, method, path, &sent).await.expect(status);
        assert_eq!(reply.json::<Value>(), told, "{path} {sent}");
    }
    let both =
        json!({ "custom_secrets": [{ "name": "A", "description": "same name" }, { "name": "B", "description": "" }] });
    assert_eq!(listed(&host).await, both);

    // A value that comes along is not the new value, and a description that does not is none.
    call(
        &host,
        Method::PUT,
        "/api/secrets/A",
        &json!({ "name": "C", "value": "other" }),
    )
    .await
    .expect(200);
    let value = sealed(&host, "SELECT value FROM custom_secret WHERE name = 'C'").await;
    assert_eq!(value.as_deref(), Some("1"));
    let deleted = call(&host, Method::DELETE, "/api/secrets/B", &json!({}))
        .await
        .expect(200);
    assert_eq!(
        deleted.json::<Value>(),
        json!({ "message": "Secret deleted successfully" })
    );
    assert_eq!(
        listed(&host).await,
        json!({ "custom_secrets": [{ "name": "C", "description": "" }] })
    );
    let from = host.audit().into_iter().map(|entry| entry.address);
    assert!(
        from.into_iter()
            .all(|address| address.as_deref() == Some("203.0.113.9"))
    );
    let actions: Vec<String> = host.audit().into_iter().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        [
            "secret.created",
            "secret.created",
            "secret.updated",
            "secret.updated",
            "secret.deleted"
        ]
    );
}

#[tokio::test]
async fn the_hundredth_secret_is_the_last() {
    let host = host().await;
    for at in 0..100 {
        let new = json!({ "name": format!("S{at}"), "value": "v" });
        post(&host, "/api/secrets", &new).await.expect(201);
    }
    let full = post(&host, "/api/secrets", &json!({ "name": "MORE", "value": "v" }))
        .await
        .expect(400);
    assert_eq!(
        full.json::<Value>(),
        json!({ "message": "There are 100 secrets; delete one first" })
    );
    let twice = post(&host, "/api/secrets", &json!({ "name": "S7", "value": "v" }))
        .await
        .expect(400);
    assert_eq!(twice.json::<Value>(), json!({ "message": "Secret S7 already exists" }));
    assert_eq!(listed(&host).await["custom_secrets"].as_array().unwrap().len(), 100);
    call(&host, Method::DELETE, "/api/secrets/S7", &json!({}))
        .await
        .expect(200);
    post(&host, "/api/secrets", &json!({ "name": "MORE", "value": "v" }))
        .await
        .expect(201);
}
