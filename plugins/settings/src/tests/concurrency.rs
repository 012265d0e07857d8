//! Two writers at once.

use futures_util::future::join_all;
use jackfield_testing::{Reply, TestHost};
use serde_json::{Value, json};

use super::{change, host, places, post, sealed, settings};

async fn on(host: &TestHost, tag: &str, body: Value) -> Reply {
    let call = host.post("/api/settings").as_user("ann").header("if-match", tag);
    call.json(&body).await
}

#[tokio::test]
async fn who_names_a_version_writes_on_no_other() {
    let host = host().await;
    let none = on(&host, "*", json!({ "language": "de" })).await.expect(412);
    assert_eq!(none.header("etag"), None);
    assert_eq!(change(&host, json!({ "language": "de" })).await, "\"1\"");
    let written = on(&host, "\"1\"", json!({ "agent": "a" })).await.expect(200);
    assert_eq!(written.header("etag"), Some("\"2\""));

    for stale in ["\"1\"", "W/\"2\"", "2", "\"x\", \"1\"", "\"\u{e4}\""] {
        let refused = on(&host, stale, json!({ "agent": "b", "llm_api_key": "k" }))
            .await
            .expect(412);
        assert_eq!(refused.header("etag"), Some("\"2\""), "{stale}");
        assert!(
            refused.json::<Value>()["error"]
                .as_str()
                .unwrap()
                .contains("read them again")
        );
    }
    assert_eq!(settings(&host).await["agent"], "a");
    assert_eq!(places(&host).await, 0, "a key was sealed for a write that was refused");
    on(&host, "\"9\", \"2\"", json!({ "agent": "c" })).await.expect(200);
    on(&host, "*", json!({ "agent": "d" })).await.expect(200);
    assert_eq!(settings(&host).await["agent"], "d");
}

#[tokio::test]
async fn of_many_on_one_version_one_writes() {
    let host = host().await;
    change(&host, json!({})).await;
    let host = &host;
    let all = (0..8).map(|at| {
        on(
            host,
            "\"1\"",
            json!({ "agent": format!("a{at}"), "llm_api_key": format!("key-{at}") }),
        )
    });
    let all = join_all(all).await;
    let written: Vec<usize> = (0..8).filter(|at| all[*at].status() == 200).collect();
    assert_eq!(written.len(), 1, "{all:?}");
    assert!(all.iter().all(|reply| matches!(reply.status().as_u16(), 200 | 412)));
    let at = written[0];
    assert_eq!(settings(host).await["agent"], format!("a{at}"));
    let key = sealed(host, "SELECT llm_api_key FROM settings").await;
    assert_eq!(key, Some(format!("key-{at}")));
    assert_eq!(places(host).await, 1);
}

#[tokio::test]
async fn of_those_who_name_none_each_field_is_the_last_writers() {
    let host = host().await;
    let fields = [
        "language",
        "agent",
        "security_analyzer",
        "git_user_name",
        "git_user_email",
    ];
    let sent: Vec<Value> = fields.iter().map(|field| json!({ *field: field })).collect();
    let all = join_all(sent.iter().map(|body| post(&host, "/api/settings", body))).await;
    assert!(all.iter().all(|reply| reply.status() == 200), "{all:?}");
    let reply = host.get("/api/settings").as_user("ann").await.expect(200);
    assert_eq!(reply.header("etag"), Some("\"5\""));
    let shown: Value = reply.json();
    for field in fields {
        assert_eq!(shown[field], field);
    }
}

#[tokio::test]
async fn of_many_that_make_one_secret_one_does() {
    let host = host().await;
    let sent: Vec<Value> = (0..8)
        .map(|at| json!({ "name": "A", "value": format!("v{at}") }))
        .collect();
    let all = join_all(sent.iter().map(|body| post(&host, "/api/secrets", body))).await;
    let made: Vec<usize> = (0..8).filter(|at| all[*at].status() == 201).collect();
    assert_eq!(made.len(), 1, "{all:?}");
    let value = sealed(&host, "SELECT value FROM custom_secret").await;
    assert_eq!(value, Some(format!("v{}", made[0])));
    assert_eq!(places(&host).await, 1);
}
