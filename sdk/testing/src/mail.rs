//! Mail that plugins under test sent, kept for the test to read. It outlives a kill, as the inbox of a real host does.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jackfield_sdk::mail::NewMail;
use uuid::Uuid;

/// A mail that a plugin sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMail {
    /// The plugin's id.
    pub plugin: String,
    /// What the plugin was given for it.
    pub id: Uuid,
    /// The mail.
    pub mail: NewMail,
}

/// What was sent, oldest first.
#[derive(Default)]
pub(crate) struct Postbox {
    sent: Mutex<Vec<SentMail>>,
    shut: AtomicBool,
}

impl Postbox {
    /// Keeps a mail; one whose key the plugin has used for the tenant is the one that is there.
    pub(crate) fn keep(&self, plugin: &str, mail: NewMail) -> Uuid {
        let mut kept = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &&SentMail| {
            one.plugin == plugin
                && mail.key.is_some()
                && (&one.mail.key, tenant(&one.mail)) == (&mail.key, tenant(&mail))
        };
        if let Some(known) = kept.iter().find(same) {
            return known.id;
        }
        let id = Uuid::now_v7();
        kept.push(SentMail {
            plugin: plugin.to_owned(),
            id,
            mail,
        });
        id
    }

    pub(crate) fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.shut.load(Ordering::SeqCst)
    }

    pub(crate) fn all(&self) -> Vec<SentMail> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn tenant(mail: &NewMail) -> &str {
    mail.tenant.as_deref().unwrap_or_default()
}
