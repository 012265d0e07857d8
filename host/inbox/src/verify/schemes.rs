//! One function per signature scheme.

use base64::{Engine, engine::general_purpose::STANDARD};
use jackfield_sdk::{config::Secret, webhook::DigestEncoding};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use time::OffsetDateTime;

use super::{Refusal, fresh};

/// HMAC-SHA256 over the parts one after the other. Any key length is valid for HMAC (RFC 2104 §3).
#[cfg(feature = "aws-lc")]
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

/// The same where no C compiler is asked for.
#[cfg(not(feature = "aws-lc"))]
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    use hmac::{Hmac, KeyInit, Mac};
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `sha256=<digest>` in one header.
pub(super) fn hmac_header(
    value: &str,
    header: &str,
    prefix: &str,
    encoding: DigestEncoding,
    body: &[u8],
    active: &[Secret],
) -> Result<(), Refusal> {
    let malformed = || Refusal::Malformed(header.to_owned());
    let digest = value.strip_prefix(prefix).ok_or_else(malformed)?;
    let given = match encoding {
        DigestEncoding::Hex => hex::decode(digest).map_err(|_| malformed())?,
        DigestEncoding::Base64 => STANDARD.decode(digest).map_err(|_| malformed())?,
    };
    accept(
        active.iter().map(|secret| hmac(secret.expose().as_bytes(), &[body])),
        &[given],
    )
}

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
pub(super) fn standard_webhooks(
    id: &str,
    seconds: &str,
    signatures: &str,
    body: &[u8],
    active: &[Secret],
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|digest| STANDARD.decode(digest).ok())
        .collect();
    if given.is_empty() {
        return Err(Refusal::Malformed("webhook-signature".to_owned()));
    }
    fresh(seconds, "webhook-timestamp", now)?;
    let digest = |secret| {
        hmac(
            &standard_key(secret),
            &[id.as_bytes(), b".", seconds.as_bytes(), b".", body],
        )
    };
    accept(active.iter().map(digest), &given)
}

/// A secret is base64 after `whsec_`; one that is no base64 is taken as it is.
pub(super) fn standard_key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let bare = text.strip_prefix("whsec_").unwrap_or(text);
    STANDARD.decode(bare).unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// <https://api.slack.com/authentication/verifying-requests-from-slack>
pub(super) fn slack(
    seconds: &str,
    signature: &str,
    body: &[u8],
    active: &[Secret],
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let header = "x-slack-signature";
    let digest = signature
        .strip_prefix("v0=")
        .and_then(|digest| hex::decode(digest).ok());
    let given = digest.ok_or_else(|| Refusal::Malformed(header.to_owned()))?;
    fresh(seconds, "x-slack-request-timestamp", now)?;
    let digest = |secret: &Secret| hmac(secret.expose().as_bytes(), &[b"v0:", seconds.as_bytes(), b":", body]);
    accept(active.iter().map(digest), &[given])
}

/// <https://docs.stripe.com/webhooks#verify-manually>: several `v1` while a secret rolls, other versions ignored.
pub(super) fn stripe(value: &str, body: &[u8], active: &[Secret], now: OffsetDateTime) -> Result<(), Refusal> {
    let header = "stripe-signature";
    let (mut seconds, mut given) = (None, Vec::new());
    for (key, value) in value.split(',').filter_map(|pair| pair.split_once('=')) {
        match key.trim() {
            "t" => seconds = Some(value.trim()),
            "v1" => given.extend(hex::decode(value.trim()).ok()),
            _ => {}
        }
    }
    let Some(seconds) = seconds.filter(|_| !given.is_empty()) else {
        return Err(Refusal::Malformed(header.to_owned()));
    };
    fresh(seconds, header, now)?;
    let digest = |secret: &Secret| hmac(secret.expose().as_bytes(), &[seconds.as_bytes(), b".", body]);
    accept(active.iter().map(digest), &given)
}

/// A shared secret as it is. Digests are compared, so that its length does not show.
pub(super) fn shared_token(value: &str, active: &[Secret]) -> Result<(), Refusal> {
    let given = Sha256::digest(value.as_bytes()).to_vec();
    let digest = |secret: &Secret| <[u8; 32]>::from(Sha256::digest(secret.expose().as_bytes()));
    accept(active.iter().map(digest), &[given])
}

/// Whether any expected digest is among the given ones. Compares all, whatever fits first.
fn accept(expected: impl Iterator<Item = [u8; 32]>, given: &[Vec<u8>]) -> Result<(), Refusal> {
    let mut fits = Choice::from(0);
    for expected in expected {
        for given in given {
            fits |= expected.ct_eq(given.as_slice());
        }
    }
    if bool::from(fits) {
        Ok(())
    } else {
        Err(Refusal::Mismatch)
    }
}
