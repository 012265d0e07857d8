//! The verifiers against the providers' own libraries, in both directions: what the library signs passes here, and what we
//! sign passes there; and every way in which a delivery can be wrong is refused for the right reason.
//!
//! | provider | signer and verifier of its own |
//! |---|---|
//! | GitHub | `@octokit/webhooks` |
//! | Standard Webhooks, and with it GitLab from 19 on | `standardwebhooks` from npm, and from PyPI |
//! | Stripe | `stripe` |
//! | Slack | `slack_sdk` from PyPI; npm's `@slack/bolt` has a verifier inside its receivers and no signer |
//! | Linear | `@linear/sdk` verifies; it has no signer, so each vector must pass its verifier before it is used |
//! | Jira | has no library that signs; its `X-Hub-Signature` is the scheme that GitHub's library signs, under another name |
//! | GitLab before 19 | nothing is signed: the shared token is compared |

use http::{HeaderMap, HeaderName, HeaderValue};
use jackfield_inbox::verify::{Refusal, check, sign};
use jackfield_sdk::{
    config::Secret,
    webhook::{Scheme, Verify},
};
use jackfield_tests::{host::binary, provider};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

const BODY: &str = r#"{"action":"created","text":"Grüße, 日本 and a \" quote"}"#;
const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
/// A form, as Slack's commands are posted: signed over its raw text.
const FORM: &str = "token=x&team_id=T1&command=%2Fopenhands&text=fix+it%21&response_url=https%3A%2F%2Fhooks";

/// One sender.
struct Sender {
    /// Its name in the scripts.
    name: &'static str,
    /// How we verify it.
    verify: Verify,
    /// The header that carries the signature.
    signature: &'static str,
    /// Whether a time is signed.
    timed: bool,
    /// Secrets: the current one, the one before, and one that nobody configured.
    secrets: [&'static str; 3],
}

const PLAIN: [&str; 3] = [
    "it is a secret to everybody",
    "what it was before the roll",
    "what nobody configured",
];
const WHSEC: [&str; 3] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_plJ3nmyCDGBKInavdOK15jsl",
];

fn github() -> Sender {
    Sender {
        name: "github",
        verify: Verify::hmac_sha256("X-Hub-Signature-256").prefix("sha256="),
        signature: "x-hub-signature-256",
        timed: false,
        secrets: PLAIN,
    }
}

fn standard() -> Sender {
    Sender {
        name: "standard",
        verify: Verify::standard_webhooks(),
        signature: "webhook-signature",
        timed: true,
        secrets: WHSEC,
    }
}

fn stripe() -> Sender {
    Sender {
        name: "stripe",
        verify: Verify::stripe(),
        signature: "stripe-signature",
        timed: true,
        secrets: ["whsec_now", "whsec_before", "whsec_unknown"],
    }
}

fn linear() -> Sender {
    Sender {
        name: "linear",
        verify: Verify::hmac_sha256("Linear-Signature"),
        signature: "linear-signature",
        timed: false,
        secrets: PLAIN,
    }
}

fn slack() -> Sender {
    Sender {
        name: "slack",
        verify: Verify::slack_v0(),
        signature: "x-slack-signature",
        timed: true,
        secrets: PLAIN,
    }
}

/// GitLab's receivers take both of its schemes, and the newer one's header decides.
fn gitlab() -> Verify {
    Verify::by_header([Verify::standard_webhooks(), Verify::shared_token("X-Gitlab-Token")])
}

/// What the library is asked to sign for one sender: by the current secret, the one before, an
/// unknown one; at other times; a form; a big body.
fn questions(sender: &Sender, now: OffsetDateTime) -> Value {
    let at = now.unix_timestamp();
    let one = |secret: &str, seconds: i64, body: &str| json!({ "provider": sender.name, "secret": secret, "id": ID, "seconds": seconds, "body": body });
    let [current, before, unknown] = sender.secrets;
    json!([
        one(current, at, BODY),
        one(before, at, BODY),
        one(unknown, at, BODY),
        one(current, at - 301, BODY),
        one(current, at + 301, BODY),
        one(current, at - 299, BODY),
        one(current, at, FORM),
        one(current, at, &big()),
    ])
}

/// More than is verified on a request worker.
fn big() -> String {
    "0123456789abcdef".repeat(20_000)
}

fn headers(signed: &Value) -> HeaderMap {
    signed
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::try_from(name.as_str()).unwrap(),
                HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
            )
        })
        .collect()
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(*text)).collect()
}

/// The whole matrix of one sender; `answers` are the library's, to [`questions`].
fn matrix(sender: &Sender, scheme: &Scheme, answers: &[Value], now: OffsetDateTime) {
    let name = sender.name;
    let [current, before, _] = sender.secrets;
    let (both, only) = (secrets(&[current, before]), secrets(&[current]));
    let judge =
        |headers: &HeaderMap, body: &str, active: &[Secret]| check(scheme, headers, body.as_bytes(), active, now);
    let [valid, old, unknown, stale, ahead, late, form, large] = answers else {
        panic!("{name}: {answers:?}");
    };
    let good = headers(valid);
    assert_eq!(judge(&good, BODY, &only), Ok(()), "{name}: valid");
    assert_eq!(
        judge(&headers(old), BODY, &both),
        Ok(()),
        "{name}: the secret before, while it is active"
    );
    assert_eq!(
        judge(&headers(old), BODY, &only),
        Err(Refusal::Mismatch),
        "{name}: the secret before, expired"
    );
    assert_eq!(
        judge(&headers(unknown), BODY, &both),
        Err(Refusal::Mismatch),
        "{name}: an unknown secret"
    );
    assert_eq!(
        judge(&good, BODY, &[]),
        Err(Refusal::NoSecret),
        "{name}: no secret is our fault"
    );
    assert_eq!(judge(&headers(form), FORM, &only), Ok(()), "{name}: a form");
    assert_eq!(judge(&headers(large), &big(), &only), Ok(()), "{name}: a big body");
    for at in 0..BODY.len() {
        let mut flipped = BODY.as_bytes().to_vec();
        flipped[at] ^= 1;
        assert_eq!(
            check(scheme, &good, &flipped, &both, now),
            Err(Refusal::Mismatch),
            "{name}: byte {at} of the body flipped"
        );
    }
    for digit in 1..=8 {
        let mut flipped = good.clone();
        let mut bytes = good[sender.signature].as_bytes().to_vec();
        let at = bytes.len() - 2 * digit;
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        flipped.insert(sender.signature, HeaderValue::from_bytes(&bytes).unwrap());
        let verdict = judge(&flipped, BODY, &both);
        assert!(
            matches!(verdict, Err(Refusal::Mismatch | Refusal::Malformed(_))),
            "{name}: a digit of the signature changed: {verdict:?}"
        );
    }
    let out_of_time = if sender.timed { Err(Refusal::Stale) } else { Ok(()) };
    assert_eq!(judge(&headers(stale), BODY, &only), out_of_time, "{name}: 301 s ago");
    assert_eq!(judge(&headers(ahead), BODY, &only), out_of_time, "{name}: 301 s ahead");
    assert_eq!(judge(&headers(late), BODY, &only), Ok(()), "{name}: 299 s ago");
    for header in good.keys() {
        let mut without = good.clone();
        without.remove(header);
        let missing = Err(Refusal::MissingHeader(header.as_str().to_owned()));
        assert_eq!(judge(&without, BODY, &only), missing, "{name}: without {header}");
        let mut twice = good.clone();
        twice.append(header.clone(), good[header].clone());
        let duplicate = Err(Refusal::DuplicateHeader(header.as_str().to_owned()));
        assert_eq!(judge(&twice, BODY, &only), duplicate, "{name}: {header} twice");
        let mut empty = good.clone();
        empty.insert(header.clone(), HeaderValue::from_static(""));
        assert!(judge(&empty, BODY, &only).is_err(), "{name}: an empty {header}");
    }
}

/// What we sign, as the verifying scripts read it.
fn ours(sender: &Sender, body: &str, now: OffsetDateTime) -> Value {
    let secret = Secret::new(sender.secrets[0]);
    let signed: serde_json::Map<String, Value> = sign(&sender.verify.scheme, &secret, ID, body.as_bytes(), now)
        .into_iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().into()))
        .collect();
    json!({ "provider": sender.name, "secret": sender.secrets[0], "headers": signed, "body": body })
}

#[test]
fn what_npm_libraries_sign() {
    let Some(_) = binary() else { return };
    let now = OffsetDateTime::now_utc();
    let senders = [github(), standard(), stripe(), linear()];
    let asked: Vec<Value> = senders
        .iter()
        .flat_map(|sender| questions(sender, now).as_array().unwrap().clone())
        .collect();
    let answers = provider::ask_node("sign.mjs", &asked.into());
    for (sender, answers) in senders.iter().zip(answers.chunks(8)) {
        matrix(sender, &sender.verify.scheme, answers, now);
    }
    // GitLab from 19 on: the same library, in the receiver that still takes tokens; a token beside it changes nothing.
    matrix_of_gitlab(&answers[8..16], now);
    // Jira: the same signature under its own header.
    let jira = Sender {
        name: "jira",
        verify: Verify::hmac_sha256("X-Hub-Signature").prefix("sha256="),
        signature: "x-hub-signature",
        ..github()
    };
    let renamed: Vec<Value> = answers[..8]
        .iter()
        .map(|signed| json!({ "x-hub-signature": signed["x-hub-signature-256"] }))
        .collect();
    matrix(&jira, &jira.verify.scheme, &renamed, now);
}

fn matrix_of_gitlab(answers: &[Value], now: OffsetDateTime) {
    let scheme = gitlab().scheme;
    let active = secrets(&[WHSEC[0]]);
    let judge = |headers: &HeaderMap| check(&scheme, headers, BODY.as_bytes(), &active, now);
    let good = headers(&answers[0]);
    assert_eq!(judge(&good), Ok(()));
    let mut wrong = headers(&answers[2]);
    wrong.insert("x-gitlab-token", HeaderValue::from_static(WHSEC[0]));
    assert_eq!(
        judge(&wrong),
        Err(Refusal::Mismatch),
        "no way down to the weaker scheme"
    );
    let token = |texts: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append("x-gitlab-token", HeaderValue::from_static(text));
        }
        headers
    };
    assert_eq!(judge(&token(&[WHSEC[0]])), Ok(()), "before 19: the token");
    assert_eq!(
        judge(&token(&[WHSEC[1]])),
        Err(Refusal::Mismatch),
        "the token before, expired"
    );
    let rolling = secrets(&[WHSEC[0], WHSEC[1]]);
    assert_eq!(
        check(&scheme, &token(&[WHSEC[1]]), BODY.as_bytes(), &rolling, now),
        Ok(())
    );
    assert_eq!(
        judge(&token(&[&WHSEC[0][1..]])),
        Err(Refusal::Mismatch),
        "a part of the token"
    );
    let twice = Err(Refusal::DuplicateHeader("x-gitlab-token".to_owned()));
    assert_eq!(judge(&token(&[WHSEC[0], WHSEC[0]])), twice);
    assert!(matches!(judge(&HeaderMap::new()), Err(Refusal::MissingHeader(_))));
}

#[test]
fn what_python_libraries_sign() {
    let Some(_) = binary() else { return };
    let now = OffsetDateTime::now_utc();
    let senders = [slack(), standard()];
    let asked: Vec<Value> = senders
        .iter()
        .flat_map(|sender| questions(sender, now).as_array().unwrap().clone())
        .collect();
    let Some(answers) = provider::ask_python("sign.py", &asked.into()) else {
        return;
    };
    for (sender, answers) in senders.iter().zip(answers.chunks(8)) {
        matrix(sender, &sender.verify.scheme, answers, now);
    }
}

#[test]
fn what_we_sign_passes_their_verifiers() {
    let Some(_) = binary() else { return };
    let now = OffsetDateTime::now_utc();
    let mut npm: Vec<Value> = [github(), standard(), stripe()]
        .iter()
        .map(|sender| ours(sender, BODY, now))
        .collect();
    // Linear's verifier wants the time in the body.
    let body = json!({ "action": "create", "webhookTimestamp": now.unix_timestamp() * 1000 }).to_string();
    npm.push(ours(&linear(), &body, now));
    assert_eq!(provider::ask_node("verify.mjs", &npm.into()), [true, true, true, true]);
    let mut pypi = vec![
        ours(&slack(), BODY, now),
        ours(&slack(), FORM, now),
        ours(&standard(), BODY, now),
    ];
    // And a verifier that says yes to everything would prove nothing.
    pypi.push(ours(&slack(), BODY, now - Duration::seconds(400)));
    if let Some(verdicts) = provider::ask_python("verify.py", &pypi.into()) {
        assert_eq!(verdicts, [true, true, true, false]);
    }
}

/// Stripe sends several `v1` while a secret rolls, and `v0` in its test mode; Standard Webhooks sends a list.
#[test]
fn several_signatures_in_one_header() {
    let Some(_) = binary() else { return };
    let now = OffsetDateTime::now_utc();
    let answers = |sender: &Sender| provider::ask_node("sign.mjs", &questions(sender, now));
    let signature = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();

    let sender = stripe();
    let signed = answers(&sender);
    let v1 = |at: usize| {
        let text = signature(&signed[at], "stripe-signature");
        text.split(',').find(|part| part.starts_with("v1=")).unwrap().to_owned()
    };
    let judge = |text: &str| {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("stripe-signature"),
            HeaderValue::from_str(text).unwrap(),
        )]);
        check(
            &sender.verify.scheme,
            &headers,
            BODY.as_bytes(),
            &secrets(&[sender.secrets[0]]),
            now,
        )
    };
    let seconds = now.unix_timestamp();
    assert_eq!(
        judge(&format!("t={seconds},{},{}", v1(2), v1(0))),
        Ok(()),
        "the second one fits"
    );
    assert_eq!(
        judge(&format!("t={seconds},{},{}", v1(1), v1(2))),
        Err(Refusal::Mismatch)
    );
    let downgraded = format!("t={seconds},{}", v1(0).replace("v1=", "v0="));
    assert!(
        judge(&downgraded).is_err(),
        "an older version of the scheme counts for nothing"
    );

    let sender = standard();
    let signed = answers(&sender);
    let mut headers = headers(&signed[0]);
    let both = format!(
        "{} {}",
        signature(&signed[2], "webhook-signature"),
        signature(&signed[0], "webhook-signature")
    );
    headers.insert("webhook-signature", HeaderValue::from_str(&both).unwrap());
    let active = secrets(&[sender.secrets[0]]);
    assert_eq!(
        check(&sender.verify.scheme, &headers, BODY.as_bytes(), &active, now),
        Ok(())
    );
}
