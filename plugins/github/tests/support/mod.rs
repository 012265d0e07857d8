//! What GitHub sends, and the app's settings: for the tests inside the crate and beside it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part"
)]

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jackfield_sdk::{bytes::Bytes, handler::Delivery};
use jackfield_testing::{Answer, Asked, TestHost};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z, when every test begins.
pub const NOW: i64 = 1_767_225_600;

pub static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// The key as PKCS#8, lines of 64 characters.
pub fn pkcs8_pem() -> String {
    pem("PRIVATE KEY", &pkcs8())
}

/// The key as PKCS#1: what PKCS#8 wraps.
pub fn pkcs1_pem() -> String {
    let der = pkcs8();
    assert_eq!(&der[22..24], [0x04, 0x82], "the octet string that holds the key");
    pem("RSA PRIVATE KEY", &der[26..])
}

fn pkcs8() -> Vec<u8> {
    let der: Pkcs8V1Der<'_> = KEY.as_der().unwrap();
    der.as_ref().to_vec()
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// A configuration that passes.
pub fn config() -> Value {
    json!({ "client_id": "Iv1.test", "private_key": pkcs8_pem(), "webhook_secrets": "hush-hush" })
}

/// An answer with a JSON body.
pub fn answer(status: u16, body: &Value) -> Answer {
    Answer::status(status).json(body)
}

/// What was asked since the last time, as `GET /path?query`.
pub fn asked(host: &TestHost) -> Vec<String> {
    host.script().take_asked().iter().map(Asked::call).collect()
}

/// A delivery as a handler gets it.
pub fn delivery(event: &str, payload: &Value) -> Delivery {
    Delivery {
        delivery_id: "d".to_owned(),
        headers: vec![("x-github-event".to_owned(), Bytes::copy_from_slice(event.as_bytes()))],
        body: payload.to_string().into(),
        ..Delivery::default()
    }
}

/// A comment by `octocat` on issue 3 of `acme/rocket`.
pub fn issue_comment(text: &str) -> Value {
    json!({
        "action": "created",
        "installation": { "id": 7 },
        "repository": { "name": "rocket", "full_name": "acme/rocket", "owner": { "login": "acme" } },
        "sender": { "login": "octocat", "id": 1, "type": "User" },
        "issue": { "number": 3, "title": "It leaks", "body": "Everywhere", "comments": 1 },
        "comment": { "id": 55, "body": text, "user": { "login": "octocat", "type": "User" } },
        "unknown": { "members": ["are", "normal"] }
    })
}
