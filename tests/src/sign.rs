//! A sender's side of HMAC-SHA256, independent of the host's.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `sha256=…` of a body.
pub fn hub_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
