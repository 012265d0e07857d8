#![allow(clippy::unwrap_used, clippy::expect_used)]

use jackfield_sdk::{error::Fate, prelude::*};
use serde_json::json;

use super::*;
use crate::sample::{delivery, issue_comment};

fn read(event: &str, payload: &serde_json::Value) -> Event {
    Event::from_delivery(&delivery(event, payload)).unwrap()
}

#[test]
fn ping_and_hooks_of_others_name_no_installation() {
    for payload in [
        json!({}),
        json!({ "zen": "Design for failure.", "hook_id": 1 }),
        json!({ "installation": null }),
        json!({ "installation": { "id": 0 } }),
        json!({ "installation": "odd" }),
    ] {
        assert!(
            matches!(read("ping", &payload), Event::NoInstallation { kind } if kind == "ping"),
            "{payload}"
        );
    }
}

#[test]
fn kinds_that_never_start_anything_are_not_read_further() {
    let push = json!({ "installation": { "id": 7 }, "repository": "of another shape", "issue": 3 });
    assert!(matches!(read("push", &push), Event::Other { kind } if kind == "push"));
    let unknown = json!({ "action": "twirled", "installation": { "id": 7 } });
    assert!(matches!(read("brand_new", &unknown), Event::Other { kind } if kind == "brand_new.twirled"));
    let odd = json!({ "action": 5, "installation": { "id": 7 } });
    assert!(matches!(read("check_run", &odd), Event::Other { kind } if kind == "check_run"));
}

#[test]
fn candidates_are_read() {
    let Event::Candidate(candidate) = read("issue_comment", &issue_comment("hi")) else {
        panic!("a candidate")
    };
    assert_eq!(candidate.comment.unwrap().body, "hi");
    let Event::Candidate(candidate) = read(
        "issues",
        &json!({ "action": "opened", "installation": { "id": 7 }, "issue": { "number": 1, "body": null } }),
    ) else {
        panic!("a candidate")
    };
    assert_eq!(candidate.issue.unwrap().body, None);
}

#[test]
fn without_its_header_a_delivery_is_known_by_its_shape() {
    let mut bare = delivery("", &issue_comment("hi"));
    bare.headers.clear();
    assert!(matches!(Event::from_delivery(&bare).unwrap(), Event::Candidate(_)));
    bare.body = json!({ "installation": { "id": 7 } }).to_string().into();
    assert!(matches!(Event::from_delivery(&bare).unwrap(), Event::Other { kind } if kind == "unknown"));
}

#[test]
fn what_does_not_parse_is_permanent_and_says_what_to_do() {
    let mut form = delivery("issues", &json!({}));
    form.body = "payload=%7B%7D".into();
    let error = Event::from_delivery(&form).unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
    assert!(error.to_string().contains("application/json"), "{error}");

    let broken = json!({ "action": "opened", "installation": { "id": 7 }, "issue": { "number": "three" } });
    let error = Event::from_delivery(&delivery("issues", &broken)).unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
    assert!(error.to_string().contains("`issues.opened`"), "{error}");
}
