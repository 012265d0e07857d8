//! The way of mail: a job of the plugin that mounts it, which is the one called `email`.
//!
//! Guarantee: a mail whose sender was told that it is stored is in the inbox, once for each key of its sender and tenant. While
//! no plugin mounts mail nothing is stored, because nobody might ever send it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_inbox::{
    engine::Inbox,
    model::{DedupKey, NewWork, WorkKind},
};
use jackfield_sdk::{mail::NewMail, service::ServiceError};
use uuid::Uuid;

/// Id of the plugin that mounts mail.
pub(crate) const PLUGIN: &str = "email";
/// Its job that sends one mail.
const JOB: &str = "send";
/// What makes it run.
const FIX: &str = "set JACKFIELD_SMTP_URL and JACKFIELD_MAIL_FROM";
/// Longest address with its name; RFC 5321 allows 254 bytes for the address alone.
const LONGEST_TO: usize = 512;

/// Takes a mail of the plugin that is named first, and gives its id.
pub type KeepMail = Arc<dyn Fn(&str, NewMail) -> Result<Uuid, ServiceError> + Send + Sync>;

/// Takes mail of plugins. Cheap to clone; all clones know who mounts mail now.
#[derive(Clone, Default)]
pub struct Mail {
    kept: Option<KeepMail>,
    mount: Arc<ArcSwap<Mount>>,
}

/// Who sends mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Mount {
    /// The host has no such plugin.
    #[default]
    Nobody,
    /// It is switched off, for this reason.
    Off(String),
    /// It sends, or will when it is back.
    On,
}

impl Mail {
    /// Gives mail to `keep` instead of a plugin: for tests that read what was sent.
    pub fn kept_by(keep: KeepMail) -> Self {
        Self {
            kept: Some(keep),
            mount: Arc::default(),
        }
    }

    pub(crate) fn mount(&self, mount: Mount) {
        self.mount.store(Arc::new(mount));
    }

    pub(crate) async fn send(&self, inbox: &Inbox, from: &str, mail: NewMail) -> Result<Uuid, ServiceError> {
        check(&mail)?;
        if let Some(keep) = &self.kept {
            return keep(from, mail);
        }
        match self.mount.load().as_ref() {
            Mount::On => {}
            Mount::Off(reason) => {
                return Err(ServiceError::unavailable(format!(
                    "mail is off, because the plugin `{PLUGIN}` is ({reason}); {FIX}"
                )));
            }
            Mount::Nobody => {
                return Err(ServiceError::unavailable(format!(
                    "mail is off, because this host has no plugin `{PLUGIN}`; compile `jackfield-plugin-email` in and {FIX}"
                )));
            }
        }
        let work = job(from, mail)?;
        let stored = inbox.accept(work).await;
        Ok(stored
            .map_err(|error| ServiceError::unavailable(error.to_string()))?
            .id())
    }
}

/// What is wrong whoever sends it.
fn check(mail: &NewMail) -> Result<(), ServiceError> {
    let wrong = |what: &str| Err(ServiceError::invalid(format!("a mail cannot be sent: {what}")));
    match () {
        () if mail.to.trim().is_empty() => wrong("`to` is empty; give it one address"),
        () if mail.to.len() > LONGEST_TO => wrong("`to` is longer than 512 bytes; give it one address"),
        () if mail.to.contains(char::is_control) => wrong("`to` holds a line break or another control character"),
        () if mail.template.is_empty() => wrong("`template` is empty; name one, such as `sign-in-link`"),
        () => Ok(()),
    }
}

/// The job that sends it. Keys of two plugins never meet.
fn job(from: &str, mail: NewMail) -> Result<NewWork, ServiceError> {
    let id = Uuid::now_v7();
    let body = serde_json::to_vec(&mail)
        .map_err(|error| ServiceError::invalid(format!("a mail cannot be written as JSON: {error}")))?;
    let tenant = mail.tenant.unwrap_or_default();
    let delivery_id = mail.key.map_or_else(|| id.to_string(), |key| format!("{from}:{key}"));
    Ok(NewWork {
        id,
        kind: WorkKind::Job,
        plugin: PLUGIN.to_owned(),
        dedup: DedupKey::of(PLUGIN, &format!("job:{JOB}"), &tenant, &delivery_id),
        event: mail.template,
        handler: JOB.to_owned(),
        tenant,
        delivery_id,
        lane: None,
        headers: Vec::new(),
        body: body.into(),
        delay_ms: 0,
        held: None,
        lease_ms: None,
        death: None,
    })
}

#[cfg(test)]
mod tests;
