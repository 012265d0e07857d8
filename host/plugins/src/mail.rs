//! The way of mail: a job of the plugin that mounts it, which is the one called `email`.
//!
//! Guarantee: a mail whose sender was told that it is stored is in the inbox, once for each key of its sender and tenant. While
//! no plugin mounts mail nothing is stored, because nobody might ever send it. The values of a mail are stored sealed: whoever
//! reads the inbox, or a copy of its database, signs in by nobody's link.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jackfield_inbox::{
    engine::Inbox,
    model::{DedupKey, NewWork, WorkKind},
};
use jackfield_sdk::{
    host::VaultService,
    mail::{MailService, NewMail, SEALED, StoredMail},
    service::ServiceError,
};
use serde_json::Value;
use uuid::Uuid;

use crate::table::HOST;

/// Id of the plugin that mounts mail.
pub(crate) const PLUGIN: &str = "email";
/// Its job that sends one mail.
const JOB: &str = "send";
/// What makes it run.
const FIX: &str = "set JACKFIELD_SMTP_URL and JACKFIELD_MAIL_FROM";
/// Longest address with its name; RFC 5321 allows 254 bytes for the address alone.
const LONGEST_TO: usize = 512;

/// Keeps mail instead of sending it.
pub trait KeepMail: Send + Sync {
    /// Takes a mail of the plugin that is named first, and gives its id.
    fn keep(&self, from: &str, mail: NewMail) -> Result<Uuid, ServiceError>;
    /// Whether it takes any now.
    fn is_ready(&self) -> bool;
}

/// Takes mail of plugins. Cheap to clone; all clones know who mounts mail now.
#[derive(Clone, Default)]
pub struct Mail {
    kept: Option<Arc<dyn KeepMail>>,
    mount: Arc<ArcSwap<Mount>>,
    /// Where people reach this host, without a slash at its end.
    base: Arc<ArcSwap<String>>,
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
    pub fn kept_by(keep: Arc<dyn KeepMail>) -> Self {
        Self {
            kept: Some(keep),
            ..Self::default()
        }
    }

    /// Where people reach this host: links of mail that are paths lead there.
    pub fn set_base(&self, base: &str) {
        self.base.store(Arc::new(base.trim_end_matches('/').to_owned()));
    }

    /// Whether what is sent now is stored.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.kept {
            Some(keep) => keep.is_ready(),
            None => *self.mount.load().as_ref() == Mount::On,
        }
    }

    pub(crate) fn mount(&self, mount: Mount) {
        self.mount.store(Arc::new(mount));
    }

    pub(crate) async fn send(
        &self,
        inbox: &Inbox,
        vault: &dyn VaultService,
        from: &str,
        mut mail: NewMail,
    ) -> Result<Uuid, ServiceError> {
        check(&mail)?;
        if let Some(Value::String(link)) = mail.values.get_mut("link")
            && link.starts_with('/')
        {
            link.insert_str(0, &self.base.load());
        }
        if let Some(keep) = &self.kept {
            if keep.is_ready() {
                return keep.keep(from, mail);
            }
            return Err(ServiceError::unavailable(format!("mail is off; {FIX}")));
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
        let work = job(vault, from, mail).await?;
        let stored = inbox.accept(work).await;
        Ok(stored
            .map_err(|error| ServiceError::unavailable(error.to_string()))?
            .id())
    }
}

/// Mail of the host itself.
pub struct HostMail {
    mail: Mail,
    inbox: Inbox,
    vault: Arc<dyn VaultService>,
}

impl HostMail {
    /// By the way of plugins' mail.
    pub fn new(mail: Mail, inbox: Inbox, vault: Arc<dyn VaultService>) -> Self {
        Self { mail, inbox, vault }
    }
}

#[async_trait]
impl MailService for HostMail {
    async fn send(&self, mail: NewMail) -> Result<Uuid, ServiceError> {
        self.mail.send(&self.inbox, self.vault.as_ref(), HOST, mail).await
    }
    async fn ready(&self) -> Result<bool, ServiceError> {
        Ok(self.mail.is_ready())
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
async fn job(vault: &dyn VaultService, from: &str, mail: NewMail) -> Result<NewWork, ServiceError> {
    let id = Uuid::now_v7();
    let values = Value::Object(mail.values).to_string();
    // The place is that of the plugin's own vault, so that it opens what is meant for it.
    let sealed = vault.seal(format!("{PLUGIN}:"), SEALED.to_owned(), Bytes::from(values));
    let stored = StoredMail {
        to: mail.to,
        template: mail.template.clone(),
        values: serde_json::Map::new(),
        sealed: Some(BASE64_STANDARD.encode(sealed.await?)),
    };
    let body = serde_json::to_vec(&stored)
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
