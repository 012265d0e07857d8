//! What the kit says when a test is wrong.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::unused_async,
    reason = "handlers are async whether they wait or not"
)]

use jackfield_sdk::prelude::*;
use jackfield_testing::{Answer, Reached, TestHost};
use serde_json::json;

/// Settings.
#[derive(Config)]
struct Settings {
    /// Where it calls.
    #[config(default = "https://api.example", egress)]
    address: Url,
    /// How often.
    #[config(default = 1, env = "CALLER_TIMES")]
    times: u16,
}

struct Caller {
    config: Settings,
    http: Http,
}

#[plugin(id = "caller", capabilities("http:{address}"))]
impl Plugin for Caller {
    type Config = Settings;

    fn validate(config: &Settings) -> Result<()> {
        if config.times == 0 {
            return Err(Error::permanent("times is 0; write at least 1"));
        }
        Ok(())
    }

    async fn create(config: Settings, host: Host) -> Result<Self> {
        Ok(Self {
            http: host.http(),
            config,
        })
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks
            .at("/caller/in")
            .name("in")
            .verify(Verify::none("a test"))
            .delivery_id(json("/id"))
            .retry(Retry::within(minutes(10)))
            .handle(Self::call);
        for path in ["/caller/first", "/caller/second"] {
            hooks.at(path).verify(Verify::none("a test")).handle(Self::call);
        }
    }
}

impl Caller {
    async fn call(&self, run: Run, Json(where_to): Json<Url>) -> Result<Outcome> {
        for time in 0..self.config.times {
            let url = where_to.clone();
            run.step_keyed("call", time, |_| async {
                self.http.post(url).timeout(seconds(1)).await?.error_for_status()?;
                Ok(())
            })
            .await?;
        }
        Ok(Outcome::done(format!("called {} times", self.config.times)))
    }
}

async fn host(settings: &str) -> TestHost {
    TestHost::new().plugin::<Caller>(settings).start().await
}

async fn refusal(settings: impl Into<jackfield_testing::Settings>) -> String {
    let started = TestHost::new().plugin::<Caller>(settings).try_start().await;
    started.err().expect("settings that are wrong")
}

#[tokio::test]
async fn settings_are_checked_as_the_host_checks_them() {
    let unknown = refusal("times = 2\nadress = 'https://x.example'").await;
    assert!(
        unknown.starts_with("settings:2: plugins.caller.config.adress"),
        "{unknown}"
    );
    assert!(unknown.contains("did you mean `address`?"), "{unknown}");
    assert!(
        refusal(json!({ "times": "often" }))
            .await
            .contains("a whole number from 0 to 65535")
    );
    assert!(
        refusal("times = ").await.contains("settings:1"),
        "the syntax is checked too"
    );
    assert_eq!(refusal("times = 0").await, "times is 0; write at least 1");
    assert!(refusal(json!([])).await.contains("are no object"));
}

#[tokio::test]
async fn the_environment_beats_the_file() {
    let setup = TestHost::new().plugin::<Caller>("times = 2").env("CALLER_TIMES", "3");
    let host = setup.start().await;
    host.on("POST /", Answer::status(200));
    let work = host.deliver("in").json("https://api.example").settled().await;
    assert_eq!(work.done(), "called 3 times");
    assert_eq!(work.step_names(), ["call/0", "call/1", "call/2"]);
}

#[tokio::test]
async fn the_same_body_to_two_webhooks_without_ids_is_two_deliveries() {
    let host = host("").await;
    host.on("POST /", Answer::status(200));
    let send = async |webhook: &str| host.deliver(webhook).json("https://api.example").await;
    let first = send("/caller/first").await;
    let second = send("/caller/second").await;
    assert!(!first.is_duplicate() && !second.is_duplicate());
    assert!(send("/caller/second").await.is_duplicate());
}

#[tokio::test]
async fn an_unscripted_call_says_which_one_it_was() {
    let host = host("").await;
    host.on("POST /other", Answer::status(200));
    let work = host
        .deliver("in")
        .json("https://api.example/some/where?token=x")
        .settled()
        .await;
    assert!(
        work.dead()
            .contains("`POST /some/where?token=x` is not scripted (`POST /other`)"),
        "{work}"
    );
    assert_eq!(host.asked()[0].reached, Reached::Unscripted);
}

#[tokio::test]
async fn an_address_that_is_not_granted_is_denied() {
    let host = host("").await;
    host.on("POST /**", Answer::status(200));
    for url in [
        "https://other.example/",
        "http://api.example/",
        "https://api.example:8443/",
    ] {
        let work = host.deliver("in").json(url).settled().await;
        assert!(
            work.dead().contains("add it to `capabilities` under [plugins.caller]"),
            "{work}"
        );
    }
    assert!(host.asked().iter().all(|asked| asked.reached == Reached::Denied));
}

#[tokio::test]
async fn a_redirect_is_held_to_the_same_grants() {
    let host = host("").await;
    host.on(
        "POST /",
        Answer::status(302).header("location", "https://other.example/"),
    );
    let work = host.deliver("in").json("https://api.example").settled().await;
    assert_eq!(work.done(), "called 1 times", "it does not follow unless it asks to");
}

#[tokio::test]
async fn the_last_answer_is_given_for_ever_and_the_newest_pattern_decides() {
    let host = host("times = 3").await;
    host.on("POST /**", Answer::status(500));
    host.on("POST /a", Answer::status(201));
    host.on("POST /a", Answer::status(202));
    host.deliver("in").json("https://api.example/a").settled().await.done();
    let reached: Vec<Reached> = host.asked().iter().map(|asked| asked.reached).collect();
    assert_eq!(reached, [201, 202, 202].map(Reached::Answered));
}

#[tokio::test]
async fn an_answer_may_depend_on_what_was_asked_before() {
    let host = host("times = 3").await;
    let script = host.script().clone();
    host.on_with("POST /a", move |_| {
        Answer::status(if script.asked().is_empty() { 200 } else { 429 })
    });
    let id = host.deliver("in").json("https://api.example/a").await.id();
    host.settle().await;
    let work = host.work(id).await;
    assert_eq!(work.step_names(), ["call/0"]);
    assert!(work.error().unwrap().contains("429"), "{work}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_costs_the_callers_own_timeout() {
    let host = host("").await;
    host.on("POST /", Answer::hangs());
    let begun = tokio::time::Instant::now();
    let id = host.deliver("in").json("https://api.example").await.id();
    host.settle().await;
    assert!(begun.elapsed() >= seconds(1) && begun.elapsed() < seconds(2));
    assert!(host.work(id).await.error().unwrap().contains("no answer within 1.0 s"));
}

#[tokio::test]
async fn retries_end_and_the_work_is_dead() {
    let host = host("").await;
    host.on("POST /", Answer::unreachable());
    let id = host.deliver("in").json("https://api.example").await.id();
    host.finish().await;
    let work = host.work(id).await;
    assert!(work.dead().contains("connection refused"), "{work}");
    assert_eq!((work.attempts(), host.asked().len()), (8, 8));
}

#[tokio::test]
async fn a_kill_while_nothing_runs_loses_nothing() {
    let host = host("").await;
    host.on("POST /", Answer::status(200));
    let id = host.deliver("in").json("https://api.example").await.id();
    host.kill();
    host.restart().await;
    assert_eq!(host.crashes(), 1);
    host.settle().await;
    host.work(id).await.done();
}

#[tokio::test]
async fn cancelled_work_does_not_run() {
    let host = host("").await;
    let id = host.deliver("in").json("https://api.example").await.id();
    assert!(host.cancel(id).await);
    assert_eq!(host.settle().await, 0);
    assert!(!host.cancel(id).await);
}

#[tokio::test]
#[should_panic(expected = "crash_after(\"no such step\") never came")]
async fn a_crash_that_never_comes_fails_the_test() {
    let host = host("").await;
    host.on("POST /", Answer::status(200));
    host.crash_after("no such step");
    host.deliver("in").json("https://api.example").settled().await;
}

#[tokio::test]
#[should_panic(expected = "no plugin of this test declares a webhook `out`")]
async fn a_webhook_that_is_not_there_is_named() {
    drop(host("").await.deliver("out"));
}

#[tokio::test]
#[should_panic(expected = "takes the delivery id from the body")]
async fn an_id_that_stands_in_the_body_is_not_sent_as_a_header() {
    let host = host("").await;
    host.deliver("in").id("d-1").await;
}

#[cfg(feature = "database")]
mod database {
    use jackfield_sdk::{database::sql, prelude::*};
    use jackfield_testing::{Carrier, TestHost};

    struct Ledger(Host);

    #[plugin(id = "ledger", capabilities("database", "jobs"))]
    impl Plugin for Ledger {
        type Config = ();
        async fn create((): (), host: Host) -> Result<Self> {
            Ok(Self(host))
        }
        fn jobs(jobs: &mut Jobs<Self>) {
            jobs.job("book").handle(Self::book);
        }
    }

    impl Ledger {
        async fn book(&self, run: Run, (): ()) -> Result<Outcome> {
            let sum = run
                .step("book", |_| async {
                    let all = [
                        "CREATE TABLE IF NOT EXISTS entry (amount INTEGER)",
                        "INSERT INTO entry VALUES (2), (3)",
                        "SELECT SUM(amount) AS sum FROM entry",
                    ];
                    let rows = self.0.database().batch(all.map(sql).to_vec()).await?;
                    Ok(format!("{:?}", rows[2].value(0, "sum")))
                })
                .await?;
            Ok(Outcome::done(sum))
        }
    }

    #[tokio::test]
    async fn a_plugin_has_its_own_sqlite() {
        for carrier in Carrier::ALL {
            let host = TestHost::new().plugin::<Ledger>(()).carrier(carrier).start().await;
            let id = host.of::<Ledger>().jobs().enqueue("book", &()).await.unwrap();
            host.settle().await;
            assert_eq!(host.work(id).await.done(), "Some(Int(5))");
        }
    }
}
