//! The session's cookie (§8), session routes (§14), e-mail routes (§16) and `/api/user/info` (§19).

use reqwest::Method;
use serde_json::json;

use super::{Ground, ME, detail, error, get, mistake, post, row};
use crate::people::link;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_and_ends_with_these_cookies() {
    let Some(ground) = Ground::start("wire-session", &[]).await else {
        return;
    };
    let begins = link(&ground.host, Some("bea@example.com")).await;
    let (_, begins) = begins.split_once("/oauth").unwrap();
    let begins = format!("/oauth{begins}");
    // No `Domain`, so that no other host gets it; Lax, so that links lead in; nothing in it to read (30.11, 30.12).
    ground
        .holds([
            get("§8: opaque, Lax, without Domain (30.11)", &begins)
                .gets(303)
                .has("location", "/")
                .sets("keycloak_auth", "HttpOnly; Path=/; SameSite=lax"),
            get("§12: a link is good once", &begins)
                .gets(401)
                .tells("/error", json!("InvalidLink")),
        ])
        .await;
    let ann = ground.person("ann@example.com").await;
    let key = ground.key("ann@example.com").await;
    let welcome = || json!({ "message": "User authenticated" });
    ground
        .holds([
            post("§14", "/api/authenticate").cookie(&ann.cookie).says(welcome()),
            post(
                "§14: no token to refresh, so no new cookie (30.11)",
                "/api/authenticate",
            )
            .cookie(&ann.cookie)
            .says(welcome()),
            post("§14", "/api/authenticate").bearer(&key).says(welcome()),
            post("§14: a body does not matter", "/api/authenticate")
                .cookie(&ann.cookie)
                .json(&json!({}))
                .says(welcome()),
            post("§14: a key has no session, nothing ends (30.26)", "/api/logout")
                .bearer(&key)
                .says(json!({ "message": "User logged out" })),
            get("§14 (30.26)", ME).bearer(&key),
            post("§14", "/api/logout")
                .cookie(&ann.cookie)
                .says(json!({ "message": "User logged out" }))
                .clears(),
            post("§14, §5: it is over here too (30.11)", "/api/authenticate")
                .cookie(&ann.cookie)
                .gets(401)
                .says(error("Invalid authentication token"))
                .clears(),
            get("§14: keys outlive it", ME).bearer(&key),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_cookie_is_secure() {
    let Some(ground) = Ground::start("wire-secure", &[("JACKFIELD_PUBLIC_URL", "https://app.example")]).await else {
        return;
    };
    let begins = link(&ground.host, Some("ann@example.com")).await;
    let begins = begins
        .strip_prefix("https://app.example")
        .expect("links lead to the public address");
    ground
        .holds([get("§8", begins)
            .gets(303)
            .sets("keycloak_auth", "HttpOnly; Path=/; SameSite=lax; Secure")])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_browsers_guard_is_set_and_taken_away_as_they_demand() {
    let guarded = [
        ("JACKFIELD_PUBLIC_URL", "https://app.example"),
        ("JACKFIELD_IDENTITY__COOKIE", "__Host-session"),
    ];
    let Some(ground) = Ground::start("wire-guarded", &guarded).await else {
        return;
    };
    let begins = link(&ground.host, Some("ann@example.com")).await;
    let begins = begins
        .strip_prefix("https://app.example")
        .expect("links lead to the public address");
    let cleared =
        r#"__Host-session=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=lax; Secure"#;
    ground
        .holds([
            get("§8: the name is a setting", begins)
                .gets(303)
                .sets("__Host-session", "HttpOnly; Path=/; SameSite=lax; Secure"),
            get("§5", ME)
                .cookie("__Host-session=x")
                .gets(401)
                .says(error("Invalid authentication token"))
                .sets_exactly(cleared),
            get("§8: the other name is a cookie of others", ME)
                .cookie("keycloak_auth=x")
                .gets(401)
                .says(error("NoCredentialsError")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_accepted_for_a_page_of_ours() {
    let Some(ground) = Ground::start("wire-accept", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let accept = |of| post(of, "/api/accept_tos").cookie(&ann.cookie);
    let leads = |to: &str| json!({ "redirect_url": to });
    let page = ground.host.url("/conversations/1?login_method=github");
    ground
        .holds([
            accept("§14").json(&leads("/settings")).says(leads("/settings")),
            accept("§14: as the client sends it")
                .json(&leads(&page))
                .says(leads(&page)),
            accept("§14").json(&json!({})).says(leads("/")),
            accept("§14: no page of others (30.13)")
                .json(&leads("//evil.example"))
                .says(leads("/")),
            accept("§14: 422, which the reference has as 500 (30.42)")
                .body("application/json", "{")
                .gets(422)
                .says(detail("<text>")),
            accept("§14: an object, or nothing")
                .json(&json!(["/x"]))
                .gets(422)
                .says(detail("<text>")),
            accept("§14: an object, or nothing").says(leads("/")),
            post("§14", "/api/accept_tos")
                .json(&json!({}))
                .gets(401)
                .says(error("NoCredentialsError")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_without_mail() {
    let Some(ground) = Ground::start("wire-address", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let key = ground.key("ann@example.com").await;
    let change = |of| post(of, "/api/email").cookie(&ann.cookie);
    let at = json!(["body", "email"]);
    let invalid = json!({ "detail": [{
        "type": "value_error", "loc": at, "msg": "Value error, Invalid email format", "input": "ann", "ctx": { "error": {} },
    }] });
    let address = json!({ "email": "ann@new.example" });
    let resend = |of| row(of, Method::PUT, "/api/email/resend");
    let unavailable = |row: super::Row| row.gets(503).tells("/error", json!("MailUnavailable"));
    ground
        .holds([
            change("§16").json(&json!({ "email": "ann" })).gets(422).says(invalid),
            change("§16").json(&json!({})).gets(422).says(mistake("missing", &at)),
            change("§16")
                .json(&json!({ "email": 1 }))
                .gets(422)
                .says(mistake("string_type", &at)),
            change("§16")
                .body("application/json", "{")
                .gets(422)
                .says(mistake("json_invalid", &json!(["body", 0]))),
            unavailable(change("§16: nobody could confirm it").json(&address)),
            post("§16: a key takes no account over (30.8)", "/api/email")
                .bearer(&key)
                .json(&address)
                .gets(403)
                .tells("/error", json!("SessionRequired")),
            post("§16", "/api/email")
                .json(&address)
                .gets(401)
                .says(error("NoCredentialsError")),
            resend("§16").gets(400).says(detail(
                "user_id is required in request body or user must be authenticated",
            )),
            resend("§16")
                .body("application/json", "[]")
                .gets(422)
                .says(detail("<text>")),
            unavailable(resend("§16: not 500").json(&json!({ "user_id": "nobody" }))),
            get("§16: to the page, not to JSON (30.68)", "/api/email/verified")
                .gets(302)
                .has("location", "/login?error=invalid_verification_link"),
            get("§16", "/api/email/verified")
                .cookie(&ann.cookie)
                .gets(302)
                .has("location", "/settings/user"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_to_no_git_provider_is_told_what_the_host_knows() {
    let Some(ground) = Ground::start("wire-info", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let info = json!({
        "id": "<text>", "login": "ann@example.com", "avatar_url": "", "company": null, "name": null, "email": "ann@example.com",
    });
    ground
        .holds([
            get("§19: the empty value", "/api/user/info")
                .cookie(&ann.cookie)
                .says(info),
            get("§19", "/api/user/info").gets(401).says(error("NoCredentialsError")),
        ])
        .await;
}
