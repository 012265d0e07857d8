//! The public GitHub payload corpus, signed by GitHub's own JavaScript library: each accepted, stored byte for byte, handled.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use jackfield_tests::{
    github::GitHub,
    host::{SECRET, Scratch, Setup, binary},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[tokio::test(flavor = "multi_thread")]
async fn every_payload_is_accepted_stored_byte_for_byte_and_handled() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("corpus"), GitHub::start().await);
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let url = host.url("/integration/github/events");
    let output = tokio::task::spawn_blocking(move || {
        Command::new("node")
            .args(["send-examples.mjs", &url, SECRET])
            .current_dir(node)
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(sent.len() >= 300, "the corpus has {} payloads", sent.len());
    for one in &sent {
        assert_eq!(one["status"], 200, "{one}");
        assert_eq!(
            one["answer"],
            r#"{"message":"GitHub events endpoint reached successfully."}"#
        );
    }
    let stored = host.settle(&["done"], Duration::from_secs(60)).await;
    let by_id: HashMap<&str, &Value> = stored
        .iter()
        .map(|one| (one["delivery_id"].as_str().unwrap(), one))
        .collect();
    assert_eq!(by_id.len(), sent.len());
    for one in &sent {
        let row = by_id[one["id"].as_str().unwrap()];
        let event = row["event"].as_str().unwrap();
        assert_eq!(event.split('.').next().unwrap(), one["name"].as_str().unwrap());
        assert!(!row["outcome"].as_str().unwrap().is_empty());
        let shown = host
            .admin(&format!("/deliveries/{}", row["id"].as_str().unwrap()))
            .await;
        let digest = hex::encode(Sha256::digest(shown["body"].as_str().unwrap().as_bytes()));
        assert_eq!(
            digest,
            one["sha256"].as_str().unwrap(),
            "{} is not stored byte for byte",
            one["name"]
        );
    }
}
