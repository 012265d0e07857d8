//! One writer per store: collects what waits, commits it once, answers each waiter. No artificial delay: while one commit
//! is under way the next batch gathers.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::{StoreError, StoreResult};

/// A queue in front of a batched call.
pub(super) struct Batcher<T, R> {
    queue: mpsc::Sender<(T, oneshot::Sender<StoreResult<R>>)>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the task. `commit` answers in the order given. `weight` bounds a batch by bytes beside the count.
    pub(super) fn start<F, Fut>(
        limit: usize,
        max_weight: usize,
        weight: fn(&T) -> usize,
        stop: CancellationToken,
        commit: F,
    ) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + 'static,
        Fut: Future<Output = StoreResult<Vec<R>>> + Send,
    {
        let (queue, mut waiting) = mpsc::channel::<(T, oneshot::Sender<StoreResult<R>>)>(limit * 4);
        tokio::spawn(async move {
            loop {
                let first = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    first = waiting.recv() => first,
                };
                let Some((first, waiter)) = first else { return };
                let mut heavy = weight(&first);
                let (mut batch, mut waiters) = (vec![first], vec![waiter]);
                while batch.len() < limit && heavy < max_weight {
                    let Ok((next, waiter)) = waiting.try_recv() else { break };
                    heavy += weight(&next);
                    batch.push(next);
                    waiters.push(waiter);
                }
                // A panic in a store must not end the one writer: its batch fails, the next one is tried.
                let committed = AssertUnwindSafe(commit(batch)).catch_unwind().await;
                answer(waiters, committed.unwrap_or_else(|_| Err(panicked())));
            }
        });
        Self { queue }
    }

    /// Waits for the commit that holds `item`.
    pub(super) async fn submit(&self, item: T) -> StoreResult<R> {
        let (answer, answered) = oneshot::channel();
        self.queue.send((item, answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn answer<R>(waiters: Vec<oneshot::Sender<StoreResult<R>>>, result: StoreResult<Vec<R>>) {
    match result {
        Ok(results) => {
            for (waiter, result) in waiters.into_iter().zip(results) {
                // A waiter that is gone (its connection closed) needs no answer; its work is stored all the same.
                let _ = waiter.send(Ok(result));
            }
        }
        Err(error) => {
            for waiter in waiters {
                let _ = waiter.send(Err(error.clone()));
            }
        }
    }
}

fn panicked() -> StoreError {
    StoreError("the store panicked; its backtrace is in the log".to_owned())
}

fn stopped() -> StoreError {
    StoreError("the inbox is stopping".to_owned())
}
