//! The memory store keeps the contract.

use std::{sync::Arc, time::Duration};

use jackfield_inbox::{
    clock::ManualClock,
    contract::{Subject, check},
    memory::MemoryStore,
};

#[tokio::test]
async fn memory() {
    check(async || {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let store = MemoryStore::new(Arc::clone(&clock) as _);
        Subject {
            store: Arc::new(store),
            advance: Box::new(move |by: Duration| clock.advance(by)),
        }
    })
    .await;
}
