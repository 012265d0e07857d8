#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::KeyPair as _;
use jackfield_sdk::error::Fate;
use jackfield_testing::{Answer, TestHost};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use super::*;
use crate::{
    GitHub,
    sample::{KEY, NOW, answer, asked, config, pkcs1_pem, pkcs8_pem},
};

const MINT: &str = "POST /app/installations/7/access_tokens";

async fn host() -> TestHost {
    TestHost::new().plugin::<GitHub>(config()).start().await
}

fn app(host: &TestHost) -> App {
    let rest = Rest::new(&host.of::<GitHub>(), "https://api.github.com".parse().unwrap());
    App::new(rest, "Iv1.test", signing_key(&Secret::new(pkcs8_pem())).unwrap())
}

/// The claims of a statement whose signature fits the public key.
fn claims(statement: &str) -> Value {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_rsa_der(KEY.public_key().as_ref());
    jsonwebtoken::decode::<Value>(statement, &key, &validation)
        .unwrap()
        .claims
}

fn token(name: &str, ends: &str) -> Answer {
    answer(
        201,
        &json!({ "token": name, "expires_at": ends, "permissions": { "issues": "write" } }),
    )
}

#[tokio::test]
async fn statements_are_signed_and_name_issuer_and_times() {
    let statement = app(&host().await).statement().unwrap();
    let expected = json!({ "iat": NOW - 60, "exp": NOW + 300, "iss": "Iv1.test" });
    assert_eq!(claims(statement.expose()), expected);
}

#[test]
fn keys_come_in_four_forms() {
    for pem in [
        pkcs8_pem(),
        pkcs1_pem(),
        pkcs8_pem().replace('\n', "\\n"),
        format!("  {}", pkcs1_pem().replace('\n', "\\n")),
    ] {
        signing_key(&Secret::new(pem)).unwrap();
    }
}

#[test]
fn a_key_that_does_not_parse_is_refused_without_its_text() {
    let cut = pkcs8_pem().replacen("MII", "MIX", 1);
    let hollow = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----";
    for pem in ["", "topsecret", hollow, cut.as_str()] {
        let Err(error) = signing_key(&Secret::new(pem)) else {
            panic!("{pem:?} was taken")
        };
        let text = format!("{error} {error:?}");
        assert!(text.contains("GITHUB_APP_PRIVATE_KEY"), "{text}");
        assert!(!text.contains("secret") && !text.contains("MIX"), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_kept_until_five_minutes_before_its_end() {
    let host = host().await;
    host.on(MINT, token("one", "2026-01-01T01:00:00Z"));
    host.on(MINT, token("two", "2026-01-01T02:00:00Z"));
    let app = app(&host);
    assert_eq!(app.token(7).await.unwrap().expose(), "one");
    host.advance(Duration::from_secs(55 * 60 - 1));
    assert_eq!(app.token(7).await.unwrap().expose(), "one");
    assert_eq!(host.script().take_asked().len(), 1);
    host.advance(Duration::from_secs(1));
    assert_eq!(app.token(7).await.unwrap().expose(), "two");
    let sent = host.script().take_asked().remove(0);
    let bearer = sent.header("authorization").unwrap();
    assert_eq!(
        claims(bearer.strip_prefix("Bearer ").unwrap())["iat"],
        json!(NOW + 55 * 60 - 60)
    );
}

#[tokio::test]
async fn many_at_once_fetch_one_token() {
    let host = host().await;
    host.on(MINT, token("one", "2026-01-01T01:00:00Z"));
    host.on(
        "POST /app/installations/8/access_tokens",
        token("eight", "2026-01-01T01:00:00Z"),
    );
    let app = Arc::new(app(&host));
    let all: Vec<_> = (0..20)
        .map(|n| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.token(7 + n % 2).await.unwrap() })
        })
        .collect();
    for task in all {
        task.await.unwrap();
    }
    assert_eq!(host.script().take_asked().len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_forgotten_unless_a_newer_one_is_there() {
    let host = host().await;
    host.on(MINT, token("one", "2026-01-01T01:00:00Z"));
    host.on(MINT, token("two", "2026-01-01T01:00:00Z"));
    let app = app(&host);
    let one = app.token(7).await.unwrap();
    app.forget(7, &one).await;
    assert_eq!(app.token(7).await.unwrap().expose(), "two");
    app.forget(7, &one).await;
    assert_eq!(app.token(7).await.unwrap().expose(), "two");
    assert_eq!(host.script().take_asked().len(), 2);
}

#[tokio::test]
async fn failures_are_not_kept() {
    let host = host().await;
    host.on(MINT, answer(502, &json!({})));
    host.on(MINT, token("one", "2026-01-01T01:00:00Z"));
    let app = app(&host);
    assert_eq!(app.token(7).await.unwrap_err().fate(), Fate::Transient);
    assert_eq!(app.token(7).await.unwrap().expose(), "one");
}

#[tokio::test]
async fn an_installation_that_is_gone_is_permanent() {
    let host = host().await;
    host.on(MINT, answer(404, &json!({ "message": "Not Found" })));
    let error = app(&host).token(7).await.unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
    assert!(error.to_string().contains("no longer installed"), "{error}");
}

#[tokio::test]
async fn the_slug_is_asked_for_once() {
    let host = host().await;
    host.on("GET /app", answer(200, &json!({ "slug": "rocket-agent" })));
    let app = app(&host);
    assert_eq!(app.slug().await.unwrap(), "rocket-agent");
    assert_eq!(app.slug().await.unwrap(), "rocket-agent");
    assert_eq!(asked(&host), ["GET /app"]);
}

#[tokio::test]
async fn tokens_that_ended_are_let_go() {
    let host = host().await;
    let app = app(&host);
    for installation in 0..5_000 {
        let cell = app.cell(installation);
        let ends = if installation < 10 { NOW + 600 } else { NOW - 1 };
        *cell.try_lock().unwrap() = Some(Token {
            secret: Secret::default(),
            ends,
        });
    }
    let tokens = app.tokens.lock().unwrap();
    assert!(tokens.len() <= KEPT, "{}", tokens.len());
    assert!((0..10).all(|installation| tokens.contains_key(&installation)));
}
