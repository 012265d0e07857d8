//! One caller at a time, over all replicas: a row that says who works and until when, and a lock in this process before it.
//!
//! Replicas go by the database's clock; a lease lasts some seconds longer than the work it is for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Locks by name, kept while somebody holds or wants them.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    /// The lock of `name`.
    pub(crate) fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = all.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        all.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        all.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
