//! Replays: durable, resumable, each effect once; `--dry-run`, `--from-start`, `--again`.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use jackfield_tests::{
    carrier::Carrier,
    github::{Call, GitHub, When},
    host::{Setup, binary, long},
    load::{Load, assert_complete, assert_effects},
    on_each_carrier,
    scratch::Scratch,
    sign,
};
use serde_json::{Value, json};

on_each_carrier!(
    a_replay_survives_kills_and_doubles_nothing,
    what_a_replay_does_is_what_was_asked,
    dead_deliveries_are_replayed_and_a_redelivery_arms_them_too,
    a_cancelled_delivery_stays_cancelled,
);

async fn a_replay_survives_kills_and_doubles_nothing(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let count = carrier.of(if long() { 50_000 } else { 2_000 }, 1_000);
    let patience = Duration::from_secs(if long() { 1_800 } else { 180 });
    let (scratch, github) = (Scratch::new("replay"), GitHub::start());
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key).carried(carrier);
    let mut host = setup.start().await;
    // The app is not installed: every story ends dead before it has an effect.
    github.world.uninstalled.store(true, Ordering::SeqCst);
    Load::start(host.hook(), count).finish().await;
    assert_eq!(host.settle(&["dead"], patience).await.len(), count);
    assert!(github.reactions().is_empty());
    github.world.uninstalled.store(false, Ordering::SeqCst);
    let asked = json!({ "plugin": "github", "state": "dead" });
    let (status, begun) = host.admin_post("/deliveries/replay", &asked).await;
    assert_eq!(status, 202, "{begun}");
    assert_eq!(begun["total"], count);
    let progress = format!("/replays/{}", begun["id"].as_str().unwrap());
    let started = Instant::now();
    let (mut kills, mut next) = (0, count / 8);
    let end = loop {
        assert!(
            started.elapsed() < patience,
            "the replay does not end: {}",
            host.log_end()
        );
        let now = host.admin(&progress).await;
        if now["finished"] == true {
            break now;
        }
        if kills < 4 && now["seen"].as_u64().unwrap() as usize >= next {
            host.kill();
            host = setup.start().await;
            kills += 1;
            next += count / 6;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(kills > 0, "the replay was over before it could be killed");
    assert_eq!(end["seen"], count);
    assert_eq!(
        end["armed"].as_u64().unwrap() + end["skipped"].as_u64().unwrap(),
        count as u64
    );
    let rows = host.settle(&["done"], patience).await;
    assert_complete(&rows, count);
    assert_effects(&github.reactions(), count);
}

async fn what_a_replay_does_is_what_was_asked(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let (scratch, github) = (Scratch::new("modes"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .start()
        .await;
    assert_eq!(host.deliver("d", "issue_comment", sign::mention(1)).await, Some(200));
    let done = host.settle(&["done"], Duration::from_secs(20)).await;
    let id = done[0]["id"].as_str().unwrap().to_owned();
    let calls = || {
        github
            .world
            .calls
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.contains("/o/r/"))
            .count()
    };
    let keys = |shown: &Value| -> Vec<String> {
        let steps = shown["steps"].as_array().unwrap().iter();
        steps.map(|step| step["key"].as_str().unwrap().to_owned()).collect()
    };
    let first_keys = keys(&host.admin(&format!("/deliveries/{id}")).await);
    let first_calls = calls();
    let replay = async |more: &[&str]| -> Value {
        let mut arguments = vec!["deliveries", "replay", &id, "--json"];
        arguments.extend_from_slice(more);
        let (code, out, error) = host.setup.run_aside(&arguments).await;
        assert_eq!(code, 0, "{out}{error}");
        serde_json::from_str(&out).unwrap()
    };
    let settled = || host.settle(&["done"], Duration::from_secs(30));

    let dry = replay(&["--dry-run"]).await;
    assert_eq!((dry["total"].as_u64(), dry["dry_run"].as_bool()), (Some(1), Some(true)));
    let left = replay(&[]).await;
    assert_eq!(
        (left["armed"].as_u64(), left["skipped"].as_u64()),
        (Some(0), Some(1)),
        "what is done stays done"
    );
    settled().await;
    assert_eq!(calls(), first_calls, "neither calls anybody");

    assert_eq!(replay(&["--from-start"]).await["armed"], 1);
    settled().await;
    assert!(calls() > first_calls, "its steps ran again");
    assert_eq!(github.reactions().len(), 1, "and looked before they did it twice");
    let shown = host.admin(&format!("/deliveries/{id}")).await;
    assert_eq!(keys(&shown), first_keys, "with the same keys");

    assert_eq!(replay(&["--again"]).await["armed"], 1);
    settled().await;
    let shown = host.admin(&format!("/deliveries/{id}")).await;
    assert!(
        keys(&shown).iter().all(|key| !first_keys.contains(key)),
        "with new keys"
    );

    let (code, _, error) = host.setup.run_aside(&["deliveries", "replay"]).await;
    assert_eq!(code, 2);
    assert!(error.contains("--state"), "{error}");
}

async fn dead_deliveries_are_replayed_and_a_redelivery_arms_them_too(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let (scratch, github) = (Scratch::new("dead"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .start()
        .await;
    let broken = br#"{"installation":{"id":1},"action":"labeled","issue":5}"#.to_vec();
    assert_eq!(host.deliver("bad", "issues", broken.clone()).await, Some(200));
    let attempts = |rows: &[Value]| rows[0]["attempts"].as_u64().unwrap();
    let dead = host.settle(&["dead"], Duration::from_secs(20)).await;
    let (code, out, error) = host
        .setup
        .run_aside(&["deliveries", "replay", "--state", "dead", "--json"])
        .await;
    assert_eq!(code, 0, "{out}{error}");
    let replay: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (replay["armed"].as_u64(), replay["finished"].as_bool()),
        (Some(1), Some(true))
    );
    let again = host.settle(&["dead"], Duration::from_secs(20)).await;
    assert!(attempts(&again) > attempts(&dead));
    // GitHub's own button: the same id once more. What is dead is armed, what is done would be acknowledged only.
    assert_eq!(host.deliver("bad", "issues", broken).await, Some(200));
    let begun = Instant::now();
    loop {
        let rows = host.settle(&["dead"], Duration::from_secs(20)).await;
        if attempts(&rows) > attempts(&again) {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the redelivery did not arm it"
        );
    }
}

async fn a_cancelled_delivery_stays_cancelled(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let (scratch, github) = (Scratch::new("cancel"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .start()
        .await;
    let mut trap = github.world.trap(Call::Permission, When::Before);
    assert_eq!(host.deliver("d", "issue_comment", sign::mention(1)).await, Some(200));
    trap.caught().await;
    let rows = host.deliveries().await;
    let id = rows[0]["id"].as_str().unwrap();
    let (code, out, error) = host.setup.run_aside(&["deliveries", "cancel", id]).await;
    assert_eq!(code, 0, "{out}{error}");
    trap.release();
    host.settle(&["cancelled"], Duration::from_secs(10)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(host.deliveries().await[0]["state"], "cancelled");
    assert!(github.reactions().is_empty(), "its run was dropped");
    let (code, _, error) = host.setup.run_aside(&["deliveries", "cancel", id]).await;
    assert_eq!(code, 1);
    assert!(error.contains("ended"), "{error}");
}
