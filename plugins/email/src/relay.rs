//! The relay: one SMTP conversation per mail, and what its answers mean.
//!
//! 4xx and everything that may pass is tried again; 5xx is final, with the relay's own text. A relay that does not let *us* in is
//! the operator's to mend, not the mail's fault: those mails wait.

use std::{fmt, time::Duration};

use jackfield_sdk::prelude::*;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use crate::settings::{Address, EmailConfig, StartTls};

/// Wait before the next try when the relay does not let us in.
const LOCKED_OUT: Duration = Duration::from_secs(5 * 60);
/// Most of a relay's text that is kept.
const MOST_TEXT: usize = 500;

/// The relay. Shown as `HOST:PORT`.
pub(crate) struct Relay {
    name: String,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
}

/// A mail that the relay took over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// Its Message-ID.
    pub(crate) message_id: String,
    /// Who took it.
    pub(crate) relay: String,
    /// What the relay said, often with the id in its queue.
    pub(crate) answer: String,
}

impl Relay {
    /// Connects to nothing. `domain` is the sender's.
    pub(crate) fn new(config: &EmailConfig, domain: &str) -> Result<Self> {
        let address = Address::of(config)?;
        let tls = || parameters(&address.host, config.ca_file.as_deref());
        let tls = match config.starttls {
            _ if address.implicit => Tls::Wrapper(tls()?),
            StartTls::Required => Tls::Required(tls()?),
            StartTls::IfOffered => Tls::Opportunistic(tls()?),
            StartTls::Never => Tls::None,
        };
        let hello = config.hello.as_deref().unwrap_or(domain);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&address.host)
            .port(address.port)
            .tls(tls)
            .timeout(Some(config.connect_timeout.into()))
            .hello_name(ClientId::Domain(hello.to_owned()));
        if let Some((user, password)) = &address.user {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Self {
            name: match address.host.contains(':') {
                true => format!("[{}]:{}", address.host, address.port),
                false => format!("{}:{}", address.host, address.port),
            },
            transport: builder.build(),
            timeout: config.timeout.into(),
        })
    }

    /// Hands a message over.
    pub(crate) async fn send(&self, (message_id, message): (String, Message)) -> Result<Accepted, Fault> {
        let to = message.envelope().to();
        let beyond_ascii = to.iter().any(|address| !AsRef::<str>::as_ref(address).is_ascii());
        let answer = self
            .within(self.timeout, beyond_ascii, self.transport.send(message))
            .await?;
        let code = answer.code();
        let text = answer.message().collect::<Vec<_>>().join(" ");
        Ok(Accepted {
            message_id,
            relay: self.name.clone(),
            answer: shortened(&format!("{code} {text}")),
        })
    }

    /// Connects, says EHLO, signs in and says NOOP.
    pub(crate) async fn greet(&self, within: Duration) -> Result<(), Fault> {
        match self.within(within, false, self.transport.test_connection()).await? {
            true => Ok(()),
            false => Err(Fault::passing(format!("{self} does not answer NOOP"))),
        }
    }

    async fn within<T>(
        &self,
        time: Duration,
        beyond_ascii: bool,
        conversation: impl Future<Output = Result<T, SmtpError>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(time, conversation).await {
            Ok(answer) => answer.map_err(|error| Fault::of(&error, &self.name, beyond_ascii)),
            Err(_) => Err(Fault::passing(format!("{self} did not finish within {time:?}"))),
        }
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Trusts the system's authorities and those in `ca_file`.
fn parameters(host: &str, ca_file: Option<&str>) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let unread = |why: &dyn fmt::Display| Error::permanent(format!("ca_file `{path}`: {why}; name a PEM file"));
        let pem = std::fs::read(path).map_err(|error| unread(&error))?;
        // The library takes a file without any certificate for one with none to add.
        if !pem.windows(17).any(|window| window == b"BEGIN CERTIFICATE") {
            return Err(unread(&"there is no certificate in it"));
        }
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| unread(&error))?);
    }
    builder
        .build()
        .map_err(|error| Error::permanent(format!("TLS for {host} cannot be set up: {error}")))
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It may go away by itself.
    Passing,
    /// The relay does not let us in: an operator mends it.
    LockedOut,
    /// The relay refuses this mail.
    Refused,
}

impl Fault {
    fn passing(message: String) -> Self {
        Self {
            kind: Kind::Passing,
            message,
        }
    }

    fn of(error: &SmtpError, relay: &str, beyond_ascii: bool) -> Self {
        let text = std::error::Error::source(error).map_or_else(|| error.to_string(), causes);
        let text = shortened(&text);
        if let Some(code) = error.status() {
            let code = code.to_string();
            let said = format!("{relay} answered {code}: {text}");
            return match code.as_str() {
                // RFC 4954: sign-in is needed, too weak, or wrong.
                "530" | "534" | "535" | "538" => Self {
                    kind: Kind::LockedOut,
                    message: format!("{said}; check user and password in smtp_url (JACKFIELD_SMTP_URL)"),
                },
                _ if error.is_permanent() => Self {
                    kind: Kind::Refused,
                    message: said,
                },
                _ => Self::passing(said),
            };
        }
        if error.is_tls() || is_of_tls(error) {
            let message = format!(
                "TLS with {relay} failed: {text}; when its certificate is from an authority of your own, set ca_file (JACKFIELD_SMTP_CA_FILE)"
            );
            return Self {
                kind: Kind::LockedOut,
                message,
            };
        }
        if error.is_client() {
            // What the library finds out by itself: the address needs SMTPUTF8, or STARTTLS or a way to sign in is not offered.
            let kind = if beyond_ascii { Kind::Refused } else { Kind::LockedOut };
            return Self {
                kind,
                message: format!("{relay}: {text}"),
            };
        }
        Self::passing(format!("{relay} cannot be reached, or broke off: {text}"))
    }

    /// Whether the operator has to mend it.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind != Kind::Passing
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Kind::Passing => Self::transient(fault.message),
            Kind::LockedOut => Self::retry(LOCKED_OUT, fault.message),
            Kind::Refused => Self::permanent(fault.message),
        }
    }
}

/// Whether a handshake failed: the library tells it as an error of the connection.
fn is_of_tls(error: &SmtpError) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && inner.is::<rustls::Error>()
        {
            return true;
        }
        next = cause.source();
    }
    false
}

/// An error and what caused it, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Many say their cause themselves.
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// In one line, not too long.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
