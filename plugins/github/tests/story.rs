//! The story of a mention on the real engine, on every carrier: crashed after each step, retried, replayed, and always with
//! the one reaction that an uncrashed run leaves.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use jackfield_plugin_github::GitHub;
use jackfield_sdk::{health::HealthStatus, prelude::*};
use jackfield_testing::{
    Answer, Carrier, Contract, Delivery, ReplayMode, Script, State, TestHost, Work, assert_plugin_contract,
};
use serde_json::{Value, json};

use crate::support::{NOW, answer, asked, config, issue_comment};

const TOKEN: &str = "POST /app/installations/7/access_tokens";
const PERMISSION: &str = "GET /repos/acme/rocket/collaborators/octocat/permission";
const REACT: &str = "POST /repos/acme/rocket/issues/comments/55/reactions";
const REACTIONS: &str = "GET /repos/acme/rocket/issues/comments/55/reactions";
const COMMENTS: &str = "GET /repos/acme/rocket/issues/3/comments";
const STEPS: [&str; 3] = ["permission", "acknowledge", "context"];

/// What goes wrong with the first reaction, after GitHub has applied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Well,
    Lost,
    Kills,
}

/// A GitHub that remembers: one reaction per user and content, as the real one.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<Vec<u64>>>);

impl Hub {
    fn script(script: &Script, first: First) -> Self {
        let hub = Self::default();
        let token = json!({ "token": "ghs_secret", "expires_at": "2027-01-01T01:00:00Z" });
        script.on(TOKEN, answer(201, &token));
        script.on(PERMISSION, Answer::ok(&json!({ "permission": "write" })));
        let before = json!([{ "id": 5, "body": "before", "user": { "login": "ann" } }]);
        script.on(COMMENTS, Answer::ok(&before));
        script.on("GET /app", Answer::ok(&json!({ "slug": "agent" })));
        let (posted, listed) = (hub.clone(), hub.clone());
        script.on_with(REACT, move |asked| {
            assert_eq!(asked.json::<Value>(), json!({ "content": "eyes" }));
            let mut reactions = posted.0.lock().unwrap();
            let known = !reactions.is_empty();
            if !known {
                reactions.push(77);
            }
            let made = answer(if known { 200 } else { 201 }, &json!({ "id": 77, "content": "eyes" }));
            match first {
                First::Lost if !known => made.lost(),
                First::Kills if !known => made.then_kill(),
                _ => made,
            }
        });
        script.on_with(REACTIONS, move |_| {
            let ours = |id: &u64| json!({ "id": id, "user": { "login": "Agent[bot]", "type": "Bot" } });
            let theirs = json!({ "id": 70, "user": { "login": "octocat" } });
            let all: Vec<Value> = std::iter::once(theirs)
                .chain(listed.0.lock().unwrap().iter().map(ours))
                .collect();
            Answer::ok(&all)
        });
        hub
    }

    fn reactions(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

async fn host(carrier: Carrier) -> TestHost {
    TestHost::new()
        .plugin::<GitHub>(config())
        .carrier(carrier)
        .start()
        .await
}

async fn with_hub(carrier: Carrier) -> (TestHost, Hub) {
    let host = host(carrier).await;
    let hub = Hub::script(host.script(), First::Well);
    (host, hub)
}

fn event<'h>(host: &'h TestHost, event: &str, payload: &Value) -> Delivery<'h> {
    host.deliver("events").header("X-GitHub-Event", event).json(payload)
}

fn mention(host: &TestHost) -> Delivery<'_> {
    event(host, "issue_comment", &issue_comment("@openhands fix it"))
}

/// Delivers a mention and sees it through.
async fn play(host: &TestHost) -> Work {
    let id = mention(host).await.expect(200).id();
    host.finish().await;
    host.work(id).await
}

/// Calls that change something at GitHub.
fn posts(host: &TestHost) -> usize {
    host.asked_for(REACT).len()
}

/// What an uncrashed run comes to.
fn same_end(work: &Work, hub: &Hub, what: &str) {
    assert_eq!(work.done(), "conversation requested", "{what}");
    assert_eq!(work.step_names(), STEPS, "{what}");
    assert_eq!(work.step("acknowledge").result::<u64>(), 77, "{what}");
    let detail = work.outcome().unwrap().detail.clone().unwrap();
    assert_eq!(
        (&detail["message"], &detail["comments"][0]["body"]),
        (&json!("@openhands fix it"), &json!("before")),
        "{what}"
    );
    assert_eq!(hub.reactions(), [77], "{what}");
    assert!(!format!("{work}").contains("ghs_secret"), "a token was kept");
}

#[tokio::test]
async fn a_mention_requests_a_conversation() {
    for carrier in Carrier::ALL {
        let (host, hub) = with_hub(carrier).await;
        let work = play(&host).await;
        same_end(&work, &hub, "uncrashed");
        assert_eq!((work.event(), work.tenant()), ("issue_comment.created", "7"));
        assert_eq!(work.lane(), Some("acme/rocket#3"));
        let comments = "GET /repos/acme/rocket/issues/3/comments?per_page=100&page=1";
        assert_eq!(asked(&host), [TOKEN, PERMISSION, REACT, comments]);
    }
}

#[tokio::test]
async fn a_crash_after_any_step_repeats_none() {
    for carrier in Carrier::ALL {
        for step in STEPS {
            let (host, hub) = with_hub(carrier).await;
            host.crash_after(step);
            let work = play(&host).await;
            same_end(&work, &hub, step);
            assert_eq!((host.crashes(), work.attempts()), (1, 1), "{step}");
            for call in [PERMISSION, REACT, COMMENTS] {
                assert_eq!(host.asked_for(call).len(), 1, "{call} after {step}");
            }
            let looked = host.asked_for(REACTIONS).len();
            assert_eq!(
                looked,
                usize::from(step == "permission"),
                "what has a memo is not looked for"
            );
        }
        let (host, hub) = with_hub(carrier).await;
        host.crash_at_end();
        same_end(&play(&host).await, &hub, "at the end");
        assert_eq!((host.crashes(), posts(&host)), (1, 1));
    }
}

#[tokio::test]
async fn a_step_whose_memo_was_lost_has_its_effect_once() {
    for carrier in Carrier::ALL {
        for step in STEPS {
            let (host, hub) = with_hub(carrier).await;
            host.crash_losing(step);
            let work = play(&host).await;
            same_end(&work, &hub, step);
            assert_eq!((host.crashes(), posts(&host)), (1, 1), "{step}");
            let looked = host.asked_for(REACTIONS).len();
            assert_eq!(
                looked,
                usize::from(step != "context"),
                "it looks before it reacts ({step})"
            );
        }
    }
}

#[tokio::test]
async fn what_github_applied_before_it_answered_is_found() {
    for carrier in Carrier::ALL {
        for first in [First::Lost, First::Kills] {
            let host = host(carrier).await;
            let hub = Hub::script(host.script(), first);
            let work = play(&host).await;
            same_end(&work, &hub, &format!("{first:?}"));
            assert_eq!(host.crashes(), usize::from(first == First::Kills));
            assert_eq!((posts(&host), host.asked_for(REACTIONS).len()), (1, 1));
        }
    }
}

#[tokio::test]
async fn a_crash_at_every_step_of_one_run_still_ends_well() {
    for carrier in Carrier::ALL {
        let (host, hub) = with_hub(carrier).await;
        for step in STEPS {
            host.crash_losing(step);
            host.crash_after(step);
        }
        host.crash_at_end();
        let work = play(&host).await;
        same_end(&work, &hub, "seven crashes");
        assert_eq!((host.crashes(), posts(&host)), (7, 1));
    }
}

#[tokio::test]
async fn a_replay_never_doubles_the_reaction() {
    for carrier in Carrier::ALL {
        let (host, hub) = with_hub(carrier).await;
        let id = play(&host).await.id();
        let keys = |work: &Work| work.steps().map(|step| step.key().to_owned()).collect::<Vec<_>>();
        let first = keys(&host.work(id).await);
        assert!(!host.replay(id, ReplayMode::Resume).await, "what is done stays done");

        assert!(host.replay(id, ReplayMode::FromStart).await);
        let work = host.work(id).await;
        same_end(&work, &hub, "from the start");
        assert_eq!(keys(&work), first, "the same keys");

        assert!(host.replay(id, ReplayMode::Again).await);
        let work = host.work(id).await;
        same_end(&work, &hub, "again");
        assert_ne!(keys(&work), first, "new keys");
    }
}

#[tokio::test]
async fn a_dead_story_goes_on_where_it_stopped() {
    for carrier in Carrier::ALL {
        let (host, hub) = with_hub(carrier).await;
        host.script().forget(COMMENTS);
        host.on(COMMENTS, answer(410, &json!({ "message": "Issues are disabled" })));
        let work = play(&host).await;
        assert!(work.dead().contains("Issues are disabled"), "{work}");
        host.script().forget(COMMENTS);
        host.on(COMMENTS, Answer::ok(&json!([{ "id": 5, "body": "before" }])));
        assert!(host.replay(work.id(), ReplayMode::Resume).await);
        same_end(&host.work(work.id()).await, &hub, "resumed");
        assert_eq!((posts(&host), host.asked_for(PERMISSION).len()), (1, 1));
    }
}

#[tokio::test]
async fn a_limit_is_waited_for() {
    for carrier in Carrier::ALL {
        let (host, hub) = with_hub(carrier).await;
        host.script().forget(PERMISSION);
        let limited = json!({ "message": "You have exceeded a secondary rate limit" });
        host.on(PERMISSION, answer(403, &limited).header("retry-after", "120"));
        host.on(PERMISSION, Answer::ok(&json!({ "permission": "write" })));
        let before = host.now();
        let id = mention(&host).await.id();
        host.settle().await;
        assert_eq!(host.work(id).await.state(), State::Pending);
        host.advance(seconds(119));
        assert_eq!(host.settle().await, 0, "GitHub asked for two minutes");
        host.finish().await;
        assert!(host.now() - before >= seconds(120));
        same_end(&host.work(id).await, &hub, "limited");
    }
}

#[tokio::test]
async fn who_may_not_write_is_ignored() {
    let (host, hub) = with_hub(Carrier::Bridge).await;
    host.script().forget(PERMISSION);
    host.on(PERMISSION, Answer::ok(&json!({ "permission": "read" })));
    assert_eq!(
        play(&host).await.ignored(),
        "octocat has no write access to acme/rocket"
    );
    assert_eq!(
        (host.asked().len(), hub.reactions().len()),
        (2, 0),
        "nothing was acknowledged"
    );
}

#[tokio::test]
async fn a_refused_reaction_does_not_stop_the_story() {
    let (host, _) = with_hub(Carrier::Bridge).await;
    host.script().forget(REACT);
    host.on(REACT, answer(403, &json!({ "message": "Issue is locked" })));
    let work = play(&host).await;
    assert_eq!(work.done(), "conversation requested");
    assert!(
        work.step("acknowledge")
            .refused()
            .unwrap()
            .message
            .contains("Issue is locked")
    );
}

#[tokio::test]
async fn a_reaction_that_keeps_failing_is_given_up() {
    for carrier in Carrier::ALL {
        let (host, hub) = with_hub(carrier).await;
        host.script().forget(REACT);
        host.on(REACT, answer(500, &json!({})));
        let work = play(&host).await;
        assert_eq!(
            (work.done(), work.attempts(), posts(&host)),
            ("conversation requested", 3, 3)
        );
        assert!(work.step("acknowledge").refused().unwrap().message.contains("500"));
        assert!(hub.reactions().is_empty());
    }
}

#[tokio::test]
async fn what_asks_for_nothing_costs_nothing() {
    let host = host(Carrier::Bridge).await;
    for (kind, payload, reason) in [
        ("ping", json!({ "zen": "…" }), "`ping` names no installation"),
        ("push", json!({ "installation": { "id": 7 } }), "`push` never starts"),
        ("issue_comment", issue_comment("thanks"), "does not mention @openhands"),
    ] {
        let work = event(&host, kind, &payload).settled().await;
        assert!(work.ignored().contains(reason), "{work}");
        assert_eq!(work.steps().count(), 0);
    }
    assert!(host.asked().is_empty());
}

#[tokio::test]
async fn switched_off_it_acknowledges_and_ignores() {
    let setup = TestHost::new()
        .plugin::<GitHub>(config())
        .env("GITHUB_WEBHOOKS_ENABLED", "false");
    let host = setup.start().await;
    let id = mention(&host).await.expect(200).id();
    host.settle().await;
    assert!(host.work(id).await.ignored().contains("GITHUB_WEBHOOKS_ENABLED"));
    assert!(
        host.fire("reconcile")
            .await
            .ignored()
            .contains("GITHUB_WEBHOOKS_ENABLED")
    );
    assert!(host.asked().is_empty());
}

#[tokio::test]
async fn only_what_github_signed_gets_in_and_only_once() {
    let (host, hub) = with_hub(Carrier::Builtin).await;
    mention(&host).forged().await.expect(401);
    mention(&host).tampered().await.expect(401);
    mention(&host).unsigned().await.expect(401);
    assert!(host.list().await.is_empty());
    let receipt = mention(&host).id("guid").await.expect(200);
    assert_eq!(
        receipt.reply().text(),
        r#"{"message":"GitHub events endpoint reached successfully."}"#
    );
    for _ in 0..3 {
        host.settle().await;
        assert!(mention(&host).id("guid").await.expect(200).is_duplicate());
    }
    same_end(&host.work(receipt.id()).await, &hub, "redelivered");
    assert_eq!(posts(&host), 1);
}

#[tokio::test]
async fn health_says_whether_id_and_key_fit() {
    for (given, status, detail) in [
        (
            Answer::ok(&json!({ "slug": "agent" })),
            HealthStatus::Healthy,
            "app agent",
        ),
        (answer(401, &json!({})), HealthStatus::Unhealthy, "do not fit"),
        (answer(502, &json!({})), HealthStatus::Degraded, "502"),
        (Answer::unreachable(), HealthStatus::Degraded, "connection refused"),
    ] {
        let host = host(Carrier::Bridge).await;
        host.on("GET /app", given);
        let health = host.health::<GitHub>().await;
        assert_eq!(health.status, status);
        assert!(health.detail.as_ref().unwrap().contains(detail), "{health:?}");
    }
}

/// GitHub's list: one delivery that never arrived, one that was refused, one that is fine, one that is too old.
fn script_deliveries(script: &Script) {
    let at = |late: i64| {
        let time = time::OffsetDateTime::from_unix_timestamp(NOW + 300 - late).unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let entry = |id: u64, guid: &str, late: i64, status: i64| json!({ "id": id, "guid": guid, "delivered_at": at(late), "status_code": status, "event": "issues", "redelivery": false });
    let list = "GET /app/hook/deliveries?per_page=100";
    let link = "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_2>; rel=\"next\"";
    let first = json!([entry(3, "c", 60, 503), entry(2, "b", 120, 200)]);
    script.on(list, Answer::ok(&first).header("link", link));
    let second = json!([entry(1, "a", 180, 0), entry(9, "old", 7_200, 500)]);
    script.on(&format!("{list}&cursor=v1_2"), Answer::ok(&second).header("link", link));
    script.on("POST /app/hook/deliveries/1/attempts", answer(202, &json!({})));
    let gone = json!({ "message": "Not Found" });
    script.on("POST /app/hook/deliveries/3/attempts", answer(404, &gone));
}

#[tokio::test]
async fn lost_deliveries_are_asked_for_again_also_through_crashes() {
    let (one, three) = (
        "POST /app/hook/deliveries/1/attempts",
        "POST /app/hook/deliveries/3/attempts",
    );
    for carrier in Carrier::ALL {
        for step in [
            None,
            Some("look"),
            Some("redeliver/1"),
            Some("redeliver/3"),
            Some("remember"),
        ] {
            let host = host(carrier).await;
            script_deliveries(host.script());
            if let Some(step) = step {
                host.crash_after(step);
            }
            let work = host.fire("reconcile").await;
            assert_eq!(
                work.done(),
                "asked GitHub to send 1 deliveries again; 1 it refused",
                "{step:?}"
            );
            let calls = asked(&host);
            assert_eq!(calls[2..], [one, three], "{step:?}");
            assert_eq!(host.crashes(), usize::from(step.is_some()));
        }
    }
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let contract = Contract::with(config())
        .script(|script| {
            Hub::script(script, First::Well);
            script_deliveries(script);
        })
        .idempotent(TOKEN)
        .idempotent(REACT)
        .idempotent("POST /app/hook/deliveries/*/attempts")
        .delivery("events", |it| {
            it.header("X-GitHub-Event", "issue_comment")
                .json(&issue_comment("@openhands fix it"))
        })
        .delivery("events", |it| {
            it.header("X-GitHub-Event", "ping").json(&json!({ "zen": "…" }))
        })
        .schedule("reconcile");
    assert_plugin_contract::<GitHub>(contract).await;
}
