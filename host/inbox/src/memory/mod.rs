//! The store of the test kit: the same contract as the SQL stores, nothing survives the process.
//!
//! Guarantee: every call takes one lock for its whole length, so it is one transaction. Not for production.

mod table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{host::ClockService, run::Fence};
use uuid::Uuid;

use self::table::Tables;
use crate::{
    model::{Change, Changed, Claimed, Count, Detail, Filter, Replay, ReplayMode, State, Stored, Summary},
    store::{ClaimRequest, Store, StoreError, StoreResult, arms},
};

/// An inbox in memory.
pub struct MemoryStore {
    clock: Arc<dyn ClockService>,
    tables: Mutex<Tables>,
    outage: std::sync::atomic::AtomicBool,
}

impl MemoryStore {
    /// An empty one on `clock`.
    pub fn new(clock: Arc<dyn ClockService>) -> Self {
        Self {
            clock,
            tables: Mutex::new(Tables::default()),
            outage: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Makes every call fail, or stops that: how tests take the store away.
    pub fn set_outage(&self, out: bool) {
        self.outage.store(out, std::sync::atomic::Ordering::SeqCst);
    }

    fn open(&self) -> StoreResult<(MutexGuard<'_, Tables>, i64)> {
        if self.outage.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(StoreError::Away("the memory store was taken away".to_owned()));
        }
        Ok((
            self.tables.lock().unwrap_or_else(PoisonError::into_inner),
            self.clock.now_ms(),
        ))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn change(&self, changes: &[Change]) -> StoreResult<Vec<Changed>> {
        let (mut tables, now) = self.open()?;
        let change = |change: &Change| match change {
            Change::Accept(work) => Changed::Stored(tables.accept(work.clone(), now)),
            Change::Write(write) => Changed::Written(tables.write(write.clone(), now)),
        };
        let mut changed: Vec<Changed> = changes.iter().map(change).collect();
        for (change, changed) in changes.iter().zip(&mut changed) {
            if let Change::Accept(work) = change
                && *changed == Changed::Stored(Stored::New(work.id))
                && let Some(lease_ms) = work.lease()
                && tables.begin(work.id, lease_ms, now)
            {
                *changed = Changed::Stored(Stored::Begun(work.id, now));
            }
        }
        Ok(changed)
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Vec<Claimed>> {
        let (mut tables, now) = self.open()?;
        let (mut claimed, mut taken) = (Vec::new(), HashMap::new());
        while claimed.len() < request.limit as usize {
            match tables.claim_one(request, &mut taken, now) {
                Some(one) => claimed.push(one),
                None => break,
            }
        }
        Ok(claimed)
    }

    async fn due(&self) -> StoreResult<Vec<String>> {
        let (tables, now) = self.open()?;
        Ok(tables.due(now))
    }

    async fn heartbeat(&self, fences: &[Fence], lease_ms: u64) -> StoreResult<Vec<Fence>> {
        let (mut tables, now) = self.open()?;
        Ok(fences
            .iter()
            .copied()
            .filter(|fence| !tables.extend(*fence, now, lease_ms))
            .collect())
    }

    async fn reclaim(&self) -> StoreResult<u64> {
        let (mut tables, now) = self.open()?;
        Ok(tables.reclaim(now))
    }

    async fn signal(&self, plugin: &str, topic: &str, value: Bytes) -> StoreResult<i64> {
        let (mut tables, now) = self.open()?;
        Ok(tables.signal(plugin, topic, value, now))
    }

    async fn cursor(&self, plugin: &str, topic: &str) -> StoreResult<i64> {
        let (tables, _) = self.open()?;
        Ok(tables.cursor(plugin, topic))
    }

    async fn cancel(&self, id: Uuid, reason: &str) -> StoreResult<bool> {
        let (mut tables, now) = self.open()?;
        Ok(tables.cancel(id, reason, now))
    }

    async fn hold(&self, plugin: &str, reason: &str) -> StoreResult<u64> {
        let (mut tables, _) = self.open()?;
        Ok(tables.hold(plugin, reason))
    }

    async fn unhold(&self, plugin: &str) -> StoreResult<u64> {
        let (mut tables, _) = self.open()?;
        Ok(tables.unhold(plugin))
    }

    async fn list(&self, filter: &Filter, before: Option<Uuid>, limit: u32) -> StoreResult<Vec<Summary>> {
        let (tables, now) = self.open()?;
        Ok(tables
            .ids()
            .rev()
            .filter(|id| before.is_none_or(|before| *id < before))
            .filter_map(|id| tables.summary(id, now))
            .filter(|summary| matches(filter, summary))
            .take(limit as usize)
            .collect())
    }

    async fn show(&self, id: Uuid) -> StoreResult<Option<Detail>> {
        let (tables, now) = self.open()?;
        Ok(tables.detail(id, now))
    }

    async fn count(&self, filter: &Filter) -> StoreResult<u64> {
        let (tables, now) = self.open()?;
        let matching = tables
            .ids()
            .filter_map(|id| tables.summary(id, now))
            .filter(|one| matches(filter, one));
        Ok(matching.count() as u64)
    }

    async fn replay_begin(&self, filter: &Filter, mode: ReplayMode) -> StoreResult<Replay> {
        let (mut tables, now) = self.open()?;
        let filter = Filter {
            until_ms: Some(filter.until_ms.unwrap_or(i64::MAX).min(now + 1)),
            ..filter.clone()
        };
        let mut found: Vec<Uuid> = Vec::new();
        for id in tables.ids() {
            if tables
                .summary(id, now)
                .is_some_and(|summary| matches(&filter, &summary))
            {
                found.push(id);
            }
        }
        // What has not ended is not armed, so there is nothing to look at.
        let idle = filter.state.is_some_and(|state| !state.ended());
        let passed = if idle { found.len() as u64 } else { 0 };
        let replay = Replay {
            id: Uuid::now_v7(),
            filter,
            mode,
            total: found.len() as u64,
            seen: passed,
            armed: 0,
            skipped: passed,
            finished: idle || found.is_empty(),
        };
        tables.replays.insert(replay.id, (replay.clone(), found, now));
        Ok(replay)
    }

    async fn replay_step(&self, id: Uuid, chunk: u32) -> StoreResult<Option<Replay>> {
        let (mut tables, now) = self.open()?;
        let Some((mut replay, todo, begun)) = tables.replays.remove(&id) else {
            return Ok(None);
        };
        let next: Vec<Uuid> = todo
            .iter()
            .skip(replay.seen as usize)
            .take(chunk as usize)
            .copied()
            .collect();
        for one in next {
            replay.seen += 1;
            let found = tables.summary(one, now);
            if found.is_some_and(|found| matches(&replay.filter, &found) && arms(replay.mode, found.state)) {
                tables.arm(one, replay.mode, now);
                replay.armed += 1;
            } else {
                replay.skipped += 1;
            }
        }
        replay.finished = replay.seen >= replay.total;
        tables.replays.insert(id, (replay.clone(), todo, begun));
        Ok(Some(replay))
    }

    async fn replay_get(&self, id: Uuid) -> StoreResult<Option<Replay>> {
        let (tables, _) = self.open()?;
        Ok(tables.replays.get(&id).map(|(replay, _, _)| replay.clone()))
    }

    async fn replays_open(&self) -> StoreResult<Vec<Replay>> {
        let (tables, _) = self.open()?;
        Ok(tables
            .replays
            .values()
            .map(|(replay, _, _)| replay.clone())
            .filter(|replay| !replay.finished)
            .collect())
    }

    async fn purge(&self, before_ms: i64, limit: u32) -> StoreResult<u64> {
        let (mut tables, now) = self.open()?;
        let old: Vec<Uuid> = tables
            .ids()
            .filter(|id| {
                tables
                    .summary(*id, now)
                    .is_some_and(|one| one.state.ended() && one.received_at < before_ms)
            })
            .take(limit as usize)
            .collect();
        for id in &old {
            tables.forget(*id);
        }
        tables.forget_signals(before_ms);
        tables
            .replays
            .retain(|_, (replay, _, begun)| !replay.finished || *begun >= before_ms);
        Ok(old.len() as u64)
    }

    async fn counts(&self) -> StoreResult<Vec<Count>> {
        let (tables, now) = self.open()?;
        Ok(tables.counts(now))
    }

    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, Bytes)>> {
        let (tables, _) = self.open()?;
        let found = tables.values.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn set_value(&self, key: &str, value: Option<Bytes>) -> StoreResult<()> {
        let (mut tables, _) = self.open()?;
        match value {
            Some(value) => tables.values.insert(key.to_owned(), value),
            None => tables.values.remove(key),
        };
        Ok(())
    }

    async fn now_ms(&self) -> StoreResult<i64> {
        self.open().map(|(_, now)| now)
    }
}

fn matches(filter: &Filter, summary: &Summary) -> bool {
    let same_state = |wanted: State| wanted == summary.state;
    filter.plugin.as_ref().is_none_or(|plugin| *plugin == summary.plugin)
        && filter.state.is_none_or(same_state)
        && filter.since_ms.is_none_or(|since| summary.received_at >= since)
        && filter.until_ms.is_none_or(|until| summary.received_at < until)
        && (filter.ids.is_empty() || filter.ids.contains(&summary.id))
}
