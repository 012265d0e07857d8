//! The shipped binary as a child process on free ports and a scratch directory.

use std::{
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    carrier::{self, Carrier},
    process,
    scratch::free_address,
    sign,
};

/// Secret that deliveries are signed with.
pub const SECRET: &str = "it is a secret to everybody";
/// Operator key.
pub const OPERATOR: &str = "operator-key-of-the-end-to-end-suites-0123456789";
/// Switches the host's own reloads at random on; see CONTRIBUTING.
const CHAOS: &str = "JACKFIELD_TEST_CHAOS_RELOAD_MS";
/// Longest time until a started host is ready.
const READY: Duration = Duration::from_secs(45);
/// Longest time of a command that is not `serve`.
const COMMAND: Duration = Duration::from_secs(120);

/// The binary under test; none when the suites run without it.
pub fn binary() -> Option<PathBuf> {
    let binary = std::env::var_os("JACKFIELD_TEST_HOST_BIN").map(PathBuf::from);
    if binary.is_none() {
        println!("skipped: JACKFIELD_TEST_HOST_BIN is not set; `cargo xtask test` sets it");
    }
    // Tests run in their crate's directory, whoever set the variable did so in the repository's.
    binary.map(|path| match path.exists() {
        true => std::fs::canonicalize(path).unwrap(),
        false => std::fs::canonicalize(PathBuf::from("..").join(&path))
            .unwrap_or_else(|error| panic!("JACKFIELD_TEST_HOST_BIN `{}`: {error}", path.display())),
    })
}

/// Heavy suites in full size.
pub fn long() -> bool {
    std::env::var_os("JACKFIELD_TEST_LONG").is_some()
}

/// Whether hosts reload their plugins at random all the while (`cargo xtask test --chaos`).
pub fn chaos() -> bool {
    std::env::var_os(CHAOS).is_some()
}

/// How to start a host.
#[derive(Clone)]
pub struct Setup {
    /// Working directory.
    pub directory: PathBuf,
    /// Program; the shipped binary unless a test says otherwise.
    pub program: PathBuf,
    /// Main listener.
    pub listen: String,
    /// Admin listener.
    pub admin: String,
    /// More variables.
    pub variables: Vec<(String, String)>,
}

impl Setup {
    /// In `directory`, with nothing but an operator key.
    pub fn plain(directory: PathBuf) -> Self {
        // With `--chaos` the host reloads its plugins at random all the while.
        let chaos = std::env::var(CHAOS).ok().map(|pause| (CHAOS.to_owned(), pause));
        let key = ("JACKFIELD_OPERATOR_KEY".to_owned(), OPERATOR.to_owned());
        Self {
            directory,
            program: binary().expect("the binary is there"),
            listen: free_address(),
            admin: free_address(),
            variables: std::iter::once(key).chain(chaos).collect(),
        }
    }

    /// In `directory`, with the GitHub plugin on and its API at `api`.
    pub fn new(directory: PathBuf, api: &str, private_key: &str) -> Self {
        Self::plain(directory)
            .with("GITHUB_APP_CLIENT_ID", "Iv1.endtoend")
            .with("GITHUB_APP_PRIVATE_KEY", private_key)
            .with("GITHUB_APP_WEBHOOK_SECRET", SECRET)
            .with("GITHUB_API_URL", api)
    }

    /// With the GitHub plugin on this carrier.
    pub fn carried(self, carrier: Carrier) -> Self {
        if carrier == Carrier::Dylib {
            std::fs::write(self.directory.join("plugins.toml"), carrier::github()).unwrap();
        }
        self
    }

    /// Another variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On a machine whose clock is off by `seconds`. Not without `JACKFIELD_TEST_FAKETIME`.
    pub fn clock_off_by(self, seconds: i64) -> Self {
        match std::env::var("JACKFIELD_TEST_FAKETIME") {
            Ok(library) => self
                .with("LD_PRELOAD", &library)
                .with("FAKETIME", &format!("{seconds:+}s"))
                .with("DONT_FAKE_MONOTONIC", "1"),
            Err(_) => {
                println!("on this machine's time: JACKFIELD_TEST_FAKETIME is not set; `cargo xtask test` sets it");
                self
            }
        }
    }

    /// Without a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// A command of the binary in this set-up.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.directory).env_clear();
        command
            .env("JACKFIELD_LISTEN", &self.listen)
            .env("JACKFIELD_ADMIN_LISTEN", &self.admin);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts `serve` and waits until it is ready.
    pub async fn start(&self) -> Host {
        let mut host = self.launch();
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if host.ready().await {
                return host;
            }
            if let Some(status) = host.child.try_wait().unwrap() {
                panic!("the host ended with {status} before it was ready: {}", host.log_end());
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("the host is not ready after {READY:?}: {}", host.log_end());
    }

    /// Starts `serve` and does not wait.
    pub fn launch(&self) -> Host {
        let append = |path| std::fs::File::options().create(true).append(true).open(path).unwrap();
        let log = append(self.log_file());
        let child = self
            .command(&["serve"])
            .stdout(append(self.out_file()))
            .stderr(log)
            .spawn()
            .unwrap();
        Host {
            setup: self.clone(),
            child,
            client: client(),
        }
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        process::run(self.command(arguments), COMMAND)
    }

    /// [`Setup::run`] while other tasks go on.
    pub async fn run_aside(&self, arguments: &[&str]) -> (i32, String, String) {
        let command = self.command(arguments);
        tokio::task::spawn_blocking(move || process::run(command, COMMAND))
            .await
            .unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.directory
            .join(format!("host-{}.log", self.listen.replace(':', "-")))
    }

    fn out_file(&self) -> PathBuf {
        self.directory.join("out.log")
    }
}

/// A client that talks to 127.0.0.1 and never waits for ever.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// A running host, killed when dropped.
pub struct Host {
    /// How it was started.
    pub setup: Setup,
    /// The process.
    pub child: Child,
    /// A client.
    pub client: reqwest::Client,
}

impl Host {
    /// An address on the main listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.setup.listen)
    }

    /// Where GitHub delivers.
    pub fn hook(&self) -> String {
        self.url("/integration/github/events")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.setup.log_file()).unwrap_or_default()
    }

    /// What it printed for people.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.setup.out_file()).unwrap_or_default()
    }

    /// The last lines of what it logged, for a failure's message.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\"access\"")).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Whether `/readyz` says yes.
    pub async fn ready(&self) -> bool {
        self.probe("/readyz").await == Some(200)
    }

    /// The status of a path on the admin listener; none when nobody answers.
    pub async fn probe(&self, path: &str) -> Option<u16> {
        let asked = self
            .client
            .get(format!("http://{}{path}", self.setup.admin))
            .timeout(Duration::from_secs(5))
            .send()
            .await;
        asked.ok().map(|answer| answer.status().as_u16())
    }

    /// Prometheus text.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.setup.admin);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        process::signal(self.child.id(), name);
    }

    /// Waits for its end; the exit code.
    pub async fn ended(&mut self, within: Duration) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(
                begun.elapsed() < within,
                "the host has not ended after {within:?}: {}",
                self.log_end()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a signed GitHub delivery; the status, or none when the connection broke.
    pub async fn deliver(&self, id: &str, event: &str, body: Vec<u8>) -> Option<u16> {
        let request = sign::hub(self.client.post(self.hook()), SECRET, id, event, body);
        let sent = request.timeout(Duration::from_secs(20)).send().await;
        sent.ok().map(|answer| answer.status().as_u16())
    }

    /// The admin API's answer.
    pub async fn admin(&self, path: &str) -> Value {
        let request = self
            .client
            .get(self.url(&format!("/api/admin/v1{path}")))
            .bearer_auth(OPERATOR);
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// A POST to the admin API.
    pub async fn admin_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .client
            .post(self.url(&format!("/api/admin/v1{path}")))
            .bearer_auth(OPERATOR)
            .json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// The state of a plugin.
    pub async fn plugin_state(&self, id: &str) -> String {
        let rows = self.admin("/plugins").await;
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == id);
        row.and_then(|row| row["state"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits until a plugin has this state.
    pub async fn await_plugin(&self, id: &str, state: &str, within: Duration) {
        let begun = Instant::now();
        loop {
            let now = self.plugin_state(id).await;
            if now == state {
                return;
            }
            assert!(
                begun.elapsed() < within,
                "{id} is {now} and not {state} after {within:?}: {}",
                self.log_end()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every webhook delivery, over all pages.
    pub async fn deliveries(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.admin(&format!("/deliveries?limit=500{cursor}")).await;
            let rows = page["deliveries"].as_array().unwrap_or_else(|| panic!("{page}"));
            all.extend(rows.iter().filter(|one| one["kind"] == "webhook").cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Waits until every webhook delivery has one of these states.
    pub async fn settle(&self, states: &[&str], within: Duration) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let all = self.deliveries().await;
            let open = |one: &&Value| !states.contains(&one["state"].as_str().unwrap());
            let count = all.iter().filter(open).count();
            if count == 0 {
                return all;
            }
            assert!(
                begun.elapsed() < within,
                "{count} of {} deliveries are not settled after {within:?}, the first is {}: {}",
                all.len(),
                all.iter().find(open).unwrap(),
                self.log_end()
            );
            // A look at many rows costs; the host is to spend its time on the deliveries.
            let pause = if all.len() > 1_000 { 1_000 } else { 150 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
