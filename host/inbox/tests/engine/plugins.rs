//! Generations that come and go, handlers that are not there, schedules, drains.

use std::time::Duration;

use jackfield_inbox::{
    model::{Filter, NewWork, ReplayMode, State, Stored, WorkKind},
    store::Store,
};
use jackfield_sdk::prelude::*;

use super::world::{World, add, job, settle};

#[tokio::test(start_paused = true)]
async fn a_new_generation_takes_over_what_the_old_one_lets_go() {
    let world = World::new();
    let inbox = world.bare();
    let old = world.runner(&inbox, 1).await;
    inbox.set_runners(vec![old.clone()], &[]).await.unwrap();
    let id = add(&inbox, "endless", "a").await;
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.turn().await }
    });
    settle().await;
    let new = world.runner(&inbox, 2).await;
    inbox.set_runners(vec![new.clone()], &[]).await.unwrap();
    assert_eq!(
        world.state(id).await,
        State::Running,
        "what runs goes on until the drain's deadline"
    );
    old.retired.cancel();
    running.await.unwrap().unwrap();
    let shown = world.shown(id).await;
    assert_eq!((shown.summary.state, shown.summary.attempts), (State::Pending, 0));
    let again = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.turn().await }
    });
    settle().await;
    let shown = world.shown(id).await;
    assert_eq!(
        (shown.summary.state, shown.summary.attempts, shown.attempts.len()),
        (State::Running, 1, 0)
    );
    assert_eq!(world.effects().len(), 1, "its step is kept");
    new.retired.cancel();
    again.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn work_without_a_handler_is_held_and_an_alias_brings_it_back() {
    let world = World::new();
    let inbox = world.engine().await;
    let gone = add(&inbox, "gone", "a").await;
    let renamed = add(&inbox, "old-name", "b").await;
    inbox.turn().await.unwrap();
    let shown = world.shown(gone).await;
    assert_eq!((shown.summary.state, shown.summary.attempts), (State::Held, 0));
    assert!(shown.summary.reason.unwrap().contains("no handler `gone`"));
    assert_eq!(world.state(renamed).await, State::Waiting, "the alias knows it");
    let next = world.runner(&inbox, 2).await;
    inbox.set_runners(vec![next], &[]).await.unwrap();
    assert_eq!(world.state(gone).await, State::Pending, "a new generation may know it");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_not_there_has_its_work_held() {
    let world = World::new();
    let inbox = world.engine().await;
    let before = add(&inbox, "fails", "a").await;
    let absent = [("p".to_owned(), "paused: by the operator".to_owned())];
    inbox.set_runners(Vec::new(), &absent).await.unwrap();
    let during = NewWork {
        held: Some("paused".to_owned()),
        ..job("fails", "b")
    };
    let during = inbox.accept(during).await.unwrap().id();
    assert_eq!(inbox.turn().await.unwrap(), 0);
    assert_eq!(
        (world.state(before).await, world.state(during).await),
        (State::Held, State::Held)
    );
    let back = world.runner(&inbox, 2).await;
    inbox.set_runners(vec![back], &[]).await.unwrap();
    assert_eq!(inbox.turn().await.unwrap(), 2);
    assert_eq!(
        (world.state(before).await, world.state(during).await),
        (State::Done, State::Done)
    );
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_saw_the_old_route_table_does_not_stay_held() {
    let world = World::new();
    // Resumed already, but this request began before.
    let inbox = world.engine().await;
    let late = NewWork {
        held: Some("paused".to_owned()),
        ..job("fails", "a")
    };
    let id = inbox.accept(late).await.unwrap().id();
    assert_eq!(world.state(id).await, State::Pending);
    assert_eq!(inbox.turn().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_armed_while_its_plugin_is_away_is_held() {
    let world = World::new();
    let inbox = world.bare();
    let old = world.runner(&inbox, 1).await;
    inbox.set_runners(vec![old.clone()], &[]).await.unwrap();
    let (sent, replayed) = (add(&inbox, "refuses", "a").await, add(&inbox, "refuses", "b").await);
    let in_flight = add(&inbox, "endless", "c").await;
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.turn().await }
    });
    settle().await;
    assert_eq!(
        (world.state(sent).await, world.state(in_flight).await),
        (State::Dead, State::Running)
    );
    let absent = [("p".to_owned(), "disabled: not wanted".to_owned())];
    inbox.set_runners(Vec::new(), &absent).await.unwrap();
    let held = async |id| {
        let shown = world.shown(id).await.summary;
        assert_eq!(shown.state, State::Held, "{shown:?}");
        assert_eq!(shown.reason.as_deref(), Some("disabled: not wanted"));
    };
    // Sent again by a request that saw the plugin, and by one that knew it was away.
    assert_eq!(inbox.accept(job("refuses", "a")).await.unwrap(), Stored::Rearmed(sent));
    held(sent).await;
    let new = inbox.accept(job("fails", "d")).await.unwrap().id();
    held(new).await;
    let filter = Filter {
        state: Some(State::Dead),
        ..Filter::default()
    };
    world.store.replay_begin(&filter, ReplayMode::Resume).await.unwrap();
    inbox.replay_all().await.unwrap();
    held(replayed).await;
    // What ran on when the plugin went, and is let go at the drain's deadline.
    old.retired.cancel();
    running.await.unwrap().unwrap();
    held(in_flight).await;
    let back = world.runner(&inbox, 2).await;
    inbox.set_runners(vec![back], &[]).await.unwrap();
    assert_eq!(world.state(new).await, State::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_fires_once_over_all_replicas_and_not_for_missed_slots() {
    let mut world = World::new();
    world.ticking = true;
    let (one, two) = (world.engine().await, world.engine().await);
    let ticks = async || {
        let all = world.store.list(&Filter::default(), None, 99).await.unwrap();
        all.iter().filter(|one| one.kind == WorkKind::Schedule).count()
    };
    for _ in 0..3 {
        one.turn().await.unwrap();
        two.turn().await.unwrap();
    }
    assert_eq!((ticks().await, world.effects().len()), (1, 1));
    world.pass(minutes(10));
    two.turn().await.unwrap();
    one.turn().await.unwrap();
    assert_eq!(ticks().await, 2);
    // Down for a day: the last slot only, also when a process starts anew.
    world.pass(days(1));
    let three = world.engine().await;
    for inbox in [&three, &one, &two] {
        inbox.turn().await.unwrap();
    }
    assert_eq!((ticks().await, world.effects().len()), (3, 3));
    let all = world.store.list(&Filter::default(), None, 99).await.unwrap();
    assert!(all.iter().all(|one| one.state == State::Done));
}

#[tokio::test(start_paused = true)]
async fn a_drain_keeps_the_leases_of_what_still_runs() {
    let world = World::new();
    let inbox = world.engine().await;
    inbox.start();
    let id = add(&inbox, "endless", "a").await;
    settle().await;
    assert_eq!(inbox.running(), 1);
    let drained = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.drain(seconds(60)).await }
    });
    // Three leases long; another replica looks for lost ones all the while.
    for _ in 0..11 {
        world.pass(seconds(5));
        tokio::time::sleep(seconds(5)).await;
        assert_eq!(world.store.reclaim().await.unwrap(), 0);
        assert_eq!(world.state(id).await, State::Running);
    }
    drained.await.unwrap();
    let shown = world.shown(id).await;
    assert_eq!(
        (shown.summary.state, shown.summary.attempts),
        (State::Pending, 0),
        "released at the deadline"
    );
    assert!(inbox.accept(job("fails", "late")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn started_engines_work_by_themselves() {
    let world = World::new();
    let inbox = world.engine().await;
    inbox.start();
    let story = add(&inbox, "story", "a").await;
    let failing = add(&inbox, "fails", "b").await;
    for _ in 0..200 {
        world.pass(seconds(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.state(failing).await, State::Done);
    inbox.signal("p", "end/a", "1".into()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.outcome(story).await, "ended with 1");
    inbox.drain(seconds(5)).await;
}
