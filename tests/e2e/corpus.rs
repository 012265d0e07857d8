//! The public GitHub payload corpus, signed by GitHub's own JavaScript library: each accepted, stored byte for byte, handled.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Command,
    time::Duration,
};

use jackfield_tests::{
    carrier::Carrier,
    github::GitHub,
    host::{SECRET, Setup, binary},
    on_each_carrier, process,
    scratch::Scratch,
    sign,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

on_each_carrier!(
    every_payload_is_accepted_stored_byte_for_byte_and_handled,
    what_asks_for_nothing_is_acknowledged,
);

/// What GitHub is answered, as the reference answers it.
const REACHED: &str = r#"{"message":"GitHub events endpoint reached successfully."}"#;

fn digest(shown: &Value) -> String {
    hex::encode(Sha256::digest(shown["body"].as_str().unwrap().as_bytes()))
}

async fn every_payload_is_accepted_stored_byte_for_byte_and_handled(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let (scratch, github) = (Scratch::new("corpus"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .start()
        .await;
    let url = host.hook();
    let (code, out, error) = tokio::task::spawn_blocking(move || {
        let mut node = Command::new("node");
        node.args(["send-examples.mjs", &url, SECRET])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("node"));
        process::run(node, Duration::from_secs(120))
    })
    .await
    .unwrap();
    assert_eq!(code, 0, "{error}");
    let sent: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert!(sent.len() >= 300, "the corpus has {} payloads", sent.len());
    for one in &sent {
        assert_eq!(
            (one["status"].as_u64(), one["answer"].as_str()),
            (Some(200), Some(REACHED)),
            "{one}"
        );
    }
    let stored = host.settle(&["done"], Duration::from_secs(60)).await;
    let by_id: HashMap<&str, &Value> = stored
        .iter()
        .map(|one| (one["delivery_id"].as_str().unwrap(), one))
        .collect();
    assert_eq!(by_id.len(), sent.len());
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &sent {
        let row = by_id[one["id"].as_str().unwrap()];
        let event = row["event"].as_str().unwrap();
        assert_eq!(event.split('.').next().unwrap(), one["name"].as_str().unwrap());
        let outcome = row["outcome"].as_str().unwrap();
        assert!(!outcome.is_empty());
        *outcomes.entry(outcome).or_default() += 1;
        let shown = host
            .admin(&format!("/deliveries/{}", row["id"].as_str().unwrap()))
            .await;
        assert_eq!(
            digest(&shown),
            one["sha256"].as_str().unwrap(),
            "{} is not stored byte for byte",
            one["name"]
        );
    }
    println!("{} payloads of {} kinds", sent.len(), outcomes.len());
    // The command line shows the same bytes; every twentieth is asked, each is a process.
    for one in sent.iter().step_by(20) {
        let row = by_id[one["id"].as_str().unwrap()];
        let (code, out, error) = host
            .setup
            .run_aside(&["deliveries", "show", row["id"].as_str().unwrap()])
            .await;
        assert_eq!(code, 0, "{error}");
        let shown: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(digest(&shown), one["sha256"].as_str().unwrap());
        assert_eq!(shown["state"], "done");
    }
    // Sent once more, as from GitHub's own list: acknowledged, and nothing runs again.
    let calls = github.world.calls.lock().unwrap().len();
    let again = stored.iter().step_by(10);
    for row in again {
        let id = row["delivery_id"].as_str().unwrap();
        let body = host
            .admin(&format!("/deliveries/{}", row["id"].as_str().unwrap()))
            .await;
        let body = body["body"].as_str().unwrap().as_bytes().to_vec();
        assert_eq!(host.deliver(id, "push", body).await, Some(200));
    }
    assert_eq!(host.settle(&["done"], Duration::from_secs(20)).await.len(), sent.len());
    let plain = |call: &&String| call.contains("/repos/");
    assert_eq!(
        github
            .world
            .calls
            .lock()
            .unwrap()
            .iter()
            .skip(calls)
            .filter(plain)
            .count(),
        0,
        "a redelivery of what is done calls nobody"
    );
}

async fn what_asks_for_nothing_is_acknowledged(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let (scratch, github) = (Scratch::new("nothing"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .start()
        .await;
    for (id, event, body, outcome) in [
        (
            "ping",
            "ping",
            r#"{"zen":"Keep it logically awesome.","hook_id":1}"#,
            "`ping` names no installation",
        ),
        (
            "none",
            "issue_comment",
            r#"{"action":"created"}"#,
            "names no installation",
        ),
        (
            "unknown",
            "a_kind_of_next_year",
            r#"{"installation":{"id":1},"action":"begun"}"#,
            "never starts a conversation",
        ),
        ("array", "push", "[]", ""),
    ] {
        let request = sign::hub(
            host.client.post(host.hook()),
            SECRET,
            id,
            event,
            body.as_bytes().to_vec(),
        );
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{id}");
        assert_eq!(answer.text().await.unwrap(), REACHED, "{id}");
        let rows = host.settle(&["done", "dead"], Duration::from_secs(20)).await;
        let row = rows.iter().find(|row| row["delivery_id"] == id).unwrap();
        let said = row["outcome"]
            .as_str()
            .or(row["last_error"].as_str())
            .unwrap_or_default();
        assert!(said.contains(outcome), "{id}: {row}");
    }
    // Not JSON at all, but signed: it is authentic, so it is stored and not answered with a 4xx.
    assert_eq!(host.deliver("text", "push", b"no json".to_vec()).await, Some(200));
    // And bytes that are no text keep their bytes.
    let bytes = vec![0, 159, 146, 150, 255];
    assert_eq!(host.deliver("bytes", "push", bytes.clone()).await, Some(200));
    let rows = host.settle(&["done", "dead"], Duration::from_secs(20)).await;
    let row = rows.iter().find(|row| row["delivery_id"] == "bytes").unwrap();
    let shown = host
        .admin(&format!("/deliveries/{}", row["id"].as_str().unwrap()))
        .await;
    use base64::Engine;
    let stored = base64::engine::general_purpose::STANDARD.decode(shown["body_base64"].as_str().unwrap());
    assert_eq!(stored.unwrap(), bytes);
    assert!(github.reactions().is_empty());
}
