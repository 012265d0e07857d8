//! The shipped host behind a real Keycloak.

mod address;
mod boot;
mod checks;
mod ending;
mod login;
mod outage;
mod readme;
mod tokens;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use jackfield_tests::{
    host::{Host, Setup, binary, client},
    keycloak::{self, Browser, CLIENT, CLIENT_SECRET, Keycloak, Realm, User, Visit},
    scratch::Scratch,
};
use reqwest::{Method, Response, header};
use serde_json::Value;

/// The session's cookie.
const COOKIE: &str = "keycloak_auth";
/// Until a replica hears of something that Keycloak was asked about.
const SOON: Duration = Duration::from_secs(60);

/// Hosts in front of one realm. The first is the one that browsers know.
struct Site {
    realm: Realm,
    hosts: Vec<Host>,
    _scratch: Vec<Scratch>,
}

/// A host of a realm, not started yet.
fn setup(directory: PathBuf, keycloak: &str, realm: &Realm) -> Setup {
    let setup = Setup::plain(directory)
        .with("KEYCLOAK_SERVER_URL", keycloak)
        .with("KEYCLOAK_REALM_NAME", &realm.name)
        .with("KEYCLOAK_CLIENT_ID", CLIENT)
        .with("KEYCLOAK_CLIENT_SECRET", CLIENT_SECRET)
        // People of these tests come oftener than people do.
        .with("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "0")
        .with("JACKFIELD_IDENTITY__REQUESTS_PER_MINUTE", "0");
    let public = format!("http://{}", setup.listen);
    setup.with("JACKFIELD_PUBLIC_URL", &public)
}

impl Site {
    /// One host with more variables on a realm of its own. None without Keycloak or a host.
    async fn start(name: &str, variables: &[(&str, &str)]) -> Option<Self> {
        binary()?;
        let keycloak = keycloak::shared().await?;
        Some(Self::on(keycloak, keycloak.new_realm().await, name, variables).await)
    }

    async fn on(keycloak: &Keycloak, realm: Realm, name: &str, variables: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new(name);
        let mut setup = setup(scratch.0.clone(), &keycloak.url(), &realm);
        for (name, value) in variables {
            setup = setup.with(name, value);
        }
        let host = setup.start().await;
        realm.serve(&[&host.url("")]).await;
        Self {
            realm,
            hosts: vec![host],
            _scratch: vec![scratch],
        }
    }

    fn host(&self) -> &Host {
        &self.hosts[0]
    }

    fn url(&self, path: &str) -> String {
        self.host().url(path)
    }

    /// The authorize URL as the stock client builds it (spec/10 §12.1), for a page of ours.
    fn authorize(&self, page: &str) -> String {
        self.authorize_with(&self.url(page), &[])
    }

    /// The same with any state, and fields more or other than usual.
    fn authorize_with(&self, state: &str, other: &[(&str, &str)]) -> String {
        let callback = self.url("/oauth/keycloak/callback");
        let mut fields = vec![
            ("client_id", CLIENT),
            ("response_type", "code"),
            ("redirect_uri", callback.as_str()),
            ("scope", "openid email profile"),
            ("state", state),
        ];
        for (name, value) in other {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        let path = format!("/realms/{}/protocol/openid-connect/auth", self.realm.name);
        reqwest::Url::parse_with_params(&self.url(&path), fields)
            .unwrap()
            .into()
    }

    /// Signs somebody in with their password; where that ended.
    async fn enter(&self, browser: &mut Browser, user: &User) -> Visit {
        browser
            .sign_in(
                &self.authorize("/?login_method=keycloak"),
                &user.username,
                &user.password,
            )
            .await
    }

    /// Somebody new who is signed in.
    async fn somebody(&self, name: &str) -> (User, Person<'_>) {
        let user = self.realm.create_user(name).await;
        let person = self.signed_in(&user).await;
        (user, person)
    }

    async fn signed_in(&self, user: &User) -> Person<'_> {
        let mut browser = Browser::new();
        let visit = self.enter(&mut browser, user).await;
        let cookie = browser.cookie(&self.url("/"), COOKIE);
        let cookie = cookie.unwrap_or_else(|| panic!("nobody is signed in: {visit:#?}"));
        Person { site: self, cookie }
    }
}

/// Somebody with a session.
struct Person<'s> {
    site: &'s Site,
    cookie: String,
}

impl Person<'_> {
    async fn send(&self, host: usize, method: Method, path: &str) -> Response {
        let request = client().request(method, self.site.hosts[host].url(path));
        let cookie = format!("{COOKIE}={}", self.cookie);
        request.header(header::COOKIE, cookie).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.send(0, Method::GET, path).await;
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn me(&self) -> (u16, Value) {
        self.get("/api/v1/users/me").await
    }

    /// Waits until they are let in with this status.
    async fn await_status(&self, status: u16, within: Duration) {
        let begun = Instant::now();
        loop {
            let (now, said) = self.me().await;
            if now == status {
                return;
            }
            let log = self.site.host().log_end();
            assert!(begun.elapsed() < within, "{now} {said} instead of {status}: {log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A field of an address's query.
fn field(visit: &Visit, name: &str) -> Option<String> {
    let pair = visit.url.query_pairs().find(|(key, _)| key == name);
    pair.map(|(_, value)| value.into_owned())
}

/// What a page that is JSON says went wrong.
fn error(visit: &Visit) -> String {
    let said: Value = serde_json::from_str(&visit.body).unwrap_or_else(|_| panic!("no JSON: {visit:#?}"));
    said["error"].as_str().unwrap_or_default().to_owned()
}
