//! Plugins at run time: enabled, disabled, paused, reloaded and reconfigured by command line, file edit, SIGHUP and admin API,
//! all through the same code.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use jackfield_tests::{
    github::{Call, GitHub, When},
    host::{Host, SECRET, Setup, binary},
    scratch::Scratch,
    sign,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);

async fn host(name: &str) -> (Scratch, GitHub, Host) {
    let (scratch, github) = (Scratch::new(name), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    (scratch, github, host)
}

/// What a post gets that no plugin takes: of the web app that only reads, or of a host that has none compiled in.
const NOBODYS: [u16; 2] = [405, 404];

async fn until(host: &Host, id: &str, status: &[u16]) {
    let begun = Instant::now();
    loop {
        let now = host.deliver(id, "push", sign::push()).await;
        if now.is_some_and(|now| status.contains(&now)) {
            return;
        }
        assert!(begun.elapsed() < SOON, "{now:?} and not {status:?}: {}", host.log_end());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_holds_deliveries_and_resuming_runs_them() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, mut host) = host("pause").await;
    let (status, row) = host.admin_post("/plugins/github/pause", &json!({})).await;
    assert_eq!((status, row["state"].as_str()), (200, Some("paused")));
    assert_eq!(host.deliver("held", "push", sign::push()).await, Some(200));
    let held = host.settle(&["held"], SOON).await;
    assert!(held[0]["reason"].as_str().unwrap().contains("paused"), "{}", held[0]);
    // It lives in the store: a restart does not end it.
    host.kill();
    let host = host.setup.start().await;
    assert_eq!(host.plugin_state("github").await, "paused");
    assert_eq!(host.deliver("held too", "push", sign::push()).await, Some(200));
    assert_eq!(host.settle(&["held"], SOON).await.len(), 2);
    let (code, out, error) = host.setup.run_aside(&["plugins", "resume", "github"]).await;
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(host.settle(&["done"], SOON).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_switch_a_plugin_has_the_same_effect() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("toggle"), GitHub::start());
    let file = scratch.0.join("plugins.toml");
    std::fs::write(&file, "# ours\n[plugins.github]\nenabled = \"auto\" # as it was\n").unwrap();
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    let written = |file: &Path| std::fs::read_to_string(file).unwrap();
    // By command line; it holds when the command returns, and comments stay.
    let (code, out, error) = host.setup.run_aside(&["plugins", "disable", "github"]).await;
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(
        written(&file),
        "# ours\n[plugins.github]\nenabled = false # as it was\n"
    );
    assert!(NOBODYS.contains(&host.deliver("1", "push", sign::push()).await.unwrap()));
    let (code, out, error) = host.setup.run_aside(&["plugins", "enable", "github"]).await;
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(written(&file), "# ours\n[plugins.github]\nenabled = true # as it was\n");
    assert_eq!(host.deliver("1", "push", sign::push()).await, Some(200));
    // By the admin API.
    let (status, row) = host.admin_post("/plugins/github/disable", &json!({})).await;
    assert_eq!(
        (status, row["enabled"].as_bool(), row["state"].as_str()),
        (200, Some(false), Some("disabled"))
    );
    assert!(NOBODYS.contains(&host.deliver("2", "push", sign::push()).await.unwrap()));
    // By an edit in place, and by a rename as editors do it.
    std::fs::write(&file, "# ours\n[plugins.github]\nenabled = true\n").unwrap();
    until(&host, "2", &[200]).await;
    let beside = scratch.0.join("plugins.toml.new");
    std::fs::write(&beside, "[plugins.github]\nenabled = false\n").unwrap();
    std::fs::rename(&beside, &file).unwrap();
    until(&host, "3", &NOBODYS).await;
    // A broken file changes nothing and is counted.
    std::fs::write(&file, "[plugins.github\nenabled = true\n").unwrap();
    let begun = Instant::now();
    while !host
        .metrics()
        .await
        .contains(r#"jackfield_config_reload_total{result="refused"}"#)
    {
        assert!(
            begun.elapsed() < SOON,
            "the broken file is not reported: {}",
            host.log_end()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(NOBODYS.contains(&host.deliver("3", "push", sign::push()).await.unwrap()));
    assert!(host.log().contains("the old one stays"));
    std::fs::write(&file, "[plugins.github]\nenabled = true\n").unwrap();
    host.signal("HUP");
    until(&host, "3", &[200]).await;
    assert_eq!(host.settle(&["done"], SOON).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_names_what_to_edit() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("read-only"), GitHub::start());
    let file = scratch.0.join("plugins.toml");
    std::fs::write(&file, "[plugins.github]\nenabled = true\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    let (code, _, error) = host.setup.run_aside(&["plugins", "disable", "github"]).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("plugins.toml") && error.contains("plugins.github.enabled"),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "[plugins.github]\nenabled = true\n"
    );
    assert_eq!(
        host.deliver("d", "push", sign::push()).await,
        Some(200),
        "nothing changed"
    );
    let (status, body) = host.admin_post("/plugins/github/disable", &json!({})).await;
    assert_eq!(status, 409);
    assert!(body["detail"].as_str().unwrap().contains("plugins.toml"), "{body}");
    let (code, _, error) = host.setup.run_aside(&["plugins", "pause", "github"]).await;
    assert_eq!(code, 0, "a pause is not in the file: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_lets_requests_and_stories_go_on() {
    let Some(_) = binary() else { return };
    let (_scratch, github, host) = host("reload").await;
    let generation = async || {
        let rows = host.admin("/plugins").await;
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == "github");
        row.unwrap()["generation"].as_u64().unwrap()
    };
    let before = generation().await;
    let mut trap = github.world.trap(Call::Permission, When::Before);
    assert_eq!(
        host.deliver("story", "issue_comment", sign::mention(1)).await,
        Some(200)
    );
    trap.caught().await;
    let client = host.client.clone();
    let hook = host.hook();
    let sending = tokio::spawn(async move {
        let mut statuses = Vec::new();
        for at in 0..150 {
            let request = sign::hub(
                client.post(&hook),
                SECRET,
                &format!("during-{at}"),
                "push",
                sign::push(),
            );
            statuses.push(request.send().await.unwrap().status().as_u16());
        }
        statuses
    });
    for _ in 0..3 {
        let (code, out, error) = host.setup.run_aside(&["plugins", "reload", "github"]).await;
        assert_eq!(code, 0, "{out}{error}");
    }
    assert!(generation().await >= before + 3);
    trap.release();
    let statuses = sending.await.unwrap();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let rows = host.settle(&["done"], Duration::from_secs(60)).await;
    assert_eq!(rows.len(), 151);
    assert_eq!(github.reactions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_while_stories_run_loses_none() {
    let Some(_) = binary() else { return };
    let (_scratch, github, host) = host("disable").await;
    let mut trap = github.world.trap(Call::Reaction, When::After);
    assert_eq!(
        host.deliver("story", "issue_comment", sign::mention(1)).await,
        Some(200)
    );
    trap.caught().await;
    let switching = tokio::spawn({
        let setup = host.setup.clone();
        async move { setup.run_aside(&["plugins", "disable", "github"]).await }
    });
    until(&host, "unmounted", &NOBODYS).await;
    trap.release();
    let (code, out, error) = switching.await.unwrap();
    assert_eq!(code, 0, "{out}{error}");
    // Whether it ended on the generation that was leaving or is kept for the next one: it is not lost.
    let (code, _, error) = host.setup.run_aside(&["plugins", "enable", "github"]).await;
    assert_eq!(code, 0, "{error}");
    host.settle(&["done"], SOON).await;
    assert_eq!(github.reactions().len(), 1);
}

/// A secret in a file rotates without a restart, as Kubernetes writes it: a directory link is swapped.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_file_is_picked_up() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("rotate"), GitHub::start());
    let mount = scratch.0.join("mounted");
    let version = |name: &str, secret: &str| {
        let folder = mount.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("webhook"), secret).unwrap();
        let link = mount.join(format!("{name}.link"));
        std::os::unix::fs::symlink(name, &link).unwrap();
        std::fs::rename(&link, mount.join("..data")).unwrap();
    };
    version("..one", SECRET);
    std::os::unix::fs::symlink("..data/webhook", mount.join("webhook")).unwrap();
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .without("GITHUB_APP_WEBHOOK_SECRET")
        .with(
            "GITHUB_APP_WEBHOOK_SECRET_FILE",
            mount.join("webhook").to_str().unwrap(),
        )
        .start()
        .await;
    let send = async |secret: &str, id: &str| {
        let request = sign::hub(host.client.post(host.hook()), secret, id, "push", sign::push());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(SECRET, "before").await, 200);
    assert_eq!(send("the next secret", "too early").await, 401);
    version("..two", "the next secret");
    let begun = Instant::now();
    while send("the next secret", "after").await != 200 {
        assert!(
            begun.elapsed() < SOON,
            "the new secret is not taken: {}",
            host.log_end()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(send(SECRET, "the old one").await, 401);
    assert_eq!(host.settle(&["done"], SOON).await.len(), 2);
}

/// Log level, origins and the operator key change in place; what needs a restart says so.
#[tokio::test(flavor = "multi_thread")]
async fn host_settings_change_without_a_restart_where_they_can() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("settings"), GitHub::start());
    let file = scratch.0.join("jackfield.toml");
    std::fs::write(&file, "[cors]\norigins = [\"https://one.example\"]\n").unwrap();
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    let allowed = async |origin: &str| {
        let answer = host
            .client
            .get(host.url("/alive"))
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        answer.headers().contains_key("access-control-allow-origin")
    };
    assert!(allowed("https://one.example").await && !allowed("https://two.example").await);
    std::fs::write(
        &file,
        "[cors]\norigins = [\"https://two.example\"]\n[limits]\nidle = 33\n",
    )
    .unwrap();
    let begun = Instant::now();
    while !allowed("https://two.example").await {
        assert!(
            begun.elapsed() < SOON,
            "the new origin is not allowed: {}",
            host.log_end()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!allowed("https://one.example").await);
    assert!(
        host.log().contains("limits.idle"),
        "it does not say what needs a restart: {}",
        host.log_end()
    );
    let rows: Value = host.admin("/config").await;
    assert!(rows.to_string().contains("https://two.example"));
}
