//! Probes, refusals, configuration, and plugins at run time.

use std::{collections::BTreeSet, time::Duration};

use jackfield_tests::{
    github::GitHub,
    host::{OPERATOR, SECRET, Scratch, Setup, binary},
};
use serde_json::{Value, json};

async fn host(name: &str) -> (Scratch, GitHub, jackfield_tests::host::Host) {
    let (scratch, github) = (Scratch::new(name), GitHub::start().await);
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    (scratch, github, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_the_anonymous() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("probes").await;
    for (path, status, body) in [
        ("/alive", 200, r#"{"status":"ok"}"#),
        ("/health", 200, r#""OK""#),
        ("/ready", 200, r#""OK""#),
        ("/saas", 200, r#"{"saas":true}"#),
        ("/api/unknown", 401, r#"{"error":"NoCredentialsError"}"#),
        ("/api/admin/v1/plugins", 401, r#"{"error":"NoCredentialsError"}"#),
        ("/mcp", 401, r#"{"error":"NoCredentialsError"}"#),
    ] {
        let answer = host.client.get(host.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.text().await.unwrap(), body, "{path}");
    }
    let missing = host.client.get(host.url("/assets/x.js")).send().await.unwrap();
    assert_eq!(
        (
            missing.status().as_u16(),
            missing.headers()["cache-control"].to_str().unwrap()
        ),
        (404, "no-store")
    );
    let unknown = host
        .client
        .get(host.url("/api/unknown"))
        .bearer_auth(OPERATOR)
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_oversized_deliveries_are_refused_and_not_stored() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("refusals").await;
    let post = |signature: &str, body: Vec<u8>| {
        host.client
            .post(host.url("/integration/github/events"))
            .header("x-github-delivery", "d")
            .header("x-hub-signature-256", signature)
            .body(body)
            .send()
    };
    assert_eq!(post("sha256=00", b"{}".to_vec()).await.unwrap().status(), 401);
    assert_eq!(
        host.client
            .post(host.url("/integration/github/events"))
            .body("{}")
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let big = vec![b' '; (26 << 20) + 1];
    assert_eq!(
        post(&jackfield_tests::sign::hub_signature(SECRET, &big), big)
            .await
            .unwrap()
            .status(),
        413
    );
    assert!(host.deliveries().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_holds_deliveries_and_resuming_runs_them() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("pause").await;
    let (status, row) = host.admin_post("/plugins/github/pause", &json!({})).await;
    assert_eq!((status, row["state"].as_str()), (200, Some("paused")));
    assert_eq!(
        host.deliver("held", "push", b"{\"installation\":{\"id\":1}}".to_vec())
            .await,
        Some(200)
    );
    host.settle(&["held"], Duration::from_secs(10)).await;
    let (code, out, _) = host.setup.run(&["plugins", "resume", "github"]);
    assert_eq!(code, 0, "{out}");
    let all = host.settle(&["done"], Duration::from_secs(10)).await;
    assert_eq!(all.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_edit_switches_a_plugin_and_keeps_its_comments() {
    let Some(_) = binary() else { return };
    let scratch = Scratch::new("toggle");
    let github = GitHub::start().await;
    let file = scratch.0.join("plugins.toml");
    std::fs::write(&file, "# ours\n[plugins.github]\nenabled = \"auto\" # as it was\n").unwrap();
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    let (code, out, error) = host.setup.run(&["plugins", "disable", "github"]);
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "# ours\n[plugins.github]\nenabled = false # as it was\n"
    );
    assert_eq!(host.deliver("x", "push", b"{}".to_vec()).await, Some(404));
    std::fs::write(&file, "# ours\n[plugins.github]\nenabled = true\n").unwrap();
    for _ in 0..100 {
        if host
            .deliver("y", "push", b"{\"installation\":{\"id\":1}}".to_vec())
            .await
            == Some(200)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the edit was not taken: {}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_deliveries_are_replayed_and_done_ones_are_left() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("replay").await;
    assert_eq!(
        host.deliver(
            "bad",
            "issues",
            b"{\"installation\":{\"id\":1},\"action\":\"labeled\",\"issue\":5}".to_vec()
        )
        .await,
        Some(200)
    );
    let all = host.settle(&["dead"], Duration::from_secs(20)).await;
    let (code, out, error) = host.setup.run(&["deliveries", "replay", "--state", "dead", "--json"]);
    assert_eq!(code, 0, "{out}{error}");
    let replay: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (replay["armed"].as_u64(), replay["finished"].as_bool()),
        (Some(1), Some(true))
    );
    let again = host.settle(&["dead"], Duration::from_secs(20)).await;
    assert!(again[0]["attempts"].as_u64() > all[0]["attempts"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_directory_is_refused_and_names_the_pid() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("second").await;
    let (code, _, error) = host.setup.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(error.contains(&format!("pid {}", host.child.id())), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere() {
    let Some(_) = binary() else { return };
    let (_scratch, github, host) = host("canary").await;
    assert_eq!(
        host.deliver("c", "push", b"{\"installation\":{\"id\":1}}".to_vec())
            .await,
        Some(200)
    );
    let all = host.settle(&["done"], Duration::from_secs(10)).await;
    let mut seen = host.log();
    for arguments in [
        vec!["config", "show", "--sources"],
        vec!["check"],
        vec!["deliveries", "show", all[0]["id"].as_str().unwrap()],
    ] {
        let (_, out, error) = host.setup.run(&arguments);
        seen.push_str(&out);
        seen.push_str(&error);
    }
    let metrics = host
        .client
        .get(format!("http://{}/metrics", host.setup.admin))
        .send()
        .await
        .unwrap();
    seen.push_str(&metrics.text().await.unwrap());
    let key_line = github.private_key.lines().nth(1).unwrap();
    for canary in [SECRET, OPERATOR, key_line, "ghs_stub"] {
        assert!(!seen.contains(canary), "a secret is shown");
    }
    assert!(seen.contains("jackfield_deliveries_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configuration_exits_78_and_names_place_and_fix() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("config"), GitHub::start().await);
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    std::fs::write(scratch.0.join("plugins.toml"), "[plugins.github]\nenabeld = true\n").unwrap();
    let (code, out, _) = setup.run(&["check", "--json"]);
    assert_eq!(code, 78);
    let report: Value = serde_json::from_str(&out).unwrap();
    let problem = &report["problems"][0];
    assert_eq!(
        (problem["line"].as_u64(), problem["suggestion"].as_str()),
        (Some(2), Some("enabled"))
    );
    let (code, _, error) = setup.clone().with("JACKFIELD_LISTN", "x").run(&["serve"]);
    assert_eq!(code, 78);
    assert!(error.contains("JACKFIELD_LISTEN"), "{error}");
}

/// `inventory` loses what no crate refers to, so the set is counted.
#[test]
fn the_shipped_binary_holds_every_plugin_of_the_repository() {
    let Some(_) = binary() else { return };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let scratch = Scratch::new("count");
    let setup = Setup::new(scratch.0.clone(), "http://127.0.0.1:9", "");
    let (_, out, error) = setup.run(&["plugins", "list", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
    let found: BTreeSet<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, there);
}
