#![allow(clippy::unwrap_used, clippy::expect_used)]

use http::{HeaderMap, HeaderName, HeaderValue};
use jackfield_sdk::{
    config::{Secret, SigningSecret, SigningSecrets},
    webhook::{Scheme, Verify},
};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};

use super::{Refusal, check, sign};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_760_000_000).unwrap()
}

fn schemes() -> Vec<(&'static str, Scheme)> {
    vec![
        (
            "hex",
            Verify::hmac_sha256("X-Hub-Signature-256").prefix("sha256=").scheme,
        ),
        ("base64", Verify::hmac_sha256("X-Signature").base64().scheme),
        ("standard", Verify::standard_webhooks().scheme),
        ("slack", Verify::slack_v0().scheme),
        ("stripe", Verify::stripe().scheme),
        ("token", Verify::shared_token("X-Gitlab-Token").scheme),
    ]
}

fn headers(pairs: Vec<(HeaderName, HeaderValue)>) -> HeaderMap {
    pairs.into_iter().collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[test]
fn githubs_documented_vector() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    let scheme = Verify::hmac_sha256("X-Hub-Signature-256").prefix("sha256=").scheme;
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let given = headers(vec![(
        "x-hub-signature-256".parse().unwrap(),
        signature.parse().unwrap(),
    )]);
    let secrets = [secret("It's a Secret to Everybody")];
    assert_eq!(check(&scheme, &given, b"Hello, World!", &secrets, now()), Ok(()));
    assert_eq!(
        check(&scheme, &given, b"Hello, World?", &secrets, now()),
        Err(Refusal::Mismatch)
    );
}

#[test]
fn slacks_documented_vector() {
    // https://api.slack.com/authentication/verifying-requests-from-slack
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
                trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let given = headers(vec![
        (
            "x-slack-request-timestamp".parse().unwrap(),
            "1531420618".parse().unwrap(),
        ),
        (
            "x-slack-signature".parse().unwrap(),
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
                .parse()
                .unwrap(),
        ),
    ]);
    let at = OffsetDateTime::from_unix_timestamp(1_531_420_700).unwrap();
    let secrets = [secret("8f742231b10e8888abcd99yyyzzz85a5")];
    assert_eq!(check(&Scheme::SlackV0, &given, body.as_bytes(), &secrets, at), Ok(()));
}

#[test]
fn the_standard_webhooks_vector() {
    // https://github.com/standard-webhooks/standard-webhooks, test vectors of its libraries
    let secrets = [secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let body = br#"{"test": 2432232314}"#;
    let signed = sign(
        &Scheme::StandardWebhooks,
        &secrets[0],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        body,
        OffsetDateTime::from_unix_timestamp(1_614_265_330).unwrap(),
    );
    assert_eq!(signed[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn matrix() {
    for (name, scheme) in schemes() {
        let body = b"{\"a\":1}";
        let (new, old) = (secret("whsec_bmV3LXNlY3JldA=="), secret("whsec_b2xkLXNlY3JldA=="));
        let signed = |with: &Secret, at| headers(sign(&scheme, with, "id-1", body, at));
        let both = SigningSecrets(vec![
            SigningSecret {
                value: old.clone(),
                not_after: Some(now() + Duration::hours(1)),
            },
            SigningSecret {
                value: new.clone(),
                not_after: None,
            },
        ]);
        let active = |at| both.active(at).cloned().collect::<Vec<_>>();
        let verify = |headers: &HeaderMap, body: &[u8], at| check(&scheme, headers, body, &active(at), at);

        assert_eq!(verify(&signed(&new, now()), body, now()), Ok(()), "{name}: valid");
        assert_eq!(verify(&signed(&old, now()), body, now()), Ok(()), "{name}: old secret");
        let later = now() + Duration::hours(2);
        assert_eq!(
            verify(&signed(&old, later), body, later),
            Err(Refusal::Mismatch),
            "{name}: expired secret"
        );
        assert_eq!(
            check(&scheme, &signed(&new, now()), body, &[], now()),
            Err(Refusal::NoSecret),
            "{name}"
        );
        let missing = verify(&HeaderMap::new(), body, now());
        assert!(
            matches!(missing, Err(Refusal::MissingHeader(_))),
            "{name}: missing header"
        );

        let mut twice = signed(&new, now());
        let (header, value) = sign(&scheme, &new, "id-1", body, now()).pop().unwrap();
        twice.append(header, value);
        assert!(
            matches!(verify(&twice, body, now()), Err(Refusal::DuplicateHeader(_))),
            "{name}: twice"
        );

        if name != "token" {
            assert_eq!(
                verify(&signed(&new, now()), b"{\"a\":2}", now()),
                Err(Refusal::Mismatch),
                "{name}: flipped"
            );
        }
        if matches!(name, "standard" | "slack" | "stripe") {
            for off in [Duration::seconds(301), Duration::seconds(-301)] {
                assert_eq!(
                    verify(&signed(&new, now() + off), body, now()),
                    Err(Refusal::Stale),
                    "{name}: stale"
                );
            }
            assert_eq!(
                verify(&signed(&new, now() - Duration::seconds(300)), body, now()),
                Ok(()),
                "{name}: edge"
            );
        }
    }
}

#[test]
fn the_present_header_decides_and_nothing_is_tried_after_it() {
    let scheme = Verify::by_header([Verify::standard_webhooks(), Verify::shared_token("X-Gitlab-Token")]).scheme;
    let secrets = [secret("whsec_c2VjcmV0")];
    let token = headers(sign(
        &Verify::shared_token("X-Gitlab-Token").scheme,
        &secrets[0],
        "",
        b"x",
        now(),
    ));
    assert_eq!(check(&scheme, &token, b"x", &secrets, now()), Ok(()));
    let mut both = token;
    both.insert("webhook-signature", "v1,AAAA".parse().unwrap());
    both.insert("webhook-id", "1".parse().unwrap());
    both.insert("webhook-timestamp", now().unix_timestamp().into());
    assert_eq!(check(&scheme, &both, b"x", &secrets, now()), Err(Refusal::Mismatch));
}

proptest! {
    #[test]
    fn what_is_signed_is_authentic(body in prop::collection::vec(any::<u8>(), 0..400), key in "[!-~]{1,60}") {
        for (name, scheme) in schemes() {
            let secrets = [secret(&key)];
            let signed = headers(sign(&scheme, &secrets[0], "id", &body, now()));
            prop_assert_eq!(check(&scheme, &signed, &body, &secrets, now()), Ok(()), "{}", name);
        }
    }

    #[test]
    fn random_headers_never_verify_and_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), value in prop::collection::vec(any::<u8>(), 0..120)) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        for (_, scheme) in schemes() {
            let mut given = HeaderMap::new();
            for name in ["x-hub-signature-256", "x-signature", "webhook-id", "webhook-timestamp", "webhook-signature",
                "x-slack-signature", "x-slack-request-timestamp", "stripe-signature", "x-gitlab-token"] {
                given.insert(name, value.clone());
            }
            prop_assert!(check(&scheme, &given, &body, &[secret("a long secret that nobody guesses")], now()).is_err());
        }
    }
}
