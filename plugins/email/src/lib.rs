//! E-mail: sends what other plugins hand to `host.mail()`, over SMTP.
//!
//! The host stores each mail as a job `send`, with its values sealed. The job renders its template and hands it to the relay in one durable step. The
//! Message-ID comes from the step's key, so a mail that is sent again, because a crash or a lost answer left open whether the
//! relay had taken it, is recognisable as the same message.

mod letter;
mod relay;
mod settings;

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use jackfield_sdk::{
    health::HealthStatus,
    mail::{SEALED, StoredMail},
    prelude::*,
};
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use serde_json::{Map, Value};

pub use crate::settings::{EmailConfig, StartTls};
use crate::{
    letter::{Letter, Letters},
    relay::{Accepted, Relay},
    settings::{Address, mailbox},
};

/// Longest time of a health check; the host waits for 2 s.
const HEALTH: Duration = Duration::from_millis(1_800);
/// For how long a mail is tried: a link that comes later helps nobody.
const PATIENCE: Duration = Duration::from_secs(12 * 60 * 60);
/// A run's longest time beyond the conversation with the relay.
const LONGEST_CONVERSATION: Duration = Duration::from_secs(4 * 60);

/// The plugin.
pub struct Email {
    letters: Letters,
    relay: Relay,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    product: String,
    clock: jackfield_sdk::host::Clock,
    vault: Vault,
}

#[plugin(id = "email", capabilities("vault"))]
impl Plugin for Email {
    type Config = EmailConfig;

    fn validate(config: &EmailConfig) -> Result<()> {
        let address = Address::of(config)?;
        mailbox("from", &config.from)?;
        if let Some(reply_to) = &config.reply_to {
            mailbox("reply_to", reply_to)?;
        }
        let timeout = Duration::from(config.timeout);
        if timeout < Duration::from_secs(1) || timeout > LONGEST_CONVERSATION {
            return Err(Error::permanent(format!(
                "timeout is {} s; write 1 to {} seconds",
                timeout.as_secs_f64(),
                LONGEST_CONVERSATION.as_secs()
            )));
        }
        address.keeps_its_password(config.starttls)
    }

    async fn create(config: EmailConfig, host: Host) -> Result<Self> {
        let from = mailbox("from", &config.from)?;
        let reply_to = config.reply_to.as_deref().map(|text| mailbox("reply_to", text));
        Ok(Self {
            letters: Letters::new()?,
            relay: Relay::new(&config, from.email.domain())?,
            from,
            reply_to: reply_to.transpose()?,
            product: config.product,
            clock: host.clock(),
            vault: host.vault(),
        })
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("send").retry(Retry::within(PATIENCE)).handle(Self::send);
    }

    async fn health(&self) -> Result<Health> {
        Ok(match self.relay.greet(HEALTH).await {
            Ok(()) => Health {
                status: HealthStatus::Healthy,
                detail: Some(format!("{} answers", self.relay)),
            },
            Err(fault) if fault.is_ours() => Health::unhealthy(fault.to_string()),
            Err(fault) => Health::degraded(fault.to_string()),
        })
    }
}

impl Email {
    async fn send(&self, run: Run, Json(mail): Json<StoredMail>) -> Result<Outcome> {
        // Nothing of this leaves the process, and a mail that cannot be written never will be.
        let to = mailbox("to", &mail.to)?;
        let values = self.values(&mail).await?;
        let letter = self.letters.write(&mail.template, &values, &self.product)?;
        let accepted = run
            .step("smtp", |attempt| async move {
                let message = self.message(to, &letter, attempt.key())?;
                self.relay.send(message).await.map_err(Error::from)
            })
            .await?;
        outcome(&mail, &accepted)
    }

    /// What the template is filled with: opened now, so that a link stands in clear in no row.
    async fn values(&self, mail: &StoredMail) -> Result<Map<String, Value>> {
        let mut values = mail.values.clone();
        if let Some(sealed) = &mail.sealed {
            let unread =
                |why: &dyn std::fmt::Display| Error::permanent(format!("the mail's values cannot be read: {why}"));
            let sealed = BASE64_STANDARD.decode(sealed).map_err(|error| unread(&error))?;
            let opened = self.vault.open("", SEALED, sealed.into()).await?;
            // An error of the parser quotes nothing of what it reads, but for one kind; so it is not told.
            let opened: Map<String, Value> =
                serde_json::from_str(opened.expose()).map_err(|_| unread(&"they are no JSON object"))?;
            values.extend(opened);
        }
        Ok(values)
    }

    fn message(&self, to: Mailbox, letter: &Letter, key: &str) -> Result<(String, Message)> {
        let id = message_id(key, self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&letter.subject)
            .date(SystemTime::from(self.clock.now()))
            .message_id(Some(id.clone()))
            // RFC 3834: nobody's holiday notice answers it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        let body = MultiPart::alternative_plain_html(self.letters.text(letter)?, self.letters.html(letter)?);
        let message = message
            .multipart(body)
            .map_err(|error| Error::permanent(format!("the mail cannot be put together: {error}")))?;
        Ok((id, message))
    }
}

/// The same for the same key: `<01a210ef-….smtp@example.com>`, so that the job is found by what stands in a relay's log.
fn message_id(key: &str, domain: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' };
    let local: String = key.chars().map(plain).collect();
    format!("<{local}@{domain}>")
}

fn outcome(mail: &StoredMail, accepted: &Accepted) -> Result<Outcome> {
    let (template, to) = (&mail.template, &mail.to);
    let summary = format!("{template} to {to}: {} took it ({})", accepted.relay, accepted.answer);
    Outcome::done(summary).with(accepted)
}

#[cfg(test)]
mod tests;
