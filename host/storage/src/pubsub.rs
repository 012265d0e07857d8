//! Messages within this process: for one host without Redis, and the last hop with it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{
    host::{PubSubService, Received},
    service::ServiceError,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Messages a subscriber may be behind. A slower one loses the oldest and is told how many; nobody waits for it.
const BEHIND: usize = 256;

/// In memory.
#[derive(Default)]
pub struct MemoryPubSub {
    topics: Mutex<HashMap<String, broadcast::Sender<Received>>>,
    open: Mutex<HashMap<u64, Open>>,
}

#[derive(Clone)]
struct Open {
    topic: String,
    receiver: Arc<tokio::sync::Mutex<broadcast::Receiver<Received>>>,
    ended: CancellationToken,
}

impl MemoryPubSub {
    /// Gives something to everyone who listens here.
    pub(crate) fn deliver(&self, topic: &str, message: Received) {
        if let Some(sender) = self.topics().get(topic) {
            // Nobody listens any more: the topic is about to be removed.
            let _ = sender.send(message);
        }
    }

    /// Opens a subscription. Its id cannot be guessed, so that no plugin reads another's by accident.
    pub(crate) fn open(&self, topic: &str) -> u64 {
        let mut topics = self.topics();
        let sender = topics
            .entry(topic.to_owned())
            .or_insert_with(|| broadcast::channel(BEHIND).0);
        let open = Open {
            topic: topic.to_owned(),
            receiver: Arc::new(tokio::sync::Mutex::new(sender.subscribe())),
            ended: CancellationToken::new(),
        };
        let id: u64 = rand::random();
        self.subscriptions().insert(id, open);
        id
    }

    /// Ends a subscription; gives its topic when it was the last one there.
    pub(crate) fn close(&self, id: u64) -> Option<String> {
        let closed = self.subscriptions().remove(&id)?;
        closed.ended.cancel();
        // A `next` in flight may hold the receiver for a moment longer: count who is still registered, not receivers.
        let mut topics = self.topics();
        let others = self.subscriptions().values().any(|open| open.topic == closed.topic);
        if others {
            return None;
        }
        topics.remove(&closed.topic);
        Some(closed.topic)
    }

    /// Whether anybody here listens on it.
    pub(crate) fn listens(&self, topic: &str) -> bool {
        self.topics().contains_key(topic)
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Received>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PubSubService for MemoryPubSub {
    async fn publish(&self, topic: String, message: Bytes) -> Result<(), ServiceError> {
        self.deliver(&topic, Received::Message(message));
        Ok(())
    }

    async fn subscribe(&self, topic: String) -> Result<u64, ServiceError> {
        Ok(self.open(&topic))
    }

    async fn next(&self, subscription: u64) -> Result<Option<Received>, ServiceError> {
        let open = self.subscriptions().get(&subscription).cloned();
        let Some(open) = open else { return Ok(None) };
        let mut receiver = open.receiver.lock().await;
        let received = tokio::select! {
            received = receiver.recv() => received,
            () = open.ended.cancelled() => return Ok(None),
        };
        Ok(match received {
            Ok(received) => Some(received),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Received::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        })
    }

    async fn unsubscribe(&self, subscription: u64) -> Result<(), ServiceError> {
        self.close(subscription);
        Ok(())
    }
}
