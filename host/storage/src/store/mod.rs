//! The inbox on SQL. One text for both databases wherever they agree (`$1` works in both); where PostgreSQL can do a batch in
//! one statement it does.

mod accept;
mod arm;
mod claim;
mod days;
mod end;
mod error;
mod purge;
mod read;
mod replay;
mod rows;
mod tend;
mod text;
mod write;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_inbox::{
    model::{
        Change, Changed, Claimed, Count, Detail, Filter, NewWork, Replay, ReplayMode, Stored, Summary, Write,
        WriteError, Written,
    },
    store::{ClaimRequest, Store, StoreResult},
};
use jackfield_sdk::run::Fence;
use sea_orm::{DatabaseTransaction, Statement, Value};
use uuid::Uuid;

use self::error::{persistently, store_error};
use crate::open::Database;

/// The inbox in a database.
#[derive(Clone)]
pub struct SqlStore {
    db: Database,
    /// Set by tests; otherwise the database's own clock.
    clock: Option<Arc<AtomicI64>>,
}

impl SqlStore {
    /// On an open database, by its clock.
    pub fn new(db: Database) -> Self {
        Self { db, clock: None }
    }

    /// By a clock that tests move.
    pub fn with_clock(db: Database, clock: Arc<AtomicI64>) -> Self {
        Self { db, clock: Some(clock) }
    }

    /// A statement; `{now}` in the text is the clock. The one place where values go to the database.
    fn statement(&self, text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        let now = match &self.clock {
            Some(clock) => format!("CAST({} AS bigint)", clock.load(Ordering::SeqCst)),
            None if self.db.is_sqlite() => "CAST(unixepoch('subsec') * 1000 AS INTEGER)".to_owned(),
            None => "(extract(epoch from clock_timestamp()) * 1000)::bigint".to_owned(),
        };
        let values = values.into_iter().map(text::storable);
        Statement::from_sql_and_values(self.db.backend, text.replace("{now}", &now), values)
    }

    /// `IN`, with the set that [`SqlStore::set`] gives as the first value.
    fn in_set(&self) -> &'static str {
        if self.db.is_sqlite() {
            "IN (SELECT unhex(value) FROM json_each($1))"
        } else {
            "= ANY($1::uuid[])"
        }
    }

    /// Ids as one value; SQLite has no arrays, so there they are JSON.
    fn set(&self, ids: &[Uuid]) -> Value {
        if self.db.is_sqlite() {
            let ids: Vec<String> = ids.iter().map(|id| format!("\"{}\"", id.simple())).collect();
            format!("[{}]", ids.join(",")).into()
        } else {
            accept::uuid_array(ids.iter().copied())
        }
    }

    async fn begin(&self) -> StoreResult<DatabaseTransaction> {
        self.db.begin().await.map_err(store_error)
    }

    /// Everything in one transaction.
    async fn change_at_once(
        &self,
        works: &[&NewWork],
        writes: &[&Write],
    ) -> StoreResult<(Vec<Stored>, Vec<Result<Written, WriteError>>)> {
        let tx = self.begin().await?;
        let stored = self.accept_in(&tx, works).await?;
        let written = self.write_in(&tx, writes).await?;
        tx.commit().await.map_err(store_error)?;
        Ok((stored, written))
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn change(&self, changes: &[Change]) -> StoreResult<Vec<Changed>> {
        let (mut works, mut writes) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Accept(work) => works.push(work),
                Change::Write(write) => writes.push(write),
            }
        }
        let (stored, written) = if self.db.is_sqlite() {
            persistently(|| self.change_at_once(&works, &writes)).await?
        } else {
            let stored = self.accept_batch(&works).await?;
            (stored, persistently(|| self.write_batch(&writes)).await?)
        };
        let (mut stored, mut written) = (stored.into_iter(), written.into_iter());
        let answer = |change: &Change| match change {
            Change::Accept(_) => stored.next().map(Changed::Stored),
            Change::Write(_) => written.next().map(Changed::Written),
        };
        Ok(changes.iter().map_while(answer).collect())
    }
    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Vec<Claimed>> {
        persistently(|| self.claim_heads(request)).await
    }
    async fn due(&self) -> StoreResult<Vec<String>> {
        self.due_plugins().await
    }
    async fn heartbeat(&self, fences: &[Fence], lease_ms: u64) -> StoreResult<Vec<Fence>> {
        persistently(|| self.extend_leases(fences, lease_ms)).await
    }
    async fn reclaim(&self) -> StoreResult<u64> {
        persistently(|| self.reclaim_lost()).await
    }
    async fn signal(&self, plugin: &str, topic: &str, value: Bytes) -> StoreResult<i64> {
        persistently(|| self.send_signal(plugin, topic, &value)).await
    }
    async fn cursor(&self, plugin: &str, topic: &str) -> StoreResult<i64> {
        self.topic_cursor(plugin, topic).await
    }
    async fn cancel(&self, id: Uuid, reason: &str) -> StoreResult<bool> {
        persistently(|| self.cancel_one(id, reason)).await
    }
    async fn hold(&self, plugin: &str, reason: &str) -> StoreResult<u64> {
        persistently(|| self.shift(plugin, "pending", "held", Some(reason))).await
    }
    async fn unhold(&self, plugin: &str) -> StoreResult<u64> {
        persistently(|| self.shift(plugin, "held", "pending", None)).await
    }
    async fn list(&self, filter: &Filter, before: Option<Uuid>, limit: u32) -> StoreResult<Vec<Summary>> {
        self.list_page(filter, before, limit).await
    }
    async fn show(&self, id: Uuid) -> StoreResult<Option<Detail>> {
        self.show_one(id).await
    }
    async fn count(&self, filter: &Filter) -> StoreResult<u64> {
        self.count_matching(filter).await
    }
    async fn replay_begin(&self, filter: &Filter, mode: ReplayMode) -> StoreResult<Replay> {
        self.begin_replay(filter, mode).await
    }
    async fn replay_step(&self, id: Uuid, chunk: u32) -> StoreResult<Option<Replay>> {
        persistently(|| self.step_replay(id, chunk)).await
    }
    async fn replay_get(&self, id: Uuid) -> StoreResult<Option<Replay>> {
        self.one_replay(id).await
    }
    async fn replays_open(&self) -> StoreResult<Vec<Replay>> {
        self.open_replays().await
    }
    async fn purge(&self, before_ms: i64, limit: u32) -> StoreResult<u64> {
        persistently(|| self.purge_old(before_ms, limit)).await
    }
    async fn counts(&self) -> StoreResult<Vec<Count>> {
        self.live_counts().await
    }
    async fn values(&self, prefix: &str) -> StoreResult<Vec<(String, Bytes)>> {
        self.host_values(prefix).await
    }
    async fn set_value(&self, key: &str, value: Option<Bytes>) -> StoreResult<()> {
        self.set_host_value(key, value).await
    }
    async fn now_ms(&self) -> StoreResult<i64> {
        self.clock_ms().await
    }
}
