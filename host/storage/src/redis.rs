//! Redis: the key-value store and the messages that replicas share. Nothing that must survive is kept here: losing Redis
//! degrades the host and loses nothing.
//!
//! - Every call answers within 2 s, a script within its caller's time; with Redis away it is [`ServiceError::Unavailable`].
//! - The connection comes back by itself when Redis does.
//! - `redis://` and `rediss://` (TLS); `?sslrootcert=FILE` names the certificate authority, as with PostgreSQL.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{host::KvService, service::ServiceError};
use metrics::gauge;
use redis::{
    Client, Cmd, FromRedisValue, RedisResult, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::sync::watch;

use crate::redis_pubsub::RedisPubSub;

/// Longest a call waits.
pub(crate) const CALL: Duration = Duration::from_secs(2);
/// Between two looks at whether Redis is there.
const LOOK: Duration = Duration::from_secs(1);
/// Before every key and channel of ours: the database may be shared.
pub(crate) const PREFIX: &str = "jackfield:";

/// A connection to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    pub(crate) client: Client,
    pub(crate) manager: ConnectionManager,
    up: watch::Receiver<bool>,
}

/// The address cannot be used. Never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It is no address of Redis.
    #[error("the Redis address is not redis://HOST:PORT/DB or rediss://HOST:PORT/DB ({0}); see JACKFIELD_REDIS_URL")]
    Address(String),
    /// The file is not there.
    #[error("cannot read `{}`: {source}; it is `sslrootcert` in JACKFIELD_REDIS_URL", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Redis {
    /// Checks the address and connects in the background: a Redis that is down must not keep a host from starting.
    pub fn open(url: &str) -> Result<Self, RedisError> {
        let address = |error: redis::RedisError| RedisError::Address(kind(&error));
        let mut parsed = url::Url::parse(url).map_err(|error| RedisError::Address(error.to_string()))?;
        let authority = authority(&mut parsed)?;
        let client = match authority {
            Some(pem) => {
                let tls = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem),
                };
                Client::build_with_tls(parsed.as_str(), tls)
            }
            None => Client::open(parsed.as_str()),
        }
        .map_err(address)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CALL / 2))
            .set_response_timeout(Some(CALL / 2))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20));
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(address)?;
        let (tell, up) = watch::channel(false);
        tokio::spawn(look_after(manager.clone(), tell));
        Ok(Self { client, manager, up })
    }

    /// Whether Redis answered a second ago.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// The key-value store.
    pub fn kv(&self) -> Arc<dyn KvService> {
        Arc::new(RedisKv(self.clone()))
    }

    /// Messages.
    pub fn pubsub(&self) -> Arc<RedisPubSub> {
        Arc::new(RedisPubSub::new(self.clone()))
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, ServiceError> {
        let mut manager = self.manager.clone();
        in_time(async move { command.query_async(&mut manager).await }).await
    }
}

/// Runs a call with the deadline that every call has.
pub(crate) async fn in_time<T>(call: impl Future<Output = RedisResult<T>>) -> Result<T, ServiceError> {
    within(CALL, call).await
}

/// Runs a call with a deadline of its own.
pub(crate) async fn within<T>(wait: Duration, call: impl Future<Output = RedisResult<T>>) -> Result<T, ServiceError> {
    match tokio::time::timeout(wait, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ServiceError::unavailable(format!(
            "Redis cannot do it now: {}",
            kind(&error)
        ))),
        Err(_) => Err(ServiceError::unavailable("Redis does not answer")),
    }
}

/// What an error is, without its detail, which may hold an address.
fn kind(error: &redis::RedisError) -> String {
    match error.code() {
        Some(code) => format!("{} ({code})", error.category()),
        None => error.category().to_owned(),
    }
}

fn authority(url: &mut url::Url) -> Result<Option<Vec<u8>>, RedisError> {
    let mut file = None;
    let mut others = Vec::new();
    for (name, value) in url.query_pairs() {
        if name == "sslrootcert" {
            file = Some(PathBuf::from(value.into_owned()));
        } else {
            others.push((name.into_owned(), value.into_owned()));
        }
    }
    let Some(path) = file else { return Ok(None) };
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    let pem = std::fs::read(&path).map_err(|source| RedisError::Certificate { path, source })?;
    Ok(Some(pem))
}

/// Ends when nobody holds the connection any more.
async fn look_after(mut manager: ConnectionManager, tell: watch::Sender<bool>) {
    let mut known = None;
    loop {
        let ping = redis::cmd("PING");
        let now = in_time(async { ping.query_async::<()>(&mut manager).await }).await;
        gauge!("jackfield_dependency_up", "dependency" => "redis").set(if now.is_ok() { 1.0 } else { 0.0 });
        if known != Some(now.is_ok()) {
            match &now {
                Ok(()) => tracing::info!("Redis answers"),
                Err(error) => {
                    tracing::warn!(%error, "without Redis: replicas do not see each other's messages and keys");
                }
            }
            known = Some(now.is_ok());
        }
        if tell.send(now.is_ok()).is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = tell.closed() => return,
        }
    }
}

struct RedisKv(Redis);

fn key(key: &str) -> String {
    format!("{PREFIX}kv:{key}")
}

impl RedisKv {
    async fn store(&self, name: &str, value: Bytes, ttl_ms: Option<u64>, new: bool) -> Result<bool, ServiceError> {
        let mut set = redis::cmd("SET");
        set.arg(key(name)).arg(&value[..]);
        if let Some(ttl) = ttl_ms {
            // Redis refuses 0, which is a key that is gone at once, and what does not fit its clock.
            set.arg("PX").arg(ttl.clamp(1, 1 << 52));
        }
        if new {
            set.arg("NX");
        }
        Ok(self.0.ask::<Option<String>>(&set).await?.is_some())
    }
}

#[async_trait]
impl KvService for RedisKv {
    async fn get(&self, name: String) -> Result<Option<Bytes>, ServiceError> {
        let found: Option<Vec<u8>> = self.0.ask(redis::cmd("GET").arg(key(&name))).await?;
        Ok(found.map(Bytes::from))
    }

    async fn set(&self, name: String, value: Bytes, ttl_ms: Option<u64>) -> Result<(), ServiceError> {
        self.store(&name, value, ttl_ms, false).await.map(|_| ())
    }

    async fn set_new(&self, name: String, value: Bytes, ttl_ms: Option<u64>) -> Result<bool, ServiceError> {
        self.store(&name, value, ttl_ms, true).await
    }

    async fn delete(&self, name: String) -> Result<(), ServiceError> {
        self.0.ask(redis::cmd("DEL").arg(key(&name))).await
    }
}
