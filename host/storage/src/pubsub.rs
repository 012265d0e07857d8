//! Messages within this process: for one host without Redis.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{host::PubSubService, service::ServiceError};
use tokio::sync::broadcast;

/// Messages a slow subscriber may be behind; older ones are dropped for it.
const BEHIND: usize = 256;

type Open = Arc<tokio::sync::Mutex<broadcast::Receiver<Bytes>>>;

/// In memory.
#[derive(Default)]
pub struct MemoryPubSub {
    topics: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

#[async_trait]
impl PubSubService for MemoryPubSub {
    async fn publish(&self, topic: String, message: Bytes) -> Result<(), ServiceError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.get(&topic).is_some_and(|sender| sender.send(message).is_err()) {
            topics.remove(&topic);
        }
        Ok(())
    }

    async fn subscribe(&self, topic: String) -> Result<u64, ServiceError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = topics
            .entry(topic)
            .or_insert_with(|| broadcast::channel(BEHIND).0)
            .subscribe();
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, receiver);
        Ok(id)
    }

    async fn next(&self, subscription: u64) -> Result<Option<Bytes>, ServiceError> {
        let open = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&subscription)
            .cloned();
        let Some(open) = open else { return Ok(None) };
        let mut receiver = open.lock().await;
        loop {
            match receiver.recv().await {
                Ok(message) => return Ok(Some(message)),
                Err(broadcast::error::RecvError::Lagged(missed)) => tracing::warn!(missed, "a subscriber is behind"),
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn unsubscribe(&self, subscription: u64) -> Result<(), ServiceError> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&subscription);
        Ok(())
    }
}
