//! `jackfield backup`: an archive made while deliveries come in, and a host that starts on what it holds.

use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

use jackfield_tests::{
    github::GitHub,
    host::{Setup, binary},
    load::Load,
    scratch::Scratch,
};
use serde_json::{Value, json};

use crate::people::{follow, key, link};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_a_backup_is_on_the_host_that_is_restored_from_it() {
    if binary().is_none() {
        return;
    }
    let github = GitHub::start();
    let (there, here) = (Scratch::new("backup"), Scratch::new("restored"));
    let setup = |at: &Scratch| Setup::new(at.0.clone(), &github.url, &github.private_key);
    let host = setup(&there).start().await;
    let ann = follow(&host, &link(&host, Some("ann@example.com")).await)
        .await
        .unwrap();
    let (status, _) = ann
        .post(
            "/api/secrets",
            json!({ "name": "TOKEN", "value": "sealed-by-the-ring" }),
        )
        .await;
    assert_eq!(status, 201);
    let hers = key(&host, "ann@example.com", &[]).await;

    let load = Load::start(host.hook(), 1_000);
    while load.sent() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = host.deliveries().await;
    let archive = there.0.join("jackfield.tar.gz");
    let name = archive.to_str().unwrap();
    let (code, out, error) = host.setup.run_aside(&["backup", name, "--json"]).await;
    assert_eq!(code, 0, "{error}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let holds = made["holds"].as_array().unwrap();
    for one in ["jackfield.db", "plugins/settings.db", "plugins/users.db", "keyring"] {
        assert!(holds.contains(&json!(one)), "{made}");
    }
    let meta = std::fs::metadata(&archive).unwrap();
    assert_eq!(
        (Some(meta.len()), meta.permissions().mode() & 0o777),
        (made["bytes"].as_u64(), 0o600)
    );
    load.finish().await;
    // Nothing is written over, and nothing is left beside it.
    let (code, _, error) = host.setup.run_aside(&["backup", name]).await;
    assert!(code == 1 && error.contains("is there already"), "{error}");
    let left = std::fs::read_dir(&there.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
    drop(host);

    let data = here.0.join("data");
    std::fs::create_dir(&data).unwrap();
    let unpacked = Command::new("tar")
        .arg("-C")
        .arg(&data)
        .arg("-xzf")
        .arg(&archive)
        .status();
    assert!(unpacked.unwrap().success());
    let host = setup(&here).start().await;
    let rows = host.settle(&["done"], Duration::from_secs(60)).await;
    for row in &before {
        assert!(rows.iter().any(|one| one["id"] == row["id"]), "{row} is lost");
    }
    let mine = jackfield_tests::host::client()
        .get(host.url("/api/secrets"))
        .bearer_auth(&hers)
        .send()
        .await
        .unwrap();
    assert_eq!(mine.status(), 200);
    let mine: Value = mine.json().await.unwrap();
    assert!(mine.to_string().contains("TOKEN"), "{mine}");
}

#[tokio::test]
async fn a_backup_says_why_there_is_nothing_to_copy() {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new("no-backup");
    let setup = Setup::plain(scratch.0.clone());
    let (code, _, error) = setup.run_aside(&["backup", "x.tar.gz"]).await;
    assert!(code == 1 && error.contains("there is no database yet"), "{error}");
    let setup = setup.with("JACKFIELD_DATABASE_URL", "postgres://ann:secret@127.0.0.1:1/jackfield");
    let (code, _, error) = setup.run_aside(&["backup", "x.tar.gz"]).await;
    assert!(
        code == 1 && error.contains("pg_dump") && !error.contains("secret@"),
        "{error}"
    );
}
