//! A plugin that misbehaves where it is told to (`examples/misbehaving`), loaded as a real shared library by the shipped
//! host: what it does wrong is nobody else's trouble, and what it does right works as it does compiled in.

mod database;
mod in_process;
mod layout;
mod observed;
mod panics;
mod releases;
mod services;
mod streams;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use jackfield_tests::{
    carrier,
    host::{Host, Setup, binary},
    scratch::{Scratch, free_address},
    sign,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
/// What `examples/misbehaving` signs with unless it is told otherwise.
const SECRET: &str = "a signature of the misbehaving plugin";
/// Everything that it asks for.
const ALL: [&str; 6] = ["http:{vendor}", "database", "kv", "pubsub", "jobs", "vault"];

/// Whether host and plugin were built; the reason why not is printed.
fn ready() -> bool {
    binary().is_some() && carrier::library("misbehaving").is_some()
}

fn library() -> PathBuf {
    carrier::library("misbehaving").expect("`ready` was asked")
}

/// The next release of it.
fn next_library() -> PathBuf {
    carrier::library("misbehaving-next").expect("`ready` was asked")
}

/// A copy of a plugin's file with a text of its manifest replaced by one of the same length.
fn patched(file: &Path, from: &str, to: &str, copy: &Path) {
    assert_eq!(from.len(), to.len());
    let mut content = std::fs::read(file).unwrap();
    let at = content.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("`{from}` is not in {}", file.display()));
    content[at..at + to.len()].copy_from_slice(to.as_bytes());
    carrier::place(&content, copy);
}

/// A host's directory with `plugins.toml` and the plugin's file.
struct Place {
    scratch: Scratch,
    capabilities: Vec<&'static str>,
    /// Lines of `[plugins.misbehaving.config]`.
    config: String,
    vendor: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let place = Self {
            scratch: Scratch::new(name),
            capabilities: ALL.to_vec(),
            config: String::new(),
            vendor: format!("http://{}", free_address()),
        };
        place.put(&library());
        place.configure("");
        place
    }

    fn file(&self) -> PathBuf {
        self.scratch.0.join("misbehaving.so")
    }

    /// Puts a build in the plugin's place, as a careful operator does: the name is given to a complete file.
    fn put(&self, library: &Path) {
        carrier::place(&std::fs::read(library).unwrap(), &self.file());
    }

    /// Writes `plugins.toml`. `wrong` are deeds such as `panic:health`, separated by commas.
    fn configure(&self, wrong: &str) {
        let wrong: Vec<&str> = wrong.split(',').filter(|deed| !deed.is_empty()).collect();
        let text = format!(
            "[plugins.misbehaving]\nenabled = true\ncarrier = \"dylib\"\npath = \"misbehaving.so\"\ncapabilities = {}\n\
             [plugins.misbehaving.config]\nwrong = {}\nvendor = \"{}\"\n{}\n",
            json!(self.capabilities),
            json!(wrong),
            self.vendor,
            self.config
        );
        let beside = self.scratch.0.join("plugins.toml.new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, self.scratch.0.join("plugins.toml")).unwrap();
    }

    /// Generations are counted here, so nobody else makes some.
    fn setup(&self) -> Setup {
        Setup::plain(self.scratch.0.clone()).without("JACKFIELD_TEST_CHAOS_RELOAD_MS")
    }

    async fn start(&self) -> Plugin {
        Plugin(self.setup().start().await)
    }

    /// Answers what the plugin asks outside.
    async fn serve_vendor(&self) {
        let listener = tokio::net::TcpListener::bind(self.vendor.trim_start_matches("http://"))
            .await
            .unwrap();
        let router = Router::new().route("/ask", post(async || Json("answer")));
        tokio::spawn(async { axum::serve(listener, router).await });
    }
}

/// A running host with the plugin.
struct Plugin(Host);

impl std::ops::Deref for Plugin {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Plugin {
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self
            .client
            .get(self.url(&format!("/misbehaving/{path}")))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let request = self
            .client
            .post(self.url(&format!("/misbehaving/{path}")))
            .body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// It answers, and so does the host.
    async fn is_fine(&self) {
        assert_eq!(self.get("fine").await.0, 200, "{}", self.log_end());
        assert_eq!(self.probe("/livez").await, Some(200));
    }

    /// What is alive in the current instance.
    async fn alive(&self, what: &str) -> i64 {
        let (status, text) = self.get("alive").await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()[what].as_i64().unwrap()
    }

    async fn until_alive(&self, what: &str, count: i64) {
        self.until(&format!("{count} {what}"), async || self.alive(what).await == count)
            .await;
    }

    /// The plugin's row.
    async fn row(&self) -> Value {
        self.row_of("misbehaving").await
    }

    async fn row_of(&self, id: &str) -> Value {
        let rows = self.admin("/plugins").await;
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == id);
        row.unwrap().clone()
    }

    async fn generation(&self) -> u64 {
        self.row().await["generation"].as_u64().unwrap()
    }

    /// Waits until something holds.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(
                begun.elapsed() < SOON,
                "not within {SOON:?}: {what}: {}",
                self.log_end()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_logged(&self, what: &str) {
        self.until(what, async || self.log().contains(what)).await;
    }

    async fn until_metric(&self, line: &str) {
        self.until(line, async || self.metrics().await.lines().any(|one| one == line))
            .await;
    }

    /// Lines of the log that the plugin wrote, or that are about it.
    fn lines(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["plugin"] == "misbehaving").collect()
    }

    /// Sends a delivery that says what its handler does.
    async fn deliver(&self, what: &str) -> u16 {
        let body = json!(what).to_string();
        let signature = sign::hub_signature(SECRET, body.as_bytes());
        let request = self.client.post(self.url("/misbehaving/hook"));
        let request = request.header("x-signature", signature.trim_start_matches("sha256="));
        request.body(body).send().await.unwrap().status().as_u16()
    }

    /// Summary of the one job or delivery that is done.
    async fn ended(&self, kind: &str) -> Value {
        let begun = Instant::now();
        loop {
            let rows = self.admin("/deliveries?limit=100").await;
            let rows = rows["deliveries"].as_array().unwrap();
            let row = rows.iter().find(|row| row["kind"] == kind && row["state"] == "done");
            if let Some(row) = row {
                return self
                    .admin(&format!("/deliveries/{}", row["id"].as_str().unwrap()))
                    .await;
            }
            assert!(begun.elapsed() < SOON, "nothing is done: {rows:?}: {}", self.log_end());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
