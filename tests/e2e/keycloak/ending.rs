//! How sessions end: by us, by Keycloak, by an administrator; and what does not end them.

use std::time::{Duration, Instant};

use jackfield_tests::{
    host::client,
    keycloak::{Browser, User},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{SOON, Site};

/// Ids of a person's offline sessions at Keycloak.
async fn offline_sessions(site: &Site, user: &User) -> Vec<String> {
    let client = site.realm.client_settings().await["id"].as_str().unwrap().to_owned();
    let path = format!("/users/{}/offline-sessions/{client}", user.id);
    let (status, found) = site.realm.admin(Method::GET, &path, None).await;
    assert_eq!(status, 200, "{found}");
    let ids = found.as_array().unwrap().iter();
    ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

async fn await_offline(site: &Site, user: &User, count: usize) {
    let begun = Instant::now();
    loop {
        let now = offline_sessions(site, user).await.len();
        if now == count {
            return;
        }
        assert!(
            begun.elapsed() < SOON,
            "{now} offline sessions instead of {count}: {}",
            site.host().log_end()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_here_ends_the_session_and_leaves_one_grant_for_webhooks() {
    let Some(site) = Site::start("kc-logout", &[]).await else {
        return;
    };
    let (user, first) = site.somebody("leaver").await;
    let second = site.signed_in(&user).await;
    await_offline(&site, &user, 2).await;
    let answer = second.send(0, Method::POST, "/api/logout").await;
    assert_eq!(answer.status(), 200);
    let cleared = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cleared.contains("Max-Age=0"), "{cleared}");
    assert_eq!(second.me().await.0, 401);
    assert_eq!(first.me().await.0, 200, "the other browser is still signed in");
    assert!(
        site.realm.sessions(&user).await.is_empty(),
        "Keycloak has no session that signs in again"
    );
    let page = Browser::new().open(&site.authorize("/")).await;
    assert!(page.is_login(), "{page:#?}");

    // The older one goes with its session, at Keycloak too; the newest stays.
    assert_eq!(first.send(0, Method::POST, "/api/logout").await.status(), 200);
    await_offline(&site, &user, 1).await;
    // And it goes when a newer one comes.
    let third = site.signed_in(&user).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    await_offline(&site, &user, 1).await;
    assert_eq!(third.me().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_says_itself_that_a_session_ended() {
    let Some(site) = Site::start("kc-backchannel", &[]).await else {
        return;
    };
    let (user, one) = site.somebody("ended").await;
    let two = site.signed_in(&user).await;
    let (_, bystander) = site.somebody("bystander").await;
    let sessions = offline_sessions(&site, &user).await;
    assert_eq!(sessions.len(), 2);
    site.realm.end_session(&sessions[0], true).await;
    // It says so while the administrator waits for the answer; both are not over.
    let begun = Instant::now();
    let open = || async { [one.me().await.0, two.me().await.0] };
    while open().await == [200, 200] {
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", site.host().log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(open().await.contains(&200), "only one of them ended");
    site.realm.end_session(&sessions[1], true).await;
    one.await_status(401, SOON).await;
    two.await_status(401, SOON).await;
    assert_eq!(bystander.me().await.0, 200);
    // A new sign-in works.
    assert_eq!(site.signed_in(&user).await.me().await.0, 200);
    let (code, trail, _) = site.host().setup.run(&["admin", "audit", "export"]);
    assert_eq!(code, 0);
    let ended = trail
        .lines()
        .filter(|line| line.contains("session.ended") && line.contains("\"keycloak\""));
    assert_eq!(ended.count(), 2, "{trail}");

    // What is no logout token of Keycloak's ends nothing.
    let tokens = site.realm.grant(&user, "openid").await;
    let id_token = tokens["id_token"].as_str().unwrap();
    for forged in [
        "",
        "a.b.c",
        id_token,
        &tokens["access_token"].as_str().unwrap().replace('a', "b"),
    ] {
        let answer = client()
            .post(site.url("/oauth/keycloak/backchannel-logout"))
            .form(&[("logout_token", forged)])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400, "{forged}");
        assert_eq!(
            answer.json::<Value>().await.unwrap(),
            json!({ "error": "invalid_request" })
        );
    }
    assert_eq!(bystander.me().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keycloak_tells_nobody_of_the_next_refresh_says() {
    let Some(site) = Site::start("kc-stale", &[]).await else {
        return;
    };
    site.realm.set(&json!({ "accessTokenLifespan": 2 })).await;
    let (user, person) = site.somebody("stale").await;
    let (_, bystander) = site.somebody("fresh").await;
    // No back channel for what is offline alone: everything from before is stale.
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.realm.log_out(&user).await;
    person.await_status(401, SOON).await;
    assert_eq!(bystander.me().await.0, 200);
    assert_eq!(site.signed_in(&user).await.me().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_or_deleted_there_is_let_in_no_longer_here() {
    let Some(site) = Site::start("kc-disabled", &[]).await else {
        return;
    };
    site.realm.set(&json!({ "accessTokenLifespan": 2 })).await;
    let (user, person) = site.somebody("shut-out").await;
    let made = client()
        .post(site.url("/api/keys"))
        .header("cookie", format!("{}={}", super::COOKIE, person.cookie))
        .json(&json!({ "name": "ci" }))
        .send()
        .await
        .unwrap();
    let key = made.json::<Value>().await.unwrap()["key"].as_str().unwrap().to_owned();
    let by_key = || async {
        let asked = client()
            .get(site.url("/api/v1/users/me"))
            .bearer_auth(&key)
            .send()
            .await;
        asked.unwrap().status().as_u16()
    };
    assert_eq!((person.me().await.0, by_key().await), (200, 200));
    // Keycloak tells nobody; the next refresh does.
    site.realm.enable_user(&user, false).await;
    person.await_status(401, SOON).await;
    assert_eq!(by_key().await, 401);
    // The same session and key open again when the person may come in again.
    site.realm.enable_user(&user, true).await;
    person.await_status(200, Duration::from_secs(150)).await;
    assert_eq!(by_key().await, 200);

    site.realm.delete_user(&user).await;
    person.await_status(401, SOON).await;
    assert_eq!(by_key().await, 401, "the keys of who is gone open nothing");
}
