//! A sender's side of HMAC-SHA256, independent of the host's, and the payloads that are sent.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

/// `sha256=…` of a body.
pub fn hub_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A request as GitHub makes it.
pub fn hub(
    request: reqwest::RequestBuilder,
    secret: &str,
    id: &str,
    event: &str,
    body: Vec<u8>,
) -> reqwest::RequestBuilder {
    request
        .header("x-github-delivery", id)
        .header("x-github-event", event)
        .header("x-hub-signature-256", hub_signature(secret, &body))
        .header("content-type", "application/json")
        .body(body)
}

/// A comment on issue `number` of `o/r` that asks for something: the whole story runs. Its comment has the same number.
pub fn mention(number: usize) -> Vec<u8> {
    let person = json!({ "login": "octocat", "id": 1, "type": "User" });
    json!({
        "action": "created",
        "installation": { "id": 7 },
        "repository": { "full_name": "o/r", "name": "r", "owner": { "login": "o", "id": 2, "type": "Organization" } },
        "issue": { "number": number, "title": "A title", "body": "A body", "comments": 1, "user": person },
        "comment": { "id": number, "body": "@openhands please fix this", "user": person },
        "sender": person,
    })
    .to_string()
    .into_bytes()
}

/// A push: stored, and handled without a call to anybody.
pub fn push() -> Vec<u8> {
    br#"{"installation":{"id":7}}"#.to_vec()
}
