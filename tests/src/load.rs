//! Many signed deliveries at once, each sent again until it is answered 2xx, as a provider or its operator would.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::{host::SECRET, sign};

/// Longest time for one delivery to be taken, over all its tries.
const PATIENCE: Duration = Duration::from_secs(120);

/// Senders at work.
pub struct Load {
    senders: JoinSet<()>,
    sent: Arc<AtomicUsize>,
    count: usize,
}

impl Load {
    /// Sends mentions 0 to `count` as `delivery-N` from 16 senders. A fault of the host must be a 503 with `Retry-After`.
    pub fn start(url: String, count: usize) -> Self {
        let (next, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let mut senders = JoinSet::new();
        for _ in 0..16 {
            let (next, sent, url, client) = (Arc::clone(&next), Arc::clone(&sent), url.clone(), client.clone());
            senders.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    until_taken(&client, &url, number).await;
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { senders, sent, count }
    }

    /// How many were answered 2xx.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Whether all were.
    pub fn done(&self) -> bool {
        self.sent() == self.count
    }

    /// Waits for all; a sender's failed assertion is the test's.
    pub async fn finish(mut self) {
        while let Some(done) = self.senders.join_next().await {
            done.unwrap();
        }
    }
}

async fn until_taken(client: &reqwest::Client, url: &str, number: usize) {
    let body = sign::mention(number);
    let begun = Instant::now();
    loop {
        let id = format!("delivery-{number}");
        let request = sign::hub(client.post(url), SECRET, &id, "issue_comment", body.clone());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => {
                assert_eq!(answer.status(), 503, "a fault of ours is a 503");
                assert!(
                    answer.headers().contains_key("retry-after"),
                    "a 503 says when to come back"
                );
            }
            // The host is being killed.
            Err(_) => {}
        }
        assert!(begun.elapsed() < PATIENCE, "{id} was not taken within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asserts that exactly the deliveries 0 to `count` are there, each once, each with its outcome.
pub fn assert_complete(rows: &[Value], count: usize) {
    let ids: HashSet<&str> = rows.iter().map(|one| one["delivery_id"].as_str().unwrap()).collect();
    let missing: Vec<usize> = (0..count)
        .filter(|number| !ids.contains(format!("delivery-{number}").as_str()))
        .collect();
    assert!(missing.is_empty(), "answered 2xx and not there: {missing:?}");
    assert_eq!(rows.len(), count, "a delivery is stored twice");
    for row in rows {
        assert_eq!(row["outcome"], "conversation requested", "{row}");
    }
}

/// Asserts that each delivery had exactly one reaction.
pub fn assert_effects(reactions: &[(String, String)], count: usize) {
    let distinct: HashSet<&(String, String)> = reactions.iter().collect();
    assert_eq!(reactions.len(), distinct.len(), "a reaction is doubled");
    assert_eq!(distinct.len(), count, "a reaction is missing");
}
