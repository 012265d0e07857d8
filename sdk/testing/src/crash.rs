//! Where the host is to be killed, and the store it is killed at.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_inbox::{
    memory::MemoryStore,
    model::{
        Change, Changed, Claimed, Count, Detail, Filter, NewWork, Replay, ReplayMode, Stored, Summary, WorkKind, Write,
        WriteError, Written,
    },
    store::{ClaimRequest, Store, StoreError, StoreResult},
};
use jackfield_sdk::run::{Fence, Memo, MemoState};
use uuid::Uuid;

use crate::process::Process;

/// Marks a delivery on its way through the host; taken off before it is stored.
pub(crate) const MARK: &str = "x-jackfield-testing-mark";

/// A moment at which the host is killed, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The step's memo, or the end of the wait, is committed; the handler has not gone on.
    After(String),
    /// The step has had its effect; its memo is not committed.
    Losing(String),
    /// The handler has returned; its end is not committed.
    AtEnd,
}

impl std::fmt::Display for Crash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After(step) => write!(f, "crash_after({step:?})"),
            Self::Losing(step) => write!(f, "crash_losing({step:?})"),
            Self::AtEnd => f.write_str("crash_at_end()"),
        }
    }
}

/// What outlives every process: the store, and what the test wants of it.
pub(crate) struct Disk {
    pub(crate) store: MemoryStore,
    crashes: Mutex<Vec<Crash>>,
    accepted: Mutex<Vec<(String, Stored)>>,
    /// Schedules that may fire.
    pub(crate) gate: Mutex<Gate>,
}

/// Which schedules fire by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// None.
    Shut,
    /// The one of this plugin and name.
    One(String, String),
    /// All.
    Open,
}

impl Disk {
    pub(crate) fn new(store: MemoryStore, gate: Gate) -> Self {
        Self {
            store,
            crashes: Mutex::default(),
            accepted: Mutex::default(),
            gate: Mutex::new(gate),
        }
    }

    pub(crate) fn plan(&self, crash: Crash) {
        lock(&self.crashes).push(crash);
    }

    /// Gives up on crashes that have not come; tells whether there were any.
    pub(crate) fn unplan(&self) -> bool {
        !std::mem::take(&mut *lock(&self.crashes)).is_empty()
    }

    /// Crashes that have not come.
    pub(crate) fn planned(&self) -> Vec<Crash> {
        lock(&self.crashes).clone()
    }

    /// What became of the delivery with this mark.
    pub(crate) fn stored(&self, mark: &str) -> Option<Stored> {
        let found = lock(&self.accepted);
        found.iter().find(|(known, _)| known == mark).map(|(_, stored)| *stored)
    }

    fn strikes(&self, struck: impl Fn(&Crash) -> bool) -> Option<Crash> {
        let mut crashes = lock(&self.crashes);
        let at = crashes.iter().position(struck)?;
        Some(crashes.remove(at))
    }

    fn fires(&self, work: &NewWork) -> bool {
        match &*lock(&self.gate) {
            Gate::Shut => false,
            Gate::One(plugin, name) => (&work.plugin, &work.handler) == (plugin, name),
            Gate::Open => true,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One process's way to the disk.
pub(crate) struct Mounted {
    pub(crate) disk: Arc<Disk>,
    pub(crate) process: Arc<Process>,
}

impl Mounted {
    fn open(&self) -> StoreResult<&MemoryStore> {
        if self.process.alive() {
            Ok(&self.disk.store)
        } else {
            Err(StoreError::Away("this process was killed".to_owned()))
        }
    }
}

/// Whether a wait's end is among the memos.
fn wait_is_over(memos: &[Memo], step: &str) -> bool {
    memos
        .iter()
        .any(|memo| memo.name == step && matches!(memo.state, MemoState::Signalled { .. } | MemoState::TimedOut))
}

#[async_trait]
impl Store for Mounted {
    // Each kind for itself: what strikes one does not look at the other.
    async fn change(&self, changes: &[Change]) -> StoreResult<Vec<Changed>> {
        let (mut work, mut writes) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Accept(one) => work.push(one.clone()),
                Change::Write(one) => writes.push(one.clone()),
            }
        }
        let (mut stored, mut written) = (Vec::new().into_iter(), Vec::new().into_iter());
        if !work.is_empty() {
            stored = self.accept(&work).await?.into_iter();
        }
        if !writes.is_empty() {
            written = self.write(&writes).await?.into_iter();
        }
        let answer = |change: &Change| match change {
            Change::Accept(_) => stored.next().map(Changed::Stored),
            Change::Write(_) => written.next().map(Changed::Written),
        };
        Ok(changes.iter().filter_map(answer).collect())
    }

    async fn accept(&self, batch: &[NewWork]) -> StoreResult<Vec<Stored>> {
        let store = self.open()?;
        let mut answers: Vec<Option<Stored>> = Vec::with_capacity(batch.len());
        let (mut marks, mut passed) = (Vec::new(), Vec::new());
        for work in batch {
            if work.kind == WorkKind::Schedule && !self.disk.fires(work) {
                // As though another replica had taken the slot.
                answers.push(Some(Stored::Duplicate(work.id)));
                continue;
            }
            let mut work = work.clone();
            let mark = work.headers.iter().position(|(name, _)| name == MARK);
            let mark = mark.map(|at| String::from_utf8_lossy(&work.headers.remove(at).1).into_owned());
            answers.push(None);
            marks.push(mark);
            passed.push(work);
        }
        let stored = store.accept(&passed).await?;
        for (mark, stored) in marks.into_iter().zip(&stored) {
            lock(&self.disk.accepted).extend(mark.map(|mark| (mark, *stored)));
        }
        let mut stored = stored.into_iter();
        Ok(answers
            .into_iter()
            .filter_map(|answer| answer.or_else(|| stored.next()))
            .collect())
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Vec<Claimed>> {
        let claimed = self.open()?.claim(request).await?;
        let struck = self.disk.strikes(|crash| match crash {
            Crash::After(step) => claimed.iter().any(|one| wait_is_over(&one.memos, step)),
            _ => false,
        });
        if struck.is_some() {
            self.process.kill();
            return Err(StoreError::Away("this process was killed".to_owned()));
        }
        Ok(claimed)
    }

    async fn write(&self, writes: &[Write]) -> StoreResult<Vec<Result<Written, WriteError>>> {
        let store = self.open()?;
        let writes_memo = |step: &str| {
            writes
                .iter()
                .any(|write| matches!(write, Write::Memo(_, memo) if memo.name == step))
        };
        let ends = writes.iter().any(|write| matches!(write, Write::End(..)));
        let lost = self.disk.strikes(|crash| match crash {
            Crash::Losing(step) => writes_memo(step),
            Crash::AtEnd => ends,
            Crash::After(_) => false,
        });
        if lost.is_some() {
            self.process.kill();
            return Err(StoreError::Away("this process was killed".to_owned()));
        }
        let kept = self
            .disk
            .strikes(|crash| matches!(crash, Crash::After(step) if writes_memo(step)));
        let written = store.write(writes).await;
        if kept.is_some() {
            self.process.kill();
        }
        written
    }

    async fn due(&self) -> StoreResult<Vec<String>> {
        self.open()?.due().await
    }
    async fn heartbeat(&self, fences: &[Fence], lease_ms: u64) -> StoreResult<Vec<Fence>> {
        self.open()?.heartbeat(fences, lease_ms).await
    }
    async fn reclaim(&self) -> StoreResult<u64> {
        self.open()?.reclaim().await
    }
    async fn signal(&self, plugin: &str, topic: &str, value: Bytes) -> StoreResult<i64> {
        self.open()?.signal(plugin, topic, value).await
    }
    async fn cursor(&self, plugin: &str, topic: &str) -> StoreResult<i64> {
        self.open()?.cursor(plugin, topic).await
    }
    async fn cancel(&self, id: Uuid, reason: &str) -> StoreResult<bool> {
        self.open()?.cancel(id, reason).await
    }
    async fn hold(&self, plugin: &str, reason: &str) -> StoreResult<u64> {
        self.open()?.hold(plugin, reason).await
    }
    async fn unhold(&self, plugin: &str) -> StoreResult<u64> {
        self.open()?.unhold(plugin).await
    }
    async fn list(&self, filter: &Filter, before: Option<Uuid>, limit: u32) -> StoreResult<Vec<Summary>> {
        self.open()?.list(filter, before, limit).await
    }
    async fn show(&self, id: Uuid) -> StoreResult<Option<Detail>> {
        self.open()?.show(id).await
    }
    async fn count(&self, filter: &Filter) -> StoreResult<u64> {
        self.open()?.count(filter).await
    }
    async fn replay_begin(&self, filter: &Filter, mode: ReplayMode) -> StoreResult<Replay> {
        self.open()?.replay_begin(filter, mode).await
    }
    async fn replay_step(&self, id: Uuid, chunk: u32) -> StoreResult<Option<Replay>> {
        self.open()?.replay_step(id, chunk).await
    }
    async fn replay_get(&self, id: Uuid) -> StoreResult<Option<Replay>> {
        self.open()?.replay_get(id).await
    }
    async fn replays_open(&self) -> StoreResult<Vec<Replay>> {
        self.open()?.replays_open().await
    }
    async fn purge(&self, before_ms: i64, limit: u32) -> StoreResult<u64> {
        self.open()?.purge(before_ms, limit).await
    }
    async fn counts(&self) -> StoreResult<Vec<Count>> {
        self.open()?.counts().await
    }
    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, Bytes)>> {
        self.open()?.values(prefix).await
    }
    async fn set_value(&self, key: &str, value: Option<Bytes>) -> StoreResult<()> {
        self.open()?.set_value(key, value).await
    }
    async fn now_ms(&self) -> StoreResult<i64> {
        self.open()?.now_ms().await
    }
}
