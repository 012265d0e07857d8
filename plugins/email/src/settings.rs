//! Settings: where the relay is, how the way to it is kept secret, and who writes.

use jackfield_sdk::prelude::*;
use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;

/// Settings of the relay and of the mail.
#[derive(Config)]
pub struct EmailConfig {
    /// The relay: `smtp://USER:PASSWORD@HOST:587` begins plainly and goes on with STARTTLS, `smtps://USER:PASSWORD@HOST:465`
    /// is TLS from the first byte. The user and the ports may be left out; `@`, `:` and `/` in a password are `%40`, `%3A`, `%2F`.
    #[config(env = "JACKFIELD_SMTP_URL", enables)]
    pub smtp_url: Secret,
    /// Whether `smtp://` must go on with STARTTLS (`required`), does so when the relay offers it (`if-offered`), or never does.
    #[config(default = "required", env = "JACKFIELD_SMTP_STARTTLS")]
    pub starttls: StartTls,
    /// PEM file with certificate authorities that are trusted beside the system's.
    #[config(env = "JACKFIELD_SMTP_CA_FILE")]
    pub ca_file: Option<String>,
    /// Longest time to connect.
    #[config(default = 10, env = "JACKFIELD_SMTP_CONNECT_TIMEOUT")]
    pub connect_timeout: Seconds,
    /// Longest time of the whole conversation about one mail.
    #[config(default = 30, env = "JACKFIELD_SMTP_TIMEOUT")]
    pub timeout: Seconds,
    /// Name that the relay is greeted with; the domain of `from` unless set.
    #[config(env = "JACKFIELD_SMTP_HELLO")]
    pub hello: Option<String>,
    /// Who writes: `no-reply@example.com` or `Example <no-reply@example.com>`.
    #[config(env = "JACKFIELD_MAIL_FROM")]
    pub from: String,
    /// Where answers go; to `from` unless set.
    #[config(env = "JACKFIELD_MAIL_REPLY_TO")]
    pub reply_to: Option<String>,
    /// Name of the product in subjects and texts.
    #[config(default = "Jackfield", env = "JACKFIELD_MAIL_PRODUCT")]
    pub product: String,
}

/// What `smtp://` does about STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum StartTls {
    /// Nothing is sent without it.
    Required,
    /// Used when the relay offers it; who sits between may take the offer away.
    IfOffered,
    /// Everything is sent in the open.
    Never,
}

/// The relay's address, read from `smtp_url`.
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// TLS from the first byte.
    pub(crate) implicit: bool,
    pub(crate) user: Option<(String, Secret)>,
}

impl Address {
    /// Reads it. The errors hold nothing of the text, because a password is in it.
    pub(crate) fn of(config: &EmailConfig) -> Result<Self> {
        let wrong = |what: &str| {
            Error::permanent(format!(
                "smtp_url {what}; write smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465 (JACKFIELD_SMTP_URL)"
            ))
        };
        let url: Url = config
            .smtp_url
            .expose()
            .trim()
            .parse()
            .map_err(|_| wrong("is no address"))?;
        let implicit = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            _ => return Err(wrong("begins with neither smtp:// nor smtps://")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("names no host"))?;
        if url.query().is_some() || url.fragment().is_some() || !matches!(url.path(), "" | "/") {
            return Err(wrong("has something behind the port, which has settings of its own"));
        }
        let user = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => {
                let plain = |text| {
                    let decoded = percent_decode_str(text).decode_utf8();
                    decoded.map_err(|_| wrong("has a user or a password that is not UTF-8"))
                };
                Some((plain(user)?.into_owned(), Secret::new(plain(password)?)))
            }
            _ => return Err(wrong("has a user without a password, or a password without a user")),
        };
        Ok(Self {
            // An IPv6 address stands in brackets in a URL and nowhere else.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(if implicit { 465 } else { 587 }),
            implicit,
            user,
        })
    }

    /// An error when the password could be read on the way.
    pub(crate) fn keeps_its_password(&self, starttls: StartTls) -> Result<()> {
        let here = matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if self.user.is_none() || self.implicit || starttls == StartTls::Required || here {
            return Ok(());
        }
        Err(Error::permanent(format!(
            "the password for {} could be read on the way; leave starttls at `required`, use smtps://, or leave out the user",
            self.host
        )))
    }
}

/// One mailbox; the error names what it was to be.
pub(crate) fn mailbox(what: &str, text: &str) -> Result<Mailbox> {
    text.trim().parse().map_err(|error| {
        Error::permanent(format!(
            "{what} is no mailbox ({error}); write `ada@example.com` or `Ada <ada@example.com>`"
        ))
    })
}
