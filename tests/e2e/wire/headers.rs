//! CORS (§6), cache headers (§7) and rate limits (§10), where `edge.rs` does not look: on refusals, and with other settings.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{Ground, ME, Row, error, get, post, row};

fn preflight(of: &'static str, path: &str, origin: &str) -> Row {
    row(of, Method::OPTIONS, path)
        .with("origin", origin)
        .with("access-control-request-method", "PATCH")
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_answered_before_anybody_is_asked_who_they_are() {
    // Nothing is named but the public address: its origin is the only one.
    let Some(ground) = Ground::start("wire-cors", &[("WEB_HOST", "app.example")]).await else {
        return;
    };
    let (ours, others) = ("https://app.example", "https://evil.example");
    ground
        .holds([
            preflight("§6: the public address by default", "/api/keys", ours)
                .reads("OK")
                .has("content-type", "text/plain; charset=utf-8")
                .has("vary", "Origin")
                .has("access-control-allow-origin", ours)
                .has("access-control-allow-credentials", "true")
                .has(
                    "access-control-allow-methods",
                    "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
                )
                .has("access-control-max-age", "600")
                .lacks("access-control-allow-headers"),
            preflight("§6", "/api/keys", others)
                .gets(400)
                .reads("Disallowed CORS origin")
                .has("content-type", "text/plain; charset=utf-8")
                .lacks("access-control-allow-origin"),
            preflight(
                "§6: the host without its scheme is another",
                "/api/keys",
                "http://app.example",
            )
            .gets(400)
            .reads("Disallowed CORS origin"),
            get("§6 on a refusal: the page may read it (30.46)", "/api/keys")
                .with("origin", ours)
                .gets(401)
                .says(error("NoCredentialsError"))
                .has("access-control-allow-origin", ours)
                .has("access-control-allow-credentials", "true")
                .has("vary", "Origin")
                .lacks("access-control-expose-headers"),
            get("§6 on a refusal", "/api/keys")
                .with("origin", others)
                .gets(401)
                .has("access-control-allow-credentials", "true")
                .lacks("access-control-allow-origin"),
            get("§6", "/api/keys")
                .gets(401)
                .lacks("access-control-allow-credentials")
                .lacks("access-control-allow-origin"),
            get("§7: a missing asset is not kept (30.45)", "/assets/gone.js")
                .gets(404)
                .has("cache-control", "no-store"),
            get("§2: headers of ours (30.24)", ME)
                .gets(401)
                .has("x-content-type-options", "nosniff")
                .has("x-frame-options", "SAMEORIGIN")
                .has("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ])
        .await;
    let any = Ground::start("wire-cors-any", &[("PERMITTED_CORS_ORIGINS", "*")])
        .await
        .unwrap();
    any.holds([
        preflight("§6: `*` is every origin", "/nowhere", others).has("access-control-allow-origin", others),
        get("§6: `*` is every origin, by name", "/alive")
            .with("origin", others)
            .has("access-control-allow-origin", others)
            .has("vary", "Origin"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_do_not_act_with_the_cookie() {
    let Some(ground) = Ground::start("wire-sites", &[("PERMITTED_CORS_ORIGINS", "https://app.example")]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let key = ground.key("ann@example.com").await;
    let act = |of| post(of, "/api/authenticate");
    let refused = |row: Row| row.gets(403).tells("/error", json!("CrossSiteRequest"));
    let evil = "https://evil.example";
    ground
        .holds([
            act("§8: the origin is looked at, so Lax is enough (30.24)").cookie(&ann.cookie),
            refused(act("§8 (30.24)").cookie(&ann.cookie).with("origin", evil)),
            refused(
                act("§8 (30.24)")
                    .cookie(&ann.cookie)
                    .with("sec-fetch-site", "cross-site"),
            ),
            act("§8, §6").cookie(&ann.cookie).with("origin", "https://app.example"),
            act("§8").cookie(&ann.cookie).with("origin", ground.host.url("")),
            act("§8: a key is no browser's").bearer(&key).with("origin", evil),
            get("§8: reading is kept by CORS", ME)
                .cookie(&ann.cookie)
                .with("origin", evil),
        ])
        .await;
}

/// Asks so often at once that some are refused, whatever refills meanwhile, and looks at each refusal.
async fn refuses(ground: &Ground, row: Row, limit: &str, times: usize) {
    let row = row
        .gets(429)
        .says(error(&format!("Rate limit exceeded: {limit}")))
        .has("x-ratelimit-limit", limit)
        .has("x-ratelimit-remaining", "0");
    let base = ground.host.url("");
    let all = join_all((0..times).map(|_| row.request(&ground.client, &base).send())).await;
    let refused = all
        .into_iter()
        .map(Result::unwrap)
        .filter(|answer| answer.status() == 429);
    let mut count = 0;
    for answer in refused {
        count += 1;
        let headers = answer.headers().clone();
        let wrong = row.differences(429, &headers, &answer.text().await.unwrap());
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        let number = |name: &str| -> u64 { headers[name].to_str().unwrap().parse().unwrap() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let reset = number("x-ratelimit-reset");
        assert!((now - 10..=now + 61).contains(&reset), "{reset} at {now}");
        assert!((1..=60).contains(&number("retry-after")), "{headers:?}");
    }
    assert!(count > 0, "{row}: none of {times} was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_often_is_told_by_which_limit_and_keeps_the_cookie() {
    let Some(ground) = Ground::counting("wire-limits", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    ground
        .holds([
            get("§10.1: headers on success (30.59)", ME)
                .cookie(&ann.cookie)
                .has("ratelimit-limit", "10")
                .has("ratelimit-remaining", "9")
                .lacks("x-ratelimit-limit")
                .lacks("retry-after"),
            get(
                "§10.1: what is public is counted for nobody",
                "/api/v1/web-client/config",
            )
            .lacks("ratelimit-limit"),
        ])
        .await;
    // A rate limit is no lost session: 429, and the cookie stays (30.28).
    let authenticate = post("§10.1, §14", "/api/authenticate").cookie(&ann.cookie);
    refuses(&ground, authenticate, "10 per 1 second", 40).await;
    let nope = get("§10.1: what is not there counts", "/api/nope").cookie(&ann.cookie);
    refuses(&ground, nope, "10 per 1 second", 40).await;
    // Before somebody is known it is the address that counts (30.58).
    let codes = post("§17 (30.58)", "/oauth/device/authorize");
    refuses(&ground, codes, "30 per 1 minute", 40).await;
    let guess = get("§9 (30.58)", ME).bearer("sk-oh-guessed");
    refuses(&ground, guess, "60 per 1 minute", 80).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_limit_is_told_as_the_reference_words_it() {
    let many = [("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "1000")];
    let Some(ground) = Ground::counting("wire-minute", &many).await else {
        return;
    };
    let key = ground.key("ann@example.com").await;
    let me = get("§10.1", ME).bearer(&key);
    refuses(&ground, me, "100 per 1 minute", 130).await;
}
