//! `/api/keys` on the test kit.

use jackfield_sdk::http::{Method, StatusCode};
use jackfield_testing::TestHost;
use serde_json::{Value, json};

use super::ApiKeys;

async fn host() -> TestHost {
    TestHost::new().plugin::<ApiKeys>("").start().await
}

#[tokio::test]
async fn a_key_is_shown_once_and_listed_without_its_secret() {
    let host = host().await;
    let made = host
        .post("/api/keys")
        .as_user("ann")
        // A client does not say where it is.
        .header("x-jackfield-client-address", "198.51.100.1")
        .from_address("203.0.113.9")
        .json(&json!({ "name": "ci", "scopes": ["orders:read"] }))
        .await;
    assert_eq!(made.status(), StatusCode::OK, "{}", made.text());
    let made: Value = made.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("sk-oh-"), "{made}");

    let listed = host.get("/api/keys").as_user("ann").await;
    assert!(!listed.text().contains(key), "the list holds the secret");
    let listed: Value = listed.json();
    assert_eq!(listed[0]["id"], made["id"]);
    assert_eq!(listed[0]["name"], "ci");
    assert_eq!(listed[0]["scopes"], json!(["orders:read"]));
    assert_eq!(listed[0]["created_at"], "2026-01-01T00:00:00Z");
    let trail = host.audit();
    assert_eq!(
        (trail.len(), trail[0].action.as_str(), trail[0].actor.as_str()),
        (1, "key.created", "ann")
    );
    assert_eq!(trail[0].address.as_deref(), Some("203.0.113.9"));
    assert!(!trail[0].detail.to_string().contains(key));
}

#[tokio::test]
async fn nobody_sees_or_deletes_the_keys_of_others() {
    let host = host().await;
    let made: Value = host.post("/api/keys").as_user("ann").json(&json!({})).await.json();
    let others: Value = host.get("/api/keys").as_user("bob").await.json();
    assert_eq!(others, json!([]));
    let path = format!("/api/keys/{}", made["id"]);
    assert_eq!(
        host.call(Method::DELETE, &path).as_user("bob").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(host.get("/api/keys").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        host.get("/api/keys").as_operator().await.status(),
        StatusCode::FORBIDDEN
    );

    let deleted = host.call(Method::DELETE, &path).as_user("ann").await;
    assert_eq!(
        deleted.json::<Value>(),
        json!({ "message": "API key deleted successfully" })
    );
    assert_eq!(
        host.call(Method::DELETE, &path).as_user("ann").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        host.call(Method::DELETE, "/api/keys/seven")
            .as_user("ann")
            .await
            .status(),
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn an_end_has_an_offset_and_lies_ahead() {
    let host = host().await;
    let ends = async |text: &str| {
        let reply = host
            .post("/api/keys")
            .as_user("ann")
            .json(&json!({ "expires_at": text }))
            .await;
        (reply.status(), reply.text())
    };
    assert_eq!(ends("2026-01-01T01:00:00Z").await.0, StatusCode::OK);
    assert_eq!(ends("2026-01-01T03:00:00+02:00").await.0, StatusCode::OK);
    for (wrong, says) in [
        ("2026-02-01T00:00:00", "offset"),
        ("2025-12-31T00:00:00Z", "past"),
        ("soon", "offset"),
    ] {
        let (status, text) = ends(wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(text.contains(says), "{wrong}: {text}");
    }
}

#[tokio::test]
async fn the_hundredth_key_is_the_last() {
    let host = host().await;
    for _ in 0..100 {
        assert_eq!(
            host.post("/api/keys").as_user("ann").json(&json!({})).await.status(),
            StatusCode::OK
        );
    }
    assert_eq!(
        host.post("/api/keys").as_user("ann").json(&json!({})).await.status(),
        StatusCode::CONFLICT
    );
    assert_eq!(
        host.post("/api/keys").as_user("bob").json(&json!({})).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_key_makes_no_key_that_may_more() {
    let host = host().await;
    let make = async |held: &[&str], asked: &[&str]| {
        let request = host.post("/api/keys").as_api_key("ann", held);
        request.json(&json!({ "scopes": asked })).await.status()
    };
    assert_eq!(make(&["orders:read"], &["orders:read"]).await, StatusCode::OK);
    assert_eq!(make(&["orders:read"], &["orders:write"]).await, StatusCode::FORBIDDEN);
    assert_eq!(make(&["orders:read"], &[]).await, StatusCode::FORBIDDEN, "all");
    assert_eq!(make(&["*"], &[]).await, StatusCode::OK);
    assert_eq!(make(&["*"], &["operator"]).await, StatusCode::FORBIDDEN);
    assert_eq!(make(&["*", "operator"], &["operator"]).await, StatusCode::OK);
}
