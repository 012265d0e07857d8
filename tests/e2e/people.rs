//! People at the shipped host: the first link, sessions, keys, devices, gates and operators, on SQLite and on two replicas of
//! one PostgreSQL.

mod proof;

use std::time::{Duration, Instant};

use jackfield_tests::{
    host::{Host, Setup, binary},
    postgres::database,
    scratch::Scratch,
};
use reqwest::{Method, Response, header};
use serde_json::{Value, json};

/// A browser without a jar: the cookie is in our hands.
fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

pub(crate) struct Signed<'h> {
    host: &'h Host,
    /// `NAME=VALUE`.
    pub(crate) cookie: String,
}

impl Signed<'_> {
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = browser()
            .request(method, self.host.url(path))
            .header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.send(Method::GET, path, None).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.send(Method::POST, path, Some(body)).await).await
    }
}

pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

/// Follows a link as a browser does; `None` when it lets nobody in.
pub(crate) async fn follow<'h>(host: &'h Host, link: &str) -> Option<Signed<'h>> {
    let path = link
        .split_once("/oauth")
        .map(|(_, rest)| format!("/oauth{rest}"))
        .unwrap();
    let response = browser().get(host.url(&path)).send().await.unwrap();
    let cookie = response.headers().get(header::SET_COOKIE)?.to_str().unwrap().to_owned();
    assert_eq!(response.status(), 303);
    assert!(
        cookie.starts_with("keycloak_auth=") && cookie.ends_with("; HttpOnly; Path=/; SameSite=lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    Some(Signed { host, cookie })
}

fn command(host: &Host, arguments: &[&str]) -> Value {
    let (code, out, err) = host.setup.run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap()
}

pub(crate) async fn link(host: &Host, email: Option<&str>) -> String {
    let mut arguments = vec!["admin", "sign-in-link", "--json"];
    arguments.extend(email.iter().flat_map(|email| ["--email", email]));
    command(host, &arguments)["url"].as_str().unwrap().to_owned()
}

pub(crate) async fn key(host: &Host, email: &str, scopes: &[&str]) -> String {
    let mut arguments = vec!["admin", "keys", "create", "--json", "--email", email, "--name", "test"];
    arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    command(host, &arguments)["key"].as_str().unwrap().to_owned()
}

async fn with_key(host: &Host, key: &str, path: &str) -> u16 {
    let request = browser().get(host.url(path)).bearer_auth(key);
    request.send().await.unwrap().status().as_u16()
}

/// The host is ready a moment before it prints the link.
async fn printed_link(host: &Host) -> String {
    let begun = Instant::now();
    loop {
        let printed = host.printed();
        if let Some(line) = printed
            .lines()
            .find(|line| line.contains("/oauth/local/callback?token="))
        {
            return line.rsplit(' ').next().unwrap().to_owned();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "no link was printed: {printed}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_link_signs_the_owner_in_once() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("owner");
    let host = Setup::plain(scratch.0.clone()).start().await;
    let link = printed_link(&host).await;
    let link = link.as_str();
    assert!(!host.log().contains(link), "the link is in the log");
    let owner = follow(&host, link).await.expect("the link lets nobody in");
    assert!(follow(&host, link).await.is_none(), "it worked twice");

    let (status, me) = owner.get("/api/v1/users/me").await;
    assert_eq!(
        (status, me["operator"].as_bool(), me["email"].as_str()),
        (200, Some(true), Some("owner@localhost"))
    );
    assert_eq!(
        owner.post("/api/authenticate", json!({})).await,
        (200, json!({ "message": "User authenticated" }))
    );
    // The owner operates this host.
    assert_eq!(owner.get("/api/admin/v1/plugins").await.0, 200);
    assert_eq!(owner.get("/openapi.json").await.0, 200);
    for (path, status) in [
        ("/docs", 308),
        ("/docs/", 200),
        ("/docs/swagger-ui-bundle.js", 200),
        ("/docs/x.js", 404),
    ] {
        assert_eq!(owner.send(Method::GET, path, None).await.status(), status, "{path}");
        assert_eq!(
            browser().get(host.url(path)).send().await.unwrap().status(),
            401,
            "{path}"
        );
    }

    let page = owner.send(Method::GET, "/docs/swagger-initializer.js", None).await;
    let page = page.text().await.unwrap();
    assert!(page.contains("/openapi.json"), "{page}");
    assert!(
        page.contains(r#""validatorUrl": "none""#),
        "another host is asked: {page}"
    );

    let answer = owner.send(Method::POST, "/api/logout", Some(json!({}))).await;
    assert!(
        answer.headers()[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    let (status, refused) = owner.get("/api/v1/users/me").await;
    assert_eq!(
        (status, refused),
        (401, json!({ "error": "Invalid authentication token" }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_its_owners_and_an_operators_is_more() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("account");
    let host = Setup::plain(scratch.0.clone()).start().await;
    let ann = follow(&host, &link(&host, Some("ann@example.com")).await)
        .await
        .unwrap();
    assert_eq!(ann.get("/api/admin/v1/users").await.0, 403);
    let (status, made) = ann.post("/api/keys", json!({ "name": "ci" })).await;
    assert_eq!(status, 200, "{made}");
    let hers = made["key"].as_str().unwrap();
    assert_eq!(with_key(&host, hers, "/api/v1/users/me").await, 200);
    assert_eq!(with_key(&host, hers, "/api/admin/v1/users").await, 403);
    let (status, refused) = ann.post("/api/keys", json!({ "scopes": ["operator"] })).await;
    assert!(status >= 400, "{refused}");

    let operators = key(&host, "ann@example.com", &["operator"]).await;
    assert_eq!(with_key(&host, &operators, "/api/admin/v1/users").await, 200);
    command(
        &host,
        &[
            "admin",
            "users",
            "set",
            "ann@example.com",
            "--operator",
            "true",
            "--json",
        ],
    );
    await_status(&ann, "/api/admin/v1/users", 200).await;
    command(
        &host,
        &[
            "admin",
            "users",
            "set",
            "ann@example.com",
            "--disabled",
            "true",
            "--json",
        ],
    );
    await_status(&ann, "/api/v1/users/me", 401).await;
    assert_eq!(with_key(&host, hers, "/api/v1/users/me").await, 401);

    let (code, trail, _) = host.setup.run(&["admin", "audit", "export"]);
    let actions: Vec<String> = trail
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["action"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(code, 0);
    for action in [
        "sign_in_link.made",
        "session.began",
        "key.created",
        "person.operator",
        "person.disabled",
    ] {
        assert!(
            actions.iter().any(|one| one == action),
            "{action} is not in {actions:?}"
        );
    }
    assert!(!trail.contains(hers) && !trail.contains(&operators));
}

async fn await_status(signed: &Signed<'_>, path: &str, status: u16) {
    let begun = Instant::now();
    loop {
        let (now, _) = signed.get(path).await;
        if now == status {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{path} is {now} instead of {status}"
        );
        // People may come ten times a second.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_on_one_replica_opens_nothing_on_the_other_a_second_later() {
    let (Some(_), Some(url)) = (binary(), database().await) else {
        return;
    };
    let scratches = [Scratch::new("people-one"), Scratch::new("people-two")];
    let setup = |at: usize| Setup::plain(scratches[at].0.clone()).with("JACKFIELD_DATABASE_URL", &url);
    // A clock that is off hides nothing: the database's counts.
    let second = setup(1).clock_off_by(90);
    let (first, second) = (setup(0).start().await, second.start().await);
    if second.setup.variables.iter().any(|(name, _)| name == "FAKETIME") {
        assert!(
            second.log().contains("this machine's clock is not the database's"),
            "{}",
            second.log()
        );
    }
    let ann = follow(&first, &link(&first, Some("ann@example.com")).await)
        .await
        .unwrap();
    let there = Signed {
        host: &second,
        cookie: ann.cookie.clone(),
    };
    let (status, sessions) = there.get("/api/v1/users/me/sessions").await;
    assert_eq!((status, sessions[0]["current"].as_bool()), (200, Some(true)));
    let hers = key(&first, "ann@example.com", &[]).await;
    assert_eq!(with_key(&second, &hers, "/api/v1/users/me").await, 200);

    let all = second.admin("/sessions?limit=1").await;
    let me = there.get("/api/v1/users/me").await.1;
    let (row, id) = (&all["sessions"][0], &sessions[0]["id"]);
    assert_eq!(
        (&row["person"], &row["id"], &all["next_cursor"]),
        (&me["id"], id, id),
        "{all}"
    );
    let after = second
        .admin(&format!("/sessions?cursor={}", id.as_str().unwrap()))
        .await;
    assert_eq!(after, json!({ "sessions": [], "next_cursor": null }));

    let id = sessions[0]["id"].as_str().unwrap();
    let ended = ann
        .send(Method::DELETE, &format!("/api/v1/users/me/sessions/{id}"), None)
        .await;
    assert_eq!(ended.status(), 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(there.get("/api/v1/users/me").await.0, 401);
    assert_eq!(
        with_key(&second, &hers, "/api/v1/users/me").await,
        200,
        "the key is another credential"
    );

    // Entries of both replicas make one chain.
    let both = futures_util::future::join_all((0..20).map(|at| {
        let host = if at % 2 == 0 { &first } else { &second };
        let link = json!({ "email": format!("p{at}@example.com") });
        async move { host.admin_post("/sign-in-links", &link).await.0 }
    }));
    assert!(both.await.iter().all(|status| *status == 200));
    let (code, trail, err) = second.setup.run(&["admin", "audit", "export"]);
    assert_eq!(code, 0, "{err}");
    assert!(trail.lines().count() >= 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_approved_in_the_browser() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("device");
    let host = Setup::plain(scratch.0.clone()).start().await;
    let post = async |path: &str, form: &[(&str, &str)]| {
        let response = browser().post(host.url(path)).form(form).send().await.unwrap();
        read(response).await
    };
    let (status, codes) = post("/oauth/device/authorize", &[]).await;
    assert_eq!(status, 200);
    assert_eq!(
        (codes["expires_in"].as_u64(), codes["interval"].as_u64()),
        (Some(600), Some(5))
    );
    let (device, user) = (
        codes["device_code"].as_str().unwrap(),
        codes["user_code"].as_str().unwrap(),
    );
    let at = codes["verification_uri_complete"].as_str().unwrap();
    assert!(at.ends_with(&format!("/oauth/device/verify?user_code={user}")), "{at}");

    let (status, pending) = post("/oauth/device/token", &[("device_code", device)]).await;
    let expected = json!({ "error": "authorization_pending", "error_description": "User has not yet completed authorization", "interval": null });
    assert_eq!((status, pending), (400, expected));
    let (status, soon) = post("/oauth/device/token", &[("device_code", device)]).await;
    assert_eq!(
        (status, soon["error"].as_str(), soon["interval"].as_u64()),
        (400, Some("slow_down"), Some(10))
    );
    assert_eq!(
        post("/oauth/device/token", &[("device_code", "x")]).await.1["error"],
        "invalid_grant"
    );
    assert_eq!(post("/oauth/device/token", &[]).await.0, 422);
    let (status, refused) = post("/oauth/device/verify-authenticated", &[("user_code", user)]).await;
    assert_eq!((status, refused), (401, json!({ "error": "NoCredentialsError" })));

    let ann = follow(&host, &link(&host, Some("ann@example.com")).await)
        .await
        .unwrap();
    let decide = async |path: &str| {
        let request = browser().post(host.url(path)).header("cookie", &ann.cookie);
        read(request.form(&[("user_code", user)]).send().await.unwrap()).await
    };
    let approved = decide("/oauth/device/verify-authenticated").await;
    assert_eq!(approved, (200, json!({ "message": "Device authorized successfully!" })));
    let trail = host.admin("/audit").await;
    let rows = trail.as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["action"] == "device.approved")
        .expect("it is on record");
    assert_eq!(row["address"], "127.0.0.1");
    let again = decide("/oauth/device/deny").await;
    assert_eq!(
        again,
        (400, json!({ "detail": "This device code has already been processed." }))
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (status, token) = post("/oauth/device/token", &[("device_code", device)]).await;
    assert_eq!((status, token["token_type"].as_str()), (200, Some("Bearer")));
    assert_eq!(
        with_key(&host, token["access_token"].as_str().unwrap(), "/api/v1/users/me").await,
        200
    );
    assert_eq!(
        post("/oauth/device/token", &[("device_code", device)]).await.1["error"],
        "invalid_grant"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_come_before_everything_else() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("terms");
    let host = Setup::plain(scratch.0.clone())
        .with("JACKFIELD_IDENTITY__TERMS", "true")
        .start()
        .await;
    let ann = follow(&host, &link(&host, Some("ann@example.com")).await)
        .await
        .unwrap();
    let not_yet = (401, json!({ "error": "TosNotAcceptedError" }));
    assert_eq!(ann.post("/api/authenticate", json!({})).await, not_yet);
    assert_eq!(ann.get("/api/keys").await, not_yet);
    let hers = key(&host, "ann@example.com", &[]).await;
    assert_eq!(with_key(&host, &hers, "/api/keys").await, 401);
    let (status, accepted) = ann
        .post("/api/accept_tos", json!({ "redirect_url": "/settings" }))
        .await;
    assert_eq!((status, accepted), (200, json!({ "redirect_url": "/settings" })));
    assert_eq!(ann.post("/api/authenticate", json!({})).await.0, 200);
    assert_eq!(with_key(&host, &hers, "/api/keys").await, 200);
}
