//! How much a job may keep, and code that changes under a job.

use std::{collections::HashMap, sync::atomic::Ordering};

use jackfield_inbox::{
    engine::Inbox,
    model::{Detail, NewWork, State},
    store::{ClaimRequest, Store},
};
use jackfield_sdk::prelude::*;

use super::world::{World, add, job};

async fn kept(world: &World, inbox: &Inbox, count: u32, bytes: usize) -> Detail {
    let body = format!("[{count},{bytes}]");
    let work = NewWork {
        body: body.clone().into(),
        ..job("steps", &body)
    };
    let id = inbox.accept(work).await.unwrap().id();
    inbox.turn().await.unwrap();
    world.shown(id).await
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_so_much_and_no_more() {
    let world = World::new();
    let inbox = world.engine().await;
    for (count, bytes) in [(1_000, 2), (4, 256 << 10), (1, 256 << 10)] {
        let shown = kept(&world, &inbox, count, bytes).await;
        assert_eq!(
            shown.summary.state,
            State::Done,
            "{count} of {bytes}: {:?}",
            shown.summary
        );
        assert_eq!(shown.steps.len(), count as usize);
    }
    for (count, bytes, left, text) in [
        (1_001, 2, 1_000, "the job has more than 1000 steps; split it into jobs"),
        (
            5,
            250_000,
            4,
            "the job keeps more than 1048576 bytes of step results; keep references instead",
        ),
        (
            1,
            (256 << 10) + 1,
            0,
            "the result of step `n/0` has 262145 bytes, more than 262144; keep a reference instead",
        ),
    ] {
        let shown = kept(&world, &inbox, count, bytes).await;
        assert_eq!(shown.summary.state, State::Dead, "{count} of {bytes}");
        assert_eq!(shown.summary.reason.as_deref(), Some(text));
        assert_eq!(
            (shown.attempts.len(), shown.steps.len()),
            (1, left),
            "at once, and what was kept stays"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_failed_before_counts_once() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "full", "a").await;
    inbox.turn().await.unwrap();
    assert_eq!(
        (world.state(id).await, world.shown(id).await.steps.len()),
        (State::Pending, 1_000)
    );
    world.pass(minutes(1));
    inbox.turn().await.unwrap();
    assert_eq!(world.outcome(id).await, "Ok(2)");
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_the_branch_it_took() {
    let world = World::new();
    let inbox = world.engine().await;
    let failing = |name: &str, times| world.script.failing.lock().unwrap().insert(name.to_owned(), times);
    failing("old", 1);
    let old = add(&inbox, "versions", "old").await;
    inbox.turn().await.unwrap();
    world.script.code.store(2, Ordering::SeqCst);
    failing("new", 1);
    let new = add(&inbox, "versions", "new").await;
    inbox.turn().await.unwrap();
    world.script.code.store(3, Ordering::SeqCst);
    let newest = add(&inbox, "versions", "newest").await;
    world.pass(minutes(1));
    inbox.turn().await.unwrap();
    assert_eq!(
        world.outcome(old).await,
        "version 1",
        "it began before there were versions"
    );
    assert_eq!(world.outcome(new).await, "version 2", "it began with the second");
    assert_eq!(world.outcome(newest).await, "version 3");
}

#[tokio::test(start_paused = true)]
async fn a_kept_result_that_no_longer_fits_is_never_run_again_silently() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "typed", "a").await;
    inbox.turn().await.unwrap();
    assert_eq!(world.state(id).await, State::Pending);
    world.script.code.store(1, Ordering::SeqCst);
    world.pass(minutes(1));
    inbox.turn().await.unwrap();
    let shown = world.shown(id).await;
    assert_eq!(shown.summary.state, State::Dead);
    let reason = shown.summary.reason.unwrap();
    assert!(
        reason.starts_with("the kept result of step `count` no longer fits its type"),
        "{reason}"
    );
    let request = ClaimRequest {
        plugin: "p".to_owned(),
        limit: 1,
        lease_ms: 20_000,
        tenant_limit: 1,
        running: HashMap::new(),
    };
    let notice = world.store.claim(&request).await.unwrap().remove(0);
    assert_eq!(notice.death.unwrap().failure.code.as_deref(), Some("JF-S001"));
}
