//! Host services in memory, on the test's clock. They outlive a kill, as Redis and a key vault do.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_inbox::clock::ManualClock;
use jackfield_plugins::KeepMail;
use jackfield_sdk::{
    host::{ClockService, KvService, PubSubService, Received, VaultService},
    mail::NewMail,
    service::ServiceError,
};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{mail::Postbox, people::People, process::Process};

/// Messages a slow subscriber may be behind.
const BEHIND: usize = 256;

type Open = Arc<tokio::sync::Mutex<broadcast::Receiver<Bytes>>>;

/// What is kept.
pub(crate) struct Kept {
    clock: Arc<ManualClock>,
    keys: Mutex<HashMap<String, (Bytes, Option<i64>)>>,
    secrets: Mutex<HashMap<(String, String), Bytes>>,
    topics: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
    pub(crate) people: People,
    pub(crate) mail: Postbox,
}

impl Kept {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            keys: Mutex::default(),
            secrets: Mutex::default(),
            topics: Mutex::default(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            people: People::default(),
            mail: Postbox::default(),
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, (Bytes, Option<i64>)>> {
        let now = self.clock.now_ms();
        let mut keys = lock(&self.keys);
        keys.retain(|_, (_, until)| until.is_none_or(|until| now < until));
        keys
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn until(&self, ttl_ms: Option<u64>) -> Option<i64> {
        ttl_ms.map(|ttl| self.clock.now_ms().saturating_add_unsigned(ttl))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One process's way to them.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) kept: Arc<Kept>,
    pub(crate) process: Arc<Process>,
}

impl KeepMail for Memory {
    fn keep(&self, plugin: &str, mail: NewMail) -> Result<Uuid, ServiceError> {
        self.process.living()?;
        Ok(self.kept.mail.keep(plugin, mail))
    }

    fn is_ready(&self) -> bool {
        self.kept.mail.is_open()
    }
}

#[async_trait]
impl KvService for Memory {
    async fn get(&self, key: String) -> Result<Option<Bytes>, ServiceError> {
        self.process.living()?;
        Ok(self.kept.live().get(&key).map(|(value, _)| value.clone()))
    }

    async fn set(&self, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<(), ServiceError> {
        self.process.living()?;
        let until = self.kept.until(ttl_ms);
        self.kept.live().insert(key, (value, until));
        Ok(())
    }

    async fn set_new(&self, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<bool, ServiceError> {
        self.process.living()?;
        let until = self.kept.until(ttl_ms);
        let mut keys = self.kept.live();
        let new = !keys.contains_key(&key);
        if new {
            keys.insert(key, (value, until));
        }
        Ok(new)
    }

    async fn delete(&self, key: String) -> Result<(), ServiceError> {
        self.process.living()?;
        self.kept.live().remove(&key);
        Ok(())
    }
}

#[async_trait]
impl PubSubService for Memory {
    async fn publish(&self, topic: String, message: Bytes) -> Result<(), ServiceError> {
        self.process.living()?;
        let mut topics = lock(&self.kept.topics);
        if topics.get(&topic).is_some_and(|sender| sender.send(message).is_err()) {
            topics.remove(&topic);
        }
        Ok(())
    }

    async fn subscribe(&self, topic: String) -> Result<u64, ServiceError> {
        self.process.living()?;
        let receiver = lock(&self.kept.topics)
            .entry(topic)
            .or_insert_with(|| broadcast::channel(BEHIND).0)
            .subscribe();
        let id = self.kept.next.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.kept.open).insert(id, Arc::new(tokio::sync::Mutex::new(receiver)));
        Ok(id)
    }

    async fn next(&self, subscription: u64) -> Result<Option<Received>, ServiceError> {
        let open = lock(&self.kept.open).get(&subscription).cloned();
        let Some(open) = open else { return Ok(None) };
        let mut receiver = open.lock().await;
        let received = tokio::select! {
            biased;
            () = self.process.died() => return Ok(None),
            received = receiver.recv() => received,
        };
        Ok(match received {
            Ok(message) => Some(Received::Message(message)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Received::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        })
    }

    async fn unsubscribe(&self, subscription: u64) -> Result<(), ServiceError> {
        lock(&self.kept.open).remove(&subscription);
        Ok(())
    }
}

#[async_trait]
impl VaultService for Memory {
    async fn get(&self, tenant: String, name: String) -> Result<Option<Bytes>, ServiceError> {
        self.process.living()?;
        Ok(lock(&self.kept.secrets).get(&(tenant, name)).cloned())
    }

    async fn put(&self, tenant: String, name: String, value: Bytes) -> Result<(), ServiceError> {
        self.process.living()?;
        lock(&self.kept.secrets).insert((tenant, name), value);
        Ok(())
    }

    async fn delete(&self, tenant: String, name: String) -> Result<(), ServiceError> {
        self.process.living()?;
        lock(&self.kept.secrets).remove(&(tenant, name));
        Ok(())
    }

    /// What is sealed is kept under its place and a number that stands for it.
    async fn seal(&self, tenant: String, name: String, value: Bytes) -> Result<Bytes, ServiceError> {
        self.process.living()?;
        let handle = Uuid::new_v4().to_string();
        let place = (tenant, format!("{name}\n{handle}"));
        lock(&self.kept.secrets).insert(place, value);
        Ok(handle.into())
    }

    async fn open(&self, tenant: String, name: String, sealed: Bytes) -> Result<Bytes, ServiceError> {
        self.process.living()?;
        let place = (tenant, format!("{name}\n{}", String::from_utf8_lossy(&sealed)));
        let opened = lock(&self.kept.secrets).get(&place).cloned();
        opened.ok_or_else(|| ServiceError::invalid(format!("the sealed value `{name}` is of another place")))
    }
}
