//! Runs in flight on this replica, and the [`RunService`] they write through.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jackfield_sdk::{
    run::{Fence, Memo, MemoState, RunService, Wait},
    service::ServiceError,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Core;
use crate::{
    model::{Write, WriteError, Written},
    store::{StoreError, StoreResult},
};

/// Most steps of one job.
const MAX_STEPS: usize = 1_000;
/// Most bytes of memos of one job.
const MAX_MEMO_BYTES: usize = 1 << 20;
/// Between two tries of a commit while the store is away.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// One run in flight.
#[derive(Clone)]
pub(super) struct LiveRun {
    pub(super) token: i64,
    pub(super) tenant: String,
    pub(super) plugin: Arc<str>,
    /// The lease is lost or the job was cancelled.
    pub(super) lost: CancellationToken,
    /// The job is parked; its handler is to be dropped.
    pub(super) parked: CancellationToken,
}

struct Entry {
    run: LiveRun,
    /// Bytes that each step keeps, by its name: one that replaces its own memo counts once.
    kept: HashMap<String, usize>,
    bytes: usize,
}

/// Every run in flight on this replica, and those that begin when their work is stored.
#[derive(Default)]
pub(super) struct Live {
    runs: Mutex<HashMap<Uuid, Entry>>,
    beginning: Arc<Mutex<HashMap<(Arc<str>, String), u32>>>,
}

/// A place among a tenant's runs, until its run is in flight.
pub(super) struct Place {
    beginning: Arc<Mutex<HashMap<(Arc<str>, String), u32>>>,
    key: (Arc<str>, String),
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = beginning.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                beginning.remove(&self.key);
            }
        }
    }
}

impl Live {
    pub(super) fn begin(&self, fence: Fence, plugin: Arc<str>, tenant: &str, memos: &[Memo]) -> LiveRun {
        let run = LiveRun {
            token: fence.token,
            tenant: tenant.to_owned(),
            plugin,
            lost: CancellationToken::new(),
            parked: CancellationToken::new(),
        };
        let entry = Entry {
            run: run.clone(),
            kept: memos.iter().map(|memo| (memo.name.clone(), memo_bytes(memo))).collect(),
            bytes: memos.iter().map(memo_bytes).sum(),
        };
        self.lock().insert(fence.job, entry);
        run
    }

    pub(super) fn end(&self, fence: Fence) {
        let mut runs = self.lock();
        if runs.get(&fence.job).is_some_and(|one| one.run.token == fence.token) {
            runs.remove(&fence.job);
        }
    }

    pub(super) fn get(&self, fence: Fence) -> Option<LiveRun> {
        self.lock()
            .get(&fence.job)
            .map(|one| &one.run)
            .filter(|run| run.token == fence.token)
            .cloned()
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<LiveRun> {
        self.lock().get(&id).map(|one| one.run.clone())
    }

    pub(super) fn fences(&self) -> Vec<Fence> {
        self.lock()
            .iter()
            .map(|(job, one)| Fence {
                job: *job,
                token: one.run.token,
            })
            .collect()
    }

    /// Runs of `plugin` in flight, by tenant.
    pub(super) fn by_tenant(&self, plugin: &str) -> HashMap<String, u32> {
        let mut counts: HashMap<String, u32> = HashMap::new();
        // Both locks at once, so that none is missed on its way from one to the other.
        let runs = self.lock();
        for one in runs.values().filter(|one| *one.run.plugin == *plugin) {
            *counts.entry(one.run.tenant.clone()).or_default() += 1;
        }
        let beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        for ((_, tenant), count) in beginning.iter().filter(|((of, _), _)| **of == *plugin) {
            *counts.entry(tenant.clone()).or_default() += count;
        }
        drop(beginning);
        drop(runs);
        counts.remove("");
        counts
    }

    /// A place for one more run of the tenant, when there are fewer than `limit`.
    pub(super) fn place(&self, plugin: &Arc<str>, tenant: &str, limit: u32) -> Option<Place> {
        let runs = self.lock();
        let in_flight = |one: &&Entry| *one.run.plugin == **plugin && one.run.tenant == tenant;
        let key = (Arc::clone(plugin), tenant.to_owned());
        let mut beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let before = beginning.get(&key).copied().unwrap_or(0);
        if !tenant.is_empty() && runs.values().filter(in_flight).count() + before as usize >= limit as usize {
            return None;
        }
        *beginning.entry(key.clone()).or_default() += 1;
        Some(Place {
            beginning: Arc::clone(&self.beginning),
            key,
        })
    }

    /// Counts a step and what it keeps against the limits.
    fn admit(&self, fence: Fence, name: &str, bytes: usize) -> Result<(), ServiceError> {
        let mut runs = self.lock();
        let Some(one) = runs.get_mut(&fence.job).filter(|one| one.run.token == fence.token) else {
            return Err(ServiceError::Fenced);
        };
        let before = one.kept.get(name).copied();
        if before.is_none() && one.kept.len() >= MAX_STEPS {
            return Err(ServiceError::invalid(format!(
                "the job has more than {MAX_STEPS} steps; split it into jobs"
            )));
        }
        let total = one.bytes.saturating_sub(before.unwrap_or(0)) + bytes;
        if total > MAX_MEMO_BYTES {
            return Err(ServiceError::invalid(format!(
                "the job keeps more than {MAX_MEMO_BYTES} bytes of step results; keep references instead"
            )));
        }
        one.kept.insert(name.to_owned(), bytes);
        one.bytes = total;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memo_bytes(memo: &Memo) -> usize {
    match &memo.state {
        MemoState::Done { result } => result.len(),
        MemoState::Signalled { value } => value.len(),
        _ => 0,
    }
}

/// [`RunService`] over the engine.
pub(super) struct Runs(pub(super) Arc<Core>);

impl Runs {
    /// Commits, waiting for a store that is away: an effect that happened must not lose its memo while the lease may hold.
    async fn commit(&self, fence: Fence, write: Write) -> Result<Written, ServiceError> {
        let run = self.0.live.get(fence).ok_or(ServiceError::Fenced)?;
        loop {
            let answer: StoreResult<Result<Written, WriteError>> = self.0.writers.write(write.clone()).await;
            match answer {
                Ok(Ok(written)) => return Ok(written),
                Ok(Err(WriteError::Fenced)) => {
                    run.lost.cancel();
                    return Err(ServiceError::Fenced);
                }
                Err(StoreError::Refused(why)) => {
                    return Err(ServiceError::invalid(format!("the step cannot be kept: {why}")));
                }
                Err(error) => {
                    tracing::warn!(job = %fence.job, %error, "a step waits for the store");
                    tokio::select! {
                        () = run.lost.cancelled() => return Err(ServiceError::Fenced),
                        () = self.0.stop.cancelled() => return Err(ServiceError::Fenced),
                        () = tokio::time::sleep(STORE_PAUSE) => {}
                    }
                }
            }
        }
    }
}

#[async_trait]
impl RunService for Runs {
    async fn commit(&self, fence: Fence, memo: Memo) -> Result<(), ServiceError> {
        self.0.live.admit(fence, &memo.name, memo_bytes(&memo))?;
        Runs::commit(self, fence, Write::Memo(fence, memo)).await.map(|_| ())
    }

    async fn park(&self, fence: Fence, wait: Wait) -> Result<Option<Memo>, ServiceError> {
        let run = self.0.live.get(fence).ok_or(ServiceError::Fenced)?;
        self.0.live.admit(fence, &wait.name, 0)?;
        match Runs::commit(self, fence, Write::Park(fence, wait)).await? {
            Written::Over(memo) => Ok(Some(memo)),
            Written::Ok => {
                run.parked.cancel();
                Ok(None)
            }
        }
    }

    async fn cancelled(&self, fence: Fence) -> Result<(), ServiceError> {
        match self.0.live.get(fence) {
            Some(run) => {
                run.lost.cancelled().await;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
