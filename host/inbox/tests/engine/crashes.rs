//! Processes that die, freeze or leave, between any two steps.

use jackfield_inbox::{
    lost,
    model::{Filter, ReplayMode, State},
    store::Store,
};
use jackfield_sdk::{
    prelude::*,
    run::{Fence, Memo, MemoState},
    service::ServiceError,
};
use uuid::Uuid;

use super::world::{World, add, settle};

/// Drives a story to its end; the signal comes in the middle.
async fn drive(world: &World, id: Uuid) {
    for round in 0..12 {
        let inbox = world.engine().await;
        if world.script.fuse.lock().unwrap().is_some() {
            *world.script.victim.lock().unwrap() = Some(inbox.clone());
        }
        for _ in 0..3 {
            if inbox.turn().await.is_err() {
                break;
            }
            world.pass(minutes(1));
        }
        if round == 2 {
            world.store.signal("p", "end/a", "42".into()).await.unwrap();
        }
        if world.state(id).await == State::Done {
            return;
        }
    }
    panic!("the story does not end: {:?}", world.shown(id).await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_doubles_nothing_and_loses_nothing() {
    let plain = World::new();
    let id = add(&plain.engine().await, "story", "a").await;
    drive(&plain, id).await;
    let expected = ["one", "two", "three", "four"];
    assert_eq!(plain.effects(), expected.map(|name| format!("{id}/{name}")));
    // Two moments per step: before the provider hears of it, and after it did but before we noted that.
    for fuse in 0..8 {
        let world = World::new();
        let id = add(&world.engine().await, "story", "a").await;
        *world.script.fuse.lock().unwrap() = Some(fuse);
        drive(&world, id).await;
        assert!(world.script.fuse.lock().unwrap().is_none(), "it crashed at {fuse}");
        assert_eq!(
            world.effects(),
            expected.map(|name| format!("{id}/{name}")),
            "crash at {fuse}"
        );
        assert_eq!(world.outcome(id).await, "ended with 42", "crash at {fuse}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_worker_writes_nothing_when_it_wakes() {
    let world = World::new();
    let (frozen, other) = (world.engine().await, world.engine().await);
    let id = add(&frozen, "fails", "a").await;
    // Without a victim the process lives on, but its step never comes back.
    *world.script.fuse.lock().unwrap() = Some(1);
    let stuck = tokio::spawn({
        let frozen = frozen.clone();
        async move { frozen.turn().await }
    });
    settle().await;
    assert_eq!((frozen.running(), world.effects().len()), (1, 1));
    world.pass(seconds(19));
    assert_eq!(other.turn().await.unwrap(), 0, "its lease holds");
    world.pass(seconds(2));
    assert_eq!(other.turn().await.unwrap(), 1);
    assert_eq!(world.outcome(id).await, "at last");
    assert_eq!(world.effects().len(), 1, "the second worker looked first");
    let late = Fence { job: id, token: 1 };
    let memo = Memo {
        name: "late".to_owned(),
        key: "late".to_owned(),
        state: MemoState::TimedOut,
        attempt: 1,
        started_ms: 0,
        ended_ms: 0,
    };
    assert_eq!(frozen.runs().commit(late, memo).await, Err(ServiceError::Fenced));
    stuck.await.unwrap().unwrap();
    assert_eq!(frozen.running(), 0, "and its handler is dropped");
    let shown = world.shown(id).await;
    assert_eq!((shown.steps.len(), shown.attempts.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn cancelling_drops_the_run() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "endless", "a").await;
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.turn().await }
    });
    settle().await;
    assert_eq!(inbox.running(), 1);
    assert!(inbox.cancel(id, "not needed").await.unwrap());
    running.await.unwrap().unwrap();
    assert_eq!((inbox.running(), world.state(id).await), (0, State::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_replay_survives_its_host() {
    let world = World::new();
    let inbox = world.engine().await;
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(add(&inbox, "refuses", &n.to_string()).await);
        if n % 10 == 9 {
            inbox.turn().await.unwrap();
        }
    }
    while inbox.turn().await.unwrap() > 0 {}
    let dead = Filter {
        state: Some(State::Dead),
        ..Filter::default()
    };
    assert_eq!(world.store.count(&dead).await.unwrap(), 300);
    let replay = world.store.replay_begin(&dead, ReplayMode::Resume).await.unwrap();
    world.store.replay_step(replay.id, 100).await.unwrap();
    inbox.turn().await.unwrap();
    inbox.kill();
    let next = world.engine().await;
    next.replay_all().await.unwrap();
    while next.turn().await.unwrap() > 0 {}
    let replay = world.store.replay_get(replay.id).await.unwrap().unwrap();
    assert_eq!((replay.seen, replay.armed, replay.finished), (300, 300, true));
    for id in ids {
        assert_eq!(world.shown(id).await.attempts.len(), 2, "each exactly once more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_while_loses_no_step() {
    let world = World::new();
    let inbox = world.engine().await;
    let id = add(&inbox, "fails", "a").await;
    *world.script.outage.lock().unwrap() = Some(world.store.clone());
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.turn().await }
    });
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(
        (inbox.running(), world.effects().len()),
        (1, 1),
        "the step waits for the store"
    );
    assert!(inbox.accept(super::world::job("fails", "b")).await.is_err());
    world.store.set_outage(false);
    running.await.unwrap().unwrap();
    assert_eq!(world.outcome(id).await, "at last");
    assert_eq!(world.effects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_ends_every_process_is_ended_after_ten() {
    let world = World::new();
    let id = add(&world.bare(), "fails", "killer").await;
    let began = world.store.now_ms().await.unwrap();
    for death in 0..lost::MAX {
        let inbox = world.engine().await;
        *world.script.victim.lock().unwrap() = Some(inbox.clone());
        *world.script.fuse.lock().unwrap() = Some(0);
        for _ in 0..1_000 {
            if inbox.turn().await.unwrap() == 1 {
                break;
            }
            world.pass(seconds(1));
        }
        assert!(
            world.script.fuse.lock().unwrap().is_none(),
            "process {death} was ended by it"
        );
        assert_eq!(world.shown(id).await.attempts.len(), 0, "a lost lease is no attempt");
        world.pass(seconds(21));
    }
    let took = world.store.now_ms().await.unwrap() - began;
    assert!(took > 635_000, "the later ones were delayed: {took} ms");
    let inbox = world.engine().await;
    assert_eq!(inbox.turn().await.unwrap(), 1);
    let shown = world.shown(id).await;
    assert_eq!((shown.summary.state, shown.steps.len()), (State::Dead, 0));
    assert!(
        shown
            .summary
            .reason
            .unwrap()
            .starts_with("10 runs in a row lost their lease")
    );
    assert_eq!(inbox.turn().await.unwrap(), 1, "its notice");
    let all = world.store.list(&Filter::default(), None, 9).await.unwrap();
    assert!(all[0].outcome.as_deref().unwrap().starts_with("told: "), "{:?}", all[0]);
    assert_eq!(
        world.effects(),
        [format!("{}/sorry", all[0].id)],
        "the handler did not run again"
    );
}
