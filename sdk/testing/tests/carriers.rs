//! One plugin that uses everything a host gives, run on every carrier: what it does must be the same when each call is bytes.
#![allow(
    clippy::unwrap_used,
    clippy::unused_async,
    reason = "handlers are async whether they wait or not"
)]

use jackfield_sdk::prelude::*;
use jackfield_testing::{Answer, Carrier, State, TestHost};
use serde_json::{Value, json};

/// Settings.
#[derive(Config)]
struct Settings {
    /// Where orders are sent.
    #[config(default = "https://shop.example", egress)]
    shop: Url,
    /// A number.
    #[config(default = 3)]
    limit: u32,
}

struct Orders {
    shop: Url,
    limit: std::sync::atomic::AtomicU32,
    host: Host,
}

/// An order.
#[derive(Serialize, Deserialize, ToSchema)]
struct Order {
    /// What for.
    what: String,
}

#[plugin(id = "orders", capabilities("http:{shop}", "kv", "pubsub", "jobs", "vault"))]
impl Plugin for Orders {
    type Config = Settings;

    async fn create(config: Settings, host: Host) -> Result<Self> {
        Ok(Self {
            shop: config.shop,
            limit: config.limit.into(),
            host,
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(order)).add(routes!(open)).add(routes!(panics));
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("order").handle(Self::order);
        jobs.every("count", hours(1)).handle(Self::count);
    }

    async fn reconfigure(&self, config: Settings) -> Result<Reconfigured> {
        if config.shop != self.shop {
            return Ok(Reconfigured::NeedsReload);
        }
        self.limit.store(config.limit, std::sync::atomic::Ordering::SeqCst);
        Ok(Reconfigured::Applied)
    }
}

/// Orders something.
#[utoipa::path(post, path = "/orders", security(("key" = ["orders:write"])), responses((status = 200, description = "Its id"), Problem))]
async fn order(orders: This<Orders>, who: Principal, Json(body): Json<Order>) -> Result<Json<String>> {
    let options = JobOptions {
        key: Some(body.what.clone()),
        tenant: Some(who.id),
        ..JobOptions::default()
    };
    let id = orders.host.jobs().enqueue_with("order", &body, options).await?;
    Ok(Json(id.to_string()))
}

/// The limit.
#[utoipa::path(get, path = "/orders/limit", security(()), responses((status = 200, description = "The limit"), Problem))]
async fn open(orders: This<Orders>) -> Json<u32> {
    Json(orders.limit.load(std::sync::atomic::Ordering::SeqCst))
}

/// Panics.
#[utoipa::path(get, path = "/orders/panics", responses((status = 200, description = "Never"), Problem))]
async fn panics(_: This<Orders>) -> NoContent {
    panic!("as it says")
}

impl Orders {
    async fn order(&self, run: Run, Json(order): Json<Order>) -> Result<Outcome> {
        let cursor = run
            .step("cursor", |_| async { self.host.jobs().cursor("shipped").await })
            .await?;
        run.step("send", |attempt| async move {
            let url = self.shop.join("orders")?;
            let sent = self.host.http().post(url).header("Idempotency-Key", attempt.key());
            sent.json(&order).redirects(1).await?.error_for_status()?;
            self.host.vault().put("acme", "receipt", &Secret::new("r-1")).await
        })
        .await?;
        let refused = run
            .try_step("thank", |_| async move {
                self.host
                    .http()
                    .post(self.shop.join("thanks")?)
                    .await?
                    .error_for_status()?;
                Ok(())
            })
            .await?;
        run.sleep("pause", minutes(10)).await?;
        let shipped = Signal::<String>::after("shipped", cursor);
        let Waited::Signal(by) = run.wait("shipped", shipped, days(2)).await? else {
            return Ok(Outcome::ignored("never shipped"));
        };
        let receipt = self.host.vault().get("acme", "receipt").await?;
        run.step("tell", |_| async move {
            let first = self.host.kv().set_new("told", &by, Some(hours(1))).await?;
            self.host.pubsub().publish("shipped", by.clone()).await?;
            Ok(format!("{by} {first}"))
        })
        .await?;
        Outcome::done("shipped").with(&json!({
            "thanked": refused.is_ok(),
            "receipt": receipt.is_some_and(|receipt| receipt.expose() == "r-1"),
        }))
    }

    async fn count(&self, _: Run, (): ()) -> Result<Outcome> {
        let told: Option<String> = self.host.kv().get("told").await?;
        Ok(Outcome::done(format!("told {told:?} at {}", self.host.clock().now())))
    }
}

async fn host(carrier: Carrier) -> TestHost {
    let host = TestHost::new().plugin::<Orders>(()).carrier(carrier).start().await;
    host.on("POST /orders", Answer::status(307).header("location", "/v2/orders"));
    host.on("POST /v2/orders", Answer::status(201));
    host.on("POST /thanks", Answer::status(422).json(&json!({ "error": "no" })));
    host
}

/// An order from its call to its end, through crashes or not; gives what it came to.
async fn story(carrier: Carrier, crashes: bool) -> (Vec<String>, Option<Outcome>) {
    let host = host(carrier).await;
    let crash_after = |step: &str| {
        if crashes {
            host.crash_after(step);
        }
    };
    let mut heard = host.of::<Orders>().pubsub().subscribe("shipped").await.unwrap();
    let ask = || host.post("/orders").json(&json!({ "what": "tea" }));
    ask().await.expect(401);
    ask().as_api_key("k", &["orders:read"]).await.expect(403);
    let id: String = ask().as_api_key("k", &["orders:write"]).await.expect(200).json();
    let same: String = ask().as_api_key("k", &["orders:write"]).await.expect(200).json();
    assert_eq!(id, same, "one key, one job");
    let id = id.parse().unwrap();
    crash_after("send");
    host.settle().await;
    assert_eq!(host.work(id).await.state(), State::Waiting);
    host.advance(minutes(10));
    crash_after("pause");
    host.settle().await;
    assert_eq!(host.work(id).await.state(), State::Waiting);
    host.of::<Orders>().jobs().signal("shipped", &"ann").await.unwrap();
    crash_after("shipped");
    host.settle().await;

    assert_eq!(host.crashes(), if crashes { 3 } else { 0 });
    let message = heard.next().await.unwrap();
    assert_eq!(message.is_some(), !crashes, "a subscription ends with its host");
    let work = host.work(id).await;
    assert_eq!(work.done(), "shipped");
    assert_eq!(work.step("tell").result::<String>(), "ann true");
    assert_eq!(work.step("shipped").result::<String>(), "ann");
    assert!(work.step("pause").timed_out());
    assert!(work.step("thank").refused().unwrap().message.contains("422"));
    assert_eq!((work.tenant(), work.delivery_id()), ("k", "tea"));
    let calls: Vec<String> = host.asked().iter().map(jackfield_testing::Asked::call).collect();
    assert_eq!(calls, ["POST /orders", "POST /v2/orders", "POST /thanks"]);
    let names = work.step_names().into_iter().map(str::to_owned).collect();
    (names, work.outcome().cloned())
}

#[tokio::test]
async fn the_whole_story_is_the_same_on_every_carrier_and_through_crashes() {
    for carrier in Carrier::ALL {
        for crashes in [false, true] {
            let (steps, outcome) = story(carrier, crashes).await;
            assert_eq!(steps, ["cursor", "send", "thank", "pause", "shipped", "tell"]);
            let detail = outcome.unwrap().detail;
            assert_eq!(
                detail,
                Some(json!({ "thanked": false, "receipt": true })),
                "{carrier:?}"
            );
        }
    }
}

#[tokio::test]
async fn schedules_fire_when_told_to_and_keys_end() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.of::<Orders>()
            .kv()
            .set("told", &"ann", Some(hours(2)))
            .await
            .unwrap();
        host.advance(minutes(90));
        assert_eq!(host.settle().await, 0, "nothing fires by itself");
        assert_eq!(
            host.fire("count").await.done(),
            "told None at 2026-01-01 2:00:00.0 +00:00:00"
        );
        host.of::<Orders>()
            .kv()
            .set("told", &"ann", Some(hours(2)))
            .await
            .unwrap();
        assert_eq!(
            host.fire("count").await.done(),
            "told Some(\"ann\") at 2026-01-01 3:00:00.0 +00:00:00"
        );
    }
}

#[tokio::test]
async fn schedules_fire_by_the_clock_when_they_may() {
    let host = TestHost::new().plugin::<Orders>(()).with_schedules().start().await;
    assert_eq!(host.settle().await, 1, "the slot that is now");
    assert_eq!(host.settle().await, 0);
    host.advance(hours(5));
    host.settle().await;
    let slots: Vec<String> = host
        .list()
        .await
        .iter()
        .map(|work| work.delivery_id().to_owned())
        .collect();
    assert_eq!(
        slots,
        ["2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"],
        "missed slots are gone"
    );
}

#[tokio::test]
async fn settings_are_taken_or_make_a_new_generation() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        let limit = || async { host.get("/orders/limit").await.expect(200).json::<Value>() };
        let generation = || host.plugins().list()[0].generation;
        assert_eq!((limit().await, generation()), (json!(3), 1));
        host.reconfigure::<Orders>("limit = 4").await.unwrap();
        assert_eq!((limit().await, generation()), (json!(4), 1));
        host.reconfigure::<Orders>("limit = 5\nshop = 'https://other.example'")
            .await
            .unwrap();
        assert_eq!((limit().await, generation()), (json!(5), 2));
    }
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        host.get("/orders/panics").as_user("ann").await.expect(500);
        host.get("/orders/limit").await.expect(200);
    }
}

#[tokio::test]
async fn what_the_operator_does_not_grant_is_refused_by_name() {
    for carrier in Carrier::ALL {
        let host = TestHost::new()
            .plugin::<Orders>(())
            .capabilities::<Orders>(&["http:{shop}", "jobs"])
            .carrier(carrier)
            .start()
            .await;
        let work = host.fire("count").await;
        assert!(work.dead().contains("has no capability `kv`"), "{work}");
        assert!(work.dead().contains("[plugins.orders]"), "{work}");
    }
}
