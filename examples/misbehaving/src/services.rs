//! Uses every service of the host once, and tells what each one said.

use jackfield_sdk::prelude::*;
use serde_json::{Map, Value};

use crate::{BUILD, Misbehaving};

pub(crate) fn routes(routes: &mut Routes<Misbehaving>) {
    routes
        .add(routes!(services))
        .add(routes!(enqueue))
        .add(routes!(signals))
        .add(routes!(goes))
        .add(routes!(notes));
}

/// Uses every service; `ok`, or what it said, by service.
#[utoipa::path(post, path = "/misbehaving/services", security(()), responses((status = 200, body = Value)))]
async fn services(plugin: This<Misbehaving>) -> Json<Value> {
    let said = [
        ("http", plugin.http().await),
        ("kv", plugin.kv().await),
        ("pubsub", plugin.pubsub().await),
        ("vault", plugin.vault().await),
        ("database", plugin.database().await),
        ("jobs", plugin.queue().await),
        ("clock", plugin.clock()),
        ("blocking", plugin.blocking().await),
    ];
    let text = |said: Result<()>| said.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
    let said: Map<String, Value> = said
        .into_iter()
        .map(|(service, said)| (service.to_owned(), text(said).into()))
        .collect();
    Json(said.into())
}

fn wrong(what: &str) -> Result<()> {
    Err(Error::permanent(what.to_owned()))
}

impl Misbehaving {
    async fn http(&self) -> Result<()> {
        let answer = self
            .host
            .http()
            .post(self.settings.vendor.join("ask")?)
            .json("question")
            .await?;
        match answer.error_for_status()?.json::<String>()?.as_str() {
            "answer" => Ok(()),
            other => wrong(other),
        }
    }

    async fn kv(&self) -> Result<()> {
        let kv = self.host.kv();
        kv.set("color", &"red", None).await?;
        if kv.set_new("color", &"blue", Some(hours(1))).await? {
            return wrong("a key that is there was new");
        }
        let color: Option<String> = kv.get("color").await?;
        kv.delete("color").await?;
        match color.as_deref() {
            Some("red") if kv.get::<String>("color").await?.is_none() => Ok(()),
            _ => wrong("the value is another one"),
        }
    }

    async fn pubsub(&self) -> Result<()> {
        let mut heard = self.host.pubsub().subscribe("topic").await?;
        self.host.pubsub().publish("topic", "hello").await?;
        match heard.next().await? {
            Some(Received::Message(text)) if text == "hello" => Ok(()),
            _ => wrong("something else was heard"),
        }
    }

    async fn vault(&self) -> Result<()> {
        let vault = self.host.vault();
        vault.put("tenant", "key", &Secret::new("value")).await?;
        let got = vault.get("tenant", "key").await?;
        vault.delete("tenant", "key").await?;
        match got {
            Some(secret) if secret.expose() == "value" && vault.get("tenant", "key").await?.is_none() => Ok(()),
            _ => wrong("the secret is another one"),
        }
    }

    async fn database(&self) -> Result<()> {
        let database = self.host.database();
        let said: i64 = database
            .transaction(|tx| async move {
                tx.execute(sql("INSERT INTO note (said) VALUES ($1)").bind("hello"))
                    .await?;
                let count = tx.query_one("SELECT count(*) FROM note WHERE said = 'hello'").await?;
                Ok(count.unwrap_or(0))
            })
            .await?;
        let after: Option<i64> = database
            .query_one("SELECT count(*) FROM note WHERE said = 'hello'")
            .await?;
        if said > 0 && after == Some(said) {
            Ok(())
        } else {
            wrong("the note is not there")
        }
    }

    async fn queue(&self) -> Result<()> {
        let jobs = self.host.jobs();
        let options = JobOptions {
            key: Some("later".to_owned()),
            delay: days(1),
            ..JobOptions::default()
        };
        let id = jobs.enqueue_with("work", &"fine", options).await?;
        let before = jobs.cursor("services").await?;
        let sent = jobs.signal("services", &1).await?;
        match (sent > before, jobs.cancel(id).await?) {
            (true, true) => Ok(()),
            other => wrong(&format!("signalled, cancelled: {other:?}")),
        }
    }

    fn clock(&self) -> Result<()> {
        match self.host.clock().now().year() {
            2024.. => Ok(()),
            year => wrong(&format!("it is {year}")),
        }
    }

    async fn blocking(&self) -> Result<()> {
        let sum: u32 = self.host.blocking(|| (1..=10).sum()).await?;
        if sum == 55 {
            Ok(())
        } else {
            wrong("the sum is another one")
        }
    }
}

/// Enqueues `work`; the body says what it does.
#[utoipa::path(post, path = "/misbehaving/work", request_body = String, security(()), responses((status = 200, body = String), Problem))]
async fn enqueue(plugin: This<Misbehaving>, what: String) -> Result<String> {
    Ok(plugin.host.jobs().enqueue("work", &what).await?.to_string())
}

/// Signals whoever waits for the topic.
#[utoipa::path(post, path = "/misbehaving/signal", request_body = String, security(()), responses((status = 200, body = String), Problem))]
async fn signals(plugin: This<Misbehaving>, topic: String) -> Result<String> {
    Ok(plugin.host.jobs().signal(&topic, &BUILD).await?.to_string())
}

/// Lets a handler that waits `until told` go on.
#[utoipa::path(post, path = "/misbehaving/go", security(()), responses((status = 200, body = String), Problem))]
async fn goes(plugin: This<Misbehaving>) -> Result<&'static str> {
    plugin.host.kv().set("go", &true, None).await?;
    Ok(BUILD)
}

/// How many notes there are, and, in the next build, how many have an author.
#[utoipa::path(get, path = "/misbehaving/notes", security(()), responses((status = 200, body = Value), Problem))]
async fn notes(plugin: This<Misbehaving>) -> Result<Json<Value>> {
    let author = if cfg!(feature = "next") { "count(author)" } else { "0" };
    let counts: Option<(i64, i64)> = plugin
        .host
        .database()
        .query_one(format!("SELECT count(*), {author} FROM note"))
        .await?;
    Ok(Json(serde_json::to_value(counts)?))
}
