//! What was looked up lately, by the SHA-256 of the credential.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jackfield_sdk::Principal;

use crate::token::Hash;

/// Most credentials kept: some 500 bytes each.
const CREDENTIALS: u64 = 100_000;
/// Longest that one is kept.
const KEPT: Duration = Duration::from_secs(60);

/// A credential that opened something when it was looked up.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) principal: Principal,
    pub(crate) subject: String,
    pub(crate) person: String,
    pub(crate) accepted_terms: bool,
    pub(crate) verified_email: bool,
    /// When it ends whatever happens.
    pub(crate) ends_ms: i64,
    /// When it was looked up.
    pub(crate) read_ms: i64,
}

pub(crate) struct Cache {
    known: moka::sync::Cache<Hash, Arc<Known>>,
    /// Sessions that this replica ended lately: whoever ended their own loses the cookie with the answer.
    ended: moka::sync::Cache<String, ()>,
    /// Persons, sessions and keys that changed, as far back as anything is kept.
    changed: RwLock<HashMap<String, Change>>,
}

struct Change {
    /// What was looked up until then, by our clock, is no longer true.
    here_ms: i64,
    /// What the row said when it was seen committed.
    heard_ms: Option<i64>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            known: moka::sync::Cache::builder()
                .max_capacity(CREDENTIALS)
                .time_to_live(KEPT)
                .build(),
            ended: moka::sync::Cache::builder()
                .max_capacity(CREDENTIALS)
                .time_to_live(KEPT)
                .build(),
            changed: RwLock::default(),
        }
    }
}

impl Cache {
    /// What is known of a credential, if it is still true.
    pub(crate) fn get(&self, hash: &Hash) -> Option<Arc<Known>> {
        let known = self.known.get(hash)?;
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        let stale = !changed.is_empty()
            && [&known.subject, &known.person].into_iter().any(|subject| {
                changed
                    .get(subject)
                    .is_some_and(|change| change.here_ms >= known.read_ms)
            });
        (!stale).then_some(known)
    }

    /// Keeps what was found.
    pub(crate) fn put(&self, hash: Hash, known: Arc<Known>) {
        self.known.insert(hash, known);
    }

    /// A session was ended here.
    pub(crate) fn end(&self, session: &str) {
        self.ended.insert(session.to_owned(), ());
    }

    /// Whether a session was ended here lately.
    pub(crate) fn has_ended(&self, session: &str) -> bool {
        self.ended.contains_key(session)
    }

    /// We change `subject`; its transaction is yet to commit.
    pub(crate) fn forget(&self, subject: &str, now_ms: i64) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        let change = changed.entry(subject.to_owned()).or_insert(Change {
            here_ms: now_ms,
            heard_ms: None,
        });
        change.here_ms = now_ms;
    }

    /// A change is seen committed: what was looked up while it was not is as old as what came before.
    pub(crate) fn heard(&self, subject: &str, at_ms: i64, now_ms: i64) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        let change = changed.entry(subject.to_owned()).or_insert(Change {
            here_ms: now_ms,
            heard_ms: None,
        });
        if change.heard_ms != Some(at_ms) {
            change.heard_ms = Some(at_ms);
            change.here_ms = now_ms;
        }
    }

    /// Drops changes that are older than anything kept.
    pub(crate) fn trim(&self, now_ms: i64) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        let oldest = now_ms - 2 * crate::core::millis(KEPT);
        changed.retain(|_, change| change.here_ms >= oldest);
    }
}
