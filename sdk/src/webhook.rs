//! Webhooks as data: how they are verified, identified, ordered, retried and answered.
//!
//! ```
//! # use jackfield_sdk::prelude::*;
//! let verify = Verify::hmac_sha256("X-Hub-Signature-256").prefix("sha256=").secrets("webhook_secrets");
//! let retry = Retry::within(minutes(15));
//! # let _ = (verify, retry);
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::expr::Expr;

/// How a delivery proves that it is authentic. Always over the raw bytes, always in constant time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// The signature scheme.
    pub scheme: Scheme,
    /// Where its secrets come from.
    pub secrets: SecretSource,
}

/// A signature scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case")]
pub enum Scheme {
    /// HMAC-SHA256 over the body in one header (GitHub, Linear, Jira).
    HmacSha256 {
        /// Lower-case header name.
        header: String,
        /// Text before the digest, such as `sha256=`.
        prefix: String,
        /// How the digest is written.
        encoding: DigestEncoding,
    },
    /// Standard Webhooks 1.0 `v1` (`webhook-id`, `webhook-timestamp`, `webhook-signature`), ±5 min.
    StandardWebhooks,
    /// Slack `v0` (`X-Slack-Request-Timestamp`, `X-Slack-Signature`), ±5 min.
    SlackV0,
    /// Stripe (`Stripe-Signature: t=…,v1=…`), ±5 min.
    Stripe,
    /// A shared secret sent as it is (GitLab's `X-Gitlab-Token`).
    SharedToken {
        /// Lower-case header name.
        header: String,
    },
    /// The first scheme whose own header is present decides; the others are not tried (no downgrade).
    ByHeader(Vec<Scheme>),
    /// The plugin's own function, declared with `Webhooks::verify_with`.
    Plugin,
    /// Nothing is verified. The plugin states why; the host prints a warning at start.
    None {
        /// Why that is right.
        reason: String,
    },
}

/// How an HMAC digest is written in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestEncoding {
    /// Hexadecimal, either case.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// Where a webhook's secrets come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A [`SigningSecrets`](crate::config::SigningSecrets) field of the configuration, by name: it rotates without a reload.
    Config(String),
    /// The plugin's function decides by this one value, which is trusted for nothing else.
    Plugin(Expr),
    /// The scheme needs none.
    None,
}

impl Verify {
    /// HMAC-SHA256 of the body in `header`, hexadecimal.
    pub fn hmac_sha256(header: &str) -> Self {
        Self::of(Scheme::HmacSha256 {
            header: header.to_ascii_lowercase(),
            prefix: String::new(),
            encoding: DigestEncoding::Hex,
        })
    }

    /// [Standard Webhooks](https://www.standardwebhooks.com).
    pub fn standard_webhooks() -> Self {
        Self::of(Scheme::StandardWebhooks)
    }

    /// [Slack](https://api.slack.com/authentication/verifying-requests-from-slack).
    pub fn slack_v0() -> Self {
        Self::of(Scheme::SlackV0)
    }

    /// [Stripe](https://docs.stripe.com/webhooks#verify-manually).
    pub fn stripe() -> Self {
        Self::of(Scheme::Stripe)
    }

    /// A shared secret in `header`.
    pub fn shared_token(header: &str) -> Self {
        Self::of(Scheme::SharedToken {
            header: header.to_ascii_lowercase(),
        })
    }

    /// The first of `all` whose header is there decides.
    pub fn by_header<const N: usize>(all: [Verify; N]) -> Self {
        Self::of(Scheme::ByHeader(all.into_iter().map(|verify| verify.scheme).collect()))
    }

    /// No verification, for the reason given.
    pub fn none(reason: &str) -> Self {
        Self::of(Scheme::None {
            reason: reason.to_owned(),
        })
    }

    pub(crate) fn plugin() -> Self {
        Self::of(Scheme::Plugin)
    }

    /// The text before the digest (`sha256=`).
    pub fn prefix(mut self, text: &str) -> Self {
        if let Scheme::HmacSha256 { prefix, .. } = &mut self.scheme {
            text.clone_into(prefix);
        }
        self
    }

    /// The digest is base64.
    pub fn base64(mut self) -> Self {
        if let Scheme::HmacSha256 { encoding, .. } = &mut self.scheme {
            *encoding = DigestEncoding::Base64;
        }
        self
    }

    /// The configuration field that holds the secrets.
    pub fn secrets(mut self, field: &str) -> Self {
        self.secrets = SecretSource::Config(field.to_owned());
        self
    }

    fn of(scheme: Scheme) -> Self {
        Self {
            scheme,
            secrets: SecretSource::None,
        }
    }
}

/// When a failed run is tried again: exponential with ±20 % jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// Time from the first failure to the last attempt, in milliseconds.
    pub window_ms: u64,
}

impl Retry {
    /// Twelve attempts over 75 hours.
    pub const DEFAULT: Self = Self {
        attempts: 12,
        window_ms: 75 * 3600 * 1000,
    };

    /// Eight attempts within `window`: for handlers that people wait for.
    pub fn within(window: Duration) -> Self {
        Self {
            attempts: 8,
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Exactly one attempt.
    pub const fn never() -> Self {
        Self {
            attempts: 1,
            window_ms: 0,
        }
    }

    /// Other number of attempts in the same window.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `n` minutes.
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// `n` hours.
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// `n` days.
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// `n` seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
