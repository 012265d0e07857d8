//! The ground that the Keycloak suites stand on, without our host: a real Keycloak, a browser, a brokered provider, and a relying party
//! of a few lines. What fails here fails because of Keycloak or of the ground.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Form, Router,
    extract::State,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jackfield_tests::{
    git_provider::{Account, Asked, Failure, GitProvider},
    keycloak::{self, Browser, Keycloak, PEOPLE, PROVIDER, Realm, Visit},
    scratch::free_address,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const VERIFIER: &str = "a-code-verifier-of-more-than-forty-three-characters-0123456789";

/// Somebody to come back to: an empty callback page, and an ear for logouts.
struct Party {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(serde::Deserialize)]
struct Logout {
    logout_token: String,
}

impl Party {
    async fn start() -> Self {
        let (address, heard) = (free_address(), Arc::<Mutex<Vec<String>>>::default());
        let hear = |State(heard): State<Arc<Mutex<Vec<String>>>>, Form(logout): Form<Logout>| async move {
            heard.lock().unwrap().push(logout.logout_token);
        };
        let router = Router::new()
            .route("/oauth/keycloak/callback", get(|| async { "back" }))
            .route("/oauth/keycloak/backchannel-logout", post(hear))
            .with_state(Arc::clone(&heard));
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        Self {
            url: format!("http://{address}"),
            heard,
            task: tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }),
        }
    }

    fn callback(&self) -> String {
        format!("{}/oauth/keycloak/callback", self.url)
    }

    /// Claims of the logout tokens, once there are so many.
    async fn logouts(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let heard: Vec<Value> = self.heard.lock().unwrap().iter().map(|token| claims(token)).collect();
            if heard.len() >= count {
                return heard;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{count} logouts were to come: {heard:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn part(token: &str, n: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn claims(token: &str) -> Value {
    part(token, 1)
}

fn start(realm: &Realm, party: &Party, more: &[(&str, &str)]) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    realm.authorize(&party.callback(), "the-state", &challenge, more)
}

fn returned(visit: &Visit, name: &str) -> Option<String> {
    let pair = visit.url.query_pairs().find(|(key, _)| key == name);
    pair.map(|(_, value)| value.into_owned())
}

async fn exchange(realm: &Realm, party: &Party, code: &str, verifier: &str) -> (u16, Value) {
    let callback = party.callback();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", callback.as_str()),
        ("code_verifier", verifier),
    ];
    realm.token(&form).await
}

/// Signs in, and exchanges the code.
async fn enter(realm: &Realm, party: &Party, browser: &mut Browser) -> Value {
    let (name, password) = PEOPLE[0];
    let back = browser
        .sign_in(&start(realm, party, &[("nonce", "n")]), name, password)
        .await;
    assert!(back.url.as_str().starts_with(&party.callback()), "{back:#?}");
    let code = returned(&back, "code").unwrap();
    let (status, tokens) = exchange(realm, party, &code, VERIFIER).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

async fn ground(keycloak: &Keycloak) -> (Realm, Party) {
    let (realm, party) = (keycloak.new_realm().await, Party::start().await);
    realm.serve(&[&party.url]).await;
    (realm, party)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_leads_to_a_code_and_tokens_and_an_administrator_ends_them() {
    let Some(keycloak) = keycloak::shared().await else {
        return;
    };
    let (realm, party) = ground(keycloak).await;
    let begin = start(&realm, &party, &[]);
    let mut browser = Browser::new();
    let (name, password) = PEOPLE[0];

    let refused = browser.sign_in(&begin, name, "not the password").await;
    assert!(refused.is_login() && refused.status == 200, "{refused:#?}");
    let back = browser.sign_in(&begin, name, password).await;
    assert_eq!((back.status, back.body.as_str()), (200, "back"), "{back:#?}");
    assert_eq!(returned(&back, "state").unwrap(), "the-state");
    assert_eq!(returned(&back, "iss").unwrap(), realm.url());
    let methods: Vec<&str> = back.hops.iter().map(|hop| hop.method.as_str()).collect();
    assert_eq!(methods, ["GET", "POST", "GET"]);
    let code = returned(&back, "code").unwrap();
    let (status, no) = exchange(&realm, &party, &code, &VERIFIER.replace('a', "b")).await;
    assert_eq!((status, no["error"].as_str().unwrap()), (400, "invalid_grant"));

    // The failed exchange used the code up; Keycloak still knows the browser.
    let tokens = enter(&realm, &party, &mut browser).await;
    let (access, id) = (
        tokens["access_token"].as_str().unwrap(),
        tokens["id_token"].as_str().unwrap(),
    );
    assert_eq!(claims(access)["azp"], keycloak::CLIENT);
    let audience = claims(access)["aud"].to_string();
    assert!(
        audience.contains(&format!("\"{}\"", keycloak::CLIENT)),
        "the audience mapper: {audience}"
    );
    assert_eq!(claims(id)["email"], format!("{name}@example.com"));
    assert_eq!(claims(id)["nonce"], "n");

    let ada = realm.user(name, password).await;
    assert_eq!(claims(id)["sub"], ada.id.as_str());
    realm.log_out(&ada).await;
    let told = party.logouts(1).await;
    assert_eq!(
        (&told[0]["sub"], &told[0]["sid"]),
        (&claims(id)["sub"], &claims(id)["sid"])
    );
    let token = party.heard.lock().unwrap()[0].clone();
    assert_eq!(part(&token, 0)["typ"], "logout+jwt");
    let (status, no) = realm
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ])
        .await;
    assert_eq!((status, no["error"].as_str().unwrap()), (400, "invalid_grant"), "{no}");
    assert!(browser.open(&begin).await.is_login(), "Keycloak's session is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brokered_person_comes_in_and_keycloak_renews_the_providers_token() {
    let Some(keycloak) = keycloak::shared().await else {
        return;
    };
    let (realm, party) = ground(keycloak).await;
    let git = GitProvider::start().await;
    realm.broker(&git).await;
    let mut account = Account::new(4242, "octo");
    account.public_email = None;
    git.present(account);
    // Less than Keycloak keeps: each look at the token renews it.
    git.lifetime(4);

    let mut browser = Browser::new();
    git.fail(Asked::Authorize, Failure::Refused);
    let begin = start(&realm, &party, &[]);
    let denied = browser.sign_in_with(&begin, PROVIDER).await;
    assert!(returned(&denied, "code").is_none(), "{denied:#?}");
    let back = browser.sign_in_with(&begin, PROVIDER).await;
    assert_eq!(back.body, "back", "{back:#?}");
    assert!(back.hop(&git.url).is_some(), "{:#?}", back.hops);
    let code = returned(&back, "code").unwrap();
    let (_, tokens) = exchange(&realm, &party, &code, VERIFIER).await;
    let claims = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&claims["github_id"], &claims["identity_provider"], &claims["email"]),
        (&json!("4242"), &json!("github"), &json!("octo@example.com"))
    );
    assert_eq!((git.count(Asked::Exchange), git.count(Asked::Emails)), (1, 1));

    let stored = || async {
        let access = tokens["access_token"].as_str().unwrap();
        let url = format!("{}/broker/{PROVIDER}/token", realm.url());
        let answer = jackfield_tests::host::client()
            .get(url)
            .bearer_auth(access)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    git.fail(Asked::Refresh, Failure::Status(503));
    assert_eq!(stored().await.0, 502);
    let (status, first) = stored().await;
    assert_eq!(status, 200, "{first}");
    assert!(git.knows(first["access_token"].as_str().unwrap()));
    git.revoke_all();
    assert_eq!(stored().await.0, 502);
    assert_eq!(git.count(Asked::Refresh), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_lifetimes_and_people_change_while_it_runs() {
    let Some(keycloak) = keycloak::shared().await else {
        return;
    };
    let (realm, party) = ground(keycloak).await;
    let eve = realm.create_user("eve").await;
    let kid = |tokens: &Value| {
        part(tokens["access_token"].as_str().unwrap(), 0)["kid"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let old = realm.grant(&eve, "openid").await;
    let new_key = realm.rotate_keys().await;
    realm.set(&json!({ "accessTokenLifespan": 7 })).await;
    let new = realm.grant(&eve, "openid").await;
    assert_eq!(kid(&new), new_key);
    assert_ne!(kid(&old), new_key);
    assert_eq!(new["expires_in"], 7);
    let keys = || async {
        let url = realm.endpoint("certs");
        let text = jackfield_tests::host::client()
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await;
        text.unwrap()
    };
    assert!(keys().await.contains(&kid(&old)));
    realm.withdraw_key(&kid(&old)).await;
    assert!(!keys().await.contains(&kid(&old)));

    realm.join_groups(&eve, 3).await;
    let named = claims(realm.grant(&eve, "openid").await["access_token"].as_str().unwrap());
    assert_eq!(named["groups"].as_array().unwrap().len(), 3);
    realm.enable_user(&eve, false).await;
    let refused = Browser::new()
        .sign_in(&start(&realm, &party, &[]), &eve.username, &eve.password)
        .await;
    assert!(
        refused.is_login() && refused.body.contains("Account is disabled"),
        "{refused:#?}"
    );
    realm.enable_user(&eve, true).await;
    assert_eq!(
        realm.record(&eve).await["email"],
        "eve@example.com",
        "nothing was erased"
    );
    realm.grant(&eve, "openid offline_access").await;
    realm.delete_user(&eve).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_and_starts_on_its_port_and_data() {
    let Some(mut keycloak) = Keycloak::start("keycloak-restart").await else {
        return;
    };
    let (realm, party) = (keycloak.realm(), Party::start().await);
    realm.serve(&[&party.url]).await;
    let mut browser = Browser::new();
    let tokens = enter(&realm, &party, &mut browser).await;
    keycloak.stop().await;
    let gone = jackfield_tests::host::client().get(realm.url()).send().await;
    assert!(gone.unwrap_err().is_connect());
    keycloak.resume().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let (status, renewed) = realm.token(&form).await;
    assert_eq!(status, 200, "{renewed}");
    let again = browser.open(&start(&realm, &party, &[])).await;
    assert_eq!(again.body, "back", "the browser is still known: {again:#?}");
}
