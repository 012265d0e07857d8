//! One code flow behind our own authorize endpoint: what it adds, and what it does not let through.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jackfield_tests::keycloak::{Browser, PEOPLE, Visit};
use reqwest::Url;
use serde_json::json;

use super::{COOKIE, Site, error, field};

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_clients_authorize_url_signs_in_with_pkce_nonce_and_a_secret_state() {
    let Some(site) = Site::start("kc-login", &[]).await else {
        return;
    };
    let mut browser = Browser::new();
    let page = "/conversations/7?login_method=github";
    let start = site.authorize(page);
    let login = browser.open(&start).await;
    assert!(login.is_login(), "{login:#?}");
    assert_eq!(login.hops[0].status, 302);
    let at_keycloak = &login.hops[1].url;
    assert!(at_keycloak.as_str().starts_with(&site.realm.url()), "{at_keycloak}");
    let get = |name: &str| query(at_keycloak, name);
    assert_eq!(get("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(get("scope").as_deref(), Some("openid email profile offline_access"));
    assert_eq!(get("redirect_uri"), Some(site.url("/oauth/keycloak/callback")));
    let secret = |name: &str| {
        let value = get(name).unwrap();
        assert_eq!(value.len(), 43, "{name} is {value}");
        value
    };
    assert_ne!(secret("state"), secret("nonce"));
    secret("code_challenge");

    let (name, password) = PEOPLE[0];
    let back = browser
        .submit(login, "kc-form-login", &[("username", name), ("password", password)])
        .await;
    assert_eq!(back.url.as_str(), site.url(page), "{back:#?}");
    let cookie = browser.cookie(&site.url("/"), COOKIE).unwrap();
    assert_eq!(cookie.len(), 43, "an opaque id, not {cookie}");
    let person = super::Person { site: &site, cookie };
    let (status, me) = person.me().await;
    assert_eq!((status, &me["email"]), (200, &json!("ada@example.com")), "{me}");
    let ada = site.realm.user(name, password).await;
    assert_eq!(me["id"], ada.id.as_str(), "people keep Keycloak's id");

    // What is offline has taken Keycloak's own session away: the next sign-in asks again.
    assert!(browser.open(&start).await.is_login());
    // An old bookmark of the git host's leads home.
    let home = browser.open(&site.url("/oauth/github/callback")).await;
    assert_eq!(home.url.as_str(), site.url("/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorize_url_for_somebody_else_is_refused_and_says_what_must_stand_there() {
    let Some(site) = Site::start("kc-authorize", &[]).await else {
        return;
    };
    let mut browser = Browser::new();
    let own = site.url("/");
    for (name, value) in [
        ("client_id", "account"),
        ("response_type", "token"),
        ("redirect_uri", "https://evil.example/oauth/keycloak/callback"),
        ("redirect_uri", &format!("{own}oauth/keycloak/callback/../x")),
    ] {
        let visit = browser.open(&site.authorize_with(&own, &[(name, value)])).await;
        assert_eq!(visit.status, 400, "{visit:#?}");
        assert!(error(&visit).contains(name), "{}", visit.body);
        assert_eq!(visit.hops.len(), 1, "nobody is sent anywhere");
    }
    let realm = site.authorize("/").replace(&site.realm.name, "master");
    assert_eq!(browser.open(&realm).await.status, 400);

    // Where a client wants people back is a page of ours, or the first one.
    let wrapped = STANDARD.encode(json!({ "redirect_url": format!("{own}x?y=1"), "recaptcha_token": "t" }).to_string());
    let elsewhere = ["https://evil.example/", "//evil.example", "/\\evil.example"];
    let cases = elsewhere
        .iter()
        .map(|state| (*state, "/"))
        .chain([(wrapped.as_str(), "/x?y=1")]);
    let (name, password) = PEOPLE[1];
    for (state, lands) in cases {
        let visit = Browser::new()
            .sign_in(&site.authorize_with(state, &[]), name, password)
            .await;
        assert_eq!(visit.url.as_str(), site.url(lands), "{state}");
    }
}

/// The callback that Keycloak sends a browser to, held before the browser goes there.
async fn held(site: &Site, browser: &mut Browser, start: &str) -> Url {
    browser.hold(Some(&site.url("/oauth/keycloak/callback")));
    let (name, password) = PEOPLE[0];
    let visit = browser.sign_in(start, name, password).await;
    browser.hold(None);
    visit.held.clone().unwrap_or_else(|| panic!("no callback: {visit:#?}"))
}

fn with(url: &Url, name: &str, value: &str) -> String {
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(others)
        .append_pair(name, value);
    url.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_good_once_in_the_browser_that_began_and_with_its_own_code() {
    let Some(site) = Site::start("kc-callback", &[]).await else {
        return;
    };
    let refused = |visit: &Visit, said: &str| {
        assert_eq!(visit.status, 400, "{visit:#?}");
        assert!(error(visit).contains(said), "{}", visit.body);
    };
    let start = site.authorize("/");
    let (mut ours, mut theirs) = (Browser::new(), Browser::new());
    let callback = held(&site, &mut ours, &start).await;

    // Login CSRF: another browser is given our callback.
    refused(&theirs.open(callback.as_str()).await, "another browser");
    assert!(theirs.cookie(&site.url("/"), COOKIE).is_none());
    refused(
        &ours.open(&with(&callback, "state", "guessed")).await,
        "another browser",
    );

    // Code injection: our code in their sign-in. PKCE refuses it, and the code is used up.
    let other = held(&site, &mut theirs, &start).await;
    let code = query(&callback, "code").unwrap();
    refused(
        &theirs.open(&with(&other, "code", &code)).await,
        "Problem retrieving Keycloak tokens",
    );
    assert!(theirs.cookie(&site.url("/"), COOKIE).is_none());
    refused(
        &ours.open(callback.as_str()).await,
        "Problem retrieving Keycloak tokens",
    );

    let callback = held(&site, &mut ours, &start).await;
    let mixed = ours
        .open(&with(&callback, "iss", "https://other.example/realms/allhands"))
        .await;
    refused(&mixed, "another issuer");
    let callback = held(&site, &mut ours, &start).await;
    refused(
        &ours.open(&with(&callback, "code", "")).await,
        "Missing code in request params",
    );

    // Twice: the first signs in, the second changes nothing.
    let callback = held(&site, &mut ours, &start).await;
    assert_eq!(ours.open(callback.as_str()).await.url.as_str(), site.url("/"));
    let cookie = ours.cookie(&site.url("/"), COOKIE).unwrap();
    refused(&ours.open(callback.as_str()).await, "was used");
    let person = super::Person { site: &site, cookie };
    assert_eq!(person.me().await.0, 200, "the replay ended the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nonce_and_a_late_code_are_refused_and_two_tabs_are_not() {
    let Some(site) = Site::start("kc-nonce", &[]).await else {
        return;
    };
    let start = site.authorize("/");
    let mut browser = Browser::new();
    browser.hold(Some(&site.realm.url()));
    let visit = browser.open(&start).await;
    browser.hold(None);
    let forged = with(&visit.held.clone().unwrap(), "nonce", "another");
    let (name, password) = PEOPLE[0];
    let visit = browser.sign_in(&forged, name, password).await;
    assert_eq!(visit.status, 400, "{visit:#?}");
    assert!(field(&visit, "code").is_some(), "Keycloak gave its code");
    assert_eq!(error(&visit), "Problem retrieving Keycloak tokens");
    assert!(browser.cookie(&site.url("/"), COOKIE).is_none());

    site.realm.set(&json!({ "accessCodeLifespan": 1 })).await;
    let callback = held(&site, &mut browser, &start).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let late = browser.open(callback.as_str()).await;
    assert_eq!(
        (late.status, error(&late).as_str()),
        (400, "Problem retrieving Keycloak tokens")
    );
    site.realm.set(&json!({ "accessCodeLifespan": 60 })).await;

    // Two tabs of one browser begin one after the other, and the first ends last.
    let mut browser = Browser::new();
    let first = browser.open(&site.authorize("/first")).await;
    let second = browser.open(&site.authorize("/second")).await;
    let fields = [("username", name), ("password", password)];
    let second = browser.submit(second, "kc-form-login", &fields).await;
    assert_eq!(second.url.as_str(), site.url("/second"), "{second:#?}");
    let page = if first.is_login() {
        browser.sign_in(first.hops[1].url.as_str(), name, password).await
    } else {
        first
    };
    assert_eq!(page.url.as_str(), site.url("/first"), "{page:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_groups_in_the_token_make_no_larger_cookie() {
    let Some(site) = Site::start("kc-groups", &[]).await else {
        return;
    };
    let user = site.realm.create_user("grouped").await;
    site.realm.join_groups(&user, 200).await;
    let named = site.realm.grant(&user, "openid").await;
    assert!(
        named["access_token"].as_str().unwrap().len() > 6_000,
        "the groups are in the token"
    );
    let person = site.signed_in(&user).await;
    assert_eq!(person.cookie.len(), 43);
    assert_eq!(person.me().await.0, 200);
}
