//! Durable steps: one function that reads like the story and survives `kill -9` between any two lines.
//!
//! A [`Run`] is one attempt of a job. [`Run::step`] does something once: its result is committed under (job, name)
//! before the handler goes on, and the next attempt gets it back without doing it again. [`Run::wait`] and
//! [`Run::sleep`] park the job: no worker, no lane, no memory. Names are a step's only identity, so code may change
//! between attempts.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub(crate) use self::records::serve_run;
pub use self::records::{Fence, Memo, MemoState, RunHead, RunService, Wait};
use crate::{
    error::{Error, Failure, Fate, Result},
    host::Services,
};

mod records;

/// Largest result of a step, in bytes of JSON.
pub const MAX_STEP_BYTES: usize = 256 << 10;

/// Transient failures that [`Run::try_step`] bears before it goes on without the step.
pub const TRY_STEP_ATTEMPTS: u32 = 3;

/// One attempt of a job. See the module text.
pub struct Run {
    head: RunHead,
    services: Arc<dyn Services>,
    seen: Mutex<Seen>,
    running: AtomicUsize,
    visited: Arc<Mutex<HashSet<String>>>,
}

struct Seen {
    names: HashSet<String>,
    memos: HashMap<String, Memo>,
}

/// What a step is told about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    key: String,
    number: u32,
    maybe_done: bool,
}

impl Attempt {
    /// Idempotency key: the same over retries, replays and `--from-start`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Attempt number of the job, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether the effect may have happened already: look before doing it again.
    pub fn maybe_done(&self) -> bool {
        self.maybe_done
    }
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited<T> {
    /// The signal's value.
    Signal(T),
    /// The deadline came first.
    TimedOut,
}

/// Something a job can wait for: a topic and the sequence number after which signals count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal<T> {
    topic: String,
    after: i64,
    #[serde(skip)]
    value: std::marker::PhantomData<fn() -> T>,
}

impl<T> Signal<T> {
    /// Every signal of `topic`, from the oldest that is kept (30 days).
    pub fn of(topic: impl Into<String>) -> Self {
        Self::after(topic, 0)
    }

    /// Signals of `topic` with a sequence number above `cursor` (as [`JobQueue::cursor`](crate::host::JobQueue::cursor) gives it).
    pub fn after(topic: impl Into<String>, cursor: i64) -> Self {
        Self {
            topic: topic.into(),
            after: cursor,
            value: std::marker::PhantomData,
        }
    }
}

/// What a handler came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether there was something to do.
    pub result: OutcomeResult,
    /// One line for people.
    pub summary: String,
    /// Structured detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// See [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// The work was done.
    Done,
    /// There was nothing to do.
    Ignored,
}

impl Outcome {
    /// The work was done.
    pub fn done(summary: impl Into<String>) -> Self {
        Self {
            result: OutcomeResult::Done,
            summary: summary.into(),
            detail: None,
        }
    }

    /// There was nothing to do, and why.
    pub fn ignored(summary: impl Into<String>) -> Self {
        Self {
            result: OutcomeResult::Ignored,
            summary: summary.into(),
            detail: None,
        }
    }

    /// Adds structured detail.
    pub fn with<T: Serialize>(mut self, detail: &T) -> Result<Self> {
        self.detail = Some(serde_json::to_value(detail)?);
        Ok(self)
    }
}

impl Run {
    pub(crate) fn new(head: RunHead, services: Arc<dyn Services>, visited: Arc<Mutex<HashSet<String>>>) -> Self {
        let memos = head
            .memos
            .iter()
            .map(|memo| (memo.name.clone(), memo.clone()))
            .collect();
        let seen = Mutex::new(Seen {
            names: HashSet::new(),
            memos,
        });
        Self {
            head,
            services,
            seen,
            running: AtomicUsize::new(0),
            visited,
        }
    }

    /// The job's id.
    pub fn id(&self) -> Uuid {
        self.head.fence.job
    }

    /// Attempt number, from 1.
    pub fn attempt(&self) -> u32 {
        self.head.attempt
    }

    /// Does something once. The result (JSON, at most 256 KiB) is committed before this returns; a later attempt gets
    /// it back without calling `work`. An error is not kept: the job's retry runs the step again.
    pub async fn step<T, F, Fut>(&self, name: &str, work: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if let Some(memo) = self.visit(name)? {
            return match memo.state {
                MemoState::Done { result } => read(name, &result),
                MemoState::Refused { failure } => Err(failure.into()),
                MemoState::Failing { .. } => self.perform(name, work).await,
                MemoState::Signalled { .. } | MemoState::TimedOut => Err(renamed(name)),
            };
        }
        self.perform(name, work).await
    }

    /// [`Run::step`] inside a loop: `item` tells its rounds apart.
    pub async fn step_keyed<T, F, Fut>(&self, name: &str, item: impl std::fmt::Display, work: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.step(&format!("{name}/{item}"), work).await
    }

    /// A step the story can do without: a permanent refusal is remembered as its result, and so is the third transient
    /// failure. Earlier transient failures are errors of the run, which is tried again.
    pub async fn try_step<T, F, Fut>(&self, name: &str, work: F) -> Result<Result<T, Failure>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let failed_before = match self.visit(name)?.map(|memo| memo.state) {
            Some(MemoState::Done { result }) => return read(name, &result).map(Ok),
            Some(MemoState::Refused { failure }) => return Ok(Err(failure)),
            Some(MemoState::Failing { count }) => count,
            Some(_) => return Err(renamed(name)),
            None => 0,
        };
        let started_ms = self.services.clock().now_ms();
        let error = match self.attempt_of(name, work).await {
            Ok(value) => {
                self.keep(
                    name,
                    started_ms,
                    MemoState::Done {
                        result: write(name, &value)?,
                    },
                )
                .await?;
                return Ok(Ok(value));
            }
            Err(error) => error,
        };
        let count = failed_before + 1;
        if error.fate() == Fate::Permanent || count >= TRY_STEP_ATTEMPTS {
            let failure = error.to_failure();
            self.keep(
                name,
                started_ms,
                MemoState::Refused {
                    failure: failure.clone(),
                },
            )
            .await?;
            return Ok(Err(failure));
        }
        self.keep(name, started_ms, MemoState::Failing { count }).await?;
        Err(error)
    }

    /// The branch this job takes: `latest` for a job that starts now, 1 for one that began before, the same for ever after.
    pub async fn version(&self, name: &str, latest: u32) -> Result<u32> {
        let began_before = !self.head.memos.is_empty();
        let chosen = if began_before { 1 } else { latest };
        self.step(&format!("version:{name}"), |_| async move { Ok(chosen) })
            .await
    }

    /// Parks the job for `duration`, counted from the first time this line is reached.
    pub async fn sleep(&self, name: &str, duration: Duration) -> Result<()> {
        self.wait_for::<serde_json::Value>(name, None, 0, duration)
            .await
            .map(|_| ())
    }

    /// Parks the job until the signal comes or `timeout` has passed since the first time this line is reached.
    pub async fn wait<T: DeserializeOwned>(
        &self,
        name: &str,
        signal: Signal<T>,
        timeout: Duration,
    ) -> Result<Waited<T>> {
        self.wait_for(name, Some(signal.topic), signal.after, timeout).await
    }

    /// Completes when the job is cancelled or this run has lost its lease.
    pub async fn cancelled(&self) {
        if self.services.runs().cancelled(self.head.fence).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn wait_for<T: DeserializeOwned>(
        &self,
        name: &str,
        topic: Option<String>,
        after: i64,
        timeout: Duration,
    ) -> Result<Waited<T>> {
        let memo = match self.visit(name)? {
            Some(memo) => memo,
            None => {
                if self.running.load(Ordering::SeqCst) > 0 {
                    return Err(Error::permanent(format!(
                        "`{name}` waits while another step runs; finish the step first, because waiting drops the handler"
                    )));
                }
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                let wait = Wait {
                    name: name.to_owned(),
                    topic,
                    after,
                    timeout_ms,
                    attempt: self.head.attempt,
                };
                match self.services.runs().park(self.head.fence, wait).await? {
                    Some(memo) => memo,
                    None => std::future::pending().await,
                }
            }
        };
        match memo.state {
            MemoState::Signalled { value } => read(name, &value).map(Waited::Signal),
            MemoState::TimedOut => Ok(Waited::TimedOut),
            _ => Err(renamed(name)),
        }
    }

    /// Marks a name as used and gives back its memo.
    fn visit(&self, name: &str) -> Result<Option<Memo>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.names.insert(name.to_owned()) {
            return Err(Error::permanent(format!(
                "two steps of one run are called `{name}`; give each its own name, in a loop with `step_keyed`"
            )));
        }
        self.visited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
        Ok(seen.memos.remove(name))
    }

    async fn perform<T, F, Fut>(&self, name: &str, work: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let started_ms = self.services.clock().now_ms();
        let value = self.attempt_of(name, work).await?;
        self.keep(
            name,
            started_ms,
            MemoState::Done {
                result: write(name, &value)?,
            },
        )
        .await?;
        Ok(value)
    }

    async fn attempt_of<T, F, Fut>(&self, name: &str, work: F) -> Result<T>
    where
        F: FnOnce(Attempt) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let _running = Running::start(&self.running);
        work(Attempt {
            key: self.key(name),
            number: self.head.attempt,
            maybe_done: self.head.maybe_done,
        })
        .await
    }

    async fn keep(&self, name: &str, started_ms: i64, state: MemoState) -> Result<()> {
        let memo = Memo {
            name: name.to_owned(),
            key: self.key(name),
            state,
            attempt: self.head.attempt,
            started_ms,
            ended_ms: self.services.clock().now_ms(),
        };
        Ok(self.services.runs().commit(self.head.fence, memo).await?)
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.head.key_base)
    }
}

/// Counts a step for as long as it runs, also when its future is dropped.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn start(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn write<T: Serialize>(name: &str, value: &T) -> Result<Bytes> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        Error::permanent(format!(
            "the result of step `{name}` cannot be written as JSON: {error}"
        ))
    })?;
    if bytes.len() > MAX_STEP_BYTES {
        return Err(Error::permanent(format!(
            "the result of step `{name}` has {} bytes, more than {MAX_STEP_BYTES}; keep a reference instead",
            bytes.len()
        )));
    }
    Ok(bytes.into())
}

fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::permanent(format!(
            "the kept result of step `{name}` no longer fits its type ({error}); rename the step or accept the old form"
        ))
        .code("JF-S001")
    })
}

fn renamed(name: &str) -> Error {
    Error::permanent(format!(
        "`{name}` was another kind of step when this job began; give the new one a new name"
    ))
    .code("JF-S001")
}
