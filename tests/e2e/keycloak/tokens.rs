//! Grants and provider tokens: one caller at a time over two replicas, sealed in the database, and in no log.

use std::path::Path;

use jackfield_tests::{
    carrier::{entry, place},
    counter::Counter,
    git_provider::{Account, Asked, Failure, GitProvider},
    host::client,
    keycloak::{self, Browser, CLIENT_SECRET, PROVIDER},
    postgres::database,
    scratch::Scratch,
    turnstile::{CAPABILITIES, SECRET, builds},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;

use super::{COOKIE, Person, Site, setup};

/// Two replicas on one PostgreSQL, both with the turnstile in a shared library, and a git provider behind Keycloak.
async fn replicas(name: &str) -> Option<(Site, GitProvider, String)> {
    let [library, _] = builds()?;
    let (keycloak, url) = (keycloak::shared().await?, database().await?);
    let realm = keycloak.new_realm().await;
    let (git, counter) = (GitProvider::start().await, Counter::start().await);
    realm.broker(&git).await;
    let ring = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let (mut hosts, mut scratches) = (Vec::new(), Vec::new());
    let mut public = None;
    for replica in 0..2 {
        let scratch = Scratch::new(&format!("{name}-{replica}"));
        place(&std::fs::read(&library).unwrap(), &scratch.0.join("turnstile.so"));
        let toml = entry("turnstile", Path::new("turnstile.so"), &CAPABILITIES);
        std::fs::write(scratch.0.join("plugins.toml"), toml).unwrap();
        let mut setup = setup(scratch.0.clone(), &keycloak.url(), &realm)
            .with("JACKFIELD_DATABASE_URL", &url)
            .with("JACKFIELD_KEYRING", ring)
            .with("TURNSTILE_COUNTER", &counter.url)
            .with("TURNSTILE_SECRET", SECRET);
        let public = public.get_or_insert_with(|| format!("http://{}", setup.listen)).clone();
        setup = setup
            .without("JACKFIELD_PUBLIC_URL")
            .with("JACKFIELD_PUBLIC_URL", &public);
        hosts.push(setup.start().await);
        scratches.push(scratch);
    }
    realm.serve(&[&hosts[0].url("")]).await;
    let site = Site {
        realm,
        hosts,
        _scratch: scratches,
    };
    Some((site, git, url))
}

async fn git_token(person: &Person<'_>, host: usize) -> (u16, Value) {
    let answer = person.send(host, Method::GET, "/turnstile/git/github").await;
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// How often Keycloak refreshed, and how often it refused to.
async fn refreshes(site: &Site) -> (usize, usize) {
    let count = |kind: &'static str| async move {
        let path = format!("/events?type={kind}&max=1000");
        let (status, found) = site.realm.admin(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{found}");
        found.as_array().unwrap().len()
    };
    (count("REFRESH_TOKEN").await, count("REFRESH_TOKEN_ERROR").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_take_turns_with_the_refresh_token_and_the_providers() {
    let Some((site, git, database)) = replicas("kc-replicas").await else {
        return;
    };
    git.present(Account::new(4242, "octo"));
    let mut browser = Browser::new();
    let start = site.authorize_with(&site.url("/?login_method=github"), &[("kc_idp_hint", PROVIDER)]);
    let visit = browser.open(&start).await;
    assert_eq!(visit.url.as_str(), site.url("/?login_method=github"), "{visit:#?}");
    let cookie = browser.cookie(&site.url("/"), COOKIE).unwrap();
    let octo = Person { site: &site, cookie };
    assert_eq!(octo.me().await.1["email"], "octo@example.com");
    // The session is everybody's, on every replica.
    assert_eq!(octo.send(1, Method::GET, "/api/v1/users/me").await.status(), 200);

    let (status, first) = git_token(&octo, 0).await;
    assert_eq!(status, 200, "{first}");
    assert!(git.knows(first["token"].as_str().unwrap()));
    // Kept: nobody is asked again, on the other replica neither.
    assert_eq!(git_token(&octo, 1).await.1, first);
    assert_eq!((git.count(Asked::Exchange), git.count(Asked::Refresh)), (1, 0));

    // With rotation on, whoever presents a refresh token twice loses the session (spec/15 §1). Tokens that end at once make
    // every call want a refresh, on both replicas.
    site.realm
        .set(&json!({ "revokeRefreshToken": true, "refreshTokenMaxReuse": 0, "accessTokenLifespan": 2, "eventsEnabled": true,
            "enabledEventTypes": ["REFRESH_TOKEN", "REFRESH_TOKEN_ERROR"] }))
        .await;
    git.lifetime(2);
    let octo = {
        let mut browser = Browser::new();
        browser.open(&start).await;
        let cookie = browser.cookie(&site.url("/"), COOKIE).unwrap();
        Person { site: &site, cookie }
    };
    sqlx_execute(&database, "DELETE FROM provider_token").await;
    let calls = (0..24).map(|n| git_token(&octo, n % 2));
    for (status, said) in futures_util::future::join_all(calls).await {
        assert_eq!(status, 200, "{said}: {}", site.host().log_end());
        assert!(git.knows(said["token"].as_str().unwrap()), "{said}");
    }
    let (refreshed, refused) = refreshes(&site).await;
    assert!(refreshed > 0, "nobody refreshed");
    assert_eq!(refused, 0, "two presented one token");
    assert_eq!(octo.me().await.0, 200);

    // The provider is away: what was kept and is still good counts; what has ended is an error that passes.
    git.fail(Asked::Refresh, Failure::Status(503));
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let (status, _) = git_token(&octo, 0).await;
    assert_eq!(status, 503);
    assert_eq!(octo.me().await.0, 200, "a provider's hiccup signs nobody out");
    let (status, said) = git_token(&octo, 1).await;
    assert_eq!(status, 200, "{said}: {}", site.hosts[1].log_end());

    secrets_stay_secret(&site, &database, said["token"].as_str().unwrap(), &octo.cookie).await;
}

async fn sqlx_execute(url: &str, text: &'static str) {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::query(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Every row of identity's tables as text, in the way `pg_dump` would show them.
async fn dump(url: &str) -> String {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let mut all = String::new();
    for table in [
        "keycloak_grant",
        "keycloak_login",
        "provider_token",
        "session",
        "secret",
        "audit",
    ] {
        let text = format!("SELECT convert_from(convert_to({table}::text, 'UTF8'), 'UTF8') FROM {table}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for row in rows {
            all.push_str(&row.get::<String, _>(0));
            all.push('\n');
        }
    }
    connection.close().await.unwrap();
    all
}

/// Neither logs nor metrics nor answers for operators nor the database show a token, a cookie or a secret.
async fn secrets_stay_secret(site: &Site, database: &str, git_token: &str, cookie: &str) {
    let dump = dump(database).await;
    assert!(dump.lines().count() > 5, "{dump}");
    let mut shown = vec![("the database", dump)];
    for host in &site.hosts {
        shown.push(("the log", host.log()));
        shown.push(("what is printed", host.printed()));
        shown.push(("metrics", host.metrics().await));
        for path in ["/config", "/users", "/audit", "/routes", "/plugins"] {
            shown.push((path, host.admin(path).await.to_string()));
        }
    }
    // As text, and as the hex of a column of bytes. A token of Keycloak's begins as every JSON Web Token does.
    for secret in [git_token, cookie, CLIENT_SECRET, "eyJ"] {
        let hex = hex::encode(secret);
        for (place, text) in &shown {
            assert!(!text.contains(secret), "{place} shows `{secret}`");
            assert!(!text.contains(&hex), "{place} shows `{secret}` as hex");
        }
    }
    let answer = client().get(site.url("/turnstile/git/github")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
}
