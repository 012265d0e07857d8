//! What every store is held to: one suite for the memory, SQLite and PostgreSQL stores. Each case begins with an empty store
//! and moves its clock by hand.
//!
//! A case panics when the store breaks the contract; the line says which sentence of [`crate::store`] is meant.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_imports,
    reason = "a test suite: its cases share its vocabulary"
)]

mod accepting;
mod claiming;
mod operating;
mod replaying;
mod waiting;
mod writing;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackfield_sdk::{
    error::{Failure, Fate},
    run::{Fence, Memo, MemoState, Outcome, Wait},
};
use uuid::Uuid;

use crate::{
    lost,
    model::{
        AttemptEnd, Claimed, DedupKey, Filter, NewWork, Next, ReplayMode, State, Stored, WorkKind, Write, WriteError,
        Written,
    },
    store::{ClaimRequest, Store},
};

/// An empty store and its clock.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Moves its clock forward.
    pub advance: Box<dyn Fn(Duration) + Send + Sync>,
}

/// One case.
pub type Case = fn(Subject) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($module:ident: $($name:ident),+;)+) => {
        /// Every case by its name.
        pub const CASES: &[(&str, Case)] = &[$($((
            concat!(stringify!($module), "::", stringify!($name)),
            |subject| Box::pin($module::$name(subject)),
        )),+),+];
    };
}

cases! {
    accepting: stores_and_deduplicates, same_id_twice_in_one_batch, resending_what_is_dead_arms_it_once,
        a_slot_that_died_is_not_armed_by_the_clock, any_text_comes_back, bodies_and_headers_come_back_byte_for_byte,
        an_empty_lane_is_none, a_batch_is_all_or_nothing, begins_as_it_is_stored, only_the_first_of_a_free_lane_begins,
        what_waits_does_not_begin;
    claiming: oldest_first_and_within_the_limit, one_per_lane_in_order, only_its_own_plugin, tenants_have_a_limit,
        a_failing_head_blocks_five_minutes, every_failing_head_is_overtaken, delayed_work_does_not_block,
        waiting_and_held_work_do_not_block, a_woken_one_and_its_successor_do_not_run_together,
        heartbeats_keep_a_lease, a_lost_lease_is_no_attempt, lost_leases_in_a_row_delay, what_is_written_ends_the_row, only_the_last_token_writes,
        a_lost_head_blocks_five_minutes;
    writing: steps_are_kept, a_stale_token_writes_nothing, a_batch_of_writes, retries_wait_and_count, a_park_ends_the_retries, dead_with_its_notice,
        release_keeps_steps_and_is_no_attempt, hold_keeps_steps_and_is_no_attempt, maybe_done_follows_how_runs_end,
        done_tells_everything, orphans_are_listed;
    waiting: a_signal_wakes, a_signal_before_parking, the_cursor_counts, a_timeout_is_absolute, a_sleep, a_wait_frees_the_lane,
        topics_belong_to_plugins, the_first_of_two_signals;
    operating: cancels_in_every_state, hold_and_unhold, lists_in_pages, filters, blocked_is_derived, retention,
        retention_keeps_what_lives, topics_never_count_backwards, host_values, counts;
    replaying: resume_goes_on, from_start_uses_the_same_keys, again_uses_new_keys, done_is_left_alone,
        chunk_by_chunk, only_what_the_filter_means, nothing_to_do;
}

/// Runs every case on a store that `make` gives it.
pub async fn check<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Subject>,
{
    for (name, case) in CASES {
        println!("case {name}");
        case(make().await).await;
    }
}

const PLUGIN: &str = "p";
const LEASE: u64 = 20_000;
const MINUTE: Duration = Duration::from_secs(60);

impl Subject {
    fn wait(&self, time: Duration) {
        (self.advance)(time);
    }

    async fn accept(&self, work: NewWork) -> Stored {
        self.store.accept(&[work]).await.unwrap().remove(0)
    }

    /// Stores plain work under `name`.
    async fn add(&self, name: &str) -> Uuid {
        self.accept(work(name)).await.id()
    }

    async fn add_in(&self, lane: &str, name: &str) -> Uuid {
        self.accept(in_lane(lane, name)).await.id()
    }

    async fn claim(&self) -> Vec<Claimed> {
        self.store.claim(&request()).await.unwrap()
    }

    /// Claims what must be exactly one.
    async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim().await;
        assert_eq!(claimed.len(), 1, "one is to be claimed");
        claimed.remove(0)
    }

    async fn claimed_ids(&self) -> Vec<Uuid> {
        self.claim().await.iter().map(|one| one.fence.job).collect()
    }

    async fn write(&self, write: Write) -> Result<Written, WriteError> {
        self.store.write(&[write]).await.unwrap().remove(0)
    }

    async fn end(&self, fence: Fence, next: Next) -> Result<Written, WriteError> {
        self.write(Write::End(fence, end(next))).await
    }

    async fn done(&self, fence: Fence) {
        assert_eq!(self.end(fence, Next::Done(Outcome::done("ok"))).await, Ok(Written::Ok));
    }

    async fn dead(&self, fence: Fence) {
        assert_eq!(self.end(fence, dead(None)).await, Ok(Written::Ok));
    }

    async fn step(&self, fence: Fence, name: &str) {
        assert_eq!(self.write(Write::Memo(fence, memo(fence, name))).await, Ok(Written::Ok));
    }

    async fn park(&self, fence: Fence, wait: Wait) -> Written {
        self.write(Write::Park(fence, wait)).await.unwrap()
    }

    async fn signal(&self, topic: &str, value: &str) -> i64 {
        let value = Bytes::copy_from_slice(value.as_bytes());
        self.store.signal(PLUGIN, topic, value).await.unwrap()
    }

    async fn state(&self, id: Uuid) -> State {
        self.store.show(id).await.unwrap().unwrap().summary.state
    }

    async fn replay(&self, filter: Filter, mode: ReplayMode) -> crate::model::Replay {
        let replay = self.store.replay_begin(&filter, mode).await.unwrap();
        let mut now = replay;
        while !now.finished {
            now = self.store.replay_step(now.id, 3).await.unwrap().unwrap();
        }
        now
    }
}

fn request() -> ClaimRequest {
    ClaimRequest {
        plugin: PLUGIN.to_owned(),
        limit: 100,
        lease_ms: LEASE,
        tenant_limit: 1_000,
        running: HashMap::new(),
    }
}

fn work(name: &str) -> NewWork {
    NewWork {
        id: Uuid::now_v7(),
        kind: WorkKind::Webhook,
        plugin: PLUGIN.to_owned(),
        handler: "hook".to_owned(),
        tenant: String::new(),
        delivery_id: name.to_owned(),
        event: "event".to_owned(),
        lane: None,
        headers: vec![("x-a".to_owned(), Bytes::from_static(b"1"))],
        body: Bytes::copy_from_slice(name.as_bytes()),
        dedup: DedupKey::of(PLUGIN, "webhook", "", name),
        delay_ms: 0,
        held: None,
        lease_ms: None,
        death: None,
    }
}

fn leased(work: NewWork) -> NewWork {
    NewWork {
        lease_ms: Some(LEASE),
        ..work
    }
}

fn in_lane(lane: &str, name: &str) -> NewWork {
    NewWork {
        lane: Some(lane.to_owned()),
        ..work(name)
    }
}

fn memo(fence: Fence, name: &str) -> Memo {
    Memo {
        name: name.to_owned(),
        key: format!("{}/{name}", fence.job),
        state: MemoState::Done {
            result: Bytes::from_static(b"7"),
        },
        attempt: 1,
        started_ms: 1,
        ended_ms: 2,
    }
}

fn wait(name: &str, topic: Option<&str>, after: i64, time: Duration) -> Wait {
    Wait {
        name: name.to_owned(),
        topic: topic.map(str::to_owned),
        after,
        timeout_ms: time.as_millis() as u64,
        attempt: 1,
    }
}

fn failure() -> Failure {
    Failure {
        fate: Fate::Transient,
        message: "it broke".to_owned(),
        tell: None,
        code: None,
    }
}

fn retry(time: Duration) -> Next {
    Next::Retry {
        failure: failure(),
        delay_ms: time.as_millis() as u64,
    }
}

fn dead(notice: Option<NewWork>) -> Next {
    Next::Dead {
        failure: failure(),
        notice: notice.map(Box::new),
    }
}

fn end(next: Next) -> Box<AttemptEnd> {
    Box::new(AttemptEnd {
        started_ms: 5,
        next,
        orphans: Vec::new(),
    })
}

fn names(memos: &[Memo]) -> Vec<&str> {
    let mut names: Vec<&str> = memos.iter().map(|memo| memo.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn only(ids: &[Uuid]) -> Filter {
    Filter {
        ids: ids.to_vec(),
        ..Filter::default()
    }
}
