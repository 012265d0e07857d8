//! Whether a delivery is authentic. Over the raw bytes, before anything is parsed, in constant time, with every active secret.

mod schemes;

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue};
use jackfield_sdk::{
    config::Secret,
    webhook::{DigestEncoding, Scheme},
};
use time::OffsetDateTime;

/// Signed times may be off by so many seconds.
const TOLERANCE: i64 = 300;

/// Why a delivery is not authentic. Never holds a secret, a signature or the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header is not there.
    #[error("the header `{0}` is missing")]
    MissingHeader(String),
    /// The header is there twice.
    #[error("the header `{0}` is there more than once")]
    DuplicateHeader(String),
    /// The header cannot be read.
    #[error("the header `{0}` cannot be read")]
    Malformed(String),
    /// The signed time is too old or too far ahead.
    #[error("the signed time is more than {TOLERANCE} s off")]
    Stale,
    /// No active secret fits.
    #[error("the signature does not fit")]
    Mismatch,
    /// There is no active secret: our fault, not the sender's.
    #[error("no active secret is configured")]
    NoSecret,
    /// The scheme is checked by the plugin itself.
    #[error("this webhook is verified by its plugin")]
    ByPlugin,
}

/// Checks `body` and `headers` against the `active` secrets.
pub fn check(
    scheme: &Scheme,
    headers: &HeaderMap,
    body: &[u8],
    active: &[Secret],
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    match scheme {
        Scheme::None { .. } => return Ok(()),
        Scheme::Plugin => return Err(Refusal::ByPlugin),
        Scheme::ByHeader(all) => {
            let chosen = all.iter().find(|one| headers.contains_key(signature_header(one)));
            return match (chosen, all.first()) {
                (Some(scheme), _) => check(scheme, headers, body, active, now),
                (None, first) => Err(Refusal::MissingHeader(
                    first.map_or_else(String::new, |one| signature_header(one).to_owned()),
                )),
            };
        }
        _ => {}
    }
    if active.is_empty() {
        return Err(Refusal::NoSecret);
    }
    match scheme {
        Scheme::HmacSha256 {
            header,
            prefix,
            encoding,
        } => schemes::hmac_header(one(headers, header)?, header, prefix, *encoding, body, active),
        Scheme::StandardWebhooks => schemes::standard_webhooks(
            one(headers, "webhook-id")?,
            one(headers, "webhook-timestamp")?,
            one(headers, "webhook-signature")?,
            body,
            active,
            now,
        ),
        Scheme::SlackV0 => schemes::slack(
            one(headers, "x-slack-request-timestamp")?,
            one(headers, "x-slack-signature")?,
            body,
            active,
            now,
        ),
        Scheme::Stripe => schemes::stripe(one(headers, "stripe-signature")?, body, active, now),
        Scheme::SharedToken { header } => schemes::shared_token(one(headers, header)?, active),
        Scheme::ByHeader(_) | Scheme::Plugin | Scheme::None { .. } => Err(Refusal::ByPlugin),
    }
}

/// The headers that a sender with `secret` would send: for trying a set-up out, for tests, and for our own events.
pub fn sign(
    scheme: &Scheme,
    secret: &Secret,
    id: &str,
    body: &[u8],
    now: OffsetDateTime,
) -> Vec<(HeaderName, HeaderValue)> {
    let seconds = now.unix_timestamp().to_string();
    let pairs: Vec<(String, String)> = match scheme {
        Scheme::HmacSha256 {
            header,
            prefix,
            encoding,
        } => {
            let digest = schemes::hmac(secret.expose().as_bytes(), &[body]);
            let text = match encoding {
                DigestEncoding::Hex => hex::encode(digest),
                DigestEncoding::Base64 => schemes::base64(&digest),
            };
            vec![(header.clone(), format!("{prefix}{text}"))]
        }
        Scheme::StandardWebhooks => {
            let digest = schemes::hmac(
                &schemes::standard_key(secret),
                &[id.as_bytes(), b".", seconds.as_bytes(), b".", body],
            );
            vec![
                ("webhook-id".to_owned(), id.to_owned()),
                ("webhook-timestamp".to_owned(), seconds),
                (
                    "webhook-signature".to_owned(),
                    format!("v1,{}", schemes::base64(&digest)),
                ),
            ]
        }
        Scheme::SlackV0 => {
            let digest = schemes::hmac(secret.expose().as_bytes(), &[b"v0:", seconds.as_bytes(), b":", body]);
            vec![
                ("x-slack-request-timestamp".to_owned(), seconds),
                ("x-slack-signature".to_owned(), format!("v0={}", hex::encode(digest))),
            ]
        }
        Scheme::Stripe => {
            let digest = schemes::hmac(secret.expose().as_bytes(), &[seconds.as_bytes(), b".", body]);
            vec![(
                "stripe-signature".to_owned(),
                format!("t={seconds},v1={}", hex::encode(digest)),
            )]
        }
        Scheme::SharedToken { header } => vec![(header.clone(), secret.expose().to_owned())],
        Scheme::ByHeader(all) => {
            return all
                .first()
                .map_or_else(Vec::new, |first| sign(first, secret, id, body, now));
        }
        Scheme::Plugin | Scheme::None { .. } => Vec::new(),
    };
    let header =
        |(name, value): (String, String)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
    pairs.into_iter().filter_map(header).collect()
}

fn signature_header(scheme: &Scheme) -> &str {
    match scheme {
        Scheme::HmacSha256 { header, .. } | Scheme::SharedToken { header } => header,
        Scheme::StandardWebhooks => "webhook-signature",
        Scheme::SlackV0 => "x-slack-signature",
        Scheme::Stripe => "stripe-signature",
        Scheme::ByHeader(all) => all.first().map_or("", signature_header),
        Scheme::Plugin | Scheme::None { .. } => "",
    }
}

/// The one value of a header.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| Refusal::MissingHeader(name.to_owned()))?;
    if values.next().is_some() {
        return Err(Refusal::DuplicateHeader(name.to_owned()));
    }
    value.to_str().map_err(|_| Refusal::Malformed(name.to_owned()))
}

fn fresh(seconds: &str, header: &str, now: OffsetDateTime) -> Result<(), Refusal> {
    let at: i64 = seconds.parse().map_err(|_| Refusal::Malformed(header.to_owned()))?;
    if now.unix_timestamp().abs_diff(at) > TOLERANCE.unsigned_abs() {
        Err(Refusal::Stale)
    } else {
        Ok(())
    }
}
