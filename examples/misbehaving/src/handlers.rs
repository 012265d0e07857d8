//! Webhooks and a job whose payload says what they do.

use std::time::Duration;

use bytes::Bytes;
use jackfield_sdk::{axum::http::HeaderMap, prelude::*};

use crate::{Alive, BUILD, Misbehaving, touch};

pub(crate) fn webhooks(hooks: &mut Webhooks<Misbehaving>) {
    let signed = || Verify::hmac_sha256("X-Signature");
    hooks
        .at("/misbehaving/hook")
        .name("hook")
        .verify(signed().secrets("secrets"))
        .retry(Retry::within(minutes(15)))
        .handle(Misbehaving::work);
    hooks
        .at("/misbehaving/own")
        .name("own")
        .verify_with(Misbehaving::own)
        .handle(Misbehaving::work);
    hooks
        .at("/misbehaving/keyed")
        .name("keyed")
        .verify(signed())
        .secrets_for(header("X-Sender"), Misbehaving::secrets_of)
        .handle(Misbehaving::work);
}

pub(crate) fn jobs(jobs: &mut Jobs<Misbehaving>) {
    jobs.job("work")
        .retry(Retry::within(minutes(15)))
        .handle(Misbehaving::work);
}

impl Misbehaving {
    /// The sender knows the word.
    async fn own(&self, headers: HeaderMap, _body: Bytes) -> Result<bool> {
        self.deeds.at("verify").await?;
        touch(&self.host, "verify").await?;
        Ok(headers.get("x-word").is_some_and(|word| word == "sesame"))
    }

    /// A sender's secret is its name, twice.
    async fn secrets_of(&self, sender: String) -> Result<SigningSecrets> {
        self.deeds.at("secrets").await?;
        touch(&self.host, "secrets").await?;
        Ok(SigningSecrets::one(format!("{sender}-{sender}")))
    }

    async fn work(&self, run: Run, Json(what): Json<String>) -> Result<Outcome> {
        let began: String = run
            .step("begin", |_| async {
                self.host.kv().set("begun", &what, None).await?;
                Ok(BUILD.to_owned())
            })
            .await?;
        match what.as_str() {
            "panic once" if run.attempt() == 1 => {
                tokio::task::yield_now().await;
                panic!("misbehaving panics in a handler")
            }
            "panic" => panic!("misbehaving panics in a handler"),
            "touch" => touch(&self.host, "handler").await?,
            "until told" => self.until_told().await?,
            "wait" => {
                let end = Signal::<String>::of("end");
                run.wait("told", end, days(1)).await?;
            }
            _ => {}
        }
        let ended = run.step("end", |_| async { Ok(BUILD.to_owned()) }).await?;
        Ok(Outcome::done(format!("{what}: {began}, {ended}")))
    }

    /// Goes on when the key `go` is set, by whichever build.
    async fn until_told(&self) -> Result<()> {
        let _alive = Alive::new(&self.counts, |counts| &counts.open);
        while self.host.kv().get::<bool>("go").await? != Some(true) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
