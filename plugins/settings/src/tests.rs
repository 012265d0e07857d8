//! The plugin on the test kit, with its database and the vault.

mod apart;
mod concurrency;
mod mistakes;
mod options;
mod providers;
mod sealing;
mod secrets;
mod settings;

use jackfield_sdk::{
    Principal, PrincipalKind,
    http::{Method, StatusCode},
};
use jackfield_testing::{Reply, TestHost, person};
use serde_json::{Value, json};

use super::Settings;

/// Ann and Bob, who have no settings yet.
pub(super) async fn host() -> TestHost {
    let host = TestHost::new().plugin::<Settings>("").start().await;
    host.add_person(person("ann"));
    host.add_person(person("bob"));
    host
}

/// A call as Ann.
pub(super) async fn call(host: &TestHost, method: Method, path: &str, body: &Value) -> Reply {
    host.call(method, path)
        .as_user("ann")
        .from_address("203.0.113.9")
        .json(body)
        .await
}

pub(super) async fn post(host: &TestHost, path: &str, body: &Value) -> Reply {
    call(host, Method::POST, path, body).await
}

/// Ann changes her settings.
pub(super) async fn change(host: &TestHost, body: Value) -> String {
    let reply = post(host, "/api/settings", &body).await.expect(200);
    assert_eq!(reply.json::<Value>(), json!({ "message": "Settings stored" }));
    reply.header("etag").unwrap().to_owned()
}

/// Ann's settings.
pub(super) async fn settings(host: &TestHost) -> Value {
    host.get("/api/settings").as_user("ann").await.expect(200).json()
}

/// Somebody in an organisation that is not their own.
pub(super) fn member(person: &str, organization: &str) -> Principal {
    Principal {
        id: person.to_owned(),
        kind: PrincipalKind::User,
        scopes: vec!["*".to_owned()],
        user: Some(person.to_owned()),
        organization: Some(organization.to_owned()),
        session: None,
    }
}

/// What is sealed at the place that a query names.
pub(super) async fn sealed(host: &TestHost, query: &str) -> Option<String> {
    let plugin = host.of::<Settings>();
    let place: String = plugin.database().query_one(query).await.unwrap()?;
    let secret = plugin.vault().get("ann", &place).await.unwrap()?;
    Some(secret.expose().to_owned())
}

/// Number of places that may hold something.
pub(super) async fn places(host: &TestHost) -> i64 {
    let count = host
        .of::<Settings>()
        .database()
        .query_one("SELECT count(*) FROM place")
        .await;
    count.unwrap().unwrap()
}

#[tokio::test]
async fn only_people_are_served() {
    let host = host().await;
    let calls = [
        (Method::GET, "/api/settings"),
        (Method::POST, "/api/settings"),
        (Method::POST, "/api/reset-settings"),
        (Method::GET, "/api/secrets"),
        (Method::POST, "/api/secrets"),
        (Method::PUT, "/api/secrets/A"),
        (Method::DELETE, "/api/secrets/A"),
        (Method::POST, "/api/add-git-providers"),
        (Method::POST, "/api/unset-provider-tokens"),
    ];
    for (method, path) in calls {
        let anonymous = host.call(method.clone(), path).json(&json!({})).await;
        assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(anonymous.json::<Value>(), json!({ "error": "NoCredentialsError" }));
        let operator = host.call(method.clone(), path).as_operator().json(&json!({})).await;
        assert_eq!(operator.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }
}
