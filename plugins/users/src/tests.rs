//! The account's routes on the test kit.

mod email;

use jackfield_sdk::{
    http::{Method, StatusCode},
    identity::Session,
};
use jackfield_testing::{Setup, TestHost, person};
use serde_json::{Value, json};

use super::Users;

fn setup() -> Setup {
    TestHost::new().plugin::<Users>("")
}

#[tokio::test]
async fn who_is_signed_in_is_told_so() {
    let host = setup().start().await;
    let told = host.post("/api/authenticate").as_user("ann").await;
    assert_eq!(told.json::<Value>(), json!({ "message": "User authenticated" }));
    let anonymous = host.post("/api/authenticate").await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.json::<Value>(), json!({ "error": "NoCredentialsError" }));
}

#[tokio::test]
async fn logging_out_ends_the_session_that_asks() {
    let host = setup().start().await;
    for id in ["ann", "elsewhere"] {
        host.add_session("ann", session(id));
    }
    let told = host.post("/api/logout").as_user("ann").await;
    assert_eq!(told.json::<Value>(), json!({ "message": "User logged out" }));
    let left: Value = host.get("/api/v1/users/me/sessions").as_user("ann").await.json();
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["id"], "elsewhere");
    assert_eq!(host.audit()[0].action, "session.ended");
    // A key has no session, so that nothing ends.
    host.post("/api/logout").as_api_key("ann", &[]).await;
    let left: Value = host.get("/api/v1/users/me/sessions").as_user("ann").await.json();
    assert_eq!(left.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_session_that_asks_is_marked_and_those_of_others_cannot_be_ended() {
    let host = setup().start().await;
    host.add_session("ann", session("ann"));
    host.add_session("bob", session("his"));
    let hers: Value = host.get("/api/v1/users/me/sessions").as_user("ann").await.json();
    assert_eq!(hers[0]["current"], true);
    assert_eq!(hers[0]["created_at"], "1970-01-01T00:00:01Z");
    let end = |id: &'static str| host.call(Method::DELETE, id).as_user("ann");
    assert_eq!(
        end("/api/v1/users/me/sessions/his").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(end("/api/v1/users/me/sessions/ann").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn terms_are_accepted_and_nobody_is_sent_elsewhere() {
    let host = setup().start().await;
    let mut ann = person("ann");
    ann.terms_accepted_ms = None;
    host.add_person(ann);
    let accept = async |who: &str, url: Value| {
        let body = json!({ "redirect_url": url });
        host.post("/api/accept_tos")
            .as_user(who)
            .header("host", "app.example.com")
            .json(&body)
            .await
    };
    let told = accept("ann", json!("https://app.example.com/settings")).await;
    assert_eq!(
        told.json::<Value>(),
        json!({ "redirect_url": "https://app.example.com/settings" })
    );
    assert!(host.person("ann").unwrap().terms_accepted_ms.is_some());
    let told = accept("ann", json!("https://evil.example")).await;
    assert_eq!(told.json::<Value>(), json!({ "redirect_url": "/" }));
    let unknown = accept("nobody", Value::Null).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(unknown.json::<Value>(), json!({ "error": "User does not exist" }));
}

#[tokio::test]
async fn people_see_who_they_are() {
    let host = setup().start().await;
    host.add_person(person("ann"));
    let me: Value = host.get("/api/v1/users/me").as_user("ann").await.json();
    assert_eq!(me["email"], "ann@example.com");
    assert_eq!(me["organization"], "ann");
    let info: Value = host.get("/api/user/info").as_user("ann").await.json();
    let expected = json!({ "id": "ann", "login": "ann", "avatar_url": "", "company": null, "name": null, "email": "ann@example.com" });
    assert_eq!(info, expected);
}

#[tokio::test]
async fn the_client_is_told_what_the_settings_say() {
    let host = setup()
        .env("OH_WEB_CLIENT_PROVIDERS_CONFIGURED", r#"["github"]"#)
        .env("OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_JIRA", "true")
        .start()
        .await;
    let told: Value = host.get("/api/v1/web-client/config").await.json();
    let expected = json!({
        "app_mode": "saas", "posthog_client_key": null,
        "feature_flags": { "enable_billing": false, "hide_llm_settings": false, "enable_jira": true, "enable_jira_dc": false, "enable_linear": false },
        "providers_configured": ["github"], "maintenance_start_time": null, "auth_url": null, "recaptcha_site_key": null,
        "faulty_models": [], "error_message": null, "updated_at": "2026-01-01T00:00:00Z", "github_app_slug": null,
        "identity_provider": "local", "sign_in_links": true, "kind": "WebClientConfig",
    });
    assert_eq!(told, expected);
    let old: Value = host.get("/api/options/config").await.json();
    assert_eq!(old["APP_MODE"], "saas");
    assert_eq!(old["PROVIDERS_CONFIGURED"], json!(["github"]));
    assert!(old.get("AUTH_URL").is_none());
    host.refuse_mail(true);
    let told: Value = host.get("/api/v1/web-client/config").await.json();
    assert_eq!(told["sign_in_links"], false);
}

fn session(id: &str) -> Session {
    Session {
        id: id.to_owned(),
        created_ms: 1_000,
        seen_ms: 2_000,
        address: None,
        user_agent: None,
    }
}
