//! What crosses between a run and the engine, and what the engine keeps of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{error::Failure, service::service};

service! {
    /// What the engine keeps for a run. Every write is refused with `Fenced` once the run has lost its lease.
    pub trait RunService = 2, serve_run {
        /// Commits a step's memo.
        1 => fn commit(fence: Fence, memo: Memo) -> ();
        /// Registers a wait. `Some` when it is already over; `None` when the job is parked: the caller stays pending
        /// and is dropped by the host.
        2 => fn park(fence: Fence, wait: Wait) -> Option<Memo>;
        /// Completes when the job is cancelled or its lease is lost.
        3 => fn cancelled(fence: Fence) -> ();
    }
}

/// Which attempt of which job writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Job id (UUIDv7).
    pub job: Uuid,
    /// Fencing token of the lease.
    pub token: i64,
}

/// What is kept of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// Name, unique in the job.
    pub name: String,
    /// Idempotency key the step ran with.
    pub key: String,
    /// How it ended.
    pub state: MemoState,
    /// Attempt number that wrote it.
    pub attempt: u32,
    /// Milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub ended_ms: i64,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MemoState {
    /// Done; the result as JSON.
    Done {
        /// JSON text.
        result: Bytes,
    },
    /// Refused for good (`try_step`); the failure is the result.
    Refused {
        /// Why.
        failure: Failure,
    },
    /// Failed so far (`try_step`).
    Failing {
        /// Failed attempts.
        count: u32,
    },
    /// A wait that ended by a signal; its value as JSON.
    Signalled {
        /// JSON text.
        value: Bytes,
    },
    /// A wait that ended by its deadline.
    TimedOut,
}

/// A wait as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Step name.
    pub name: String,
    /// What is waited for; none is a pure sleep.
    pub topic: Option<String>,
    /// Signals up to this sequence number are old.
    pub after: i64,
    /// Milliseconds from the first registration.
    pub timeout_ms: u64,
    /// Attempt number.
    pub attempt: u32,
}

/// What the engine hands a handler with its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHead {
    /// Job and token.
    pub fence: Fence,
    /// What step keys start with: `{job}` or, after `--again`, `{job}~{n}`.
    pub key_base: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// An earlier attempt ended otherwise than by success or parking: steps without a memo may have happened.
    pub maybe_done: bool,
    /// Steps that are done.
    pub memos: Vec<Memo>,
    /// Milliseconds since the Unix epoch at the claim, by the engine's clock.
    pub now_ms: i64,
}
