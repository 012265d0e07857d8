//! The contract of messages over memory and Redis. With Redis, publisher and subscriber are two connections.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jackfield_sdk::{
    host::{PubSubService, Received},
    service::ServiceError,
};
use jackfield_storage::{MemoryPubSub, Redis};

use crate::redis_server::{RedisServer, shared, until};

type Side = Arc<dyn PubSubService>;

/// Publisher and subscriber.
fn all() -> Vec<(&'static str, Side, Side)> {
    let memory: Side = Arc::new(MemoryPubSub::default());
    let mut all: Vec<(&'static str, Side, Side)> = vec![("memory", Arc::clone(&memory), memory)];
    if let Some(url) = shared() {
        let side = || Redis::open(&url).unwrap().pubsub() as Side;
        all.push(("redis", side(), side()));
    }
    all
}

fn fresh(name: &str) -> String {
    format!("{}:{name}", uuid::Uuid::now_v7())
}

fn message(text: &'static str) -> Received {
    Received::Message(Bytes::from_static(text.as_bytes()))
}

async fn next(side: &Side, id: u64) -> Option<Received> {
    tokio::time::timeout(Duration::from_secs(5), side.next(id))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn everyone_who_listens_gets_each_message_in_order() {
    for (which, here, there) in all() {
        let (topic, other) = (fresh("t"), fresh("other"));
        here.publish(topic.clone(), "before".into()).await.unwrap();
        let (first, second) = (
            there.subscribe(topic.clone()).await.unwrap(),
            there.subscribe(topic.clone()).await.unwrap(),
        );
        let same_side = here.subscribe(topic.clone()).await.unwrap();
        let elsewhere = there.subscribe(other.clone()).await.unwrap();
        for text in ["a", "b", "\u{0}c"] {
            here.publish(topic.clone(), text.into()).await.unwrap();
        }
        here.publish(other, "o".into()).await.unwrap();
        for (side, id) in [(&there, first), (&there, second), (&here, same_side)] {
            for text in ["a", "b", "\u{0}c"] {
                assert_eq!(next(side, id).await, Some(message(text)), "{which}");
            }
        }
        assert_eq!(next(&there, elsewhere).await, Some(message("o")), "{which}");
    }
}

#[tokio::test]
async fn a_subscription_ends_alone_and_ends_who_waits_on_it() {
    for (which, here, there) in all() {
        let topic = fresh("t");
        let (ends, stays) = (
            there.subscribe(topic.clone()).await.unwrap(),
            there.subscribe(topic.clone()).await.unwrap(),
        );
        let waiting = {
            let there = Arc::clone(&there);
            tokio::spawn(async move { there.next(ends).await })
        };
        tokio::task::yield_now().await;
        there.unsubscribe(ends).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), None, "{which}");
        assert_eq!(there.next(ends).await.unwrap(), None, "{which}");
        here.publish(topic.clone(), "a".into()).await.unwrap();
        assert_eq!(next(&there, stays).await, Some(message("a")), "{which}");
        there.unsubscribe(stays).await.unwrap();
        let again = there.subscribe(topic.clone()).await.unwrap();
        here.publish(topic, "b".into()).await.unwrap();
        assert_eq!(next(&there, again).await, Some(message("b")), "{which}");
    }
}

#[tokio::test]
async fn who_is_too_slow_is_told_and_nobody_waits_for_it() {
    for (which, here, there) in all() {
        let topic = fresh("t");
        let (slow, quick) = (
            there.subscribe(topic.clone()).await.unwrap(),
            there.subscribe(topic.clone()).await.unwrap(),
        );
        for number in 0..400_u32 {
            here.publish(topic.clone(), number.to_be_bytes().to_vec().into())
                .await
                .unwrap();
            assert_eq!(
                next(&there, quick).await,
                Some(Received::Message(number.to_be_bytes().to_vec().into())),
                "{which}"
            );
        }
        let Some(Received::Missed(missed)) = next(&there, slow).await else {
            panic!("{which}: it was not told")
        };
        assert!(missed > 0, "{which}");
        let after = Received::Message((missed as u32).to_be_bytes().to_vec().into());
        assert_eq!(next(&there, slow).await, Some(after), "{which}");
    }
}

#[tokio::test]
async fn subscriptions_come_back_with_redis_and_hear_that_they_may_have_missed_something() {
    if shared().is_none() {
        return;
    }
    let mut server = RedisServer::start("--port", &[]).await;
    let side = || Redis::open(&server.url()).unwrap().pubsub() as Side;
    let (here, there) = (side(), side());
    let id = there.subscribe("t".to_owned()).await.unwrap();
    server.down();
    let begun = Instant::now();
    let refused = here.publish("t".to_owned(), "lost".into()).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Unavailable { .. }), "{refused}");
    let refused = there.subscribe("new".to_owned()).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Unavailable { .. }), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.up().await;
    assert_eq!(next(&there, id).await, Some(Received::Missed(0)));
    until("it is published again", async || {
        here.publish("t".to_owned(), "a".into()).await.is_ok()
    })
    .await;
    assert_eq!(next(&there, id).await, Some(message("a")));
}
