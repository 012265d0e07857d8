//! The key-value contract over memory and Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jackfield_sdk::{host::KvService, service::ServiceError};
use jackfield_storage::{MemoryKv, Redis};

use crate::redis_server::{RedisServer, shared, until};

fn all() -> Vec<(&'static str, Arc<dyn KvService>)> {
    let mut all: Vec<(&'static str, Arc<dyn KvService>)> = vec![("memory", Arc::new(MemoryKv::default()))];
    if let Some(url) = shared() {
        all.push(("redis", Redis::open(&url).unwrap().kv()));
    }
    all
}

fn fresh(name: &str) -> String {
    format!("{}:{name}", uuid::Uuid::now_v7())
}

#[tokio::test]
async fn values_are_kept_as_they_are() {
    for (which, kv) in all() {
        let key = fresh("k");
        assert_eq!(kv.get(key.clone()).await.unwrap(), None, "{which}");
        for value in [&b""[..], b"text", b"\x00\xff\r\n$1", &vec![7; 1 << 20]] {
            let value = Bytes::copy_from_slice(value);
            kv.set(key.clone(), value.clone(), None).await.unwrap();
            assert_eq!(kv.get(key.clone()).await.unwrap(), Some(value), "{which}");
        }
        assert_eq!(kv.get(format!("{key}x")).await.unwrap(), None, "{which}");
        kv.delete(key.clone()).await.unwrap();
        kv.delete(key.clone()).await.unwrap();
        assert_eq!(kv.get(key).await.unwrap(), None, "{which}");
    }
}

#[tokio::test]
async fn set_new_sets_once_until_the_key_is_gone() {
    for (which, kv) in all() {
        let key = fresh("lock");
        let new = |value: &'static str, ttl| kv.set_new(key.clone(), value.into(), ttl);
        assert!(new("first", Some(150)).await.unwrap(), "{which}");
        assert!(!new("second", None).await.unwrap(), "{which}");
        assert_eq!(kv.get(key.clone()).await.unwrap().unwrap(), "first", "{which}");
        until("the key expires", async || kv.get(key.clone()).await.unwrap().is_none()).await;
        assert!(new("third", None).await.unwrap(), "{which}");
        kv.delete(key.clone()).await.unwrap();
        let racing = futures_util::future::join_all((0..20).map(|_| new("x", None))).await;
        assert_eq!(
            racing.into_iter().filter(|won| *won.as_ref().unwrap()).count(),
            1,
            "{which}"
        );
    }
}

#[tokio::test]
async fn a_time_to_live_ends_a_key_and_a_set_without_one_keeps_it() {
    for (which, kv) in all() {
        let (short, kept) = (fresh("short"), fresh("kept"));
        kv.set(short.clone(), "x".into(), Some(100)).await.unwrap();
        kv.set(kept.clone(), "x".into(), Some(100)).await.unwrap();
        kv.set(kept.clone(), "y".into(), None).await.unwrap();
        kv.set(fresh("zero"), "x".into(), Some(0)).await.unwrap();
        kv.set(fresh("ever"), "x".into(), Some(u64::MAX)).await.unwrap();
        assert!(kv.get(short.clone()).await.unwrap().is_some(), "{which}");
        until("the key expires", async || {
            kv.get(short.clone()).await.unwrap().is_none()
        })
        .await;
        assert_eq!(kv.get(kept).await.unwrap().unwrap(), "y", "{which}");
    }
}

#[tokio::test]
async fn our_keys_in_a_shared_redis_carry_our_name() {
    let Some(url) = shared() else { return };
    let key = fresh("k");
    Redis::open(&url)
        .unwrap()
        .kv()
        .set(key.clone(), "x".into(), None)
        .await
        .unwrap();
    let mut raw = redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let found: Option<String> = redis::cmd("GET")
        .arg(format!("jackfield:kv:{key}"))
        .query_async(&mut raw)
        .await
        .unwrap();
    assert_eq!(found.as_deref(), Some("x"));
}

#[tokio::test]
async fn without_redis_a_call_is_refused_soon_and_it_comes_back_by_itself() {
    if shared().is_none() {
        return;
    }
    let mut server = RedisServer::start("--port", &[]).await;
    let redis = Redis::open(&server.url()).unwrap();
    let kv = redis.kv();
    kv.set("k".to_owned(), "x".into(), None).await.unwrap();
    until("it is seen up", async || redis.is_up()).await;
    server.down();
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = kv.get("k".to_owned()).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Unavailable { .. }), "{refused}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    until("it is seen down", async || !redis.is_up()).await;
    server.up().await;
    until("it serves again", async || {
        kv.set("k".to_owned(), "y".into(), None).await.is_ok()
    })
    .await;
    until("it is seen up again", async || redis.is_up()).await;
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_refused_soon_and_shows_no_password() {
    // Accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:canary@{}", silent.local_addr().unwrap());
    let redis = Redis::open(&url).unwrap();
    let begun = Instant::now();
    let refused = redis.kv().get("k".to_owned()).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Unavailable { .. }));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!refused.to_string().contains("canary"), "{refused}");
    for bad in [
        "http://:canary@h",
        "redis//canary",
        "redis://h/canary",
        "rediss://h?sslrootcert=/nowhere/canary.pem",
    ] {
        let error = Redis::open(bad).err().unwrap().to_string();
        assert!(error.contains("JACKFIELD_REDIS_URL"), "{error}");
        assert!(!error.contains(":canary@"), "{error}");
    }
}

#[tokio::test]
async fn tls_is_checked_against_the_authority_that_the_address_names() {
    if shared().is_none() {
        return;
    }
    let authority = crate::opening::Authority::new();
    let file = |name: &str| authority.directory.0.join(name).display().to_string();
    let more = [
        "--port",
        "0",
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]
    .map(str::to_owned);
    let server = RedisServer::start("--tls-port", &more).await;
    let url = format!("rediss://localhost:{}", server.port);
    let trusted = Redis::open(&format!("{url}?sslrootcert={}", file("ca.pem")))
        .unwrap()
        .kv();
    until("it answers over TLS", async || {
        trusted.set("k".to_owned(), "x".into(), None).await.is_ok()
    })
    .await;
    let stranger = Redis::open(&url).unwrap().kv().get("k".to_owned()).await;
    assert!(
        matches!(stranger, Err(ServiceError::Unavailable { .. })),
        "{stranger:?}"
    );
}
