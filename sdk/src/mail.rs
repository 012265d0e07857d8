//! Mail to people. Capability: `mail`.
//!
//! A plugin says to whom, which template and with which values; the plugin that mounts mail (`email`) knows how it looks and
//! how it is sent. The host stores a mail as a job of that plugin before [`Mail::send`] returns, so it is not lost, is
//! tried again, and stands in `jackfield deliveries list --plugin email`. While no plugin mounts mail, sending is
//! refused as [`Unavailable`](crate::service::ServiceError::Unavailable) with the settings to set.
//!
//! A value `link` that begins with `/` leads to this host: its public address is put before it, so that no request says where
//! a link leads. Values are sealed as long as the mail is stored, because a link may be a secret: no list of jobs shows them.
//!
//! ```
//! use jackfield_sdk::prelude::*;
//!
//! async fn invite(host: &Host, organization: &str, address: &str, link: &Url) -> Result<()> {
//!     let mail = NewMail::new(address, "invitation")
//!         .value("inviter", "Ada")
//!         .value("organization", organization)
//!         .value("link", link.as_str())
//!         .key(format!("{organization}/{address}"))
//!         .tenant(organization);
//!     host.mail().send(mail).await?;
//!     Ok(())
//! }
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{error::Result, host::Services, service::service};

service! {
    /// Mail to people. Capability: `mail`.
    pub trait MailService = 10, serve_mail {
        /// Stores a mail to be sent; the same key gives the same mail. Gives the id of the job that sends it.
        1 => fn send(mail: NewMail) -> Uuid;
        /// Whether a plugin mounts mail, so that what is sent now is stored.
        2 => fn ready() -> bool;
    }
}

/// A mail to be sent: what [`Mail::send`] takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMail {
    /// One mailbox: `ada@example.com` or `Ada <ada@example.com>`.
    pub to: String,
    /// Name of a template, such as `sign-in-link`.
    pub template: String,
    /// What the template is filled with; a `link` that begins with `/` leads to this host.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// Dedup key; the same key within 30 days is the same mail.
    #[serde(default)]
    pub key: Option<String>,
    /// Tenant on whose behalf it is sent: what limits the jobs of a tenant limits its mail.
    #[serde(default)]
    pub tenant: Option<String>,
}

impl NewMail {
    /// A mail without values.
    pub fn new(to: impl Into<String>, template: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            template: template.into(),
            values: Map::new(),
            key: None,
            tenant: None,
        }
    }

    /// Adds a value.
    pub fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the dedup key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the tenant.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }
}

/// A mail that is stored: the payload of the job `send` of the plugin that mounts mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMail {
    /// As in [`NewMail`].
    pub to: String,
    /// As in [`NewMail`].
    pub template: String,
    /// Values that are no secrets.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Value>,
    /// The other values: a JSON object, sealed by the host for the place [`SEALED`] of the plugin's vault, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// Where in its vault, without a tenant, the plugin that mounts mail opens [`StoredMail::sealed`].
pub const SEALED: &str = "mail";

/// Mail handle.
#[derive(Clone)]
pub struct Mail(pub(crate) Arc<dyn Services>);

impl Mail {
    /// Stores a mail to be sent; returns after the commit that holds it. Gives the id of the job that sends it.
    pub async fn send(&self, mail: NewMail) -> Result<Uuid> {
        Ok(self.0.mail().send(mail).await?)
    }

    /// Whether a plugin mounts mail, so that what is sent now is stored.
    pub async fn ready(&self) -> Result<bool> {
        Ok(self.0.mail().ready().await?)
    }
}
