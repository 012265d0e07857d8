//! Random secrets, and what of them is kept.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{RngExt, distr::Alphanumeric};
use sha2::{Digest, Sha256};

/// Before every API key.
pub(crate) const KEY_PREFIX: &str = "sk-oh-";
/// Random characters of an API key.
const KEY_LENGTH: usize = 32;
/// Characters of an API key that its list shows.
const KEY_SHOWN: usize = KEY_PREFIX.len() + 4;
/// Without the characters that are taken for one another (spec/10 §17).
const USER_CODE: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// SHA-256 of a secret. The secrets are random and long, so that nothing slower is needed.
pub(crate) type Hash = [u8; 32];

pub(crate) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Characters of [`opaque`].
pub(crate) const OPAQUE: usize = 43;

/// 256 random bits in base64url.
pub(crate) fn opaque() -> String {
    let bits: [u8; 32] = rand::rng().random();
    BASE64_URL_SAFE_NO_PAD.encode(bits)
}

/// `sk-oh-` and 32 letters and digits.
pub(crate) fn api_key() -> String {
    format!("{KEY_PREFIX}{}", letters(KEY_LENGTH))
}

/// The part of an API key that may be shown.
pub(crate) fn shown(key: &str) -> String {
    key.chars().take(KEY_SHOWN).collect()
}

/// 128 letters and digits.
pub(crate) fn device_code() -> String {
    letters(128)
}

/// Eight characters that a person types.
pub(crate) fn user_code() -> String {
    let mut random = rand::rng();
    let mut one = || char::from(USER_CODE[random.random_range(0..USER_CODE.len())]);
    (0..8).map(|_| one()).collect()
}

fn letters(count: usize) -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(count)
        .map(char::from)
        .collect()
}
