//! Who passes: path gates (§3), error bodies (§5), credentials and their precedence (§9).

use reqwest::Method;
use serde_json::json;

use super::{Ground, ME, detail, error, get, post, row};

/// Paths that ask who calls, whether they are there or not.
#[tokio::test(flavor = "multi_thread")]
async fn gated_paths_tell_the_anonymous_nothing() {
    let Some(ground) = Ground::start("wire-gates", &[]).await else {
        return;
    };
    let nobody = || error("NoCredentialsError");
    ground
        .holds([
            get("§3 a, §5", "/api/keys").gets(401).says(nobody()),
            post("§3 a", "/api/authenticate").gets(401).says(nobody()),
            get("§3 4", "/api").gets(401).says(nobody()),
            get("§3 4: a plain prefix", "/apifoo").gets(401).says(nobody()),
            get("§3 4: a plain prefix", "/mcpfoo").gets(401).says(nobody()),
            post("§3 4", "/mcp/mcp").gets(401).says(nobody()),
            row("§3 4", Method::DELETE, "/api/nope").gets(401).says(nobody()),
            get("§1.1: a slash makes another path", "/api/keys/")
                .gets(401)
                .says(nobody()),
            // Before the method is looked at.
            get("§3 a, §5", "/api/authenticate").gets(401).says(nobody()),
            row("§3 a, §5", Method::PUT, "/api/keys").gets(401).says(nobody()),
            post("§3 a, §5", "/api/keys/1").gets(401).says(nobody()),
            // Presence of a credential is not one (30.7).
            get("§3 d: a key is looked at (30.7)", "/api/options/models")
                .bearer("x")
                .gets(401)
                .says(nobody()),
            get("§5: an unknown key", ME)
                .bearer("sk-oh-00000000000000000000000000000000")
                .gets(401)
                .says(nobody()),
            get("§3 a: case and space", ME)
                .with("authorization", "bearer x")
                .gets(401)
                .says(nobody()),
            get("§3 a", ME)
                .with("authorization", "Basic eDp4")
                .gets(401)
                .says(nobody()),
            get("§3 a: a cookie of others", ME)
                .cookie("session=1; theme=dark")
                .gets(401)
                .says(nobody()),
            // What is open.
            get("§3 2", "/api/options/config"),
            get("§3 2", "/api/v1/web-client/config"),
            row("§3 2", Method::PUT, "/api/email/resend").gets(400),
            post("§3 2, §1.1", "/api/options/config")
                .gets(405)
                .says(detail("Method Not Allowed"))
                .has("allow", "GET, HEAD"),
            row("§3 1: OPTIONS is not gated, §1.1", Method::OPTIONS, "/api/keys")
                .gets(405)
                .says(detail("Method Not Allowed")),
            post("§3 5, §1.1", "/alive")
                .gets(405)
                .says(detail("Method Not Allowed")),
            get("§3 5", "/saas").says(json!({ "saas": true })),
            post("§3 5, §5", "/oauth/device/verify-authenticated")
                .form("user_code", "ABCDEFGH")
                .gets(401)
                .says(nobody()),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_signed_in_is_told_what_is_not_there() {
    let Some(ground) = Ground::start("wire-missing", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let key = ground.key("ann@example.com").await;
    let not_found = || detail("Not Found");
    let other_method = || detail("Method Not Allowed");
    ground
        .holds([
            get("§1.1: no page instead (30.44)", "/api/nope")
                .cookie(&ann.cookie)
                .gets(404)
                .says(not_found()),
            get("§1.1: no page instead (30.44)", "/api/keys/")
                .cookie(&ann.cookie)
                .gets(404)
                .says(not_found()),
            get("§1.1: no page instead (30.44)", "/mcpfoo")
                .bearer(&key)
                .gets(404)
                .says(not_found()),
            post("§1.1: what is not there is 404 (30.44)", "/api/nope")
                .cookie(&ann.cookie)
                .gets(404)
                .says(not_found()),
            get("§1.1: no page instead (30.44)", "/api/authenticate")
                .cookie(&ann.cookie)
                .gets(405)
                .says(other_method())
                .has("allow", "POST"),
            row("§1.1", Method::PATCH, "/api/keys")
                .bearer(&key)
                .gets(405)
                .says(other_method())
                .has("allow", "GET, HEAD, POST"),
            row("§1.1: HEAD is that of the route", Method::HEAD, "/api/keys")
                .bearer(&key)
                .has("content-type", "application/json")
                .reads(""),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_opens_nothing_is_taken_away_where_it_is_asked_for() {
    let Some(ground) = Ground::start("wire-cookie", &[]).await else {
        return;
    };
    let bad = || error("Invalid authentication token");
    let key = ground.key("ann@example.com").await;
    let cookie = "keycloak_auth=eyJhbGciOiJIUzI1NiJ9.e30.x";
    ground
        .holds([
            get("§3 b, §5", "/api/keys")
                .cookie(cookie)
                .gets(401)
                .says(bad())
                .clears(),
            get("§3 b, §5", "/api/nope")
                .cookie(cookie)
                .gets(401)
                .says(bad())
                .clears(),
            row("§3 b, §5", Method::PUT, "/api/keys")
                .cookie(cookie)
                .gets(401)
                .says(bad())
                .clears(),
            post("§14: gate errors come first", "/api/logout")
                .cookie(cookie)
                .gets(401)
                .says(bad())
                .clears(),
            get("§3 b", ME)
                .bearer("x")
                .cookie(cookie)
                .gets(401)
                .says(bad())
                .clears(),
            get("§3 2: not asked for", "/api/v1/web-client/config").cookie(cookie),
            get("§3 5: not asked for", "/").cookie(cookie),
            get("§9.1 1: a key that opens is enough, whatever stands beside it", ME)
                .bearer(&key)
                .cookie(cookie),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_credential_that_opens_says_who_calls() {
    let Some(ground) = Ground::start("wire-order", &[]).await else {
        return;
    };
    let (ann, bob) = (
        ground.person("ann@example.com").await,
        ground.key("bob@example.com").await,
    );
    let carol = ground.key("carol@example.com").await;
    let is = |row: super::Row, name: &str| row.tells("/email", json!(format!("{name}@example.com")));
    ground
        .holds([
            is(get("§9.1 2", ME).cookie(&ann.cookie), "ann"),
            is(get("§9.1 1", ME).bearer(&bob), "bob"),
            is(get("§9.1 1", ME).with("x-session-api-key", &bob), "bob"),
            is(
                get("§9.1 1: a key is one wherever it stands, so not §3 a", ME).with("x-access-token", &bob),
                "bob",
            ),
            is(get("§9.1 1 before 2", ME).bearer(&bob).cookie(&ann.cookie), "bob"),
            is(
                get("§9.1 1: the order of headers", ME)
                    .bearer(&bob)
                    .with("x-session-api-key", &carol),
                "bob",
            ),
            is(
                get("§9.1 1", ME)
                    .with("x-session-api-key", &carol)
                    .with("x-access-token", &bob),
                "carol",
            ),
            is(
                get("§9.1 1: another scheme is passed over", ME)
                    .with("authorization", "Basic eDp4")
                    .with("x-session-api-key", &bob),
                "bob",
            ),
            is(
                get("§9.1 1b: falls to the cookie", ME).bearer("x").cookie(&ann.cookie),
                "ann",
            ),
            is(
                get("§9.1 1b: and to the next header, which the reference skips", ME)
                    .bearer("x")
                    .with("x-session-api-key", &bob),
                "bob",
            ),
            is(
                get("§8: among other cookies", ME).cookie(&format!("a=1; {}; b=2", ann.cookie)),
                "ann",
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_stand_before_everything_but_what_ends_them() {
    let Some(ground) = Ground::start("wire-terms", &[("JACKFIELD_IDENTITY__TERMS", "true")]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let key = ground.key("ann@example.com").await;
    let terms = || error("TosNotAcceptedError");
    ground
        .holds([
            get("§3 c, §5: the session stays (30.29)", "/api/keys")
                .cookie(&ann.cookie)
                .gets(401)
                .says(terms()),
            get("§3 c, §5: the session stays (30.29)", "/api/nope")
                .cookie(&ann.cookie)
                .gets(401)
                .says(terms()),
            post("§3 c, §5: the session stays (30.29)", "/api/authenticate")
                .cookie(&ann.cookie)
                .gets(401)
                .says(terms()),
            get("§3 d: keys stand before it too (30.6)", "/api/keys")
                .bearer(&key)
                .gets(401)
                .says(terms()),
            post("§17: devices too (30.6)", "/oauth/device/verify-authenticated")
                .cookie(&ann.cookie)
                .form("user_code", "ABCDEFGH")
                .gets(401)
                .says(terms()),
            get("§3 2", "/api/v1/web-client/config").cookie(&ann.cookie),
            get("§3 5", "/").cookie(&ann.cookie),
            get(
                "§16: a link of a mail is good for whoever has it",
                "/api/email/verified",
            )
            .cookie(&ann.cookie)
            .gets(302),
            post(
                "§14: no page of others (30.13), and no new cookie: the row has it (30.11)",
                "/api/accept_tos",
            )
            .cookie(&ann.cookie)
            .json(&json!({ "redirect_url": "https://evil.example/" }))
            .says(json!({ "redirect_url": "/" })),
            post("§14", "/api/authenticate")
                .cookie(&ann.cookie)
                .says(json!({ "message": "User authenticated" })),
            get("§14", "/api/keys").bearer(&key).says(json!(["<any>"])),
        ])
        .await;
    let bob = ground.person("bob@example.com").await;
    ground
        .holds([post(
            "§14: always; the reference forgets that terms stand before it",
            "/api/logout",
        )
        .cookie(&bob.cookie)
        .says(json!({ "message": "User logged out" }))
        .clears()])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_confirmed_stands_before_the_handler() {
    // Nobody takes the mail: it is not asked for.
    let mail = [
        ("JACKFIELD_SMTP_URL", "smtp://127.0.0.1:1"),
        ("JACKFIELD_MAIL_FROM", "no-reply@acme.example"),
    ];
    let Some(ground) = Ground::start("wire-email", &mail).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let key = ground.key("ann@example.com").await;
    let unverified = || error("EmailNotVerifiedError");
    ground
        .holds([
            post(
                "§16: no new cookie, the session has no address in it (30.11)",
                "/api/email",
            )
            .cookie(&ann.cookie)
            .json(&json!({ "email": "ann@new.example" }))
            .says(json!({ "message": "Email changed" })),
            get("§4 7, §5", "/api/keys")
                .cookie(&ann.cookie)
                .gets(403)
                .says(unverified()),
            get("§4 7: whatever would be said", "/api/nope")
                .cookie(&ann.cookie)
                .gets(403)
                .says(unverified()),
            get("§4 7: keys too (30.6)", "/api/keys")
                .bearer(&key)
                .gets(403)
                .says(unverified()),
            post("§4 7: before the handler (30.6)", "/api/keys")
                .cookie(&ann.cookie)
                .json(&json!({ "name": "made all the same" }))
                .gets(403)
                .says(unverified()),
            get("§4 7", "/api/settings")
                .cookie(&ann.cookie)
                .gets(404)
                .says(error("Settings not found")),
            post("§4 7", "/api/authenticate")
                .cookie(&ann.cookie)
                .says(json!({ "message": "User authenticated" })),
            row("§4 7, §10.2", Method::PUT, "/api/email/resend")
                .cookie(&ann.cookie)
                .gets(429)
                .says(detail("Too many requests. Please wait 30 seconds before trying again."))
                .has("retry-after", "30"),
            get("§16", "/api/email/verified")
                .cookie(&ann.cookie)
                .gets(302)
                .has("location", "/settings/user"),
            post("§4 7", "/api/logout").cookie(&ann.cookie).clears(),
        ])
        .await;
}
