//! README's "Sign in with Keycloak", typed as it stands there, signs somebody in with the realm for production.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use jackfield_tests::{
    git_provider::{Account, Asked, GitProvider},
    host::{binary, client},
    keycloak::{Browser, home},
    process::Group,
    scratch::{Scratch, free_address, free_port},
};

const README: &str = include_str!("../../../README.md");
/// A first start builds Keycloak and its database.
const READY: Duration = Duration::from_secs(240);

/// What is typed in each terminal.
fn terminals() -> Vec<String> {
    let section = README.split("## Sign in with Keycloak").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// A terminal: its commands in a shell of their own, in the repository.
fn terminal(text: &str, scratch: &Scratch, log: &str, variables: &[(&str, &str)]) -> Group {
    let log = std::fs::File::create(scratch.0.join(log)).unwrap();
    let script = format!("set -e\nshopt -s expand_aliases\nalias jackfield=\"$HOST_BIN\"\n{text}");
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &script])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .envs(variables.iter().copied())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Group::spawn(&mut shell, None)
}

async fn answers(url: &str, scratch: &Scratch, log: &str) {
    let begun = Instant::now();
    while !client()
        .get(url)
        .send()
        .await
        .is_ok_and(|answer| answer.status() == 200)
    {
        let said = || std::fs::read_to_string(scratch.0.join(log)).unwrap_or_default();
        assert!(begun.elapsed() < READY, "{url} does not answer: {}", said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readme_signs_in_with_github_through_keycloak() {
    let (Some(host), Some(home)) = (binary(), home()) else {
        return;
    };
    let scratch = Scratch::new("kc-readme");
    let keycloak = scratch.0.join("keycloak");
    let copied = Command::new("cp").arg("-r").arg(home).arg(&keycloak).status().unwrap();
    assert!(copied.success());
    // As it is unpacked: the suites have left realms of their own in it.
    let _ = std::fs::remove_dir_all(keycloak.join("data"));
    let git = GitProvider::start().await;
    git.present(Account::new(4242, "octo"));
    let (port, listen, admin) = (free_port().to_string(), free_address(), free_address());
    let secret = "0123456789abcdef0123456789abcdef";
    let [first, second] = terminals().try_into().expect("README has two terminals");
    let typed = |text: &str| {
        let text = text.replace("$(openssl rand -hex 32)", secret);
        let text = text.replace("KEYCLOAK_CLIENT_SECRET=…", &format!("KEYCLOAK_CLIENT_SECRET={secret}"));
        let text = text
            .replace("_ID=…", "_ID=stub-client")
            .replace("_SECRET=…", "_SECRET=stub-secret");
        assert!(!text.contains('…'), "{text}");
        let text = text
            .replace("https://github.com", &git.url)
            .replace("https://api.github.com", &git.api());
        text.replace("8180", &port).replace("127.0.0.1:3000", &listen)
    };
    let place = keycloak.display().to_string();
    let management = free_port().to_string();
    let _keycloak = terminal(
        &typed(&first),
        &scratch,
        "keycloak.log",
        &[
            ("KEYCLOAK", &place),
            ("KC_HTTP_MANAGEMENT_PORT", &management),
            ("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m"),
        ],
    );
    let issuer = format!("http://127.0.0.1:{port}/realms/allhands");
    answers(&issuer, &scratch, "keycloak.log").await;
    let data = scratch.0.join("data").display().to_string();
    let _host = terminal(
        &typed(&second),
        &scratch,
        "host.log",
        &[
            ("HOST_BIN", &host.display().to_string()),
            ("JACKFIELD_LISTEN", &listen),
            ("JACKFIELD_ADMIN_LISTEN", &admin),
            ("JACKFIELD_DATA_DIR", &data),
        ],
    );
    answers(&format!("http://{admin}/readyz"), &scratch, "host.log").await;

    // As the app's button for GitHub does.
    let callback = format!("http://{listen}/oauth/keycloak/callback");
    let home = format!("http://{listen}/?login_method=github");
    let start = reqwest::Url::parse_with_params(
        &format!("http://{listen}/realms/allhands/protocol/openid-connect/auth"),
        [
            ("client_id", "allhands"),
            ("kc_idp_hint", "github"),
            ("response_type", "code"),
            ("redirect_uri", &callback),
            ("scope", "openid email profile"),
            ("state", &home),
        ],
    );
    let mut browser = Browser::new();
    let visit = browser.open(start.unwrap().as_str()).await;
    assert_eq!(visit.url.as_str(), home, "{visit:#?}");
    assert_eq!(git.count(Asked::Exchange), 1);
    let me = client()
        .get(format!("http://{listen}/api/v1/users/me"))
        .header("cookie", browser.cookies(&home))
        .send()
        .await
        .unwrap();
    let me: serde_json::Value = me.json().await.unwrap();
    assert_eq!(me["email"], "octo@example.com", "{me}");
    let config: serde_json::Value = client()
        .get(format!("http://{listen}/api/v1/web-client/config"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(config["auth_url"], format!("http://{listen}"));
    assert_eq!(config["providers_configured"], serde_json::json!(["github"]));
}
