#![allow(clippy::unwrap_used, clippy::expect_used)]

use jackfield_sdk::error::Fate;
use jackfield_testing::TestHost;
use serde_json::{Value, json};

use super::*;
use crate::{
    GitHub,
    app::signing_key,
    sample::{answer, asked, config, issue_comment, pkcs8_pem},
    trigger::{Decision, Rule},
};

const MINT: &str = "POST /api/v3/app/installations/7/access_tokens";
const REPO: &str = "/api/v3/repos/acme/rocket";

/// A GitHub Enterprise Server, so that every path carries its prefix.
async fn server() -> TestHost {
    let mut config = config();
    config["api_url"] = json!("https://ghe.example/api/v3");
    TestHost::new().plugin::<GitHub>(config).start().await
}

fn api(host: &TestHost) -> Api {
    host.on(
        MINT,
        answer(
            201,
            &json!({ "token": "ghs_one", "expires_at": "2026-01-01T01:00:00Z" }),
        ),
    );
    let rest = Rest::new(&host.of::<GitHub>(), "https://ghe.example/api/v3".parse().unwrap());
    let app = App::new(
        rest.clone(),
        "Iv1.test",
        signing_key(&Secret::new(pkcs8_pem())).unwrap(),
    );
    Api::new(rest, app)
}

fn request(payload: &Value) -> Request {
    match Rule::new("openhands", "app").decide(&serde_json::from_value(payload.clone()).unwrap()) {
        Decision::Start(request) => request,
        Decision::Nothing(why) => panic!("{why}"),
    }
}

fn on_issue() -> Value {
    issue_comment("@openhands")
}

fn on_pull() -> Value {
    let mut payload = on_issue();
    payload["issue"]["pull_request"] = json!({});
    payload
}

fn on_line(in_reply_to: Option<u64>) -> Value {
    let mut payload = on_issue();
    payload["pull_request"] = json!({ "number": 3, "title": "t", "head": { "ref": "seal" } });
    payload["comment"]["path"] = json!("a.rs");
    payload["comment"]["in_reply_to_id"] = json!(in_reply_to);
    payload
}

fn comments(ids: impl IntoIterator<Item = u64>) -> Value {
    ids.into_iter()
        .map(|id| json!({ "id": id, "body": format!("c{id}"), "user": { "login": "ann" } }))
        .collect()
}

#[tokio::test]
async fn only_writers_may() {
    for (permission, may) in [
        ("admin", true),
        ("maintain", true),
        ("write", true),
        ("triage", false),
        ("read", false),
        ("none", false),
    ] {
        let host = server().await;
        let body = json!({ "permission": permission, "role_name": "custom" });
        host.on(
            &format!("GET {REPO}/collaborators/octocat/permission"),
            answer(200, &body),
        );
        let access = api(&host).permission(&request(&on_issue())).await.unwrap();
        assert_eq!(access.may_write(), may, "{permission}");
    }
    let host = server().await;
    host.on(
        &format!("GET {REPO}/collaborators/octocat/permission"),
        answer(404, &json!({ "message": "Not Found" })),
    );
    assert!(!api(&host).permission(&request(&on_issue())).await.unwrap().may_write());
}

#[tokio::test]
async fn a_missing_permission_of_the_app_is_permanent() {
    let host = server().await;
    let body = json!({ "message": "Resource not accessible by integration" });
    host.on(
        &format!("GET {REPO}/collaborators/octocat/permission"),
        answer(403, &body),
    );
    let error = api(&host).permission(&request(&on_issue())).await.unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let host = server().await;
    let call = format!("GET {REPO}/collaborators/octocat/permission");
    host.on(&call, answer(401, &json!({ "message": "Bad credentials" })));
    host.on(&call, answer(200, &json!({ "permission": "write" })));
    let api = api(&host);
    host.on(
        MINT,
        answer(
            201,
            &json!({ "token": "ghs_two", "expires_at": "2026-01-01T01:00:00Z" }),
        ),
    );
    assert!(api.permission(&request(&on_issue())).await.unwrap().may_write());
    let sent = host.script().take_asked();
    assert_eq!(sent.len(), 4, "two tokens, two calls");
    assert_eq!(sent[1].header("authorization"), Some("Bearer ghs_one"));
    assert_eq!(sent[3].header("authorization"), Some("Bearer ghs_two"));
}

#[tokio::test]
async fn reactions_go_where_it_was_asked() {
    let mut label = on_issue();
    label["action"] = json!("labeled");
    label["label"] = json!({ "name": "openhands" });
    for (payload, path) in [
        (label, "issues/3/reactions"),
        (on_issue(), "issues/comments/55/reactions"),
        (on_pull(), "issues/comments/55/reactions"),
        (on_line(None), "pulls/comments/55/reactions"),
    ] {
        assert_eq!(
            reactions(&request(&payload)).join("/"),
            format!("repos/acme/rocket/{path}")
        );
    }
}

#[tokio::test]
async fn a_conversation_is_read_from_its_end() {
    let host = server().await;
    let mut payload = on_pull();
    payload["issue"]["comments"] = json!(201);
    payload["comment"]["id"] = json!(1_000);
    host.on(
        &format!("GET {REPO}/pulls/3"),
        answer(200, &json!({ "head": { "ref": "seal" }, "state": "open" })),
    );
    host.on(
        &format!("GET {REPO}/issues/3/comments?per_page=100&page=3"),
        answer(200, &comments([1_000])),
    );
    host.on(
        &format!("GET {REPO}/issues/3/comments?per_page=100&page=2"),
        answer(200, &comments(100..200)),
    );
    let context = api(&host).context(&request(&payload)).await.unwrap();
    assert_eq!(context.branch.as_deref(), Some("seal"));
    let told = serde_json::to_value(&context.comments).unwrap();
    assert_eq!(
        (told.as_array().unwrap().len(), &told[0]["body"], &told[9]["body"]),
        (10, &json!("c190"), &json!("c199"))
    );
}

#[tokio::test]
async fn a_short_conversation_costs_one_request() {
    let host = server().await;
    host.on(
        &format!("GET {REPO}/issues/3/comments?per_page=100&page=1"),
        answer(200, &comments([54, 55, 56])),
    );
    let context = api(&host).context(&request(&on_issue())).await.unwrap();
    assert_eq!((context.branch, context.comments.len()), (None, 1));
    assert_eq!(asked(&host).len(), 2, "the token and the comments");
}

#[tokio::test]
async fn a_thread_is_found_among_the_pull_requests_comments() {
    let host = server().await;
    let page = |n: u64| format!("GET {REPO}/pulls/3/comments?per_page=100&page={n}&sort=created&direction=desc");
    let newest: Value = (100..200)
        .rev()
        .map(|id| json!({ "id": id, "body": "other" }))
        .collect();
    let oldest = json!([
        { "id": 54, "body": "reply", "in_reply_to_id": 50 },
        { "id": 52, "body": "other", "in_reply_to_id": 51 },
        { "id": 50, "body": "first" },
        { "id": 9, "body": "older" },
    ]);
    host.on(&page(1), answer(200, &newest));
    host.on(&page(2), answer(200, &oldest));
    let context = api(&host).context(&request(&on_line(Some(50)))).await.unwrap();
    let told = serde_json::to_value(&context.comments).unwrap();
    assert_eq!(
        (&told[0]["body"], &told[1]["body"], told.as_array().unwrap().len()),
        (&json!("first"), &json!("reply"), 2)
    );
    assert_eq!(context.branch.as_deref(), Some("seal"));
}

#[tokio::test]
async fn a_new_thread_has_nothing_before_it() {
    let host = server().await;
    let context = api(&host).context(&request(&on_line(None))).await.unwrap();
    assert!(context.comments.is_empty());
    assert!(asked(&host).is_empty());
}
