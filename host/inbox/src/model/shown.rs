//! What listings show, and replays.

use bytes::Bytes;
use jackfield_sdk::run::{Memo, Outcome, Wait};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{State, WorkKind};

/// What `deliveries list` shows of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Id.
    pub id: Uuid,
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
    /// State, `blocked` derived.
    pub state: State,
    /// Runs so far.
    pub attempts: u32,
    /// When it was stored.
    #[serde(with = "crate::when")]
    pub received_at: i64,
    /// When it is tried next, or its wait ends.
    #[serde(with = "crate::when::option")]
    pub next_attempt_at: Option<i64>,
    /// When it ended.
    #[serde(with = "crate::when::option")]
    pub finished_at: Option<i64>,
    /// What came of it, in one line.
    pub outcome: Option<String>,
    /// Why it is in its state.
    pub reason: Option<String>,
    /// The last failure.
    pub last_error: Option<String>,
}

/// What `deliveries show` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The row of the list.
    pub summary: Summary,
    /// Headers as they came.
    pub headers: Vec<(String, Bytes)>,
    /// Raw body.
    pub body: Bytes,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Attempts in order.
    pub attempts: Vec<AttemptRecord>,
    /// Steps in order of their start.
    pub steps: Vec<Memo>,
    /// What it waits for.
    pub wait: Option<Wait>,
    /// Steps that the last run did not visit.
    pub orphans: Vec<String>,
}

/// One attempt, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Number, from 1.
    pub number: u32,
    /// Start.
    #[serde(with = "crate::when")]
    pub started_at: i64,
    /// End.
    #[serde(with = "crate::when")]
    pub ended_at: i64,
    /// Why it failed.
    pub error: Option<String>,
}

/// Which deliveries are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Plugin id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// State.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Stored at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Stored before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Exactly these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<Uuid>,
}

/// How dead (or, with the last two, any ended) work is armed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ReplayMode {
    /// Goes on from the failed step. What is done stays done.
    #[default]
    Resume,
    /// Runs every step again with the same keys.
    FromStart,
    /// Runs every step again with new keys.
    Again,
}

/// A replay and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Id (UUIDv7).
    pub id: Uuid,
    /// What is meant.
    pub filter: Filter,
    /// How.
    pub mode: ReplayMode,
    /// Deliveries that matched when it began.
    pub total: u64,
    /// Looked at so far.
    pub seen: u64,
    /// Armed so far.
    pub armed: u64,
    /// Left as they were, because nothing was to be done.
    pub skipped: u64,
    /// Whether it has finished.
    pub finished: bool,
}

/// Live work of one plugin in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Plugin id.
    pub plugin: String,
    /// Stored state (never `blocked`).
    pub state: State,
    /// How many.
    pub jobs: u64,
    /// How long the one that is due longest has been due, in milliseconds; 0 when none is.
    pub oldest_ms: i64,
}
