//! A host of few words: scripted answers, a clock that stands still, and a record of what was asked.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jackfield_sdk::{
    bytes::Bytes,
    database::DatabaseService,
    handler::Delivery,
    host::{ClockService, Host, JobService, KvService, MetricService, PubSubService, Services, VaultService},
    http_client::{HttpService, IncomingResponse, OutgoingRequest},
    instance::{Instance, JobCall, JobEnd},
    run::{Fence, Memo, RunHead, RunService, Wait},
    service::ServiceError,
};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z
pub(crate) const NOW: i64 = 1_767_225_600;

pub(crate) static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// The key as PKCS#8, lines of 64 characters.
pub(crate) fn pkcs8_pem() -> String {
    pem("PRIVATE KEY", &pkcs8())
}

/// The key as PKCS#1: what PKCS#8 wraps.
pub(crate) fn pkcs1_pem() -> String {
    let der = pkcs8();
    assert_eq!(&der[22..24], [0x04, 0x82], "the octet string that holds the key");
    pem("RSA PRIVATE KEY", &der[26..])
}

fn pkcs8() -> Vec<u8> {
    let der: Pkcs8V1Der<'_> = KEY.as_der().unwrap();
    der.as_ref().to_vec()
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// A configuration that passes.
pub(crate) fn config() -> Value {
    json!({ "client_id": "Iv1.test", "private_key": pkcs8_pem(), "webhook_secrets": "hush" })
}

/// One scripted answer.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
}

pub(crate) fn answer(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: body.to_string().into(),
    }
}

impl Answer {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        self
    }
}

#[derive(Default)]
pub(crate) struct Fake {
    script: Mutex<HashMap<String, VecDeque<Answer>>>,
    asked: Mutex<Vec<OutgoingRequest>>,
    memos: Mutex<Vec<Memo>>,
    kv: Mutex<HashMap<String, Bytes>>,
    late: AtomicI64,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// `call` is `GET /path?query`, without the base. The last answer of a call is given for ever.
    pub(crate) fn on(&self, call: &str, answer: Answer) {
        self.script
            .lock()
            .unwrap()
            .entry(call.to_owned())
            .or_default()
            .push_back(answer);
    }

    /// Scripts the token of installation 7.
    pub(crate) fn with_token(&self) {
        let token = json!({ "token": "ghs_secret", "expires_at": "2026-01-01T01:00:00Z" });
        self.on("POST /app/installations/7/access_tokens", answer(201, &token));
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.late.fetch_add(seconds, Ordering::SeqCst);
    }

    /// What was asked since the last time, as `GET /path?query`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests().iter().map(call_of).collect()
    }

    /// The same in full.
    pub(crate) fn requests(&self) -> Vec<OutgoingRequest> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    pub(crate) fn memos(&self) -> Vec<Memo> {
        self.memos.lock().unwrap().clone()
    }

    pub(crate) fn host(self: &Arc<Self>) -> Host {
        let (_, retired) = tokio::sync::watch::channel(false);
        Host::new(Arc::clone(self) as Arc<dyn Services>, retired)
    }

    /// Runs one attempt of a job with the memos that earlier attempts left.
    pub(crate) async fn attempt(
        &self,
        plugin: &dyn Instance,
        handler: &str,
        delivery: Delivery,
        maybe_done: bool,
    ) -> JobEnd {
        let job = uuid_of(1);
        let head = RunHead {
            fence: Fence { job, token: 1 },
            key_base: "job".to_owned(),
            attempt: 1 + u32::from(maybe_done),
            maybe_done,
            memos: self.memos(),
            now_ms: NOW * 1000,
        };
        plugin
            .run(JobCall {
                handler: handler.to_owned(),
                head,
                delivery,
                death: None,
            })
            .await
    }
}

/// A job id without naming its type, which this crate does not depend on.
fn uuid_of<T: serde::de::DeserializeOwned>(number: u8) -> T {
    serde_json::from_value(json!(format!("00000000-0000-7000-8000-0000000000{number:02}"))).unwrap()
}

pub(crate) fn call_of(request: &OutgoingRequest) -> String {
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}{query}", request.method, request.url.path())
}

pub(crate) fn header_of(request: &OutgoingRequest, name: &str) -> String {
    let (_, value) = request
        .headers
        .iter()
        .find(|(given, _)| given == name)
        .expect("the header");
    String::from_utf8(value.to_vec()).unwrap()
}

pub(crate) fn delivery(event: &str, payload: &Value) -> Delivery {
    Delivery {
        delivery_id: "d".to_owned(),
        headers: vec![("x-github-event".to_owned(), Bytes::copy_from_slice(event.as_bytes()))],
        body: payload.to_string().into(),
        ..Delivery::default()
    }
}

/// A comment by `octocat` on issue 3 of `acme/rocket`.
pub(crate) fn issue_comment(text: &str) -> Value {
    json!({
        "action": "created",
        "installation": { "id": 7 },
        "repository": { "name": "rocket", "full_name": "acme/rocket", "owner": { "login": "acme" } },
        "sender": { "login": "octocat", "id": 1, "type": "User" },
        "issue": { "number": 3, "title": "It leaks", "body": "Everywhere", "comments": 1 },
        "comment": { "id": 55, "body": text, "user": { "login": "octocat", "type": "User" } },
        "unknown": { "members": ["are", "normal"] }
    })
}

#[async_trait]
impl HttpService for Fake {
    async fn send(&self, request: OutgoingRequest) -> Result<IncomingResponse, ServiceError> {
        let call = call_of(&request);
        let url = request.url.clone();
        self.asked.lock().unwrap().push(request);
        // Others get a turn while the answer is on its way.
        tokio::task::yield_now().await;
        let mut script = self.script.lock().unwrap();
        let Some(answers) = script.get_mut(&call) else {
            return Err(ServiceError::invalid(format!("`{call}` is not scripted")));
        };
        let given = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        let Answer { status, headers, body } = given.unwrap();
        if status == 0 {
            return Err(ServiceError::unavailable("connection reset"));
        }
        Ok(IncomingResponse {
            status,
            url,
            headers,
            body,
        })
    }
}

#[async_trait]
impl RunService for Fake {
    async fn commit(&self, _: Fence, memo: Memo) -> Result<(), ServiceError> {
        let mut memos = self.memos.lock().unwrap();
        memos.retain(|kept| kept.name != memo.name);
        memos.push(memo);
        Ok(())
    }
    async fn park(&self, _: Fence, _: Wait) -> Result<Option<Memo>, ServiceError> {
        panic!("nothing waits here")
    }
    async fn cancelled(&self, _: Fence) -> Result<(), ServiceError> {
        std::future::pending().await
    }
}

#[async_trait]
impl KvService for Fake {
    async fn get(&self, key: String) -> Result<Option<Bytes>, ServiceError> {
        Ok(self.kv.lock().unwrap().get(&key).cloned())
    }
    async fn set(&self, key: String, value: Bytes, _: Option<u64>) -> Result<(), ServiceError> {
        self.kv.lock().unwrap().insert(key, value);
        Ok(())
    }
    async fn set_new(&self, _: String, _: Bytes, _: Option<u64>) -> Result<bool, ServiceError> {
        panic!("no key is set once")
    }
    async fn delete(&self, _: String) -> Result<(), ServiceError> {
        panic!("no key is removed")
    }
}

impl ClockService for Fake {
    fn now_ms(&self) -> i64 {
        (NOW + self.late.load(Ordering::SeqCst)) * 1000
    }
}

/// What the plugin has no capability for, it must not touch.
impl Services for Fake {
    fn plugin(&self) -> &'static str {
        "github"
    }
    fn http(&self) -> &dyn HttpService {
        self
    }
    fn runs(&self) -> &dyn RunService {
        self
    }
    fn kv(&self) -> &dyn KvService {
        self
    }
    fn clock(&self) -> &dyn ClockService {
        self
    }
    fn pubsub(&self) -> &dyn PubSubService {
        panic!("no capability `pubsub`")
    }
    fn jobs(&self) -> &dyn JobService {
        panic!("no capability `jobs`")
    }
    fn vault(&self) -> &dyn VaultService {
        panic!("no capability `vault`")
    }
    fn database(&self) -> &dyn DatabaseService {
        panic!("no capability `database`")
    }
    fn metrics(&self) -> &dyn MetricService {
        panic!("no metrics are kept")
    }
}
