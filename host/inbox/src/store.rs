//! What the engine asks of a store. No SQL here; three stores keep the same contract (`contract`).
//!
//! Assumptions every implementation keeps:
//! - each call is one transaction: all of it is durable when it returns `Ok`, none of it when it returns `Err`;
//! - times are by the store's clock, the same for all replicas;
//! - a job's token grows with every claim, so a write with an old token changes nothing;
//! - at most one job of a lane is running (`lane_lease`), heads go first (see [`Store::claim`]);
//! - text comes back as it was given, also with characters that a database does not take as they are (NUL).

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::run::Fence;
use uuid::Uuid;

use crate::model::{
    Change, Changed, Claimed, Count, Detail, Filter, NewWork, Replay, ReplayMode, State, Stored, Summary, Write,
    WriteError, Written,
};

/// Why a call did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot do it now, or a commit's fate is unknown: callers answer 503 and try again.
    #[error("the store cannot be reached: {0}")]
    Away(String),
    /// Other transactions were in the way, again and again. As good as away.
    #[error("the store is too busy: {0}")]
    Conflict(String),
    /// The store is there and refuses this data; another try would be refused the same way. A batch is refused as a whole
    /// when one of its items is: its items are then stored one by one ([`Batcher`](crate::engine)).
    #[error("the store refuses this data: {0}")]
    Refused(String),
}

/// The result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// What one claim may take.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Plugin whose jobs are claimed.
    pub plugin: String,
    /// At most so many.
    pub limit: u32,
    /// Lease length in milliseconds.
    pub lease_ms: u64,
    /// At most so many at once of one tenant. Work whose tenant is not known has no such limit.
    pub tenant_limit: u32,
    /// How many of each tenant run already.
    pub running: HashMap<String, u32>,
}

impl ClaimRequest {
    /// Tenants whose limit is reached.
    pub fn full_tenants(&self) -> Vec<String> {
        let full = self
            .running
            .iter()
            .filter(|(_, running)| **running >= self.tenant_limit);
        full.map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Counts one of `tenant` in, when there is room for it.
    pub fn admit(&self, taken: &mut HashMap<String, u32>, tenant: &str) -> bool {
        if tenant.is_empty() {
            return true;
        }
        let running = self.running.get(tenant).copied().unwrap_or(0);
        let taken = taken.entry(tenant.to_owned()).or_default();
        let room = running + *taken < self.tenant_limit;
        *taken += u32::from(room);
        room
    }
}

/// A durable inbox.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores work and applies writes of runs, in as few commits as the store can. Answers in the order given.
    ///
    /// **Work**: each in one commit with its dedup key and job. The same key twice in one
    /// batch is one `New` and duplicates. A key whose work is dead re-arms it (`Resume`) when its kind
    /// [`rearms`](crate::model::WorkKind::rearms); otherwise it is a duplicate.
    ///
    /// New work with a lease ([`NewWork::lease`]) is `Begun` when it has no lane, or when it is the first of its lane in the
    /// batch, no job of the lane runs and none is pending: exactly as if it had been stored and claimed.
    ///
    /// **Writes**: a `Park` deletes the lane lease, keeps the absolute deadline and clears `maybe_done`.
    /// An `End` releases the lane in the same commit, records the attempt (not for `Released`, `Held`) and, when ended,
    /// removes the job and writes state, outcome and times to the delivery. `Retry` sets run_at. Preempted ends do not
    /// count: attempts goes back by one. Every one of these, and a kept step, begins the count of lost leases anew; a park
    /// begins the count of failures anew, because the retry window is about the stretch that fails.
    async fn change(&self, changes: &[Change]) -> StoreResult<Vec<Changed>>;

    /// [`Store::change`] for work alone.
    async fn accept(&self, batch: &[NewWork]) -> StoreResult<Vec<Stored>> {
        let changes: Vec<Change> = batch.iter().cloned().map(Change::Accept).collect();
        let stored = |changed| match changed {
            Changed::Stored(stored) => Some(stored),
            Changed::Written(_) => None,
        };
        Ok(self.change(&changes).await?.into_iter().filter_map(stored).collect())
    }

    /// [`Store::change`] for writes alone.
    async fn write(&self, writes: &[Write]) -> StoreResult<Vec<Result<Written, WriteError>>> {
        let changes: Vec<Change> = writes.iter().cloned().map(Change::Write).collect();
        let written = |changed| match changed {
            Changed::Written(written) => Some(written),
            Changed::Stored(_) => None,
        };
        Ok(self.change(&changes).await?.into_iter().filter_map(written).collect())
    }

    /// Claims due heads of one plugin, those that are due longest first: pending with `run_at` passed, or waiting whose
    /// signal came or deadline passed. A job of a lane is a head when no job of the lane runs and no earlier pending one is
    /// in the way. An earlier pending job is in the way unless it has failed (or lost leases delay it) and
    /// [`LANE_BLOCK_MS`](crate::model::LANE_BLOCK_MS) passed since its first failure (then it is marked as overtaken), or
    /// was delayed at birth and is not yet due. Waiting and held jobs are not in the way. Of two heads of one lane (a woken
    /// one beside a pending one) the earlier goes first.
    /// Increments token and attempts; a wait that is over becomes a memo (`Signalled` with the first signal after its cursor,
    /// else `TimedOut`). A memo that the database refuses harms nobody else: its job comes with `refused_wait`, the others as
    /// ever. `maybe_done` is given as it was and set for the next claim.
    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Vec<Claimed>>;

    /// Plugins that have something due.
    async fn due(&self) -> StoreResult<Vec<String>>;

    /// Extends leases; gives the ones that are lost.
    async fn heartbeat(&self, fences: &[Fence], lease_ms: u64) -> StoreResult<Vec<Fence>>;

    /// Puts running jobs whose lease has passed back to pending and frees their lanes; gives how many. A lost lease is no
    /// attempt. Those lost in a row are counted, and from the third on they delay the next claim as [`crate::lost`] says;
    /// its lane is then blocked as by a failing head.
    async fn reclaim(&self) -> StoreResult<u64>;

    /// Stores a signal and makes those who wait for it due; gives its sequence number within the topic: at least the clock's
    /// milliseconds, and more than the one before, so it also grows when retention forgot the topic meanwhile and a job
    /// still keeps a cursor of it.
    async fn signal(&self, plugin: &str, topic: &str, value: Bytes) -> StoreResult<i64>;

    /// The topic's newest sequence number, 0 when there is none.
    async fn cursor(&self, plugin: &str, topic: &str) -> StoreResult<i64>;

    /// Ends work that has not ended as `cancelled`; a running one is fenced. Tells whether it did.
    async fn cancel(&self, id: Uuid, reason: &str) -> StoreResult<bool>;

    /// Pending work of a plugin becomes `held` for `reason`; gives how many.
    async fn hold(&self, plugin: &str, reason: &str) -> StoreResult<u64>;

    /// Held work of a plugin becomes pending; gives how many.
    async fn unhold(&self, plugin: &str) -> StoreResult<u64>;

    /// Newest first; at most `limit`; `before` is the last id of the page before.
    async fn list(&self, filter: &Filter, before: Option<Uuid>, limit: u32) -> StoreResult<Vec<Summary>>;

    /// Everything about one.
    async fn show(&self, id: Uuid) -> StoreResult<Option<Detail>>;

    /// How many match.
    async fn count(&self, filter: &Filter) -> StoreResult<u64>;

    /// Begins a durable replay of what matches now and is stored before now.
    async fn replay_begin(&self, filter: &Filter, mode: ReplayMode) -> StoreResult<Replay>;

    /// Looks at the next `chunk` deliveries of a replay, oldest first, and arms those that `mode` arms, in one commit
    /// with the replay's progress. Work that has not ended is skipped.
    async fn replay_step(&self, id: Uuid, chunk: u32) -> StoreResult<Option<Replay>>;

    /// One replay.
    async fn replay_get(&self, id: Uuid) -> StoreResult<Option<Replay>>;

    /// Replays that have not finished.
    async fn replays_open(&self) -> StoreResult<Vec<Replay>>;

    /// Deletes at most `limit` ended deliveries stored before `before_ms` with all that belongs to them, signals sent and
    /// replays begun before it, and topics that nobody waits for; gives how many deliveries.
    async fn purge(&self, before_ms: i64, limit: u32) -> StoreResult<u64>;

    /// Live work by plugin and state.
    async fn counts(&self) -> StoreResult<Vec<Count>>;

    /// Small values the host keeps for all replicas (pauses, quarantines, descriptors), by prefix.
    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, Bytes)>>;

    /// Sets or removes one.
    async fn set_value(&self, key: &str, value: Option<Bytes>) -> StoreResult<()>;

    /// The store's clock.
    async fn now_ms(&self) -> StoreResult<i64>;
}

/// Which states a replay mode arms.
pub const fn arms(mode: ReplayMode, state: State) -> bool {
    match mode {
        ReplayMode::Resume => matches!(state, State::Dead | State::Cancelled),
        ReplayMode::FromStart | ReplayMode::Again => state.ended(),
    }
}
