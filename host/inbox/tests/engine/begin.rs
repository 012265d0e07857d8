//! Work that begins with the commit that stores it, and work that has to wait its turn.

use std::time::Duration;

use futures_util::{join, poll};
use jackfield_inbox::{
    engine::Inbox,
    model::{NewWork, State, Stored},
    store::Store,
};
use jackfield_sdk::prelude::*;
use tokio::time::Instant;
use uuid::Uuid;

use super::world::{World, job, settle};

/// Far less than a poll.
const AT_ONCE: Duration = Duration::from_millis(100);

/// An engine that has looked round.
async fn started(world: &World) -> Inbox {
    let inbox = world.engine().await;
    inbox.start();
    settle().await;
    inbox
}

async fn begins(inbox: &Inbox, work: NewWork) -> bool {
    matches!(inbox.accept(work).await.unwrap(), Stored::Begun(..))
}

fn of(tenant: &str, work: NewWork) -> NewWork {
    NewWork {
        tenant: tenant.to_owned(),
        ..work
    }
}

/// How long it takes until `id` has ended, in the test's time.
async fn ends(world: &World, id: Uuid) -> Duration {
    let since = Instant::now();
    while !world.state(id).await.ended() {
        assert!(since.elapsed() < minutes(5), "{id} does not end");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    since.elapsed()
}

#[tokio::test(start_paused = true)]
async fn with_room_it_runs_without_a_claim_even_if_the_sender_is_gone() {
    let world = World::new();
    let inbox = world.engine().await;
    let before = job("fails", "before it starts");
    assert!(!begins(&inbox, before).await, "only a started engine begins work");
    inbox.start();
    settle().await;
    let work = job("fails", "a");
    let id = work.id;
    {
        let mut accepting = Box::pin(inbox.accept(work));
        assert!(poll!(&mut accepting).is_pending());
    }
    settle().await;
    assert_eq!(world.state(id).await, State::Done);
    assert_eq!(world.shown(id).await.attempts.len(), 1);
    assert_eq!(inbox.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lane_goes_on_without_a_poll() {
    let world = World::new();
    let inbox = started(&world).await;
    let all = ["a", "b", "c"].map(|name| NewWork {
        lane: Some("lane".to_owned()),
        ..job("fails", name)
    });
    let [a, b, c] = all.clone().map(|work| inbox.accept(work));
    let (a, b, c) = join!(a, b, c);
    let begun = [a, b, c].map(|stored| matches!(stored.unwrap(), Stored::Begun(..)));
    assert_eq!(begun, [true, false, false]);
    assert!(ends(&world, all[2].id).await < AT_ONCE);
    let order: Vec<String> = all.iter().map(|work| format!("{}/once", work.id)).collect();
    assert_eq!(world.effects(), order);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_older_goes_first() {
    let mut world = World::new();
    world.limits.jobs = 2;
    let inbox = started(&world).await;
    assert!(begins(&inbox, job("hangs", "1")).await);
    assert!(begins(&inbox, job("hangs", "2")).await);
    let all: Vec<NewWork> = (0..9).map(|n| job("fails", &n.to_string())).collect();
    for work in &all {
        assert!(!begins(&inbox, work.clone()).await);
    }
    assert_eq!(world.store.counts().await.unwrap().len(), 2, "running and pending");
    ends(&world, all[8].id).await;
    let order: Vec<String> = all.iter().map(|work| format!("{}/once", work.id)).collect();
    assert_eq!(world.effects(), order);
    settle().await;
    tokio::time::sleep(AT_ONCE).await;
    assert!(begins(&inbox, job("fails", "later")).await, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_full_tenant_waits_and_holds_nobody_back() {
    let mut world = World::new();
    world.limits.tenant_jobs = 1;
    let inbox = started(&world).await;
    let both = [job("hangs", "1"), job("fails", "2")].map(|work| of("greedy", work));
    let [first, second] = both.clone().map(|work| inbox.accept(work));
    let (first, second) = join!(first, second);
    assert!(matches!(first.unwrap(), Stored::Begun(..)));
    assert!(
        matches!(second.unwrap(), Stored::New(_)),
        "the place was taken before it was stored"
    );
    assert!(begins(&inbox, of("modest", job("fails", "3"))).await);
    assert!(begins(&inbox, job("fails", "4")).await, "nobody's");
    ends(&world, both[0].id).await;
    assert!(ends(&world, both[1].id).await < AT_ONCE, "it is woken");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_while_the_breaker_is_open_or_a_rate_counts() {
    let mut world = World::new();
    let inbox = started(&world).await;
    for n in 0..20 {
        assert!(begins(&inbox, job("panics", &n.to_string())).await);
        settle().await;
    }
    assert!(!begins(&inbox, job("fails", "a")).await);
    inbox.drain(seconds(1)).await;
    world.limits.jobs_per_minute = std::num::NonZeroU32::new(60);
    let inbox = world.engine().await;
    inbox.start();
    assert!(!begins(&inbox, job("fails", "b")).await);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_begins() {
    let world = World::new();
    let inbox = started(&world).await;
    let work = job("fails", "a");
    let id = work.id;
    let mut accepting = Box::pin(inbox.accept(work));
    assert!(poll!(&mut accepting).is_pending());
    let drained = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.drain(seconds(60)).await }
    });
    settle().await;
    assert!(matches!(accepting.await.unwrap(), Stored::Begun(..)));
    drained.await.unwrap();
    assert_eq!(world.state(id).await, State::Done);
}
