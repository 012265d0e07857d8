//! Another build of a plugin while it has work: what runs ends, what cannot end runs again, what waits goes on, and images are
//! counted.

use std::time::{Duration, Instant};

use jackfield_tests::carrier;
use serde_json::{Value, json};

use super::{Place, Plugin, SOON, library, next_library, ready};

impl Plugin {
    async fn enqueue(&self, what: &str) -> String {
        let (status, id) = self.post("work", what).await;
        assert_eq!(status, 200, "{id}");
        id
    }

    async fn work(&self, id: &str) -> Value {
        self.admin(&format!("/deliveries/{id}")).await
    }

    async fn until_work(&self, id: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let work = self.work(id).await;
            if work["state"] == state {
                return work;
            }
            assert!(
                begun.elapsed() < SOON,
                "not {state} within {SOON:?}: {work}: {}",
                self.log_end()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_across_builds() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-releases");
    let host = place.start().await;
    // One that waits, one that runs, and a request in flight.
    let waiting = host.enqueue("wait").await;
    host.until_work(&waiting, "waiting").await;
    let running = host.enqueue("until told").await;
    host.until_alive("open", 1).await;
    let slow = tokio::spawn(host.client.get(host.url("/misbehaving/slow?ms=3000")).send());
    host.until_alive("open", 2).await;
    let before = host.generation().await;

    place.put(&next_library());
    host.until("the next build", async || host.get("fine").await.1 == "next")
        .await;
    assert_eq!(host.generation().await, before + 1);
    assert_eq!(
        slow.await.unwrap().unwrap().text().await.unwrap(),
        "at last",
        "a request ends where it began"
    );

    // What waited goes on with the new code; its first step is remembered.
    assert_eq!(host.post("signal", "end").await.0, 200);
    let done = host.until_work(&waiting, "done").await;
    assert_eq!(done["outcome"], "wait: first, next");
    // What ran is let go at the drain's deadline, and runs again on the new build.
    host.until_logged("drain deadline passed").await;
    host.until("it runs on the new build", async || host.alive("open").await == 1)
        .await;
    assert_eq!(host.post("go", "").await.0, 200);
    let done = host.until_work(&running, "done").await;
    assert_eq!(done["outcome"], "until told: first, next");
    assert_eq!(done["attempts"], 1, "to be let go is no attempt: {done}");
    host.until_metric(r#"jackfield_plugin_generations{plugin="misbehaving"} 1"#)
        .await;
    host.until_metric(r#"jackfield_plugin_images{plugin="misbehaving"} 2"#)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_build_again_leaks_nothing() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-same");
    let host = place.start().await;
    for _ in 0..3 {
        let (code, _, error) = host.setup.run_aside(&["plugins", "reload", "misbehaving"]).await;
        assert_eq!(code, 0, "{error}");
    }
    assert_eq!(host.generation().await, 4);
    host.until_metric(r#"jackfield_plugin_images{plugin="misbehaving"} 1"#)
        .await;
    host.until_metric(r#"jackfield_plugin_generations{plugin="misbehaving"} 1"#)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_or_gone_harms_nobody() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-cut");
    let host = place.start().await;
    // In place, as a careless copy does it.
    let content = std::fs::read(place.file()).unwrap();
    std::fs::write(place.file(), &content[..content.len() / 2]).unwrap();
    host.until("the refusal", async || {
        host.row().await["reason"].as_str().unwrap().contains("JF-P006")
    })
    .await;
    host.is_fine().await;
    std::fs::remove_file(place.file()).unwrap();
    host.until("the refusal", async || {
        host.row().await["reason"].as_str().unwrap().contains("JF-P001")
    })
    .await;
    host.is_fine().await;
    assert_eq!(host.deliver("fine").await, 200);
    host.ended("webhook").await;
    place.put(&library());
    host.await_plugin("misbehaving", "active", SOON).await;
    assert_eq!(host.generation().await, 1, "it is the content that runs already");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_counted_refused_and_forced() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-images");
    let build = |number: usize| carrier::variant(&library(), &place.file(), number);
    build(1);
    let host = place.start().await;
    let reload = async |arguments: &[&str]| {
        host.setup
            .run_aside(&[&["plugins", "reload", "misbehaving"], arguments].concat())
            .await
    };
    for number in 2..=50 {
        build(number);
        let (code, _, error) = reload(&[]).await;
        assert_eq!(code, 0, "{number}: {error}");
    }
    host.until_metric(r#"jackfield_plugin_images{plugin="misbehaving"} 50"#)
        .await;
    build(51);
    let (code, _, error) = reload(&[]).await;
    assert_eq!(code, 1, "{error}");
    let row = host.row().await;
    assert_eq!(row["state"], "refused");
    assert!(row["reason"].as_str().unwrap().contains("JF-P028"), "{row}");
    host.is_fine().await;
    let (code, _, error) = reload(&["--force"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(host.row().await["state"], json!("active"));
    host.until_metric(r#"jackfield_plugin_images{plugin="misbehaving"} 51"#)
        .await;
    host.is_fine().await;
}
