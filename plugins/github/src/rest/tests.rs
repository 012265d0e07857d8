#![allow(clippy::unwrap_used, clippy::expect_used)]

use jackfield_sdk::error::Fate;
use jackfield_testing::{Answer, TestHost};
use serde_json::json;

use super::*;
use crate::{
    GitHub,
    sample::{NOW, answer, config},
};

async fn host() -> TestHost {
    TestHost::new().plugin::<GitHub>(config()).start().await
}

fn rest(host: &TestHost, base: &str) -> Rest {
    Rest::new(&host.of::<GitHub>(), base.parse().unwrap())
}

async fn get(given: Answer) -> Result<HttpResponse> {
    let host = host().await;
    host.on("GET /x", given);
    let rest = rest(&host, "https://api.github.com");
    rest.send(rest.get(&["x"], &[])).await
}

fn wait(result: Result<HttpResponse>) -> u64 {
    match result.unwrap_err().fate() {
        Fate::Retry { after_ms } => after_ms / 1000,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn addresses_keep_the_path_of_the_base_and_encode_segments() {
    let host = host().await;
    for (base, expected) in [
        ("https://api.github.com", "https://api.github.com/repos/a/b%20c"),
        ("https://api.github.com/", "https://api.github.com/repos/a/b%20c"),
        ("https://ghe.example/api/v3", "https://ghe.example/api/v3/repos/a/b%20c"),
        (
            "https://ghe.example:8443/api/v3/",
            "https://ghe.example:8443/api/v3/repos/a/b%20c",
        ),
    ] {
        assert_eq!(rest(&host, base).url(&["repos", "a", "b c"]).as_str(), expected);
    }
    let odd = rest(&host, "https://api.github.com").url(&["repos", "a/../../b?c#d", ".."]);
    assert_eq!(odd.as_str(), "https://api.github.com/repos/a%2F..%2F..%2Fb%3Fc%23d");
}

#[tokio::test]
async fn requests_carry_what_github_asks_for() {
    let host = host().await;
    host.on("GET /x?page=2", answer(200, &json!({})));
    let rest = rest(&host, "https://api.github.com");
    rest.send(rest.get(&["x"], &[("page", "2")])).await.unwrap();
    let sent = host.asked().remove(0);
    assert_eq!(sent.header("accept").unwrap(), "application/vnd.github+json");
    assert_eq!(sent.header("x-github-api-version").unwrap(), "2022-11-28");
    assert!(
        sent.header("user-agent")
            .unwrap()
            .starts_with("jackfield-plugin-github/")
    );
}

#[tokio::test]
async fn limits_say_when_to_come_back() {
    let reset = (NOW + 90).to_string();
    let primary = |status| {
        answer(status, &json!({ "message": "API rate limit exceeded" }))
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &reset)
    };
    assert_eq!(wait(get(primary(403)).await), 90);
    assert_eq!(wait(get(primary(429)).await), 90);
    assert_eq!(
        wait(get(primary(403).header("retry-after", "7")).await),
        7,
        "Retry-After wins"
    );
    let over = answer(403, &json!({}))
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", "5");
    assert_eq!(wait(get(over).await), 1, "a reset in the past");
    let secondary = json!({ "message": "You have exceeded a secondary rate limit. Please wait." });
    assert_eq!(wait(get(answer(403, &secondary)).await), 60);
    let abuse = json!({ "message": "You have triggered an abuse detection mechanism." });
    assert_eq!(wait(get(answer(403, &abuse)).await), 60);
    assert_eq!(wait(get(answer(429, &json!({}))).await), 60);
}

#[tokio::test]
async fn failing_servers_and_lost_connections_are_transient() {
    let failing = [500, 502, 503, 408].map(|status| answer(status, &json!({})));
    for given in failing
        .into_iter()
        .chain([Answer::unreachable(), Answer::status(200).lost()])
    {
        let error = get(given.clone()).await.unwrap_err();
        assert_eq!(error.fate(), Fate::Transient, "{given:?}: {error}");
    }
    assert_eq!(wait(get(answer(503, &json!({})).header("retry-after", "3")).await), 3);
}

#[tokio::test]
async fn what_the_host_refuses_is_permanent() {
    let host = host().await;
    let rest = rest(&host, "https://api.github.com");
    let error = rest.send(rest.get(&["not", "scripted"], &[])).await.unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
}

#[tokio::test]
async fn refusals_are_permanent_and_give_githubs_reason() {
    for status in [301, 400, 401, 403, 404, 410, 422] {
        let answered = get(answer(
            status,
            &json!({ "message": "Resource not accessible by integration" }),
        ))
        .await;
        let error = accepted(answered.unwrap()).unwrap_err();
        assert_eq!(error.fate(), Fate::Permanent, "{status}");
        assert!(error.to_string().contains("Resource not accessible"), "{error}");
    }
    let ample = answer(403, &json!({ "message": "no" })).header("x-ratelimit-remaining", "12");
    assert!(
        accepted(get(ample).await.unwrap()).is_err(),
        "a refusal with quota left is no limit"
    );
    assert!(accepted(get(answer(202, &json!({}))).await.unwrap()).is_ok());
}

#[test]
fn the_next_page_is_read_from_the_link_header() {
    let next = |link: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("link", link.parse().unwrap());
        next_cursor(&headers)
    };
    let link = "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_a%2Bb>; rel=\"next\"";
    assert_eq!(next(link).as_deref(), Some("v1_a+b"));
    assert_eq!(
        next(&format!("<https://x.example/?cursor=p>; rel=\"prev\", {link}")).as_deref(),
        Some("v1_a+b")
    );
    assert_eq!(next("<https://x.example/?cursor=p>; rel=\"prev\""), None);
    assert_eq!(next("rel=\"next\""), None);
    assert_eq!(next_cursor(&HeaderMap::new()), None);
}
