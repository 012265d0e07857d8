//! The stock client's start (spec/10 §29), call by call, as its scripts make them: behind TLS, because it builds `https://`
//! addresses, with a proxy that the host trusts.

use std::net::{IpAddr, Ipv4Addr};

use jackfield_tests::{
    front::Front,
    host::{Host, binary, client},
    keycloak::{self, Browser, PEOPLE, Realm, Visit},
    scratch::Scratch,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{COOKIE, setup};

/// Where the browser is; the proxy is at another address, which is the only one that is trusted.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// A button of the sign-in page. Keycloak knows no such provider here, and shows its own form.
const METHOD: &str = "gitlab";

/// A host behind TLS in front of a realm of its own, with a page for every address.
struct Secure {
    front: Front,
    realm: Realm,
    host: Host,
    _scratch: [Scratch; 2],
}

impl Secure {
    async fn start(name: &str, variables: &[(&str, &str)]) -> Option<Self> {
        binary()?;
        let keycloak = keycloak::shared().await?;
        let realm = keycloak.new_realm().await;
        let scratch = [Scratch::new(name), Scratch::new("boot-app")];
        std::fs::write(scratch[1].0.join("index.html"), "<!doctype html><p>App</p>").unwrap();
        let mut setup = setup(scratch[0].0.clone(), &keycloak.url(), &realm);
        let front = Front::start(&setup.listen).await;
        setup = setup
            .with("JACKFIELD_PUBLIC_URL", &front.url(""))
            .with("JACKFIELD_TRUSTED_PROXIES", "127.0.0.1/32")
            .with("JACKFIELD_FRONTEND_DIR", scratch[1].0.to_str().unwrap())
            .with("OH_WEB_CLIENT_PROVIDERS_CONFIGURED", r#"["github","gitlab"]"#);
        for (name, value) in variables {
            setup = setup.with(name, value);
        }
        let host = setup.start().await;
        realm.serve(&[&front.url("")]).await;
        Some(Self {
            front,
            realm,
            host,
            _scratch: scratch,
        })
    }

    fn url(&self, path: &str) -> String {
        self.front.url(path)
    }

    /// A call of the client's API module.
    async fn call(&self, browser: &mut Browser, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let visit = browser.fetch(method, &self.url(path), body.as_ref()).await;
        (visit.status, serde_json::from_str(&visit.body).unwrap_or_default())
    }

    async fn get(&self, browser: &mut Browser, path: &str) -> (u16, Value) {
        self.call(browser, Method::GET, path, None).await
    }

    async fn authenticate(&self, browser: &mut Browser) -> (u16, Value) {
        self.call(browser, Method::POST, "/api/authenticate", None).await
    }

    /// Opens a page, as a person does, and asks what the client asks first. `AUTH_URL` of its configuration.
    async fn boots(&self, browser: &mut Browser, page: &str) -> String {
        let shown = browser.open(&self.url(page)).await;
        assert_eq!((shown.status, shown.body.as_str()), (200, "<!doctype html><p>App</p>"));
        let hsts = &shown.headers["strict-transport-security"];
        assert_eq!(hsts, "max-age=31536000; includeSubDomains");
        let (status, config) = self.get(browser, "/api/v1/web-client/config").await;
        assert_eq!((status, &config["app_mode"]), (200, &json!("saas")), "{config}");
        assert_eq!(config["providers_configured"], json!(["github", "gitlab"]));
        let nobody = json!({ "error": "NoCredentialsError" });
        assert_eq!(self.authenticate(browser).await, (401, nobody));
        config["auth_url"]
            .as_str()
            .unwrap_or_else(|| panic!("{config}"))
            .to_owned()
    }

    /// What the client goes to when a button on `page` is pressed (§12.1).
    fn authorize(&self, auth_url: &str, page: &str) -> String {
        let host = auth_url.trim_start_matches("https://").trim_start_matches("http://");
        let page = self.url(page);
        let page = page.trim_end_matches('/');
        let mark = if page.contains('?') { '&' } else { '?' };
        let state = format!("{page}{mark}login_method={METHOD}");
        format!(
            "https://{host}/realms/{realm}/protocol/openid-connect/auth?client_id=allhands&kc_idp_hint={METHOD}\
             &response_type=code&redirect_uri={}&scope={}&state={}",
            component(&self.url("/oauth/keycloak/callback")),
            component("openid email profile"),
            component(&state),
            realm = self.realm.name,
        )
    }
}

/// `encodeURIComponent`.
fn component(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(byte);
    text.bytes()
        .map(|byte| match plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// What an answer sets of a cookie.
fn set_cookie(visit: &Visit, name: &str) -> String {
    let begin = format!("{name}=");
    let lines = visit.headers.get_all("set-cookie").iter();
    let mut lines = lines.map(|line| line.to_str().unwrap().to_owned());
    let line = lines.find(|line| line.starts_with(&begin));
    line.unwrap_or_else(|| panic!("no cookie `{name}`: {visit:#?}"))
}

/// Fills in Keycloak's form and stops before the page that the callback leads to; the callback's answer.
async fn enter(site: &Secure, browser: &mut Browser, form: Visit) -> Visit {
    let (username, password) = PEOPLE[0];
    let callback = site.url("/oauth/keycloak/callback");
    let fields = [("username", username), ("password", password)];
    browser.hold(Some(&callback));
    let visit = browser.submit(form, "kc-form-login", &fields).await;
    let to_callback = visit.held.clone().unwrap_or_else(|| panic!("no callback: {visit:#?}"));
    browser.hold(Some(&site.url("/")));
    let visit = browser.open(to_callback.as_str()).await;
    browser.hold(None);
    assert_eq!(visit.status, 302, "{visit:#?}");
    visit
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_client_boots_signs_in_works_and_signs_out_over_tls() {
    let Some(site) = Secure::start("kc-boot", &[]).await else {
        return;
    };
    let mut browser = Browser::at(FROM);
    let auth_url = site.boots(&mut browser, "/conversations/7").await;
    assert_eq!(auth_url, site.url(""), "sign-in begins at this host");

    // 401 and no method remembered: the sign-in page, and its button.
    let login = "/login?returnTo=%2Fconversations%2F7";
    assert_eq!(browser.open(&site.url(login)).await.status, 200);
    let start = site.authorize(&auth_url, login);
    browser.hold(Some("http://"));
    let begun = browser.open(&start).await;
    browser.hold(None);
    let bound = set_cookie(&begun, "__Host-jackfield_login");
    assert!(
        bound.ends_with("; HttpOnly; Path=/; SameSite=lax; Max-Age=1800; Secure"),
        "{bound}"
    );
    let form = browser.open(begun.held.clone().unwrap().as_str()).await;
    assert!(form.is_login(), "{form:#?}");

    let back = enter(&site, &mut browser, form).await;
    let cookie = set_cookie(&back, COOKIE);
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(value.len(), COOKIE.len() + 1 + 43, "an opaque id: {cookie}");
    assert_eq!(attributes, "HttpOnly; Path=/; SameSite=lax; Secure");
    let page = back.held.clone().unwrap_or_else(|| panic!("no page: {back:#?}"));
    assert_eq!(page.as_str(), site.url(&format!("{login}&login_method={METHOD}")));
    // The client remembers the method and goes where it was wanted.
    assert_eq!(browser.open(page.as_str()).await.status, 200);
    assert_eq!(browser.open(&site.url("/conversations/7")).await.status, 200);

    assert_eq!(
        site.authenticate(&mut browser).await,
        (200, json!({ "message": "User authenticated" }))
    );
    works(&site, &mut browser).await;

    let out = browser.fetch(Method::POST, &site.url("/api/logout"), None).await;
    let said: Value = serde_json::from_str(&out.body).unwrap();
    assert_eq!((out.status, said), (200, json!({ "message": "User logged out" })));
    assert!(set_cookie(&out, COOKIE).contains("Max-Age=0"));
    let nobody = (401, json!({ "error": "NoCredentialsError" }));
    assert_eq!(site.authenticate(&mut browser).await, nobody);
    // A copy of the cookie opens nothing either.
    let copied = client()
        .post(site.host.url("/api/authenticate"))
        .header("cookie", value);
    let copied = copied.send().await.unwrap();
    assert_eq!(copied.status(), 401);
    assert_eq!(
        copied.text().await.unwrap(),
        r#"{"error":"Invalid authentication token"}"#
    );
    // A method is remembered now: the client goes straight on, with a field too many, and Keycloak asks again.
    let form = browser.open(&format!("{start}&login_method={METHOD}")).await;
    assert!(form.is_login(), "{form:#?}");
}

/// What the client asks once somebody is signed in.
async fn works(site: &Secure, browser: &mut Browser) {
    let absent = json!({ "error": "Settings not found" });
    assert_eq!(site.get(browser, "/api/settings").await, (404, absent));
    let settings = json!({ "language": "en", "enable_sound_notifications": false });
    let stored = site.call(browser, Method::POST, "/api/settings", Some(settings)).await;
    assert_eq!(stored, (200, json!({ "message": "Settings stored" })));
    let (status, settings) = site.get(browser, "/api/settings").await;
    assert_eq!(status, 200, "{settings}");
    assert_eq!(settings["language"], "en");
    // What confines people to their account page until it is true.
    assert_eq!(
        (&settings["email"], &settings["email_verified"]),
        (&json!("ada@example.com"), &json!(true))
    );
    let (status, info) = site.get(browser, "/api/user/info").await;
    assert_eq!((status, &info["email"]), (200, &json!("ada@example.com")), "{info}");
    assert_eq!(info["login"], PEOPLE[0].0);
    assert_eq!(
        site.get(browser, "/api/secrets").await,
        (200, json!({ "custom_secrets": [] }))
    );
    assert_eq!(site.get(browser, "/api/keys").await, (200, json!([])));
    assert_eq!(site.get(browser, "/api/options/agents").await.0, 200);
    let (status, sessions) = site.get(browser, "/api/v1/users/me/sessions").await;
    assert_eq!(status, 200, "{sessions}");
    let address = FROM.to_string();
    assert_eq!(sessions[0]["address"], address.as_str(), "the proxy is not the client");
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_accepted_on_their_page_over_tls() {
    let Some(site) = Secure::start("kc-boot-terms", &[("JACKFIELD_IDENTITY__TERMS", "true")]).await else {
        return;
    };
    let mut browser = Browser::at(FROM);
    let auth_url = site.boots(&mut browser, "/").await;
    let form = browser.open(&site.authorize(&auth_url, "/login")).await;
    let back = enter(&site, &mut browser, form).await;
    let page = back.held.unwrap();
    assert_eq!(page.path(), "/accept-tos");
    let (_, next) = page.query_pairs().find(|(name, _)| name == "redirect_url").unwrap();
    assert_eq!(next, site.url(&format!("/login?login_method={METHOD}")));
    // The page itself asks nothing but this.
    let accepted = json!({ "redirect_url": next });
    let told = site
        .call(&mut browser, Method::POST, "/api/accept_tos", Some(accepted.clone()))
        .await;
    assert_eq!(told, (200, accepted));
    assert_eq!(site.authenticate(&mut browser).await.0, 200);
}
