#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};

use super::*;
use crate::{
    sample::issue_comment,
    trigger::{Decision, Rule},
};

fn request(payload: &Value) -> Request {
    match Rule::new("openhands", "app").decide(&serde_json::from_value(payload.clone()).unwrap()) {
        Decision::Start(request) => request,
        Decision::Nothing(why) => panic!("{why}"),
    }
}

fn listed(id: u64, login: &str, body: &str) -> Listed {
    serde_json::from_value(json!({
        "id": id, "user": { "login": login }, "body": body,
        "author_association": "MEMBER", "created_at": format!("2026-01-01T00:00:{id:02}Z"),
    }))
    .unwrap()
}

fn ids(comments: &[Earlier]) -> Vec<u64> {
    comments
        .iter()
        .map(|comment| comment.created_at[17..19].parse().unwrap())
        .collect()
}

#[test]
fn the_newest_before_the_mention_are_taken_oldest_first() {
    let all = (1..59).map(|id| listed(id, "ann", "text")).collect();
    let picked = pick(all, &request(&issue_comment("@openhands")));
    assert_eq!(ids(&picked), (45..55).collect::<Vec<_>>());
}

#[test]
fn people_are_preferred_to_bots_and_empty_comments_are_left_out() {
    let mut all: Vec<Listed> = (20..35).map(|id| listed(id, "ci[bot]", "coverage")).collect();
    all.extend([
        listed(1, "ann", "first"),
        listed(2, "ben", "  "),
        listed(3, "cleo", "third"),
    ]);
    let picked = pick(all, &request(&issue_comment("@openhands")));
    assert_eq!(ids(&picked), [1, 3, 27, 28, 29, 30, 31, 32, 33, 34]);
}

#[test]
fn an_edit_sees_later_comments_but_not_itself() {
    let mut payload = issue_comment("@openhands");
    payload["action"] = json!("edited");
    payload["changes"] = json!({ "body": { "from": "" } });
    let all = vec![
        listed(54, "ann", "a"),
        listed(55, "octocat", "@openhands"),
        listed(56, "ben", "b"),
    ];
    assert_eq!(ids(&pick(all, &request(&payload))), [54, 56]);
}

#[test]
fn long_comments_are_cut_by_characters() {
    let picked = pick(
        vec![listed(1, "ann", &"é".repeat(501)), listed(2, "ben", &"é".repeat(500))],
        &request(&issue_comment("@openhands")),
    );
    assert_eq!(picked[0].body, format!("{}...", "é".repeat(500)));
    assert_eq!(picked[1].body, "é".repeat(500));
}

#[test]
fn those_who_left_are_ghosts() {
    let gone: Listed = serde_json::from_value(json!({ "id": 1, "user": null, "body": "bye" })).unwrap();
    assert_eq!(
        pick(vec![gone], &request(&issue_comment("@openhands")))[0].author,
        "ghost"
    );
}

#[test]
fn inputs_of_a_comment_and_of_a_label() {
    let context = |branch: Option<&str>| Context {
        branch: branch.map(str::to_owned),
        comments: Vec::new(),
    };
    let comment = request(&issue_comment("@openhands fix\nit"));
    assert_eq!(
        serde_json::to_value(PromptInputs::new(&comment, context(None))).unwrap(),
        json!({
            "trigger": "issue_comment", "repository": "acme/rocket", "number": 3, "installation": 7,
            "requested_by": { "id": 1, "login": "octocat" }, "message": "@openhands fix\nit",
            "title": "It leaks", "body": "Everywhere", "comment": 55, "comments": [],
        })
    );
    let mut payload = issue_comment("");
    payload["action"] = json!("labeled");
    payload["label"] = json!({ "name": "openhands" });
    let label = request(&payload);
    let inputs = serde_json::to_value(PromptInputs::new(&label, context(None))).unwrap();
    assert_eq!(inputs["message"], "Please fix issue number 3.");
    assert_eq!(
        (&inputs["trigger"], inputs.get("comment")),
        (&json!("issue_label"), None)
    );
}
