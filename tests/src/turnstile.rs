//! A host with the turnstile (`tests/turnstile`) in a shared library, and what suites do with it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    carrier::{entry, library, place},
    counter::Counter,
    host::{Host, Setup, binary},
    scratch::Scratch,
    sign,
};

/// What coins are signed with.
pub const SECRET: &str = "a coin has two sides";
/// What the turnstile may use.
pub const CAPABILITIES: [&str; 4] = ["http:{counter}", "identity:users", "identity:tokens", "audit"];
/// Until a changed file is taken, or refused.
const SOON: Duration = Duration::from_secs(30);

/// Both builds of the turnstile; none, with the reason printed, when the suites run without them.
pub fn builds() -> Option<[PathBuf; 2]> {
    binary()?;
    Some([library("turnstile")?, library("turnstile-second")?])
}

/// A running host with the turnstile in a file of its own.
pub struct Site {
    /// The host.
    pub host: Host,
    /// Who is told of coins.
    pub counter: Counter,
    /// The file that `plugins.toml` names.
    pub file: PathBuf,
    /// Its directory.
    pub scratch: Scratch,
}

impl Site {
    /// Starts one on a copy of `build`.
    pub async fn start(name: &str, build: &Path) -> Self {
        let (scratch, counter) = (Scratch::new(name), Counter::start().await);
        let file = scratch.0.join("turnstile.so");
        place(&std::fs::read(build).unwrap(), &file);
        let toml = entry("turnstile", Path::new("turnstile.so"), &CAPABILITIES);
        std::fs::write(scratch.0.join("plugins.toml"), toml).unwrap();
        let host = setup(&scratch, &counter).start().await;
        Self {
            host,
            counter,
            file,
            scratch,
        }
    }

    /// The build that answers.
    pub async fn build(&self) -> String {
        let answer = self.host.client.get(self.host.url("/turnstile")).send().await.unwrap();
        let status = answer.status();
        let about: Value = answer.json().await.unwrap_or_default();
        assert_eq!(status, 200, "{about}: {}", self.host.log_end());
        about["build"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this build answers.
    pub async fn await_build(&self, build: &str) {
        let begun = Instant::now();
        while self.build().await != build {
            assert!(
                begun.elapsed() < SOON,
                "the {build} build does not come: {}",
                self.host.log_end()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until its file is refused, with this in the reason.
    pub async fn await_refusal(&self, why: &str) {
        let begun = Instant::now();
        loop {
            let rows = self.host.admin("/plugins").await;
            let row = rows
                .as_array()
                .unwrap()
                .iter()
                .find(|row| row["id"] == "turnstile")
                .unwrap();
            if row["state"] == "refused" && row["reason"].as_str().unwrap().contains(why) {
                return;
            }
            assert!(
                begun.elapsed() < SOON,
                "it is not refused with `{why}` but {row}: {}",
                self.host.log_end()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A new generation, by the admin API.
    pub async fn reload(&self) -> (u16, Value) {
        self.host.admin_post("/plugins/turnstile/reload", &json!({})).await
    }

    /// Puts a coin in; the status.
    pub async fn coin(&self, number: usize) -> u16 {
        coin(&self.host.client, &self.host.url("/turnstile/coins"), number).await
    }

    /// The value of a gauge or counter of the turnstile; 0 while there is none.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.host.metrics().await;
        let wanted = format!("{name}{{plugin=\"turnstile\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&wanted));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until no replaced generation is left.
    pub async fn await_one_generation(&self) {
        let begun = Instant::now();
        loop {
            let generations = self.metric("jackfield_plugin_generations").await;
            if generations == 1 {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{generations} generations do not retire: {}",
                self.host.log_end()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A host whose turnstile is on.
pub fn setup(scratch: &Scratch, counter: &Counter) -> Setup {
    Setup::plain(scratch.0.clone())
        .with("TURNSTILE_COUNTER", &counter.url)
        .with("TURNSTILE_SECRET", SECRET)
}

/// Sends a signed coin; the status.
pub async fn coin(client: &reqwest::Client, url: &str, number: usize) -> u16 {
    let body = json!({ "number": number }).to_string().into_bytes();
    let sent = client
        .post(url)
        .header("x-coin-id", format!("coin-{number}"))
        .header("x-coin-signature", sign::hub_signature(SECRET, &body))
        .body(body)
        .send()
        .await;
    sent.unwrap().status().as_u16()
}
