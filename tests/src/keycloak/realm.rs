//! A realm from its two sides: an administrator's calls, and the endpoints that a relying party uses.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{CLIENT, CLIENT_SECRET, PROVIDER};
use crate::host::client;

/// An administrator's token lives for 60 s.
const FRESH: Duration = Duration::from_secs(40);

/// A person of a realm.
#[derive(Debug, Clone)]
pub struct User {
    /// Keycloak's id, the `sub` of tokens.
    pub id: String,
    /// Login name.
    pub username: String,
    /// Password; empty for people who come through a provider.
    pub password: String,
}

/// A realm. Belongs to the test that made it: its connections live on the test's runtime.
pub struct Realm {
    /// Its name.
    pub name: String,
    server: String,
    client: reqwest::Client,
    token: Mutex<Option<(String, Instant)>>,
}

impl Realm {
    pub(super) fn named(server: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            server: server.to_owned(),
            client: client(),
            token: Mutex::new(None),
        }
    }

    pub(super) async fn create(server: &str, name: &str, source: &Value) -> Self {
        let realm = Self::named(server, name);
        let (status, said) = realm.call(Method::POST, "/admin/realms", Some(source)).await;
        assert_eq!(status, 201, "the realm is not made: {said}");
        realm
    }

    /// The issuer; every endpoint is below it.
    pub fn url(&self) -> String {
        format!("{}/realms/{}", self.server, self.name)
    }

    /// An OpenID endpoint, such as `token` or `auth`.
    pub fn endpoint(&self, name: &str) -> String {
        format!("{}/protocol/openid-connect/{name}", self.url())
    }

    // Who may sign in here, and where to.

    /// Lets the client come back to these hosts, such as `http://127.0.0.1:3000`. The first is told of logouts.
    pub async fn serve(&self, hosts: &[&str]) {
        let all = |paths: &[&str]| -> Vec<String> {
            let pairs = hosts
                .iter()
                .flat_map(|host| paths.iter().map(move |path| format!("{host}{path}")));
            pairs.collect()
        };
        let mut client = self.client_settings().await;
        client["redirectUris"] = json!(all(&[
            "/oauth/keycloak/callback",
            "/api/email/verified",
            "/login?email_verified=true"
        ]));
        client["webOrigins"] = json!(hosts);
        client["attributes"]["post.logout.redirect.uris"] = all(&["/", "/login"]).join("##").into();
        client["attributes"]["backchannel.logout.url"] =
            format!("{}/oauth/keycloak/backchannel-logout", hosts[0]).into();
        self.set_client_settings(&client).await;
    }

    /// The client as Keycloak has it, to be changed and given to [`Realm::set_client_settings`].
    pub async fn client_settings(&self) -> Value {
        let found = self.read(&format!("/clients?clientId={CLIENT}")).await;
        found[0].clone()
    }

    /// Replaces the client's settings.
    pub async fn set_client_settings(&self, settings: &Value) {
        let id = settings["id"].as_str().expect("settings that were read have an id");
        self.write(Method::PUT, &format!("/clients/{id}"), settings).await;
    }

    /// Where the brokered provider is.
    pub async fn broker(&self, provider: &crate::git_provider::GitProvider) {
        let path = format!("/identity-provider/instances/{PROVIDER}");
        let mut settings = self.read(&path).await;
        settings["config"]["baseUrl"] = provider.url.as_str().into();
        settings["config"]["apiUrl"] = provider.api().into();
        self.write(Method::PUT, &path, &settings).await;
    }

    /// Changes fields of the realm and leaves the others, such as `{"accessTokenLifespan": 2}`. Works at once.
    pub async fn set(&self, fields: &Value) {
        self.write(Method::PUT, "", fields).await;
    }

    // People.

    /// One who is there, such as those of [`super::PEOPLE`].
    pub async fn user(&self, username: &str, password: &str) -> User {
        let found = self.read(&format!("/users?username={username}&exact=true")).await;
        let id = found[0]["id"].as_str();
        User {
            id: id.unwrap_or_else(|| panic!("no user `{username}`: {found}")).to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    /// A new one with a password and a verified address.
    pub async fn create_user(&self, username: &str) -> User {
        let password = format!("password-of-{username}");
        let new = json!({
            "username": username, "enabled": true, "email": format!("{username}@example.com"), "emailVerified": true,
            "firstName": "First", "lastName": "Last",
            "credentials": [{ "type": "password", "value": password }],
        });
        self.write(Method::POST, "/users", &new).await;
        self.user(username, &password).await
    }

    /// Keycloak's whole record of a person.
    pub async fn record(&self, user: &User) -> Value {
        self.read(&format!("/users/{}", user.id)).await
    }

    /// Changes fields of a person's record. The whole record is sent: fields that are left out may be erased.
    pub async fn change_user(&self, user: &User, fields: &Value) {
        let mut record = self.record(user).await;
        for (name, value) in fields.as_object().unwrap() {
            record[name] = value.clone();
        }
        self.write(Method::PUT, &format!("/users/{}", user.id), &record).await;
    }

    /// Lets a person in no longer, or again. Keycloak tells nobody.
    pub async fn enable_user(&self, user: &User, enabled: bool) {
        self.change_user(user, &json!({ "enabled": enabled })).await;
    }

    /// Removes a person. Keycloak tells nobody.
    pub async fn delete_user(&self, user: &User) {
        let gone = self.admin(Method::DELETE, &format!("/users/{}", user.id), None).await;
        assert_eq!(gone.0, 204, "{gone:?}");
    }

    /// Ends all sessions of a person; Keycloak tells the client by its back channel.
    pub async fn log_out(&self, user: &User) {
        self.write(Method::POST, &format!("/users/{}/logout", user.id), &json!({}))
            .await;
    }

    /// Ends one session; Keycloak tells the client by its back channel.
    pub async fn end_session(&self, sid: &str, offline: bool) {
        let path = format!("/sessions/{sid}?isOffline={offline}");
        let ended = self.admin(Method::DELETE, &path, None).await;
        assert_eq!(ended.0, 204, "{ended:?}");
    }

    /// A person's sessions.
    pub async fn sessions(&self, user: &User) -> Vec<Value> {
        let found = self.read(&format!("/users/{}/sessions", user.id)).await;
        found.as_array().unwrap().clone()
    }

    /// Puts a person into so many new groups; their names come in the claim `groups`. Two calls for each group.
    pub async fn join_groups(&self, user: &User, count: usize) {
        for n in 0..count {
            let group = json!({ "name": format!("a-group-with-a-long-name-{n:03}") });
            self.write(Method::POST, "/groups", &group).await;
        }
        let path = format!("/groups?search=a-group-with-a-long-name&max={count}");
        for group in self.read(&path).await.as_array().unwrap() {
            let id = group["id"].as_str().unwrap();
            self.write(Method::PUT, &format!("/users/{}/groups/{id}", user.id), &json!({}))
                .await;
        }
    }

    // Keys.

    /// The id of the key that signs now.
    pub async fn signing_key(&self) -> String {
        self.read("/keys").await["active"]["RS256"].as_str().unwrap().to_owned()
    }

    /// Adds a key that signs from now on; its id. The old one still verifies.
    pub async fn rotate_keys(&self) -> String {
        let realm = self.read("").await;
        let keys = self.read("/keys").await;
        let highest = keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|key| key["providerPriority"].as_i64())
            .max();
        let component = json!({
            "name": format!("rsa-{}", uuid::Uuid::new_v4().simple()), "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider", "parentId": realm["id"],
            "config": {
                "priority": [(highest.unwrap_or(100) + 100).to_string()], "enabled": ["true"], "active": ["true"],
                "algorithm": ["RS256"], "keySize": ["2048"],
            },
        });
        self.write(Method::POST, "/components", &component).await;
        self.signing_key().await
    }

    /// Takes a key out of use: it leaves the key set, and what it signed is refused.
    pub async fn withdraw_key(&self, kid: &str) {
        let keys = self.read("/keys").await;
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid);
        let path = format!(
            "/components/{}",
            key.expect("the key is there")["providerId"].as_str().unwrap()
        );
        let mut component = self.read(&path).await;
        component["config"]["enabled"] = json!(["false"]);
        component["config"]["active"] = json!(["false"]);
        self.write(Method::PUT, &path, &component).await;
    }

    // The relying party's side.

    /// Where a browser starts. `more` are further parameters, such as `("kc_idp_hint", "github")`.
    pub fn authorize(&self, redirect_uri: &str, state: &str, challenge: &str, more: &[(&str, &str)]) -> String {
        let fixed = [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", redirect_uri),
            ("scope", "openid profile email"),
            ("state", state),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ];
        let all = fixed.iter().chain(more);
        reqwest::Url::parse_with_params(&self.endpoint("auth"), all)
            .unwrap()
            .into()
    }

    /// The token endpoint, as the client: status and answer.
    pub async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let sent = self
            .client
            .post(self.endpoint("token"))
            .basic_auth(CLIENT, Some(CLIENT_SECRET))
            .form(form)
            .send();
        let answer = sent.await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Tokens for a password, without a browser.
    pub async fn grant(&self, user: &User, scope: &str) -> Value {
        let (name, word) = (user.username.as_str(), user.password.as_str());
        let form = [
            ("grant_type", "password"),
            ("username", name),
            ("password", word),
            ("scope", scope),
        ];
        let (status, tokens) = self.token(&form).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    // The administrator's side in general.

    /// A call below `/admin/realms/NAME`: status and answer.
    pub async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.call(method, &format!("/admin/realms/{}{path}", self.name), body)
            .await
    }

    async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.admin(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn write(&self, method: Method, path: &str, body: &Value) {
        let (status, answer) = self.admin(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let token = self.administrator().await;
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.server))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn administrator(&self) -> String {
        let mut held = self.token.lock().await;
        if let Some((token, since)) = held.as_ref()
            && since.elapsed() < FRESH
        {
            return token.clone();
        }
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.server);
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", "admin"),
            ("password", "admin"),
        ];
        let answer = self.client.post(url).form(&form).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let token = answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned();
        *held = Some((token.clone(), Instant::now()));
        token
    }
}
