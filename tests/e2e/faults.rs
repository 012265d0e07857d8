//! Nothing that was answered 2xx is missing, and no effect is doubled, whatever dies when.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jackfield_tests::{
    github::GitHub,
    host::{Scratch, Setup, binary, long},
};
use serde_json::json;

fn mention(number: usize) -> Vec<u8> {
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

/// Sends `count` mentions, each again until it is answered 2xx, while the host is killed again and again.
async fn kill_and_count(setup: Setup, github: &GitHub, count: usize) {
    let host = Arc::new(tokio::sync::Mutex::new(setup.start().await));
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let url = host.lock().await.url("/integration/github/events");
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (next, url, client) = (Arc::clone(&next), url.clone(), client.clone());
        senders.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return;
                }
                let body = mention(number);
                loop {
                    let request = client
                        .post(&url)
                        .header("x-github-delivery", format!("delivery-{number}"))
                        .header("x-github-event", "issue_comment")
                        .header(
                            "x-hub-signature-256",
                            jackfield_tests::sign::hub_signature(jackfield_tests::host::SECRET, &body),
                        )
                        .body(body.clone());
                    match request.send().await {
                        Ok(answer) if answer.status().is_success() => break,
                        Ok(answer) => assert_eq!(answer.status(), 503, "a fault of ours is a 503"),
                        Err(_) => {}
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    let mut kills = 0;
    let mut wait = 150;
    while !senders.is_empty() {
        tokio::select! {
            done = senders.join_next() => { done.transpose().unwrap(); }
            () = tokio::time::sleep(Duration::from_millis(wait)) => {
                if kills < 12 {
                    let mut running = host.lock().await;
                    running.kill();
                    *running = setup.start().await;
                    kills += 1;
                    wait = 60 + (wait * 7919) % 700;
                }
            }
        }
    }
    assert!(kills >= 2, "the host died {kills} times");
    let host = host.lock().await;
    let stored = host.settle(&["done"], Duration::from_secs(180)).await;
    let ids: HashSet<&str> = stored.iter().map(|one| one["delivery_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), stored.len(), "a delivery is stored twice");
    for number in 0..count {
        assert!(
            ids.contains(format!("delivery-{number}").as_str()),
            "delivery-{number} was answered 2xx and is missing"
        );
    }
    let reactions = github.reactions();
    let distinct: HashSet<_> = reactions.iter().collect();
    assert_eq!(distinct.len(), reactions.len(), "an effect is doubled");
    assert_eq!(reactions.len(), count, "an effect is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_host_loses_and_doubles_nothing_on_sqlite() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("kill"), GitHub::start().await);
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    kill_and_count(setup, &github, if long() { 20_000 } else { 2_000 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_host_loses_and_doubles_nothing_on_postgresql() {
    let Some(_) = binary() else { return };
    let Some(url) = database().await else { return };
    let (scratch, github) = (Scratch::new("kill-pg"), GitHub::start().await);
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key).with("JACKFIELD_DATABASE_URL", &url);
    kill_and_count(setup, &github, if long() { 20_000 } else { 2_000 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_store_one_id_once() {
    let Some(_) = binary() else { return };
    let Some(url) = database().await else { return };
    let github = GitHub::start().await;
    let (first, second) = (Scratch::new("one"), Scratch::new("two"));
    let replica = |scratch: &Scratch| {
        Setup::new(scratch.0.clone(), &github.url, &github.private_key).with("JACKFIELD_DATABASE_URL", &url)
    };
    let (first, second) = (replica(&first).start().await, replica(&second).start().await);
    let sent = (0..100).map(|at| {
        let host = if at % 2 == 0 { &first } else { &second };
        host.deliver("same", "issue_comment", mention(1))
    });
    let mut answers = Vec::new();
    for one in sent.collect::<Vec<_>>() {
        answers.push(one);
    }
    let answers = join_all(answers).await;
    assert!(answers.iter().all(|status| *status == Some(200)), "{answers:?}");
    assert_eq!(first.settle(&["done"], Duration::from_secs(30)).await.len(), 1);
    assert_eq!(github.reactions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_does_not_double_the_reaction() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("lost"), GitHub::start().await);
    github.world.lose_answers.store(1, Ordering::SeqCst);
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    assert_eq!(host.deliver("d", "issue_comment", mention(5)).await, Some(200));
    let all = host.settle(&["done"], Duration::from_secs(60)).await;
    assert_eq!(all[0]["outcome"], "conversation requested");
    assert_eq!(github.reactions().len(), 1, "{:?}", github.world.calls.lock().unwrap());
}

async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        let mut open = false;
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *slot = Some(value),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect())
        }
    })
    .await
}

/// A database of its own on the suite's PostgreSQL.
async fn database() -> Option<String> {
    let Ok(url) = std::env::var("JACKFIELD_TEST_POSTGRES_URL") else {
        println!("skipped: JACKFIELD_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return None;
    };
    let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&pool)
        .await
        .unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}
