//! Keycloak away, its keys changed, and replicas that want the same at once.

use std::time::Duration;

use jackfield_tests::{
    host::{binary, client},
    keycloak::{Browser, Keycloak, PEOPLE},
};
use serde_json::json;

use super::{SOON, Site};

#[tokio::test(flavor = "multi_thread")]
async fn a_keycloak_that_is_away_ends_no_session() {
    if binary().is_none() {
        return;
    }
    let Some(mut keycloak) = Keycloak::start("keycloak-outage").await else {
        return;
    };
    let realm = keycloak.realm();
    realm.set(&json!({ "accessTokenLifespan": 2 })).await;
    let site = Site::on(&keycloak, realm, "kc-outage", &[("JACKFIELD_KEYCLOAK__TIMEOUT", "2")]).await;
    let (name, password) = PEOPLE[0];
    let ada = site.realm.user(name, password).await;
    let person = site.signed_in(&ada).await;
    assert_eq!(person.me().await.0, 200);
    keycloak.stop().await;

    // Its access token ends, its turn comes, and nobody answers.
    for _ in 0..50 {
        assert_eq!(person.me().await.0, 200, "{}", site.host().log_end());
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let log = site.host().log();
    assert!(log.contains("Keycloak could not be asked"), "it was not asked: {log}");
    assert!(site.host().ready().await, "the host takes traffic without Keycloak");
    let report = client()
        .get(format!("http://{}/readyz?verbose", site.host().setup.admin))
        .send()
        .await;
    let report: serde_json::Value = report.unwrap().json().await.unwrap();
    assert_eq!(
        (&report["ready"], &report["keycloak"]),
        (&json!(true), &json!("down")),
        "{report}"
    );
    // A sign-in that comes back now is told to come later, and its code is not lost to an error page.
    let mut browser = Browser::new();
    browser.hold(Some(&site.realm.url()));
    let begun = browser.open(&site.authorize("/")).await;
    assert!(begun.held.is_some(), "{begun:#?}");

    keycloak.resume().await;
    browser.hold(None);
    let visit = site.enter(&mut browser, &ada).await;
    assert_eq!(visit.status, 200, "{visit:#?}");
    person.await_status(200, SOON).await;

    // Its signing key is replaced and withdrawn; who signs in after that is let in.
    let old = site.realm.signing_key().await;
    let new = site.realm.rotate_keys().await;
    assert_ne!(old, new);
    assert_eq!(
        site.signed_in(&ada).await.me().await.0,
        200,
        "{}",
        site.host().log_end()
    );
    site.realm.withdraw_key(&old).await;
    assert_eq!(site.signed_in(&ada).await.me().await.0, 200);
    assert_eq!(person.me().await.0, 200);
}
