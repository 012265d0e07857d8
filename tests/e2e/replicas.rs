//! Two replicas on one PostgreSQL: one delivery is one job, a dead one's work is taken over, a frozen one writes nothing late.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jackfield_tests::{
    github::{Call, GitHub, When},
    host::{Host, Setup, binary},
    postgres::database,
    scratch::Scratch,
    sign,
};
use serde_json::{Value, json};

struct Pair {
    github: GitHub,
    url: String,
    scratches: [Scratch; 2],
}

impl Pair {
    async fn new() -> Option<Self> {
        binary()?;
        Some(Self {
            github: GitHub::start(),
            url: database().await?,
            scratches: [Scratch::new("one"), Scratch::new("two")],
        })
    }

    fn setup(&self, at: usize) -> Setup {
        Setup::new(self.scratches[at].0.clone(), &self.github.url, &self.github.private_key)
            .with("JACKFIELD_DATABASE_URL", &self.url)
    }

    async fn both(&self) -> (Host, Host) {
        // One after the other: the first one makes the schema.
        (self.setup(0).start().await, self.setup(1).start().await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_store_one_id_once() {
    let Some(pair) = Pair::new().await else { return };
    let (first, second) = pair.both().await;
    let sent = (0..100).map(|at| {
        let host = if at % 2 == 0 { &first } else { &second };
        host.deliver("same", "issue_comment", sign::mention(1))
    });
    let answers = join_all(sent).await;
    assert!(answers.iter().all(|status| *status == Some(200)), "{answers:?}");
    assert_eq!(first.settle(&["done"], Duration::from_secs(30)).await.len(), 1);
    assert_eq!(second.deliveries().await.len(), 1);
    assert_eq!(pair.github.reactions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_on_one_replica_holds_on_the_other() {
    let Some(pair) = Pair::new().await else { return };
    let (first, second) = pair.both().await;
    let (status, row) = first.admin_post("/plugins/github/pause", &json!({})).await;
    assert_eq!((status, row["state"].as_str()), (200, Some("paused")));
    second.await_plugin("github", "paused", Duration::from_secs(10)).await;
    for (id, host) in [("a", &first), ("b", &second)] {
        assert_eq!(host.deliver(id, "push", sign::push()).await, Some(200));
    }
    assert_eq!(first.settle(&["held"], Duration::from_secs(10)).await.len(), 2);
    // A pause lives in the store: a replica that starts now is paused too.
    drop(first);
    let first = pair.setup(0).start().await;
    assert_eq!(first.plugin_state("github").await, "paused");
    let (status, _) = second.admin_post("/plugins/github/resume", &json!({})).await;
    assert_eq!(status, 200);
    first.await_plugin("github", "active", Duration::from_secs(10)).await;
    assert_eq!(first.settle(&["done"], Duration::from_secs(20)).await.len(), 2);
}

/// The one webhook delivery there is.
async fn only(host: &Host) -> Value {
    let mut rows = host.deliveries().await;
    assert_eq!(rows.len(), 1);
    let id = rows.remove(0)["id"].as_str().unwrap().to_owned();
    host.admin(&format!("/deliveries/{id}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_is_taken_over_within_30_s() {
    let Some(pair) = Pair::new().await else { return };
    let mut first = pair.setup(0).start().await;
    let mut traps: Vec<_> = (0..5)
        .map(|_| pair.github.world.trap(Call::Permission, When::Before))
        .collect();
    for number in 0..5 {
        let id = format!("delivery-{number}");
        assert_eq!(
            first.deliver(&id, "issue_comment", sign::mention(number)).await,
            Some(200)
        );
    }
    for trap in &mut traps {
        trap.caught().await;
    }
    let second = pair.setup(1).start().await;
    first.kill();
    let begun = Instant::now();
    let rows = second.settle(&["done"], Duration::from_secs(40)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        begun.elapsed()
    );
    assert_eq!(rows.len(), 5);
    assert_eq!(pair.github.reactions().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_replica_writes_nothing_late() {
    let Some(pair) = Pair::new().await else { return };
    let first = pair.setup(0).start().await;
    let mut trap = pair.github.world.trap(Call::Reaction, When::After);
    assert_eq!(first.deliver("d", "issue_comment", sign::mention(1)).await, Some(200));
    trap.caught().await;
    first.signal("STOP");
    let second = pair.setup(1).start().await;
    let rows = second.settle(&["done"], Duration::from_secs(60)).await;
    assert_eq!(rows.len(), 1);
    let taken_over = only(&second).await;
    // Its answer arrives, and it wakes: it would now write that the reaction is there.
    trap.release();
    first.signal("CONT");
    let begun = Instant::now();
    while !["lease lost", "lease was lost"]
        .iter()
        .any(|text| first.log().contains(text))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it never noticed: {}",
            first.log_end()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        only(&second).await,
        taken_over,
        "the frozen replica changed what was done"
    );
    assert_eq!(pair.github.reactions().len(), 1);
    assert_eq!(
        first.deliver("after", "push", sign::push()).await,
        Some(200),
        "it serves on"
    );
    assert_eq!(second.settle(&["done"], Duration::from_secs(20)).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_a_rate_of_jobs() {
    let Some(pair) = Pair::new().await else { return };
    let limited = |at: usize| pair.setup(at).with("JACKFIELD_INBOX__JOBS_PER_MINUTE", "240");
    let (first, second) = (limited(0).start().await, limited(1).start().await);
    // Each says every 5 s that it is there.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let begun = Instant::now();
    let sent = (0..24).map(|at| {
        let host = if at % 2 == 0 { &first } else { &second };
        async move { host.deliver(&format!("delivery-{at}"), "push", sign::push()).await }
    });
    assert!(join_all(sent).await.iter().all(|status| *status == Some(200)));
    let rows = first.settle(&["done"], Duration::from_secs(30)).await;
    // Two a second each after two at once; each on its own would be done after 2 s.
    let took = begun.elapsed();
    assert_eq!(rows.len(), 24);
    assert!(took >= Duration::from_secs(4), "{took:?}");
}
