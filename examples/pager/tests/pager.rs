//! The pager on the real engine, on every carrier.
#![allow(clippy::unwrap_used)]

use jackfield_example_pager::Pager;
use jackfield_sdk::{health::HealthStatus, prelude::*};
use jackfield_testing::{
    Answer, Carrier, Contract, ReplayMode, State, TestHost, Work, WorkKind, assert_plugin_contract,
};
use serde_json::{Value, json};

const SETTINGS: &str = "secrets = 'vendor-signs-with-this'";
const NOTES: &str = "POST https://api.pager.example/incidents/*/notes";

async fn host(carrier: Carrier) -> TestHost {
    TestHost::new().plugin::<Pager>(SETTINGS).carrier(carrier).start().await
}

/// What the vendor sends.
fn answered() -> Value {
    json!({ "incident": "i-7", "by": "ann", "account": { "id": "acme" } })
}

/// What the vendor was told, with the key it would recognise a repetition by.
fn notes(host: &TestHost) -> Vec<(String, Value)> {
    let asked = host.asked_for(NOTES).into_iter();
    asked
        .map(|one| (one.header("idempotency-key").unwrap().to_owned(), one.json()))
        .collect()
}

async fn deliver(host: &TestHost) -> Work {
    host.deliver("answered").json(&answered()).settled().await
}

#[tokio::test]
async fn who_rings_must_be_signed_in() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.on("POST /ring", Answer::status(202));
        let body = json!({ "text": "wake up" });
        host.post("/pager/ring").json(&body).await.expect(401);
        assert!(host.asked().is_empty(), "the anonymous reach nobody");

        host.post("/pager/ring").json(&body).as_user("ann").await.expect(204);
        host.post("/pager/ring")
            .json(&body)
            .as_api_key("k1", &[])
            .await
            .expect(204);
        let asked = host.asked();
        assert_eq!(
            asked[0].json::<Value>(),
            json!({ "channel": "#ops", "who": "ann", "text": "wake up" })
        );
        assert_eq!(asked[1].json::<Value>()["who"], "k1");
        assert_eq!(host.get("/pager/ring").as_user("ann").await.status(), 405);
        assert_eq!(host.get("/pager").as_user("ann").await.status(), 404);
    }
}

#[tokio::test]
async fn a_vendor_that_is_down_is_not_blamed_on_who_rings() {
    let host = host(Carrier::Builtin).await;
    host.on("POST /ring", Answer::unreachable());
    let reply = host
        .post("/pager/ring")
        .json(&json!({ "text": "x" }))
        .as_user("ann")
        .await
        .expect(503);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert!(!reply.text().contains("api.pager.example"), "{reply:?}");
}

#[tokio::test]
async fn an_answer_is_noted_once() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.on(NOTES, Answer::status(201));
        let first = host.deliver("answered").id("d-1").json(&answered()).await.expect(200);
        let again = host.deliver("answered").id("d-1").json(&answered()).await.expect(200);
        assert!(again.is_duplicate());
        assert_eq!(first.id(), again.id());
        host.settle().await;

        let work = host.work(first.id()).await;
        assert_eq!(work.done(), "i-7 answered by ann");
        assert_eq!((work.tenant(), work.lane()), ("acme", Some("i-7")));
        assert_eq!((work.step_names(), work.attempts()), (vec!["note"], 1));
        assert_eq!(host.list().await.len(), 1);
        let key = work.step("note").key().to_owned();
        let note = json!({ "channel": "#ops", "who": "ann", "text": "answered" });
        assert_eq!(notes(&host), [(key, note)]);
    }
}

#[tokio::test]
async fn what_is_not_signed_by_the_vendor_is_refused() {
    let host = host(Carrier::Builtin).await;
    host.deliver("answered").json(&answered()).forged().await.expect(401);
    host.deliver("answered").json(&answered()).tampered().await.expect(401);
    host.deliver("answered").json(&answered()).unsigned().await.expect(401);
    assert!(host.list().await.is_empty(), "nothing of it is stored");
    assert_eq!(host.settle().await, 0);
}

#[tokio::test]
async fn secrets_rotate() {
    let settings = json!({ "secrets": [
        { "value": "old", "not_after": "2026-01-02T00:00:00Z" },
        { "value": "new" },
    ] });
    let host = TestHost::new().plugin::<Pager>(settings).start().await;
    host.on(NOTES, Answer::status(201));
    for secret in ["old", "new"] {
        host.deliver("answered")
            .json(&answered())
            .secret(secret)
            .await
            .expect(200);
    }
    host.advance(days(1));
    host.deliver("answered")
        .json(&answered())
        .secret("old")
        .await
        .expect(401);
    host.deliver("answered")
        .json(&answered())
        .secret("new")
        .await
        .expect(200);
    host.settle().await;
}

#[tokio::test]
async fn a_crash_after_the_note_repeats_nothing() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.on(NOTES, Answer::status(201));
        host.crash_after("note");
        let work = deliver(&host).await;
        assert_eq!(work.done(), "i-7 answered by ann");
        assert_eq!((host.crashes(), work.attempts()), (1, 1)); // A lost lease is no attempt.
        assert_eq!(notes(&host).len(), 1);
    }
}

#[tokio::test]
async fn a_note_whose_memo_was_lost_is_repeated_with_the_same_key() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.on(NOTES, Answer::status(201));
        host.crash_losing("note");
        deliver(&host).await.done();
        let notes = notes(&host);
        assert_eq!(notes.len(), 2);
        assert_eq!(notes[0], notes[1], "the vendor can tell that it is the same");
    }
}

#[tokio::test]
async fn a_note_that_was_applied_before_the_kill_is_repeated_with_the_same_key() {
    let host = host(Carrier::Bridge).await;
    host.on(NOTES, Answer::status(201).then_kill());
    host.on(NOTES, Answer::status(201));
    deliver(&host).await.done();
    let notes = notes(&host);
    assert_eq!((host.crashes(), notes.len()), (1, 2));
    assert_eq!(notes[0], notes[1]);
}

#[tokio::test]
async fn a_crash_at_the_end_repeats_nothing() {
    let host = host(Carrier::Builtin).await;
    host.on(NOTES, Answer::status(201));
    host.crash_at_end();
    deliver(&host).await.done();
    assert_eq!((host.crashes(), notes(&host).len()), (1, 1));
}

#[tokio::test]
async fn a_vendor_that_fails_is_tried_again_with_the_same_key() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.on(NOTES, Answer::status(503).header("retry-after", "30"));
        host.on(NOTES, Answer::status(201).lost());
        host.on(NOTES, Answer::status(201));
        let id = host.deliver("answered").json(&answered()).await.id();
        host.settle().await;
        assert_eq!(host.work(id).await.state(), State::Pending);
        let before = host.now();
        host.finish().await;
        assert!(host.now() - before >= seconds(30), "Retry-After is honoured");
        let work = host.work(id).await;
        assert_eq!((work.done(), work.attempts()), ("i-7 answered by ann", 3));
        let notes = notes(&host);
        assert_eq!(notes.len(), 3);
        assert!(notes.iter().all(|note| *note == notes[0]));
    }
}

#[tokio::test]
async fn people_are_told_of_a_death() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.on(NOTES, Answer::status(404));
        host.on(NOTES, Answer::status(201));
        let work = deliver(&host).await;
        assert!(work.dead().contains("404"), "{work}");
        let all = host.list().await;
        let told = all.iter().find(|work| work.kind() == WorkKind::Death).unwrap();
        assert_eq!(told.done(), "told");
        let last = notes(&host).pop().unwrap().1;
        assert_eq!(last["who"], "jackfield");
        assert_eq!(
            last["text"],
            "Something went wrong on our side, and trying again did not help."
        );

        // An operator has mended it.
        assert!(host.replay(work.id(), ReplayMode::Resume).await);
        assert_eq!(host.work(work.id()).await.done(), "i-7 answered by ann");
    }
}

#[tokio::test]
async fn a_replay_from_the_start_keeps_the_key_and_one_again_does_not() {
    let host = host(Carrier::Builtin).await;
    host.on(NOTES, Answer::status(201));
    let id = deliver(&host).await.id();
    assert!(!host.replay(id, ReplayMode::Resume).await, "what is done stays done");
    assert!(host.replay(id, ReplayMode::FromStart).await);
    assert!(host.replay(id, ReplayMode::Again).await);
    let notes = notes(&host);
    assert_eq!(notes.len(), 3);
    assert_eq!(notes[0], notes[1]);
    assert_ne!(notes[1].0, notes[2].0);
}

#[tokio::test]
async fn what_does_not_parse_is_dead_at_once() {
    let host = host(Carrier::Bridge).await;
    let work = host.deliver("answered").body("[]").settled().await;
    assert!(work.dead().contains("does not parse"), "{work}");
    assert_eq!(work.attempts(), 1);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_to_the_vendor() {
    let host = host(Carrier::Builtin).await;
    host.on(NOTES, Answer::status(201));
    host.set_store_outage(true);
    let receipt = host.deliver("answered").id("d-1").json(&answered()).await.expect(503);
    assert!(receipt.reply().header("retry-after").is_some());
    host.set_store_outage(false);
    let work = host.deliver("answered").id("d-1").json(&answered()).settled().await;
    work.done();
}

#[tokio::test]
async fn health_is_the_vendors_answer() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        for (answer, status) in [
            (Answer::status(200), HealthStatus::Healthy),
            (Answer::status(500), HealthStatus::Degraded),
            (Answer::unreachable(), HealthStatus::Degraded),
        ] {
            host.script().forget("GET /ping");
            host.on("GET /ping", answer);
            assert_eq!(host.health::<Pager>().await.status, status);
        }
    }
}

#[tokio::test]
async fn the_operators_address_is_the_only_one_it_may_call() {
    let settings = json!({ "secrets": "s", "api": "http://10.0.0.7:8080/v2/", "channel": "#night" });
    let host = TestHost::new().plugin::<Pager>(settings).start().await;
    host.on("POST http://10.0.0.7:8080/v2/ring", Answer::status(202));
    let body = json!({ "text": "x" });
    host.post("/pager/ring").json(&body).as_user("ann").await.expect(204);
    assert_eq!(host.asked()[0].json::<Value>()["channel"], "#night");
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let contract = Contract::with(SETTINGS)
        .script(|vendor| {
            vendor.on("GET /ping", Answer::status(200));
            vendor.on("POST /ring", Answer::status(202));
            vendor.on(NOTES, Answer::status(201));
        })
        .delivery("answered", |it| it.json(&answered()));
    assert_plugin_contract::<Pager>(contract).await;
}
