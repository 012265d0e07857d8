//! Follows the parcels of a shop: the carrier tells over a signed webhook that one moved, people ask where it is.
//!
//! It uses every service that a host gives a plugin, and is built the way a third party builds: see `Cargo.toml`.

mod label;
mod parcel;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jackfield_sdk::prelude::*;

use crate::parcel::{Move, Parcel};

/// Settings: `[plugins.parcels.config]` in `plugins.toml`.
#[derive(Config)]
pub struct ParcelsConfig {
    /// Where the carrier's API lives.
    #[config(default = "https://carrier.example", env = "PARCELS_API", egress)]
    api: Url,
    /// Secrets that the carrier signs with; the plugin turns itself on when there is one.
    #[config(env = "PARCELS_SECRET", enables)]
    secrets: SigningSecrets,
    /// How often parcels that have arrived are put away.
    #[config(default = 3600)]
    tidy_after: Seconds,
}

/// The plugin.
pub struct Parcels {
    config: ParcelsConfig,
    host: Host,
    heard: Arc<AtomicU64>,
}

#[plugin(
    id = "parcels",
    capabilities("database", "kv", "pubsub", "jobs", "vault", "http:{api}"),
    migrations = "migrations"
)]
impl Plugin for Parcels {
    type Config = ParcelsConfig;

    async fn create(config: ParcelsConfig, host: Host) -> Result<Self> {
        let heard = Arc::new(AtomicU64::new(0));
        // Ends with the generation. Other replicas publish too: what they say is heard here.
        host.spawn(listen(host.clone(), Arc::clone(&heard)));
        Ok(Self { config, host, heard })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes
            .add(routes!(overview))
            .add(routes!(whereabouts))
            .add(routes!(keep_token));
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks
            .at("/parcels/events")
            .name("moved")
            .verify(
                Verify::hmac_sha256("X-Carrier-Signature")
                    .prefix("sha256=")
                    .secrets("secrets"),
            )
            .delivery_id(header("X-Carrier-Delivery"))
            .tenant(json("/shop"))
            .lane(json("/parcel"))
            .event(json("/state"))
            .retry(Retry::within(minutes(15)))
            .handle(Self::moved);
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("tell").retry(Retry::within(hours(1))).handle(Self::tell);
        jobs.every("tidy", seconds(5)).handle(Self::tidy);
    }

    async fn health(&self) -> Result<Health> {
        self.host.database().query("SELECT 1").await?;
        Ok(Health::ok())
    }
}

/// Counts what is announced, with a timer of this file's own tokio.
async fn listen(host: Host, heard: Arc<AtomicU64>) {
    loop {
        match host.pubsub().subscribe("moves").await {
            Ok(mut moves) => {
                while let Ok(Some(received)) = moves.next().await {
                    match received {
                        Received::Message(parcel) => {
                            tracing::info!(parcel = %String::from_utf8_lossy(&parcel), "heard of a move");
                            heard.fetch_add(1, Ordering::Relaxed);
                        }
                        Received::Missed(some) => tracing::warn!(some, "missed some moves"),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot listen; trying again"),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// What the shop has.
#[derive(Serialize, ToSchema)]
struct Overview {
    /// Parcels that are known.
    parcels: i64,
    /// Moves that this instance heard of.
    heard: u64,
    /// When the last one moved, in milliseconds since the Unix epoch.
    last_moved_ms: Option<i64>,
    /// How often `tidy` ran.
    tidied: u64,
}

/// What there is.
#[utoipa::path(get, path = "/parcels", security(()), responses((status = 200, body = Overview), Problem))]
async fn overview(this: This<Parcels>) -> Result<Json<Overview>> {
    let database = this.host.database();
    let (parcels, last_moved_ms) = database
        .query_one(sql("SELECT count(*), max(moved_ms) FROM parcel"))
        .await?
        .unwrap_or((0, None));
    Ok(Json(Overview {
        parcels,
        heard: this.heard.load(Ordering::Relaxed),
        last_moved_ms,
        tidied: this.host.kv().get("tidied").await?.unwrap_or(0),
    }))
}

/// Says where a parcel is.
#[utoipa::path(get, path = "/parcels/{id}", security(()), responses((status = 200, body = Parcel), Problem))]
async fn whereabouts(this: This<Parcels>, Path(id): Path<String>) -> Result<Json<Parcel>> {
    let (kv, metrics) = (this.host.kv(), this.host.metrics());
    let cached = format!("parcel/{id}");
    if let Some(parcel) = kv.get(&cached).await? {
        metrics.count("asked_total", &[("from", "cache")], 1);
        return Ok(Json(parcel));
    }
    let found = parcel::find(&this.host.database(), &id).await?;
    let parcel = found.ok_or_else(|| Error::refused(StatusCode::NOT_FOUND, format!("there is no parcel `{id}`")))?;
    kv.set(&cached, &parcel, Some(minutes(5))).await?;
    metrics.count("asked_total", &[("from", "database")], 1);
    Ok(Json(parcel))
}

/// A shop's key for the carrier's API.
#[derive(Deserialize, ToSchema)]
struct Token {
    /// The key.
    token: String,
}

/// Keeps a shop's key, encrypted. Only people with the scope may.
#[utoipa::path(
    put,
    path = "/parcels/shops/{shop}/token",
    security(("session" = ["parcels:admin"])),
    request_body = Token,
    responses((status = 204, description = "Kept"), Problem)
)]
async fn keep_token(this: This<Parcels>, Path(shop): Path<String>, Json(token): Json<Token>) -> Result<NoContent> {
    this.host.vault().put(&shop, "token", &Secret::new(token.token)).await?;
    Ok(NoContent)
}

impl Parcels {
    /// A parcel moved. Each effect is a step: done once, also when the process dies between two of them.
    async fn moved(&self, run: Run, Json(event): Json<Move>) -> Result<Outcome> {
        let id = event.parcel.clone();
        let digits = run
            .step("check digits", |_| async {
                let text = format!("{}/{}", event.shop, event.parcel);
                self.host.blocking(move || label::check_digits(&text)).await
            })
            .await?;
        let now_ms = self.host.clock().now().unix_timestamp() * 1000;
        let moves = run
            .step("record", |_| parcel::record(&self.host, &event, &digits, now_ms))
            .await?;
        run.step("forget", |_| async {
            self.host.kv().delete(&format!("parcel/{id}")).await
        })
        .await?;
        run.step("announce", |_| async {
            self.host.pubsub().publish("moves", event.parcel.clone()).await
        })
        .await?;
        if event.state == "arrived" {
            run.step("tell", |attempt| async move {
                let once = JobOptions {
                    key: Some(attempt.key().to_owned()),
                    ..JobOptions::default()
                };
                self.host.jobs().enqueue_with("tell", &event, once).await?;
                Ok(())
            })
            .await?;
        }
        self.host.metrics().gauge("moves_of_last", &[], moves as f64);
        Ok(Outcome::done(format!("move {moves} of {id} ({digits})")))
    }

    /// Tells the carrier that the shop's customer has the parcel.
    async fn tell(&self, run: Run, Json(event): Json<Move>) -> Result<Outcome> {
        run.step("confirm", |attempt| self.confirm(&event, attempt)).await?;
        Ok(Outcome::done(format!("confirmed {} to the carrier", event.parcel)))
    }

    async fn confirm(&self, event: &Move, attempt: Attempt) -> Result<()> {
        let token = self.host.vault().get(&event.shop, "token").await?;
        let token = token.ok_or_else(|| Error::permanent(format!("shop `{}` has no token", event.shop)))?;
        let url = self.config.api.join(&label::path_of(&event.parcel)?)?;
        let request = self
            .host
            .http()
            .post(url)
            .bearer(&token)
            .header("Idempotency-Key", attempt.key());
        let began = self.host.clock().now();
        request.json(event).await?.error_for_status()?;
        let took = self.host.clock().now() - began;
        self.host
            .metrics()
            .record("confirm_seconds", &[], took.as_seconds_f64());
        Ok(())
    }

    /// Puts away what arrived long ago.
    async fn tidy(&self, run: Run, (): ()) -> Result<Outcome> {
        let before = self.host.clock().now() - std::time::Duration::from(self.config.tidy_after);
        let gone = run
            .step("put away", |_| {
                parcel::put_away(self.host.database(), before.unix_timestamp() * 1000)
            })
            .await?;
        run.step("count", |_| async {
            let times: u64 = self.host.kv().get("tidied").await?.unwrap_or(0);
            self.host.kv().set("tidied", &(times + 1), None).await
        })
        .await?;
        match gone {
            0 => Ok(Outcome::ignored("nothing arrived long ago")),
            some => Ok(Outcome::done(format!("put {some} away"))),
        }
    }
}
