//! How attempts end: retries by the clock, deaths and who is told, panics, deadlines, waits.

use std::{num::NonZeroU32, time::Duration};

use jackfield_inbox::{
    engine::base_delay,
    model::{Filter, State, WorkKind},
    store::Store,
};
use jackfield_sdk::prelude::*;

use super::world::{World, add, job};

#[tokio::test(start_paused = true)]
async fn retries_follow_the_schedule_and_then_people_are_told_once() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "fails", "a").await;
    world.script.failing.lock().unwrap().insert("a".to_owned(), u32::MAX);
    let policy = Retry::within(minutes(15));
    let began = world.store.now_ms().await.unwrap();
    for failures in 1..policy.attempts {
        assert_eq!(inbox.turn().await.unwrap(), 1, "attempt {failures}");
        let shown = world.shown(id).await;
        assert_eq!(
            (shown.summary.state, shown.summary.attempts),
            (State::Pending, failures)
        );
        let now = world.store.now_ms().await.unwrap();
        let delay = shown.summary.next_attempt_at.unwrap() - now;
        let factor = delay as f64 / base_delay(policy, failures);
        assert!((0.79..=1.21).contains(&factor), "attempt {failures}: {delay} ms");
        world.pass(Duration::from_millis(u64::try_from(delay).unwrap() - 1));
        assert_eq!(inbox.turn().await.unwrap(), 0, "not a moment before");
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(inbox.turn().await.unwrap(), 1);
    let shown = world.shown(id).await;
    assert_eq!((shown.summary.state, shown.attempts.len()), (State::Dead, 8));
    assert_eq!(shown.summary.reason.as_deref(), Some("the provider is down"));
    let took = world.store.now_ms().await.unwrap() - began;
    assert!(
        (12 * 60_000..=18 * 60_000).contains(&took),
        "{took} ms is within a fifth of 15 min"
    );
    assert_eq!(inbox.turn().await.unwrap(), 1, "the notice");
    assert_eq!(inbox.turn().await.unwrap(), 0);
    let all = world.store.list(&Filter::default(), None, 9).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].kind, all[0].state), (WorkKind::Death, State::Done));
    let told = "told: Something went wrong on our side, and trying again did not help. (the provider is down)";
    assert_eq!(all[0].outcome.as_deref(), Some(told));
    assert!(
        all[0].delivery_id.starts_with(&id.to_string()),
        "it is linked: {}",
        all[0].delivery_id
    );
    assert_eq!(world.effects(), [format!("{id}/once"), format!("{}/sorry", all[0].id)]);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_not_repeated_by_a_retry() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "fails", "a").await;
    world.script.failing.lock().unwrap().insert("a".to_owned(), 2);
    for _ in 0..3 {
        inbox.turn().await.unwrap();
        world.pass(minutes(10));
    }
    assert_eq!(world.outcome(id).await, "at last");
    assert_eq!(world.shown(id).await.attempts.len(), 3);
    assert_eq!(world.effects(), [format!("{id}/once")]);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_dies_at_once_with_its_own_words() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "refuses", "a").await;
    inbox.turn().await.unwrap();
    assert_eq!(world.state(id).await, State::Dead);
    assert_eq!(world.shown(id).await.attempts.len(), 1);
    inbox.turn().await.unwrap();
    let all = world.store.list(&Filter::default(), None, 9).await.unwrap();
    let told = "told: Sorry, that cannot be done. (it will never work)";
    assert_eq!(all[0].outcome.as_deref(), Some(told));
    // The same sender again: armed, dies again, and this death is told too.
    inbox.accept(job("refuses", "a")).await.unwrap();
    inbox.turn().await.unwrap();
    inbox.turn().await.unwrap();
    assert_eq!(world.store.count(&Filter::default()).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt_and_harms_nobody_else() {
    let world = World::new();
    let inbox = world.engine().await;
    let bad = add(&inbox, "panics", "a").await;
    world.script.failing.lock().unwrap().clear();
    let good = add(&inbox, "fails", "b").await;
    inbox.turn().await.unwrap();
    assert_eq!(world.state(good).await, State::Done);
    let shown = world.shown(bad).await;
    assert_eq!(shown.summary.state, State::Pending);
    assert!(shown.summary.last_error.unwrap().contains("a bug of the plugin"));
    for _ in 0..7 {
        world.pass(minutes(15));
        inbox.turn().await.unwrap();
    }
    assert_eq!(world.state(bad).await, State::Dead);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_misses_its_deadline() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "hangs", "a").await;
    let began = tokio::time::Instant::now();
    inbox.turn().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    let shown = world.shown(id).await;
    assert_eq!(shown.summary.state, State::Dead);
    assert!(shown.summary.reason.unwrap().contains("30000 ms"));
    assert_eq!(inbox.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn sleeps_and_waits_park_the_job() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "story", "a").await;
    inbox.turn().await.unwrap();
    assert_eq!(world.state(id).await, State::Waiting);
    assert_eq!(inbox.running(), 0);
    assert_eq!(inbox.turn().await.unwrap(), 0);
    world.pass(minutes(1));
    inbox.turn().await.unwrap();
    let shown = world.shown(id).await;
    assert_eq!(shown.summary.state, State::Waiting);
    assert_eq!(shown.wait.unwrap().topic.as_deref(), Some("end/a"));
    world.pass(hours(23));
    assert_eq!(inbox.turn().await.unwrap(), 0);
    inbox.signal("p", "end/a", "42".into()).await.unwrap();
    inbox.turn().await.unwrap();
    assert_eq!(world.outcome(id).await, "ended with 42");
    let names = ["one", "two", "three", "four"];
    assert_eq!(world.effects(), names.map(|name| format!("{id}/{name}")));
    assert_eq!(world.shown(id).await.attempts.len(), 1, "parking ends no attempt");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_nobody_answers_times_out() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "story", "a").await;
    inbox.turn().await.unwrap();
    world.pass(minutes(1));
    inbox.turn().await.unwrap();
    world.pass(days(1));
    inbox.turn().await.unwrap();
    assert_eq!(world.outcome(id).await, "gave up");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_tries_one_and_closes_when_it_parks() {
    let world = World::new();
    let inbox = world.engine().await;
    for n in 0..20 {
        world.script.failing.lock().unwrap().insert(n.to_string(), 1);
        add(&inbox, "fails", &n.to_string()).await;
    }
    assert_eq!(inbox.turn().await.unwrap(), 20);
    let story = add(&inbox, "story", "a").await;
    assert_eq!(inbox.turn().await.unwrap(), 0, "nothing is claimed while it is open");
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(inbox.turn().await.unwrap(), 1, "one probe");
    assert_eq!(world.state(story).await, State::Waiting);
    world.pass(minutes(15));
    assert_eq!(inbox.turn().await.unwrap(), 21, "a run that parks went well");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_takes_no_more_than_its_places() {
    let world = World::new();
    let inbox = world.engine().await;
    let mut greedy = Vec::new();
    for n in 0..20 {
        let work = jackfield_inbox::model::NewWork {
            tenant: "greedy".to_owned(),
            ..job("hangs", &n.to_string())
        };
        greedy.push(inbox.accept(work).await.unwrap().id());
    }
    let modest = jackfield_inbox::model::NewWork {
        tenant: "modest".to_owned(),
        ..job("fails", "m")
    };
    let modest = inbox.accept(modest).await.unwrap().id();
    assert_eq!(
        inbox.turn().await.unwrap(),
        9,
        "eight of one tenant, and the other one behind them"
    );
    assert_eq!(world.state(modest).await, State::Done);
    assert_eq!(world.state(greedy[19]).await, State::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_rate_spreads_what_is_due_and_a_new_generation_refills_nothing() {
    let mut world = World::new();
    world.limits.jobs_per_minute = NonZeroU32::new(120);
    let inbox = world.engine().await;
    for n in 0..6 {
        add(&inbox, "fails", &n.to_string()).await;
    }
    assert_eq!(inbox.turn().await.unwrap(), 2, "a second's worth");
    let second = world.runner(&inbox, 2).await;
    inbox.set_runners(vec![second], &[]).await.unwrap();
    assert_eq!(inbox.turn().await.unwrap(), 0);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(inbox.turn().await.unwrap(), 1);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(inbox.turn().await.unwrap(), 2, "a pause is not made up for");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_s_rate_holds_no_other_tenant_back() {
    let mut world = World::new();
    world.limits.tenant_jobs_per_minute = NonZeroU32::new(60);
    let inbox = world.engine().await;
    for (tenant, count) in [("greedy", 9), ("modest", 1), ("", 3)] {
        for n in 0..count {
            let work = jackfield_inbox::model::NewWork {
                tenant: tenant.to_owned(),
                ..job("fails", &format!("{tenant}{n}"))
            };
            inbox.accept(work).await.unwrap();
        }
    }
    assert_eq!(
        inbox.turn().await.unwrap(),
        5,
        "one of each tenant, and all that are nobody's"
    );
    assert_eq!(inbox.turn().await.unwrap(), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(inbox.turn().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn replicas_share_a_rate_and_who_is_gone_leaves_its_share() {
    let mut world = World::new();
    world.limits.jobs_per_minute = NonZeroU32::new(120);
    let (first, second) = (world.engine().await, world.engine().await);
    for n in 0..200 {
        add(&first, "fails", &n.to_string()).await;
    }
    first.start();
    second.start();
    let done = async || {
        let all = world.store.list(&Filter::default(), None, 999).await.unwrap();
        all.iter().filter(|one| one.state == State::Done).count()
    };
    let half_a_minute = async || {
        let before = done().await;
        for _ in 0..30 {
            world.pass(seconds(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        done().await - before
    };
    let together = half_a_minute().await;
    assert!((55..=68).contains(&together), "two start what one may: {together}");
    assert!((55..=62).contains(&half_a_minute().await));
    second.drain(seconds(1)).await;
    let alone = half_a_minute().await;
    assert!((50..=62).contains(&alone), "the other's share is taken up: {alone}");
    first.drain(seconds(1)).await;
    assert!(world.store.values("replica/").await.unwrap().is_empty());
}
