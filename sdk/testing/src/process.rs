//! One life of the host under test, from its start to its kill.
//!
//! Guarantee: after [`Process::kill`] nothing of it reaches the store, the wire or a service: what it had not committed is lost.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jackfield_inbox::engine::Inbox;
use jackfield_sdk::service::ServiceError;
use tokio::sync::watch;

pub(crate) struct Process {
    dead: AtomicBool,
    died: watch::Sender<bool>,
    inbox: Mutex<Option<Inbox>>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            dead: AtomicBool::new(false),
            died: watch::channel(false).0,
            inbox: Mutex::default(),
        }
    }

    /// The engine that dies with it.
    pub(crate) fn owns(&self, inbox: Inbox) {
        *self.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(inbox);
    }

    /// As `kill -9`.
    pub(crate) fn kill(&self) {
        if self.dead.swap(true, Ordering::SeqCst) {
            return;
        }
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(inbox) = inbox {
            inbox.kill();
        }
        self.died.send_replace(true);
    }

    pub(crate) fn alive(&self) -> bool {
        !self.dead.load(Ordering::SeqCst)
    }

    /// Completes when it is killed.
    pub(crate) async fn died(&self) {
        let mut died = self.died.subscribe();
        // The sender lives in `self`, so this ends by the value alone.
        let _ = died.wait_for(|died| *died).await;
    }

    /// An error once it is dead.
    pub(crate) fn living(&self) -> Result<(), ServiceError> {
        if self.alive() {
            Ok(())
        } else {
            Err(ServiceError::unavailable("this process was killed"))
        }
    }
}
