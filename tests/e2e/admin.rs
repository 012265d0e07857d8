//! What an operator and a dashboard see: metrics under their promised names, the event stream, listings, the same through
//! the control socket and over HTTP.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jackfield_tests::{
    github::{Call, GitHub, When},
    host::{Host, OPERATOR, Setup, binary},
    scratch::Scratch,
    sign,
};
use serde_json::{Value, json};

async fn host(name: &str) -> (Scratch, GitHub, Host) {
    let (scratch, github) = (Scratch::new(name), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    (scratch, github, host)
}

/// Names and label names of this part of the promise (`design/90`); conversations, sockets and rate limits come with
/// what they measure.
const METRICS: [(&str, &[&str]); 12] = [
    (
        "jackfield_http_requests_total",
        &["route", "method", "status", "plugin"],
    ),
    (
        "jackfield_http_request_duration_seconds_bucket",
        &["route", "method", "plugin", "le"],
    ),
    (
        "jackfield_http_request_duration_seconds_count",
        &["route", "method", "plugin"],
    ),
    ("jackfield_deliveries_total", &["plugin", "result"]),
    ("jackfield_jobs", &["plugin", "state"]),
    ("jackfield_job_oldest_age_seconds", &["plugin"]),
    ("jackfield_job_attempts_total", &["plugin", "result"]),
    ("jackfield_plugin_state", &["plugin", "state"]),
    ("jackfield_plugin_generations", &["plugin"]),
    ("jackfield_plugin_poll_seconds_count", &["plugin"]),
    ("jackfield_dependency_up", &["dependency"]),
    ("jackfield_egress_requests_total", &["plugin"]),
];

fn labels(line: &str) -> BTreeSet<&str> {
    let inside = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let inside = inside.map_or("", |(inside, _)| inside);
    inside
        .split("\",")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, _)| name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_have_their_promised_names() {
    let Some(_) = binary() else { return };
    let (_scratch, github, host) = host("metrics").await;
    assert_eq!(host.deliver("a", "issue_comment", sign::mention(1)).await, Some(200));
    assert_eq!(host.deliver("a", "issue_comment", sign::mention(1)).await, Some(200));
    let forged = host.client.post(host.hook()).body("{}").send().await.unwrap();
    assert_eq!(forged.status(), 401);
    host.settle(&["done"], Duration::from_secs(20)).await;
    // Something that waits: the oldest age is about what is pending.
    let mut traps: Vec<_> = (0..2)
        .map(|_| github.world.trap(Call::Permission, When::Before))
        .collect();
    for id in ["lane-head", "lane-next"] {
        assert_eq!(host.deliver(id, "issue_comment", sign::mention(2)).await, Some(200));
    }
    traps[0].caught().await;
    let begun = Instant::now();
    let missing = |text: &str| -> Vec<String> {
        METRICS
            .iter()
            .filter(|(name, wanted)| {
                let there = text.lines().any(|line| {
                    line.split(['{', ' ']).next() == Some(name)
                        && wanted.iter().all(|label| labels(line).contains(label))
                });
                !there
            })
            .map(|(name, wanted)| format!("{name}{wanted:?}"))
            .collect()
    };
    let text = loop {
        let text = host.metrics().await;
        if missing(&text).is_empty() {
            break text;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "missing: {:?}\n{text}",
            missing(&text)
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    for line in [
        r#"jackfield_deliveries_total{plugin="github",result="duplicate"} 1"#,
        r#"jackfield_deliveries_total{plugin="github",result="bad_signature"} 1"#,
        r#"jackfield_plugin_state{plugin="github",state="active"} 1"#,
        r#"jackfield_dependency_up{dependency="store"} 1"#,
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    // Routes are patterns: nobody can fill the memory with names.
    for at in 0..50 {
        host.client
            .get(host.url(&format!("/made-up/{at}")))
            .send()
            .await
            .unwrap();
    }
    assert!(!host.metrics().await.contains("made-up"), "a path has become a label");
    traps[0].release();
    traps[1].release();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_shows_deliveries_as_they_move() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("stream").await;
    let anonymous = host.client.get(host.url("/api/admin/v1/stream")).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    let mut stream = host
        .client
        .get(host.url("/api/admin/v1/stream"))
        .bearer_auth(OPERATOR)
        .send()
        .await
        .unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(host.deliver("seen", "push", sign::push()).await, Some(200));
    let mut text = String::new();
    let begun = Instant::now();
    let mut sent_more = false;
    loop {
        let chunk = tokio::time::timeout(Duration::from_secs(15), stream.chunk()).await;
        let chunk = chunk
            .expect("the stream is silent")
            .unwrap()
            .expect("the stream has ended");
        text.push_str(&String::from_utf8_lossy(&chunk));
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: ").or_else(|| line.strip_prefix("data:")))
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect();
        let done = |event: &Value, id: &str| event.to_string().contains(id) && event.to_string().contains("\"done\"");
        if events.iter().any(|event| done(event, "\"seen\"")) && !sent_more {
            let github = |event: &Value| {
                let rows = event["plugins"].as_array().into_iter().flatten();
                rows.map(|row| &row["id"]).any(|id| id == "github")
            };
            assert!(events.iter().any(github));
            assert_eq!(host.deliver("later", "push", sign::push()).await, Some(200));
            sent_more = true;
        }
        if sent_more && events.iter().any(|event| done(event, "\"later\"")) {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it does not show them: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn command_line_and_http_say_the_same_beside_a_host_and_without_one() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, mut host) = host("same").await;
    for number in 0..7 {
        let id = format!("d{number}");
        assert_eq!(host.deliver(&id, "push", sign::push()).await, Some(200));
    }
    host.settle(&["done"], Duration::from_secs(20)).await;
    let cli = async |setup: &Setup, arguments: &[&str]| -> Value {
        let (code, out, error) = setup.run_aside(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {error}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    };
    // The health report in it moves on its own.
    let plain = |rows: Value| -> Vec<Value> {
        let mut rows = rows.as_array().unwrap().clone();
        rows.iter_mut().for_each(|row| row["health"] = Value::Null);
        rows
    };
    assert_eq!(
        plain(cli(&host.setup, &["plugins", "list", "--json"]).await),
        plain(host.admin("/plugins").await)
    );
    assert_eq!(
        cli(&host.setup, &["routes", "--json"]).await,
        host.admin("/routes").await
    );
    let plugin = &host.admin("/plugins").await[0];
    for member in [
        "id",
        "version",
        "enabled",
        "carrier",
        "state",
        "reason",
        "generation",
        "routes",
        "webhooks",
        "health",
    ] {
        assert!(plugin.get(member).is_some(), "plugins list has no {member}");
    }
    for row in host.admin("/routes").await.as_array().unwrap() {
        for member in ["method", "path", "plugin", "policy", "rate_limit"] {
            assert!(row.get(member).is_some(), "routes has no {member}: {row}");
        }
    }
    let listed = cli(
        &host.setup,
        &["deliveries", "list", "--plugin", "github", "--limit", "3", "--json"],
    )
    .await;
    assert_eq!(listed.as_array().unwrap().len(), 3);
    for member in [
        "id",
        "plugin",
        "tenant",
        "delivery_id",
        "event",
        "lane",
        "state",
        "attempts",
        "received_at",
        "next_attempt_at",
        "finished_at",
        "outcome",
        "reason",
        "last_error",
    ] {
        assert!(listed[0].get(member).is_some(), "deliveries list has no {member}");
    }
    // Pages by cursor: every row once.
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = host.admin(&format!("/deliveries?limit=2&state=done{cursor}")).await;
        for row in page["deliveries"].as_array().unwrap() {
            assert!(
                seen.insert(row["id"].as_str().unwrap().to_owned()),
                "a row is on two pages"
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(seen.len() >= 7);
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let shown = cli(&host.setup, &["deliveries", "show", &id]).await;
    assert_eq!(shown, host.admin(&format!("/deliveries/{id}")).await);
    let (status, missing) = host.admin_post("/plugins/nobody/pause", &json!({})).await;
    assert_eq!(status, 404, "{missing}");
    let (code, _, error) = host.setup.run_aside(&["plugins", "pause", "nobody"]).await;
    assert!(code == 1 && error.contains("nobody"), "{error}");
    let (code, _, error) = host
        .setup
        .run_aside(&["deliveries", "show", &uuid::Uuid::nil().to_string()])
        .await;
    assert!(code == 1 && error.contains("no delivery"), "{error}");

    host.signal("TERM");
    assert_eq!(host.ended(Duration::from_secs(30)).await, 0);
    assert_eq!(
        cli(&host.setup, &["deliveries", "show", &id]).await,
        shown,
        "the same without a host"
    );
    let rows = cli(&host.setup, &["plugins", "list", "--json"]).await;
    assert!(rows.as_array().unwrap().iter().any(|row| row["id"] == "github"));
    let rows = cli(&host.setup, &["migrate", "status", "--json"]).await;
    assert!(
        rows.as_array().unwrap().iter().all(|row| row["applied"] == true),
        "{rows}"
    );
}
