//! What the inbox keeps: work (a delivery, a job, a schedule's slot, a death notice), its states, its history.
//!
//! One id (UUIDv7) names the delivery and its job. The narrow `job` row lives only while something is left to do;
//! the delivery, its body, memos and attempts stay for the retention time. All times are milliseconds since the Unix
//! epoch, by the store's clock.

mod shown;

use bytes::Bytes;
use jackfield_sdk::{
    error::Failure,
    handler::DeathRecord,
    run::{Fence, Memo, Outcome, Wait},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::shown::{AttemptRecord, Count, Detail, Filter, Replay, ReplayMode, Summary};

/// Where work came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// A webhook delivery.
    Webhook,
    /// Enqueued by the plugin.
    Job,
    /// Started by the clock.
    Schedule,
    /// `on_dead` of another one.
    Death,
}

/// State of work. `Blocked` is derived when it is read: pending, but an earlier one of its lane is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be run now or later.
    Pending,
    /// A worker holds its lease.
    Running,
    /// Parked: waits for a signal or a time.
    Waiting,
    /// Waits for its lane.
    Blocked,
    /// Its plugin is not there to run it.
    Held,
    /// Ended well.
    Done,
    /// Ended badly; can be replayed.
    Dead,
    /// Ended by request.
    Cancelled,
}

impl State {
    /// All states, in the order of life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Blocked,
        Self::Held,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The name in JSON, SQL and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing is left to do.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}

impl std::str::FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// Not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state; use pending, running, waiting, blocked, held, done, dead or cancelled")]
pub struct UnknownState(pub String);

impl WorkKind {
    /// Whether the same key again re-arms work that is dead: a sender means it, a clock that comes by the same slot does not.
    pub const fn rearms(self) -> bool {
        matches!(self, Self::Webhook | Self::Job)
    }

    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Job => "job",
            Self::Schedule => "schedule",
            Self::Death => "death",
        }
    }
}

/// First 16 bytes of SHA-256 over (plugin, kind and handler scope, tenant, delivery id), each with its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey(pub [u8; 16]);

impl DedupKey {
    /// The key of a delivery id within its plugin, scope (`webhook`, or a job's name) and tenant.
    pub fn of(plugin: &str, scope: &str, tenant: &str, delivery_id: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [plugin, scope, tenant, delivery_id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

/// Work to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWork {
    /// UUIDv7.
    pub id: Uuid,
    /// Where it came from.
    pub kind: WorkKind,
    /// Plugin id.
    pub plugin: String,
    /// Webhook, job or schedule name.
    pub handler: String,
    /// Whose data; empty when not known.
    pub tenant: String,
    /// The sender's id.
    pub delivery_id: String,
    /// Kind of event.
    pub event: String,
    /// Lane; none is a lane of its own.
    pub lane: Option<String>,
    /// Headers in order, lower-case names.
    pub headers: Vec<(String, Bytes)>,
    /// Raw body.
    pub body: Bytes,
    /// Dedup key.
    pub dedup: DedupKey,
    /// Wait before the first attempt. Delayed work does not block its lane.
    pub delay_ms: u64,
    /// Why it is not to be run yet: stored as `held`.
    pub held: Option<String>,
    /// The caller runs it at once, on a lease of so many milliseconds, when nothing of its lane is in the way: it is stored
    /// as claimed already.
    pub lease_ms: Option<u64>,
    /// For `WorkKind::Death`.
    pub death: Option<DeathRecord>,
}

impl NewWork {
    /// Its lane; one without a name is none.
    pub fn lane(&self) -> Option<&str> {
        self.lane.as_deref().filter(|lane| !lane.is_empty())
    }

    /// The lease to store it with, if it may be stored as claimed.
    pub fn lease(&self) -> Option<u64> {
        self.lease_ms.filter(|_| self.held.is_none() && self.delay_ms == 0)
    }
}

/// What became of stored work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New(Uuid),
    /// It is new, and claimed by who stored it: its first attempt, with token 1, began at this time.
    Begun(Uuid, i64),
    /// It was there already under this id; nothing to do.
    Duplicate(Uuid),
    /// It was there, dead, and runs again.
    Rearmed(Uuid),
}

impl Stored {
    /// The id under which it is kept.
    pub const fn id(self) -> Uuid {
        match self {
            Self::New(id) | Self::Begun(id, _) | Self::Duplicate(id) | Self::Rearmed(id) => id,
        }
    }
}

/// Work that a worker holds a lease on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Job and token.
    pub fence: Fence,
    /// Where it came from.
    pub kind: WorkKind,
    /// Plugin id.
    pub plugin: String,
    /// Handler name.
    pub handler: String,
    /// Whose data.
    pub tenant: String,
    /// The sender's id.
    pub delivery_id: String,
    /// Kind of event.
    pub event: String,
    /// Lane.
    pub lane: Option<String>,
    /// Headers.
    pub headers: Vec<(String, Bytes)>,
    /// Body.
    pub body: Bytes,
    /// When it was stored.
    pub received_ms: i64,
    /// Runs including this one.
    pub attempt: u32,
    /// Failed runs so far.
    pub failures: u32,
    /// Leases lost in a row ([`crate::lost`]).
    pub lost: u32,
    /// First failure since it was last armed or parked, or the lost lease that began to delay it.
    pub first_failed_ms: Option<i64>,
    /// An earlier run ended otherwise than by success or parking.
    pub maybe_done: bool,
    /// How often it was armed with new keys (`--again`); 0 at first.
    pub epoch: u32,
    /// Kept steps; a wait that is over is among them.
    pub memos: Vec<Memo>,
    /// For `WorkKind::Death`.
    pub death: Option<DeathRecord>,
    /// The wait whose end the store refuses to keep: the run cannot go on, and is ended without its handler.
    pub refused_wait: Option<String>,
    /// The store's clock at the claim.
    pub now_ms: i64,
}

impl Claimed {
    /// The first attempt of work that was stored as claimed at `now_ms`.
    pub fn begun(work: NewWork, now_ms: i64) -> Self {
        Self {
            fence: Fence { job: work.id, token: 1 },
            kind: work.kind,
            plugin: work.plugin,
            handler: work.handler,
            tenant: work.tenant,
            delivery_id: work.delivery_id,
            event: work.event,
            lane: work.lane.filter(|lane| !lane.is_empty()),
            headers: work.headers,
            body: work.body,
            received_ms: now_ms,
            attempt: 1,
            failures: 0,
            lost: 0,
            first_failed_ms: None,
            maybe_done: false,
            epoch: 0,
            memos: Vec::new(),
            death: work.death,
            refused_wait: None,
            now_ms,
        }
    }
}

/// One write of a run. Refused with [`WriteError::Fenced`] unless the token still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Keeps a step (insert, or replace a failing one).
    Memo(Fence, Memo),
    /// Parks, or finds the wait already over.
    Park(Fence, Wait),
    /// Ends the attempt.
    End(Fence, Box<AttemptEnd>),
}

impl Write {
    /// Who writes.
    pub const fn fence(&self) -> Fence {
        match self {
            Self::Memo(fence, _) | Self::Park(fence, _) | Self::End(fence, _) => *fence,
        }
    }
}

/// What a store commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stores work.
    Accept(NewWork),
    /// A run's write.
    Write(Write),
}

/// What a [`Change`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Of `Accept`.
    Stored(Stored),
    /// Of `Write`.
    Written(Result<Written, WriteError>),
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is committed.
    Ok,
    /// `Park` only: the wait was over; its memo is committed and the run goes on.
    Over(Memo),
}

/// Why one write of a batch was not done; the others were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another worker owns the job now, or it has ended.
    #[error("the run no longer owns its job")]
    Fenced,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptEnd {
    /// When the attempt began.
    pub started_ms: i64,
    /// What follows.
    pub next: Next,
    /// Memos that the run did not visit.
    pub orphans: Vec<String>,
}

/// What follows an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ended well.
    Done(Outcome),
    /// Tried again after the delay; the lane is blocked for at most [`LANE_BLOCK_MS`] from the first failure.
    Retry {
        /// Why it failed.
        failure: Failure,
        /// Milliseconds from now.
        delay_ms: u64,
    },
    /// Ended badly; the death notice, if any, is stored in the same commit.
    Dead {
        /// Why.
        failure: Failure,
        /// `on_dead` work.
        notice: Option<Box<NewWork>>,
    },
    /// Preempted (drain, reload): not an attempt, run again at once.
    Released,
    /// Its handler is not there: held for this reason, not an attempt.
    Held(String),
}

/// How long a failing head blocks its lane.
pub const LANE_BLOCK_MS: i64 = 5 * 60 * 1000;

/// What the step keys of a job start with: its id, and how often it was armed with new keys.
pub fn key_base(job: Uuid, epoch: u32) -> String {
    if epoch == 0 {
        job.to_string()
    } else {
        format!("{job}~{epoch}")
    }
}
