#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};

use super::*;
use crate::sample::issue_comment;

fn decide(payload: &Value) -> Decision {
    Rule::new("openhands", "Iv1.test").decide(&serde_json::from_value(payload.clone()).unwrap())
}

#[track_caller]
fn starts(payload: &Value) -> Request {
    match decide(payload) {
        Decision::Start(request) => request,
        Decision::Nothing(why) => panic!("{why}"),
    }
}

#[track_caller]
fn ignores(payload: &Value, reason: &str) {
    match decide(payload) {
        Decision::Start(request) => panic!("starts {request:?}"),
        Decision::Nothing(why) => assert!(why.contains(reason), "{why}"),
    }
}

fn with(mut payload: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    payload.pointer_mut(parent).unwrap()[name] = value;
    payload
}

fn labelled(label: &str) -> Value {
    let payload = with(issue_comment(""), "/action", json!("labeled"));
    let mut payload = with(payload, "/label", json!({ "name": label }));
    payload.as_object_mut().unwrap().remove("comment");
    payload
}

fn review_comment(text: &str) -> Value {
    let mut payload = issue_comment(text);
    payload.as_object_mut().unwrap().remove("issue");
    payload["pull_request"] = json!({ "number": 9, "title": "Seal it", "body": null, "head": { "ref": "seal" } });
    payload["comment"]["path"] = json!("src/tank.rs");
    payload["comment"]["line"] = json!(12);
    payload
}

#[test]
fn the_label_on_an_issue_starts() {
    let request = starts(&labelled("openhands"));
    assert!(matches!(request.place, Place::Issue { comments: 1 }));
    assert_eq!(
        (request.full_name().as_str(), request.number, request.installation),
        ("acme/rocket", 3, 7)
    );
    assert_eq!(
        (request.asker.login.as_str(), request.title.as_str()),
        ("octocat", "It leaks")
    );
}

#[test]
fn another_label_does_not() {
    ignores(&labelled("OpenHands"), "label");
    ignores(&labelled("openhands-exp"), "label");
    ignores(&labelled("bug"), "label");
}

#[test]
fn a_label_on_a_pull_request_does_not() {
    let mut payload = labelled("openhands");
    payload["pull_request"] = payload.as_object_mut().unwrap().remove("issue").unwrap();
    payload["pull_request"]["head"] = json!({ "ref": "b" });
    ignores(&payload, "only a label on an issue");
    ignores(
        &with(labelled("openhands"), "/issue/pull_request", json!({ "url": "…" })),
        "pull request",
    );
}

#[test]
fn a_mention_on_an_issue_starts() {
    let request = starts(&issue_comment("@OpenHands fix it"));
    assert!(matches!(request.place, Place::IssueComment { ref said, .. } if said.id == 55 && !said.edited));
}

#[test]
fn a_mention_on_a_pull_request_starts() {
    let request = starts(&with(
        issue_comment("@openhands"),
        "/issue/pull_request",
        json!({ "url": "…" }),
    ));
    assert!(matches!(request.place, Place::PullComment { .. }));
}

#[test]
fn a_mention_on_a_line_starts() {
    let request = starts(&review_comment("@openhands why?"));
    let Place::ReviewComment {
        thread,
        branch,
        file,
        line,
        ..
    } = request.place
    else {
        panic!("a review comment")
    };
    assert_eq!(
        (thread, branch.as_str(), file.as_str(), line),
        (55, "seal", "src/tank.rs", Some(12))
    );
    assert_eq!((request.number, request.body.as_str()), (9, ""));

    let reply = with(review_comment("@openhands why?"), "/comment/in_reply_to_id", json!(50));
    let outdated = with(
        with(reply, "/comment/line", json!(null)),
        "/comment/original_line",
        json!(11),
    );
    assert!(matches!(
        starts(&outdated).place,
        Place::ReviewComment {
            thread: 50,
            line: Some(11),
            ..
        }
    ));
    let whole_file = with(review_comment("@openhands"), "/comment/line", json!(null));
    assert!(matches!(
        starts(&whole_file).place,
        Place::ReviewComment { line: None, .. }
    ));
}

#[test]
fn text_without_a_mention_does_not_start() {
    ignores(&issue_comment("thanks"), "does not mention");
    ignores(&issue_comment("> @openhands fix it"), "does not mention");
    ignores(&review_comment("`@openhands`"), "does not mention");
}

#[test]
fn bots_and_the_app_itself_never_ask() {
    let text = "@openhands go on";
    ignores(&with(issue_comment(text), "/sender/type", json!("Bot")), "bot");
    ignores(
        &with(issue_comment(text), "/sender/login", json!("dependabot[bot]")),
        "bot",
    );
    ignores(&with(issue_comment(text), "/comment/user/type", json!("Bot")), "bot");
    ignores(&with(labelled("openhands"), "/sender/type", json!("Bot")), "bot");
    let via = |via: Value| with(issue_comment(text), "/comment/performed_via_github_app", via);
    ignores(&via(json!({ "id": 99, "client_id": "Iv1.test" })), "through this app");
    starts(&via(json!({ "id": 99, "client_id": "Iv1.other" })));
    starts(&via(json!(null)));
    let by_id = Rule::new("openhands", "99");
    let payload = via(json!({ "id": 99 }));
    assert!(matches!(
        by_id.decide(&serde_json::from_value(payload).unwrap()),
        Decision::Nothing(_)
    ));
}

#[test]
fn an_edit_starts_when_it_adds_the_mention() {
    let edited = |from: &str, to: &str| {
        let payload = with(issue_comment(to), "/action", json!("edited"));
        with(payload, "/changes", json!({ "body": { "from": from } }))
    };
    assert!(starts(&edited("fix it", "@openhands fix it")).said().unwrap().edited);
    starts(&edited("> @openhands fix it", "@openhands fix it"));
    ignores(&edited("@openhands fix it", "@openhands please fix it"), "already");
    ignores(&edited("@openhands fix it", "never mind"), "does not mention");
    ignores(&with(edited("", "@openhands"), "/changes", json!({})), "as it was");
}

#[test]
fn other_actions_and_shapes_do_not_start() {
    ignores(
        &with(issue_comment("@openhands"), "/action", json!("deleted")),
        "`deleted`",
    );
    ignores(&with(labelled("openhands"), "/action", json!("opened")), "`opened`");
    ignores(
        &with(labelled("openhands"), "/action", json!("unlabeled")),
        "`unlabeled`",
    );
    ignores(&with(labelled("openhands"), "/action", json!("created")), "no comment");
    for missing in ["repository", "sender", "issue"] {
        let mut payload = issue_comment("@openhands");
        payload.as_object_mut().unwrap().remove(missing);
        ignores(&payload, if missing == "issue" { "neither" } else { missing });
    }
}
