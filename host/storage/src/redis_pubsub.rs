//! Messages between replicas over Redis. One task holds one connection for all subscriptions of this process, gives what
//! arrives to [`MemoryPubSub`] for the last hop, and subscribes again by itself after Redis was away. Messages that were
//! published meanwhile are lost, and every open subscription is told so.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use jackfield_sdk::{
    host::{PubSubService, Received},
    service::ServiceError,
};
use redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    pubsub::MemoryPubSub,
    redis::{CALL, PREFIX, Redis, in_time},
};

/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two questions whether the connection still lives.
const ALIVE: Duration = Duration::from_secs(5);

/// Over Redis.
pub struct RedisPubSub {
    redis: Redis,
    local: Arc<MemoryPubSub>,
    asks: mpsc::UnboundedSender<Ask>,
}

enum Ask {
    /// Listen on a topic; answered when Redis has said that it does.
    Listen(String, oneshot::Sender<Result<(), ServiceError>>),
    /// Nobody here listens on it any more.
    Leave(String),
}

impl RedisPubSub {
    pub(crate) fn new(redis: Redis) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let local = Arc::new(MemoryPubSub::default());
        tokio::spawn(listen(redis.client.clone(), Arc::clone(&local), asked));
        Self { redis, local, asks }
    }
}

#[async_trait]
impl PubSubService for RedisPubSub {
    async fn publish(&self, topic: String, message: Bytes) -> Result<(), ServiceError> {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel(&topic)).arg(&message[..]);
        self.redis.ask(&publish).await
    }

    async fn subscribe(&self, topic: String) -> Result<u64, ServiceError> {
        // First here, so that nothing that arrives after Redis has agreed is missed.
        let id = self.local.open(&topic);
        let (tell, told) = oneshot::channel();
        let asked = self.asks.send(Ask::Listen(topic, tell)).is_ok();
        let answer = match tokio::time::timeout(CALL, told).await {
            Ok(Ok(answer)) if asked => answer,
            _ => Err(ServiceError::unavailable("Redis does not answer")),
        };
        if let Err(error) = answer {
            self.unsubscribe(id).await?;
            return Err(error);
        }
        Ok(id)
    }

    async fn next(&self, subscription: u64) -> Result<Option<Received>, ServiceError> {
        self.local.next(subscription).await
    }

    async fn unsubscribe(&self, subscription: u64) -> Result<(), ServiceError> {
        if let Some(topic) = self.local.close(subscription) {
            // The task is gone: so is its connection.
            let _ = self.asks.send(Ask::Leave(topic));
        }
        Ok(())
    }
}

fn channel(topic: &str) -> String {
    format!("{PREFIX}ps:{topic}")
}

/// Ends when the last [`RedisPubSub`] is dropped.
async fn listen(client: redis::Client, local: Arc<MemoryPubSub>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    let mut topics = HashSet::new();
    let mut before = false;
    loop {
        match connect(&client, &topics).await {
            Ok((sink, stream)) => {
                if before {
                    topics
                        .iter()
                        .for_each(|topic| local.deliver(topic, Received::Missed(0)));
                }
                before = true;
                if serve(sink, stream, &local, &mut topics, &mut asked).await.is_none() {
                    return;
                }
                tracing::warn!("the connection for messages broke off; connecting again");
            }
            Err(error) => {
                let pause = tokio::time::sleep(AGAIN);
                tokio::pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        ask = asked.recv() => match ask {
                            None => return,
                            // Whoever asked has gone when this fails.
                            Some(Ask::Listen(_, tell)) => { let _ = tell.send(Err(error.clone())); }
                            Some(Ask::Leave(topic)) => if !local.listens(&topic) { topics.remove(&topic); }
                        },
                    }
                }
            }
        }
    }
}

async fn connect(client: &redis::Client, topics: &HashSet<String>) -> Result<(PubSubSink, PubSubStream), ServiceError> {
    in_time(async {
        let (mut sink, stream) = client.get_async_pubsub().await?.split();
        for topic in topics {
            sink.subscribe(channel(topic)).await?;
        }
        Ok((sink, stream))
    })
    .await
}

/// Serves one connection. Some when it broke off, none when nobody needs it any more.
async fn serve(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    local: &MemoryPubSub,
    topics: &mut HashSet<String>,
    asked: &mut mpsc::UnboundedReceiver<Ask>,
) -> Option<()> {
    let mut alive = tokio::time::interval(ALIVE);
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(message) => give(local, &message),
                None => return Some(()),
            },
            ask = asked.recv() => match ask? {
                Ask::Listen(topic, tell) => {
                    let done = match topics.contains(&topic) {
                        true => Ok(()),
                        false => in_time(sink.subscribe(channel(&topic))).await,
                    };
                    let failed = done.is_err();
                    if !failed {
                        topics.insert(topic);
                    }
                    // Whoever asked has gone when this fails.
                    let _ = tell.send(done);
                    if failed {
                        return Some(());
                    }
                }
                Ask::Leave(topic) => {
                    // Somebody may have come since: asks and subscriptions cross.
                    if !local.listens(&topic) && topics.remove(&topic) && in_time(sink.unsubscribe(channel(&topic))).await.is_err() {
                        return Some(());
                    }
                }
            },
            _ = alive.tick() => {
                if in_time(sink.ping::<redis::Value>()).await.is_err() {
                    return Some(());
                }
            }
        }
    }
}

fn give(local: &MemoryPubSub, message: &Msg) {
    if let Some(topic) = message.get_channel_name().strip_prefix(&channel("")) {
        local.deliver(
            topic,
            Received::Message(Bytes::copy_from_slice(message.get_payload_bytes())),
        );
    }
}
