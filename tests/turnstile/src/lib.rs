//! A little of everything that a plugin does. Built twice, so that suites have two files of one plugin: each says which it is.

use std::{convert::Infallible, sync::RwLock, time::Duration};

use futures_util::{Stream, stream};
use jackfield_sdk::{
    axum::{
        body::Body,
        response::sse::{Event, Sse},
    },
    identity::AuditEntry,
    prelude::*,
    serde_json,
};

/// Which build this is.
pub const BUILD: &str = if cfg!(feature = "second") { "second" } else { "first" };

/// Time between two events of the stream.
const BEAT: Duration = Duration::from_millis(40);

/// Settings of the turnstile.
#[derive(Config)]
pub struct TurnstileConfig {
    /// Who counts those that pass.
    #[config(env = "TURNSTILE_COUNTER", egress, enables)]
    counter: Url,
    /// What a coin is signed with.
    #[config(env = "TURNSTILE_SECRET", enables)]
    secrets: SigningSecrets,
    /// What stands on it.
    #[config(default = "one at a time")]
    sign: String,
}

/// The plugin.
pub struct Turnstile {
    counter: Url,
    sign: RwLock<String>,
    http: Http,
    host: Host,
}

/// What `GET /turnstile` tells.
#[derive(Serialize, ToSchema)]
pub struct About {
    build: &'static str,
    sign: String,
}

/// What comes in.
#[derive(Deserialize)]
struct Coin {
    number: u64,
}

#[plugin(
    id = "turnstile",
    capabilities("http:{counter}", "identity:users", "identity:tokens", "audit")
)]
impl Plugin for Turnstile {
    type Config = TurnstileConfig;

    async fn create(config: TurnstileConfig, host: Host) -> Result<Self> {
        Ok(Self {
            counter: config.counter,
            sign: RwLock::new(config.sign),
            http: host.http(),
            host,
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(about)).add(routes!(slow));
        routes.add(routes!(events)).add(routes!(echo)).add(routes!(panics));
        routes.add(routes!(season)).add(routes!(lock));
        routes.add(routes!(git));
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        let signed = Verify::hmac_sha256("X-Coin-Signature")
            .prefix("sha256=")
            .secrets("secrets");
        hooks
            .at("/turnstile/coins")
            .name("coins")
            .verify(signed)
            .delivery_id(header("X-Coin-Id"))
            .handle(Self::coin);
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::ok())
    }

    async fn reconfigure(&self, config: TurnstileConfig) -> Result<Reconfigured> {
        if config.counter != self.counter {
            return Ok(Reconfigured::NeedsReload);
        }
        *self.sign.write().map_err(|_| Error::transient("the sign is broken"))? = config.sign;
        Ok(Reconfigured::Applied)
    }
}

/// Tells which build this is.
#[utoipa::path(get, path = "/turnstile", security(()), responses((status = 200, body = About), Problem))]
async fn about(turnstile: This<Turnstile>) -> Result<Json<About>> {
    let sign = turnstile
        .sign
        .read()
        .map_err(|_| Error::transient("the sign is broken"))?
        .clone();
    Ok(Json(About { build: BUILD, sign }))
}

/// Answers after a while.
#[utoipa::path(get, path = "/turnstile/slow/{ms}", security(()), responses((status = 200, body = String), Problem))]
async fn slow(_: This<Turnstile>, Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms.min(20_000))).await;
    BUILD.to_owned()
}

/// Sends events, some time apart.
#[utoipa::path(get, path = "/turnstile/events/{count}", security(()), responses((status = 200, body = String), Problem))]
async fn events(_: This<Turnstile>, Path(count): Path<u32>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(0, move |sent| async move {
        if sent >= count {
            return None;
        }
        tokio::time::sleep(BEAT).await;
        Some((Ok(Event::default().data(format!("{BUILD} {sent}"))), sent + 1))
    }))
}

/// Sends back what comes, as it comes.
#[utoipa::path(post, path = "/turnstile/echo", security(()), responses((status = 200, body = String), Problem))]
async fn echo(_: This<Turnstile>, body: Body) -> Body {
    body
}

/// Panics.
#[utoipa::path(get, path = "/turnstile/panics", responses((status = 200, body = String), Problem))]
async fn panics(turnstile: This<Turnstile>) -> String {
    assert!(turnstile.sign.is_poisoned(), "the turnstile panics, as it was asked to");
    String::new()
}

/// Who may pass all year.
#[derive(Serialize, ToSchema)]
pub struct Season {
    who: String,
    email: Option<String>,
    organization: String,
}

/// Tells the person who calls what the host knows of them.
#[utoipa::path(get, path = "/turnstile/season", responses((status = 200, body = Season), Problem))]
async fn season(turnstile: This<Turnstile>, who: Person) -> Result<Json<Season>> {
    let user = turnstile.host.identity().user(&who.id).await?;
    let user = user.ok_or_else(|| Error::refused(StatusCode::NOT_FOUND, "nobody knows you"))?;
    Ok(Json(Season {
        who: user.username,
        email: user.email,
        organization: who.organization,
    }))
}

/// The token of whoever calls at a git provider. A real plugin uses it and shows it to nobody.
#[utoipa::path(get, path = "/turnstile/git/{provider}", responses((status = 200, body = Object), Problem))]
async fn git(turnstile: This<Turnstile>, who: Person, Path(provider): Path<String>) -> Result<Json<serde_json::Value>> {
    let token = turnstile.host.identity().provider_token(&who.id, &provider).await?;
    let token = token.ok_or_else(|| Error::refused(StatusCode::NOT_FOUND, "you have no token there"))?;
    Ok(Json(
        serde_json::json!({ "token": token.token.expose(), "expires_ms": token.expires_ms }),
    ))
}

/// Locks it, which is remembered.
#[utoipa::path(post, path = "/turnstile/lock", security(("session" = ["turnstile:lock"])), responses((status = 204, description = "Locked"), Problem))]
async fn lock(turnstile: This<Turnstile>, who: Principal) -> Result<NoContent> {
    let entry = AuditEntry {
        actor: who.id,
        action: "turnstile.locked".to_owned(),
        target: "turnstile".to_owned(),
        address: None,
        detail: serde_json::json!({ "build": BUILD }),
    };
    turnstile.host.audit().record(entry).await?;
    Ok(NoContent)
}

impl Turnstile {
    /// Tells the counter twice, each in a step of its own.
    async fn coin(&self, run: Run, Json(coin): Json<Coin>) -> Result<Outcome> {
        let number = coin.number;
        run.step("count", |attempt| self.tell("count", number, attempt)).await?;
        run.step("open", |attempt| self.tell("open", number, attempt)).await?;
        Ok(Outcome::done(format!("{number} passed")))
    }

    async fn tell(&self, what: &str, number: u64, attempt: Attempt) -> Result<()> {
        let url = self.counter.join(&format!("{what}/{number}"))?;
        let told = self.http.post(url).header("Idempotency-Key", attempt.key());
        told.await?.error_for_status()?;
        Ok(())
    }
}
