//! Plugins in files know who calls, what opens something is nowhere, and who may call what was reviewed.

use jackfield_tests::{
    github::GitHub,
    host::{Host, Setup, binary},
    scratch::Scratch,
    turnstile::{Site, builds},
};
use serde_json::{Value, json};

use super::{browser, command, follow, key, link, read, with_key};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_a_file_knows_who_calls() {
    let Some([build, _]) = builds() else { return };
    let site = Site::start("season", &build).await;
    let host = &site.host;
    let request = browser().get(host.url("/turnstile/season")).send().await.unwrap();
    assert_eq!(read(request).await, (401, json!({ "error": "NoCredentialsError" })));
    let ann = follow(host, &link(host, Some("ann@example.com")).await).await.unwrap();
    let (status, season) = ann.get("/turnstile/season").await;
    assert_eq!(
        (status, season["email"].as_str()),
        (200, Some("ann@example.com")),
        "{season}"
    );
    assert!(season["organization"].as_str().is_some_and(|id| !id.is_empty()));

    let lock = async |key: &str| {
        let request = browser().post(host.url("/turnstile/lock")).bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        lock(&key(host, "ann@example.com", &["turnstile:read"]).await).await,
        403
    );
    assert_eq!(
        lock(&key(host, "ann@example.com", &["turnstile:lock"]).await).await,
        204
    );
    let (_, trail, _) = host.setup.run(&["admin", "audit", "export"]);
    let entry: Value = serde_json::from_str(trail.lines().last().unwrap()).unwrap();
    assert_eq!(
        (entry["action"].as_str(), entry["detail"]["plugin"].as_str()),
        (Some("turnstile.locked"), Some("turnstile"))
    );
    assert!(entry["actor"].as_str().unwrap().starts_with("key:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_something_is_nowhere() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("people-canary");
    let host = Setup::plain(scratch.0.clone())
        .with("JACKFIELD_LOG", "debug")
        .start()
        .await;
    let link = link(&host, Some("ann@example.com")).await;
    let ann = follow(&host, &link).await.unwrap();
    let (_, made) = ann.post("/api/keys", json!({ "name": "ci" })).await;
    let hers = made["key"].as_str().unwrap().to_owned();
    assert_eq!(with_key(&host, &hers, "/api/v1/users/me").await, 200);
    let codes = browser()
        .post(host.url("/oauth/device/authorize"))
        .send()
        .await
        .unwrap();
    let codes: Value = codes.json().await.unwrap();
    let device = codes["device_code"].as_str().unwrap();
    let asked = browser()
        .post(host.url("/oauth/device/token"))
        .form(&[("device_code", device)]);
    assert_eq!(asked.send().await.unwrap().status(), 400);
    assert_eq!(with_key(&host, "sk-oh-canary-of-a-wrong-key", "/api/keys").await, 401);

    let mut places = vec![("the log", host.log()), ("the metrics", host.metrics().await)];
    for arguments in [
        &["admin", "users", "list", "--json"][..],
        &["admin", "sessions", "list", "ann@example.com", "--json"],
        &["admin", "audit", "export"],
    ] {
        places.push(("a command", host.setup.run(arguments).1));
    }
    places.push(("the list of keys", ann.get("/api/keys").await.1.to_string()));
    places.push((
        "the list of sessions",
        ann.get("/api/v1/users/me/sessions").await.1.to_string(),
    ));
    let cookie = ann.cookie.trim_start_matches("keycloak_auth=").to_owned();
    let token = link.split_once("token=").unwrap().1;
    let canaries = [&cookie, &hers, token, device, "sk-oh-canary-of-a-wrong-key"];
    for (place, text) in &places {
        for canary in canaries {
            assert!(!text.contains(canary), "{canary} is in {place}: {text}");
        }
    }
    assert!(places[0].1.contains("/oauth/local/callback"), "the log was looked at");
    let data = scratch.0.join("data");
    let mut files = 0;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        files += 1;
        for canary in canaries {
            let found = bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!found, "{canary} is in {}", path.display());
        }
    }
    assert!(files >= 2, "{} was not looked at", data.display());
}

/// Every route that is mounted, who may call it, and its rate-limit class. A change here is a change of who reaches what:
/// `JACKFIELD_TEST_WRITE=1` writes it.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_what_is_what_was_reviewed() {
    if binary().is_none() {
        return;
    }
    let (scratch, github) = (Scratch::new("policies"), GitHub::start());
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    let local = routes(&setup.start().await);
    // It starts without Keycloak, and nobody signs in here.
    let keycloak = setup
        .with("KEYCLOAK_SERVER_URL", "http://127.0.0.1:9")
        .with("KEYCLOAK_CLIENT_SECRET", "of-nobody")
        .with("JACKFIELD_PUBLIC_URL", "http://127.0.0.1:9");
    let keycloak = routes(&keycloak.start().await);
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let mut lines: Vec<String> = local.iter().filter(|line| keycloak.contains(line)).cloned().collect();
    lines.push("\nWith local sign-in alone:".to_owned());
    lines.extend(only(&local, &keycloak));
    lines.push("\nWith Keycloak alone:".to_owned());
    lines.extend(only(&keycloak, &local));
    let now = lines.join("\n") + "\n";
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies.txt");
    if std::env::var_os("JACKFIELD_TEST_WRITE").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        now, reviewed,
        "look at tests/policies.txt, and write it with JACKFIELD_TEST_WRITE=1"
    );
}

/// A line for each route of a host.
fn routes(host: &Host) -> Vec<String> {
    let rows = command(host, &["routes", "--json"]);
    let line = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        ["method", "path", "plugin", "policy", "rate_limit"]
            .map(text)
            .join("  ")
    };
    rows.as_array().unwrap().iter().map(line).collect()
}
