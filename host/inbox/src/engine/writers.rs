//! Who commits for the engine: accepts and runs' writes each have their writers, so that neither waits for the other; where
//! the store has one connection for writes they share one, and one commit.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Settings, batch::Batcher};
use crate::{
    model::{Change, Changed, NewWork, Stored, Write, WriteError, Written},
    store::{Store, StoreError, StoreResult},
};

/// Longest batch of deliveries in bytes.
const MAX_BATCH_BYTES: usize = 16 << 20;

pub(super) struct Writers {
    accepts: Batcher<Change, Changed>,
    writes: Batcher<Change, Changed>,
}

impl Writers {
    pub(super) fn start(store: &Arc<dyn Store>, settings: &Settings, stop: &CancellationToken) -> Self {
        let start = |limit: usize| {
            Batcher::start(
                Arc::clone(store),
                settings.writers,
                limit,
                MAX_BATCH_BYTES,
                |change: &Change| match change {
                    Change::Accept(work) => work.body.len(),
                    Change::Write(_) => 0,
                },
                stop.clone(),
                |store, batch| store.change(batch),
            )
        };
        let writes = start(settings.write_batch);
        let accepts = if settings.writers > 1 {
            start(settings.accept_batch)
        } else {
            writes.clone()
        };
        Self { accepts, writes }
    }

    /// Stores work; `then` follows the commit whether or not somebody still waits.
    pub(super) async fn accept(
        &self,
        work: NewWork,
        then: impl FnOnce(NewWork, &StoreResult<Stored>) + Send + 'static,
    ) -> StoreResult<Stored> {
        let follow = |change, changed: StoreResult<Changed>| {
            let stored = changed.and_then(stored);
            if let Change::Accept(work) = change {
                then(work, &stored);
            }
            stored.map(Changed::Stored)
        };
        let changed = self.accepts.submit_then(Change::Accept(work), follow).await?;
        stored(changed)
    }

    /// Commits a run's write.
    pub(super) async fn write(&self, write: Write) -> StoreResult<Result<Written, WriteError>> {
        match self.writes.submit(Change::Write(write)).await? {
            Changed::Written(written) => Ok(written),
            Changed::Stored(_) => Err(mixed_up()),
        }
    }
}

fn stored(changed: Changed) -> StoreResult<Stored> {
    match changed {
        Changed::Stored(stored) => Ok(stored),
        Changed::Written(_) => Err(mixed_up()),
    }
}

fn mixed_up() -> StoreError {
    StoreError::Away("the store mixed up its answers".to_owned())
}
