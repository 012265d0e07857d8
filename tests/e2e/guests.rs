//! A host with ill-behaved plugins compiled in (`tests/hosts/guests.rs`): conflicts are refused naming both, and what panics,
//! hangs or does not start harms nobody else.

use std::{path::PathBuf, time::Duration};

use jackfield_tests::{
    github::GitHub,
    host::{Host, OPERATOR, Setup, binary},
    scratch::Scratch,
    sign,
};
use serde_json::json;

fn setup(scratch: &Scratch, github: &GitHub) -> Setup {
    let mut setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    setup.program = PathBuf::from(env!("CARGO_BIN_EXE_host-with-guests"));
    setup
}

async fn get(host: &Host, path: &str) -> u16 {
    let request = host.client.get(host.url(path)).timeout(Duration::from_secs(10));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_plugins_on_one_path_are_refused_naming_both() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("conflict"), GitHub::start());
    let setup = setup(&scratch, &github).with("SQUATTER_SECRET", "a secret of the squatter");
    let names_both = |text: &str| {
        ["POST /integration/github/events", "github", "squatter"]
            .iter()
            .all(|part| text.contains(part))
    };
    let (code, _, error) = setup.run_aside(&["serve"]).await;
    assert_eq!(code, 78, "{error}");
    assert!(names_both(&error), "{error}");
    // At run time: the one that is there stays, the other is refused.
    let file = scratch.0.join("plugins.toml");
    std::fs::write(&file, "[plugins.squatter]\nenabled = false\n").unwrap();
    let host = setup.start().await;
    let (code, _, error) = host.setup.run_aside(&["plugins", "enable", "squatter"]).await;
    assert_eq!(code, 1);
    assert!(names_both(&error), "{error}");
    assert_eq!(host.plugin_state("github").await, "active");
    assert_ne!(host.plugin_state("squatter").await, "active");
    assert_eq!(host.deliver("d", "push", sign::push()).await, Some(200));
    let rows = host.settle(&["done"], Duration::from_secs(20)).await;
    assert_eq!(rows[0]["plugin"], "github");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_panics_and_hangs_is_quarantined_and_harms_nobody() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("trouble"), GitHub::start());
    let host = setup(&scratch, &github).with("TROUBLE", "serve").start().await;
    assert_eq!(get(&host, "/trouble/fine").await, 200);
    // Requests that hang hold nobody up.
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let request = host.client.get(host.url("/trouble/hangs"));
        hanging.spawn(request.timeout(Duration::from_secs(20)).send());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(get(&host, "/alive").await, 200);
    assert_eq!(host.deliver("while hanging", "push", sign::push()).await, Some(200));
    for _ in 0..5 {
        assert_eq!(get(&host, "/trouble/panics").await, 500);
        assert_eq!(get(&host, "/alive").await, 200);
    }
    host.await_plugin("trouble", "quarantined", Duration::from_secs(15))
        .await;
    assert_eq!(get(&host, "/trouble/fine").await, 503, "its routes are out of service");
    assert_eq!(host.plugin_state("github").await, "active");
    assert_eq!(host.deliver("after", "push", sign::push()).await, Some(200));
    assert_eq!(host.settle(&["done"], Duration::from_secs(20)).await.len(), 2);
    assert!(
        host.ready().await,
        "a plugin degrades the host, it does not take it out"
    );
    let (status, row) = host.admin_post("/plugins/trouble/resume", &json!({})).await;
    assert_eq!(
        (status, row["state"].as_str()),
        (200, Some("active")),
        "an operator may end it"
    );
    assert_eq!(get(&host, "/trouble/fine").await, 200);
    hanging.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_start_leaves_the_others_alone() {
    let Some(_) = binary() else { return };
    for mode in ["refuse", "panic"] {
        let (scratch, github) = (Scratch::new("refuses"), GitHub::start());
        let host = setup(&scratch, &github).with("TROUBLE", mode).start().await;
        assert_eq!(host.plugin_state("trouble").await, "failed", "{mode}");
        let rows = host.admin("/plugins").await;
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == "trouble")
            .unwrap();
        assert!(row["reason"].as_str().unwrap().contains("trouble"), "{row}");
        assert_eq!(
            get(&host, "/trouble/fine").await,
            503,
            "{mode}: it is known and does not run"
        );
        assert_eq!(host.deliver("d", "push", sign::push()).await, Some(200));
        host.settle(&["done"], Duration::from_secs(20)).await;
        let missing = host
            .client
            .get(host.url("/api/x"))
            .bearer_auth(OPERATOR)
            .send()
            .await
            .unwrap();
        assert_eq!(missing.status(), 404);
    }
}
