//! Key-value store of this process: for one host without Redis. What must survive a restart is not kept here.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{host::KvService, service::ServiceError};

/// Keys kept before expired ones are looked for.
const SWEEP_ABOVE: usize = 10_000;

/// In memory.
#[derive(Default)]
pub struct MemoryKv(Mutex<HashMap<String, (Bytes, Option<Instant>)>>);

impl MemoryKv {
    fn live(&self) -> MutexGuard<'_, HashMap<String, (Bytes, Option<Instant>)>> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() > SWEEP_ABOVE {
            let now = Instant::now();
            map.retain(|_, (_, until)| until.is_none_or(|until| now < until));
        }
        map
    }
}

fn until(ttl_ms: Option<u64>) -> Option<Instant> {
    ttl_ms.and_then(|ttl| Instant::now().checked_add(Duration::from_millis(ttl)))
}

#[async_trait]
impl KvService for MemoryKv {
    async fn get(&self, key: String) -> Result<Option<Bytes>, ServiceError> {
        let map = self.live();
        let found = map
            .get(&key)
            .filter(|(_, until)| until.is_none_or(|until| Instant::now() < until));
        Ok(found.map(|(value, _)| value.clone()))
    }

    async fn set(&self, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<(), ServiceError> {
        self.live().insert(key, (value, until(ttl_ms)));
        Ok(())
    }

    async fn set_new(&self, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<bool, ServiceError> {
        let mut map = self.live();
        if map
            .get(&key)
            .is_some_and(|(_, until)| until.is_none_or(|until| Instant::now() < until))
        {
            return Ok(false);
        }
        map.insert(key, (value, until(ttl_ms)));
        Ok(true)
    }

    async fn delete(&self, key: String) -> Result<(), ServiceError> {
        self.live().remove(&key);
        Ok(())
    }
}
