//! One contract for every carrier: compiled in and over the bridge on the author's test kit, compiled in and in a shared library on
//! the real host. A plugin that somebody else built is one more line here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jackfield_sdk::http::Method;
use jackfield_testing::{Answer, Carrier as TestCarrier, Contract, State, TestHost, assert_plugin_contract};
use jackfield_tests::{
    carrier::entry,
    contract::{BELL_SECRET, Hook, Stage, Subject, bell, play, turnstile},
    counter::Counter,
    host::{Host, OPERATOR, binary},
    scratch::Scratch,
    turnstile::{CAPABILITIES, SECRET, builds, setup},
};
use serde_json::{Value, json};
use turnstile::Turnstile;

use crate::thirdparty::bells;

/// The real host as a process.
struct Shipped {
    host: Host,
    counter: Counter,
    id: &'static str,
    /// `[plugins.ID]` without its settings.
    entry: String,
    file: PathBuf,
    _scratch: Scratch,
}

impl Shipped {
    async fn start(subject: &Subject, program: Option<&str>, entry: String) -> Self {
        let (scratch, counter) = (Scratch::new("contract"), Counter::start().await);
        let file = scratch.0.join("plugins.toml");
        std::fs::write(&file, &entry).unwrap();
        let mut setup = setup(&scratch, &counter);
        if let Some(program) = program {
            setup.program = PathBuf::from(program);
        }
        Self {
            host: setup.start().await,
            counter,
            id: subject.id,
            entry,
            file,
            _scratch: scratch,
        }
    }

    async fn row(&self) -> Value {
        let rows = self.host.admin("/plugins").await;
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == self.id);
        row.unwrap().clone()
    }
}

impl Stage for Shipped {
    async fn get(&self, path: &str) -> (u16, String) {
        let asking = self.host.client.get(self.host.url(path)).bearer_auth(OPERATOR);
        let answer = asking.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> (u16, String) {
        let mut asking = self.host.client.post(self.host.url(path)).body(body);
        for (name, value) in headers {
            asking = asking.header(*name, value);
        }
        let answer = asking.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn act(&self, action: &str) {
        let (code, out, error) = self.host.setup.run_aside(&["plugins", action, self.id]).await;
        assert_eq!(code, 0, "{out}{error}");
    }

    async fn set(&self, settings: Value) {
        let mut text = format!("{}[plugins.{}.config]\n", self.entry, self.id);
        for (name, value) in settings.as_object().unwrap() {
            text.push_str(&format!("{name} = {value}\n"));
        }
        std::fs::write(&self.file, text).unwrap();
        let begun = Instant::now();
        let taken = format!("\"plugin\":\"{}\"", self.id);
        let told = |log: String| {
            log.lines()
                .any(|line| line.contains("reconfigured") && line.contains(&taken))
        };
        while !told(self.host.log()) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", self.host.log_end());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn generation(&self) -> u64 {
        self.row().await["generation"].as_u64().unwrap()
    }

    async fn health(&self) -> String {
        // The host asks every half minute.
        let begun = Instant::now();
        loop {
            if let Some(status) = self.row().await["health"]["status"].as_str() {
                return status.to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody asks it how it is");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn told(&self) -> BTreeMap<String, usize> {
        self.counter.times()
    }

    async fn settled(&self) -> Vec<String> {
        let rows = self.host.settle(&["done"], Duration::from_secs(60)).await;
        let outcome = |row: &Value| row["outcome"].as_str().unwrap_or_default().to_owned();
        rows.iter().map(outcome).collect()
    }

    async fn die_between(&mut self, _: &str, second: &str, hook: &Hook, id: &str, body: Vec<u8>) {
        let caught = self.counter.hold(second);
        let headers = hook.headers(id, &body);
        assert_eq!(self.post(hook.path, &headers, body).await.0, 200);
        tokio::time::timeout(Duration::from_secs(60), caught)
            .await
            .unwrap()
            .unwrap();
        self.host.kill();
        self.host = self.host.setup.start().await;
    }
}

/// The author's test kit.
struct Kit(TestHost);

impl Stage for Kit {
    async fn get(&self, path: &str) -> (u16, String) {
        let reply = self.0.call(Method::GET, path).as_operator().await;
        (reply.status().as_u16(), reply.text())
    }

    async fn post(&self, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> (u16, String) {
        let mut call = self.0.post(path).body(body);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let reply = call.await;
        (reply.status().as_u16(), reply.text())
    }

    async fn act(&self, action: &str) {
        let plugins = self.0.plugins();
        let done = match action {
            "pause" => plugins.pause("turnstile").await,
            "resume" => plugins.resume("turnstile").await,
            _ => plugins.reload("turnstile", None).await,
        };
        done.unwrap();
    }

    async fn set(&self, mut settings: Value) {
        settings["counter"] = json!("http://counter.example/");
        settings["secrets"] = json!(SECRET);
        self.0.reconfigure::<Turnstile>(settings).await.unwrap();
    }

    async fn generation(&self) -> u64 {
        self.0.plugins().list()[0].generation
    }

    async fn health(&self) -> String {
        let health = self.0.health::<Turnstile>().await;
        serde_json::to_value(health.status)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn told(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for asked in self.0.asked() {
            *times.entry(asked.url.path().to_owned()).or_default() += 1;
        }
        times
    }

    async fn settled(&self) -> Vec<String> {
        self.0.finish().await;
        let works = self.0.list().await;
        assert!(works.iter().all(|work| work.state() == State::Done), "not all are done");
        works.iter().map(|work| work.done().to_owned()).collect()
    }

    async fn die_between(&mut self, _: &str, _: &str, hook: &Hook, id: &str, body: Vec<u8>) {
        self.0.crash_after("count");
        let headers = hook.headers(id, &body);
        assert_eq!(self.post(hook.path, &headers, body).await.0, 200);
        self.0.finish().await;
        assert_eq!(self.0.crashes(), 1);
    }
}

fn settings() -> Value {
    json!({ "counter": "http://counter.example/", "secrets": SECRET })
}

#[tokio::test]
async fn on_the_test_kit_compiled_in_and_over_the_bridge() {
    for carrier in TestCarrier::ALL {
        let host = TestHost::new()
            .plugin::<Turnstile>(settings())
            .carrier(carrier)
            .start()
            .await;
        host.on("POST /**", Answer::status(204));
        play(&mut Kit(host), &turnstile(turnstile::BUILD)).await;
    }
}

#[tokio::test]
async fn the_turnstile_keeps_the_authors_contract() {
    let contract = Contract::with(settings())
        .script(|counter| counter.on("POST /**", Answer::status(204)))
        .delivery("coins", |coin| coin.body(r#"{"number":1}"#));
    assert_plugin_contract::<Turnstile>(contract).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_host_compiled_in() {
    if binary().is_none() {
        return;
    }
    let subject = turnstile("first");
    let program = env!("CARGO_BIN_EXE_host-with-guests");
    let entry = "[plugins.turnstile]\nenabled = true\n".to_owned();
    play(&mut Shipped::start(&subject, Some(program), entry).await, &subject).await;
}

async fn in_a_shared_library(file: &Path, subject: &Subject, capabilities: &[&str]) {
    let entry = entry(subject.id, file, capabilities);
    play(&mut Shipped::start(subject, None, entry).await, subject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_host_in_a_shared_library() {
    let Some([first, second]) = builds() else { return };
    in_a_shared_library(&first, &turnstile("first"), &CAPABILITIES).await;
    in_a_shared_library(&second, &turnstile("second"), &CAPABILITIES).await;
}

/// What does without the SDK, built in a directory of its own.
async fn rings(make: fn(&Path), file: &str, subject: &Subject) {
    if binary().is_none() {
        return;
    }
    let scratch = Scratch::new(subject.id);
    make(&scratch.0);
    let settings = format!("[plugins.{}.config]\nsecrets = \"{BELL_SECRET}\"\n", subject.id);
    let entry = entry(subject.id, &scratch.0.join(file), &[]) + &settings;
    play(&mut Shipped::start(subject, None, entry).await, subject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_host_in_a_file_of_rustc_1_63() {
    let subject = bell("bell-abi", "/bell-abi", "/bell-abi/ring");
    rings(bells::in_rust, "libbell_abi.so", &subject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_host_in_a_file_of_c() {
    let subject = bell("bell-c", "/bell-c", "/bell-c/ring");
    rings(bells::in_c, "libbell_c.so", &subject).await;
}
