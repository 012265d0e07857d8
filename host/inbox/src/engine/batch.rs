//! Few writers per store: each collects what waits, commits it once, answers each waiter. No artificial delay: while the
//! commits are under way the next batch gathers. A store with one connection for writes gets one writer.
//!
//! A batch that the store refuses because of its data is committed item by item, so only the guilty one gets the error.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError, StoreResult};

/// A batched call of a store.
pub(super) type Commit<T, R> = for<'b> fn(&'b dyn Store, &'b [T]) -> BoxFuture<'b, StoreResult<Vec<R>>>;

/// A queue in front of a batched call.
pub(super) struct Batcher<T, R> {
    queue: mpsc::Sender<Waiting<T, R>>,
}

/// What follows the commit of an item, in the writer's task: it happens even if whoever submitted it is gone.
type Then<T, R> = Box<dyn FnOnce(T, StoreResult<R>) + Send>;
/// An item and what follows.
type Waiting<T, R> = (T, Then<T, R>);

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts `writers` tasks. `commit` answers in the order given. `weight` bounds a batch by bytes beside the count.
    pub(super) fn start(
        store: Arc<dyn Store>,
        writers: usize,
        limit: usize,
        max_weight: usize,
        weight: fn(&T) -> usize,
        stop: CancellationToken,
        commit: Commit<T, R>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel::<Waiting<T, R>>(limit * 4);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..writers.max(1) {
            let (store, stop, waiting) = (Arc::clone(&store), stop.clone(), Arc::clone(&waiting));
            tokio::spawn(async move {
                while let Some((batch, thens)) = gather(&waiting, &stop, limit, max_weight, weight).await {
                    match committed(&*store, commit, &batch).await {
                        Err(StoreError::Refused(why)) if batch.len() > 1 => {
                            tracing::warn!(items = batch.len(), %why, "a batch is refused; its items are tried alone");
                            for (item, then) in batch.into_iter().zip(thens) {
                                let result = committed(&*store, commit, std::slice::from_ref(&item)).await;
                                follow(vec![item], vec![then], result);
                            }
                        }
                        result => follow(batch, thens, result),
                    }
                }
            });
        }
        Self { queue }
    }

    /// Waits for the commit that holds `item`.
    pub(super) async fn submit(&self, item: T) -> StoreResult<R> {
        self.submit_then(item, |_, result| result).await
    }

    /// The same; `then` follows the commit whether or not somebody still waits, and its result is the answer.
    pub(super) async fn submit_then(
        &self,
        item: T,
        then: impl FnOnce(T, StoreResult<R>) -> StoreResult<R> + Send + 'static,
    ) -> StoreResult<R> {
        let (answer, answered) = oneshot::channel();
        let then = Box::new(move |item, result| {
            // A waiter that is gone (its connection closed) needs no answer; its work is stored all the same.
            let _ = answer.send(then(item, result));
        });
        self.queue.send((item, then)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

/// The next batch, when something waits; none when there will be no more.
async fn gather<T, R>(
    waiting: &Mutex<mpsc::Receiver<Waiting<T, R>>>,
    stop: &CancellationToken,
    limit: usize,
    max_weight: usize,
    weight: fn(&T) -> usize,
) -> Option<(Vec<T>, Vec<Then<T, R>>)> {
    let first = async {
        let mut waiting = waiting.lock().await;
        let first = waiting.recv().await?;
        Some((first, waiting))
    };
    let ((first, then), mut waiting) = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        first = first => first?,
    };
    // Who is ready to submit does it now: of many that became so at once, the first must not go alone.
    tokio::task::yield_now().await;
    let mut heavy = weight(&first);
    let (mut batch, mut thens) = (vec![first], vec![then]);
    while batch.len() < limit && heavy < max_weight {
        let Ok((next, then)) = waiting.try_recv() else { break };
        heavy += weight(&next);
        batch.push(next);
        thens.push(then);
    }
    Some((batch, thens))
}

/// A panic in a store must not end a writer: its batch fails, the next one is tried.
async fn committed<T, R>(store: &dyn Store, commit: Commit<T, R>, batch: &[T]) -> StoreResult<Vec<R>> {
    let done = AssertUnwindSafe(commit(store, batch)).catch_unwind().await;
    done.unwrap_or_else(|_| Err(panicked()))
}

fn follow<T, R>(batch: Vec<T>, thens: Vec<Then<T, R>>, result: StoreResult<Vec<R>>) {
    match result {
        Ok(results) => {
            for ((item, then), result) in batch.into_iter().zip(thens).zip(results) {
                then(item, Ok(result));
            }
        }
        Err(error) => {
            for (item, then) in batch.into_iter().zip(thens) {
                then(item, Err(error.clone()));
            }
        }
    }
}

fn panicked() -> StoreError {
    StoreError::Away("the store panicked; its backtrace is in the log".to_owned())
}

fn stopped() -> StoreError {
    StoreError::Away("the inbox is stopping".to_owned())
}
