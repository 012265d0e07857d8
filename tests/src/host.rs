//! The shipped binary as a child process on free ports and a scratch directory.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

/// Secret that deliveries are signed with.
pub const SECRET: &str = "it is a secret to everybody";
/// Operator key.
pub const OPERATOR: &str = "operator-key-of-the-end-to-end-suites-0123456789";

/// The binary under test; none when the suites run without it.
pub fn binary() -> Option<PathBuf> {
    let binary = std::env::var_os("JACKFIELD_TEST_HOST_BIN").map(PathBuf::from);
    if binary.is_none() {
        println!("skipped: JACKFIELD_TEST_HOST_BIN is not set; `cargo xtask test` sets it");
    }
    binary
}

/// Heavy suites in full size.
pub fn long() -> bool {
    std::env::var_os("JACKFIELD_TEST_LONG").is_some()
}

/// A scratch directory, removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A fresh one.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jackfield-{name}-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How to start a host.
#[derive(Clone)]
pub struct Setup {
    /// Working and data directory.
    pub directory: PathBuf,
    /// Main listener.
    pub listen: String,
    /// Admin listener.
    pub admin: String,
    /// More variables.
    pub variables: Vec<(String, String)>,
}

impl Setup {
    /// In `directory`, with the GitHub plugin on and its API at `api`.
    pub fn new(directory: PathBuf, api: &str, private_key: &str) -> Self {
        let variables = [
            ("GITHUB_APP_CLIENT_ID", "Iv1.endtoend"),
            ("GITHUB_APP_PRIVATE_KEY", private_key),
            ("GITHUB_APP_WEBHOOK_SECRET", SECRET),
            ("GITHUB_API_URL", api),
            ("JACKFIELD_OPERATOR_KEY", OPERATOR),
        ];
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            directory,
            listen: free_address(),
            admin: free_address(),
            variables,
        }
    }

    /// Another variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command of the binary in this set-up.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary().expect("the binary is there"));
        command.args(arguments).current_dir(&self.directory).env_clear();
        command
            .env("JACKFIELD_LISTEN", &self.listen)
            .env("JACKFIELD_ADMIN_LISTEN", &self.admin);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts `serve` and waits until it is ready.
    pub async fn start(&self) -> Host {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(
                self.directory
                    .join(format!("host-{}.log", self.listen.replace(':', "-"))),
            )
            .unwrap();
        let child = self
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let host = Host {
            setup: self.clone(),
            child,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        for _ in 0..600 {
            let asked = host.client.get(format!("http://{}/readyz", self.admin)).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return host;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the host is not ready after 30 s: {}", host.log());
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }
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

    /// What it logged.
    pub fn log(&self) -> String {
        let name = format!("host-{}.log", self.setup.listen.replace(':', "-"));
        std::fs::read_to_string(self.setup.directory.join(name)).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signed GitHub delivery; the status, or none when the connection broke.
    pub async fn deliver(&self, id: &str, event: &str, body: Vec<u8>) -> Option<u16> {
        let signature = crate::sign::hub_signature(SECRET, &body);
        let request = self
            .client
            .post(self.url("/integration/github/events"))
            .header("x-github-delivery", id)
            .header("x-github-event", event)
            .header("x-hub-signature-256", signature)
            .header("content-type", "application/json")
            .timeout(Duration::from_secs(20))
            .body(body);
        request.send().await.ok().map(|answer| answer.status().as_u16())
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

    /// Every delivery of the plugin's webhook, over all pages.
    pub async fn deliveries(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.admin(&format!("/deliveries?limit=500{cursor}")).await;
            all.extend(
                page["deliveries"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|one| one["kind"] == "webhook")
                    .cloned(),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Waits until every webhook delivery has one of these states.
    pub async fn settle(&self, states: &[&str], within: Duration) -> Vec<Value> {
        let begun = std::time::Instant::now();
        loop {
            let all = self.deliveries().await;
            let open = all
                .iter()
                .filter(|one| !states.contains(&one["state"].as_str().unwrap()))
                .count();
            if open == 0 {
                return all;
            }
            assert!(
                begun.elapsed() < within,
                "{open} of {} deliveries are not settled: {}",
                all.len(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on 127.0.0.1 whose port was free a moment ago.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}
