use jackfield_sdk::{config::Config as _, error::Fate};
use serde_json::json;

use super::*;

fn config(url: &str, more: serde_json::Value) -> EmailConfig {
    let mut value = json!({ "smtp_url": url, "from": "Acme <no-reply@acme.example>" });
    for (name, more) in more.as_object().unwrap() {
        value[name] = more.clone();
    }
    EmailConfig::from_value(value).unwrap()
}

fn refusal(url: &str, more: serde_json::Value) -> String {
    let error = Email::validate(&config(url, more)).unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
    error.to_string()
}

#[test]
fn the_address_of_the_relay_is_read_with_its_defaults() {
    let read = |url: &str| Address::of(&config(url, json!({}))).unwrap();
    let plain = read("smtp://relay.example");
    assert_eq!(
        (plain.host.as_str(), plain.port, plain.implicit),
        ("relay.example", 587, false)
    );
    assert!(plain.user.is_none());
    let full = read("smtps://app%40acme.example:p%2Fss%3Aword@relay.example");
    assert_eq!((full.port, full.implicit), (465, true));
    let (user, password) = full.user.unwrap();
    assert_eq!((user.as_str(), password.expose()), ("app@acme.example", "p/ss:word"));
    let local = read("smtp://[::1]:2525/");
    assert_eq!((local.host.as_str(), local.port), ("::1", 2525));
}

#[test]
fn a_wrong_address_is_refused_and_never_repeated() {
    for (url, what) in [
        ("canary", "is no address"),
        ("https://canary.example", "neither smtp:// nor smtps://"),
        ("smtp://", "names no host"),
        ("smtp://relay.example?tls=canary", "something behind the port"),
        ("smtp://canary@relay.example", "a user without a password"),
        ("smtp://canary:%ff@relay.example", "not UTF-8"),
    ] {
        let said = refusal(url, json!({}));
        assert!(
            said.contains(what) && said.contains("JACKFIELD_SMTP_URL"),
            "{url}: {said}"
        );
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_password_does_not_travel_in_the_open() {
    let never = json!({ "starttls": "never" });
    let offered = json!({ "starttls": "if-offered" });
    for more in [never.clone(), offered] {
        let said = refusal("smtp://app:canary@relay.example", more);
        assert!(said.contains("read on the way") && !said.contains("canary"), "{said}");
    }
    for url in [
        "smtp://relay.example",
        "smtps://app:password@relay.example",
        "smtp://app:password@127.0.0.1",
    ] {
        Email::validate(&config(url, never.clone())).unwrap();
    }
}

#[test]
fn mailboxes_and_times_are_checked() {
    let url = "smtp://relay.example";
    assert!(refusal(url, json!({ "from": "Acme" })).contains("from is no mailbox"));
    assert!(refusal(url, json!({ "reply_to": "a@b.example, c@d.example" })).contains("reply_to is no mailbox"));
    assert!(refusal(url, json!({ "timeout": 0.5 })).contains("write 1 to 240 seconds"));
    assert!(refusal(url, json!({ "timeout": 900 })).contains("write 1 to 240 seconds"));
}

#[test]
fn the_message_id_is_the_steps_key() {
    assert_eq!(
        message_id("01a210ef-f299-74f8-9bb6-53e7a58c5056~1/smtp", "acme.example"),
        "<01a210ef-f299-74f8-9bb6-53e7a58c5056.1.smtp@acme.example>"
    );
}
