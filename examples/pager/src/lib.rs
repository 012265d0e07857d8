//! Rings a pager: people call POST /pager/ring, and the vendor tells us over a signed webhook when it was answered.

#![forbid(unsafe_code)]

use jackfield_sdk::prelude::*;

/// Settings of the pager.
#[derive(Config)]
pub struct PagerConfig {
    /// Channel that is rung.
    #[config(default = "#ops", env = "PAGER_CHANNEL")]
    channel: String,
    /// Where the vendor's API lives; the operator's value is also the egress grant.
    #[config(default = "https://api.pager.example", env = "PAGER_URL", egress)]
    api: Url,
    /// Secrets the vendor signs with; the plugin turns itself on when there is one.
    #[config(env = "PAGER_SECRET", enables)]
    secrets: SigningSecrets,
}

/// The plugin.
pub struct Pager {
    config: PagerConfig,
    http: Http,
}

/// What `POST /pager/ring` takes.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Ring {
    /// What the person sees.
    text: String,
}

/// What the vendor is told.
#[derive(Serialize)]
struct Message<'m> {
    channel: &'m str,
    who: &'m str,
    text: &'m str,
}

/// What the vendor sends.
#[derive(Deserialize)]
pub struct Answered {
    incident: String,
    by: String,
}

#[plugin(id = "pager", capabilities("http:{api}"))]
impl Plugin for Pager {
    type Config = PagerConfig;

    async fn create(config: PagerConfig, host: Host) -> Result<Self> {
        Ok(Self {
            http: host.http(),
            config,
        })
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(ring));
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks
            .at("/pager/events")
            .name("answered")
            .verify(Verify::hmac_sha256("X-Pager-Signature").secrets("secrets"))
            .delivery_id(header("X-Pager-Delivery"))
            .tenant(json("/account/id"))
            .lane(json("/incident"))
            .retry(Retry::within(minutes(15)))
            .on_dead(Self::sorry)
            .handle(Self::answered);
    }

    async fn health(&self) -> Result<Health> {
        Ok(self.http.get(self.config.api.join("ping")?).await.into())
    }
}

/// Rings the pager.
#[utoipa::path(post, path = "/pager/ring", request_body = Ring, responses((status = 204, description = "It rings"), Problem))]
async fn ring(pager: This<Pager>, who: Principal, Json(body): Json<Ring>) -> Result<NoContent> {
    let message = Message {
        channel: &pager.config.channel,
        who: &who.id,
        text: &body.text,
    };
    pager
        .http
        .post(pager.config.api.join("ring")?)
        .json(&message)
        .await?
        .error_for_status()?;
    Ok(NoContent)
}

impl Pager {
    async fn answered(&self, run: Run, Json(event): Json<Answered>) -> Result<Outcome> {
        run.step("note", |attempt| self.note(&event, attempt)).await?;
        Ok(Outcome::done(format!("{} answered by {}", event.incident, event.by)))
    }

    async fn note(&self, event: &Answered, attempt: Attempt) -> Result<()> {
        let url = self.config.api.join(&format!("incidents/{}/notes", event.incident))?;
        let note = Message {
            channel: &self.config.channel,
            who: &event.by,
            text: "answered",
        };
        self.http
            .post(url)
            .header("Idempotency-Key", attempt.key())
            .json(&note)
            .await?
            .error_for_status()?;
        Ok(())
    }

    async fn sorry(&self, run: Run, death: Death<Json<Answered>>) -> Result<Outcome> {
        let text = death.for_people().to_owned();
        let Json(event) = death.event;
        let url = self.config.api.join(&format!("incidents/{}/notes", event.incident))?;
        run.step("sorry", |attempt| async move {
            let note = Message {
                channel: &self.config.channel,
                who: "jackfield",
                text: &text,
            };
            self.http
                .post(url)
                .header("Idempotency-Key", attempt.key())
                .json(&note)
                .await?
                .error_for_status()?;
            Ok(())
        })
        .await?;
        Ok(Outcome::done("told"))
    }
}
