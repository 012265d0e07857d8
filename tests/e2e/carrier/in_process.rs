//! A plugin of the SDK in a real shared library, run in this process: what it gives outlives it, and everything may be dropped
//! anywhere, in any order. `cargo xtask test --long` runs this under valgrind.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use jackfield_loader::{ColdCache, Images, Requirements, admit, inspect};
use jackfield_plugins::Code;
use jackfield_sdk::{
    axum::body::Body,
    http::{Request, Response},
    instance::{Instance, Panicked},
    prelude::*,
    service::BoxFuture,
};
use jackfield_testing::TestHost;
use jackfield_tests::{carrier, scratch::Scratch};
use serde_json::{Value, json};

use super::library;

/// Has the services that the library's instances are given.
struct Nobody;

#[plugin(
    id = "nobody",
    description = "Has every capability",
    capabilities("kv", "pubsub", "jobs", "vault")
)]
impl Plugin for Nobody {
    type Config = ();

    async fn create((): (), _host: Host) -> Result<Self> {
        Ok(Self)
    }
}

struct Loaded {
    code: Arc<dyn Code>,
    host: TestHost,
    _scratch: Scratch,
}

impl Loaded {
    async fn new() -> Self {
        let scratch = Scratch::new("carrier-in-process");
        let admitted = inspect(&library())
            .and_then(|file| admit(file, &Requirements::default()))
            .unwrap();
        let stored = ColdCache::open(&scratch.0).unwrap().warm().store(admitted).unwrap();
        Self {
            code: Images::default().load(&stored, &[]).unwrap(),
            host: TestHost::new().plugin::<Nobody>(()).start().await,
            _scratch: scratch,
        }
    }

    async fn create(&self, wrong: &[&str]) -> Result<Arc<dyn Instance>, String> {
        let config = json!({ "wrong": wrong, "vendor": "https://vendor.example", "secrets": "a secret" });
        self.code.validate(config.clone())?;
        self.code.create(config, self.host.of::<Nobody>()).await
    }
}

fn ask(instance: &Arc<dyn Instance>, path: &str) -> BoxFuture<'static, Result<Response<Body>, Panicked>> {
    let request = Request::get(format!("/misbehaving/{path}"))
        .body(Body::empty())
        .unwrap();
    instance.serve(request)
}

async fn text(answer: Response<Body>) -> String {
    let bytes = jackfield_sdk::axum::body::to_bytes(answer.into_body(), 1 << 20)
        .await
        .unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

async fn open(instance: &Arc<dyn Instance>) -> i64 {
    let answer = text(ask(instance, "alive").await.unwrap()).await;
    serde_json::from_str::<Value>(&answer).unwrap()["open"]
        .as_i64()
        .unwrap()
}

/// Runtimes of instances, each of which has one worker.
fn runtimes() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("plugin-misbehav")).count()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One test, because it counts the threads of its process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_come_and_go_and_what_they_gave_stays() {
    if carrier::library("misbehaving").is_none() {
        return;
    }
    let loaded = Loaded::new().await;
    assert_eq!(loaded.code.carrier(), "dylib");

    // What goes wrong in `create` and `validate` is a text, and no runtime is left.
    let refused = loaded.create(&["panic:create"]).await.err().unwrap();
    assert_eq!(refused, "the plugin panicked: misbehaving panics in create");
    let refused = loaded.create(&["panic:validate"]).await.err().unwrap();
    assert_eq!(refused, "the plugin panicked: misbehaving panics in validate");
    until("the refused instance has ended", async || runtimes() == 0).await;

    // A `create` that hangs is dropped half-way, outside of every runtime.
    let config = json!({ "wrong": ["hang:create"], "vendor": "https://vendor.example", "secrets": "a secret" });
    let mut creating = loaded.code.create(config, loaded.host.of::<Nobody>());
    assert!(matches!(
        creating.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Pending
    ));
    std::thread::spawn(move || drop(creating)).join().unwrap();
    until("the half-made instance has ended", async || runtimes() == 0).await;

    let instance = loaded.create(&["panic:drop"]).await.unwrap();
    assert_eq!(runtimes(), 1);
    assert_eq!(text(ask(&instance, "fine").await.unwrap()).await, "first");
    for (path, said) in [("panic/early", "before its future exists"), ("panic/poll", "in a poll")] {
        let Err(Panicked(panic)) = ask(&instance, path).await else {
            panic!("{path} answers")
        };
        assert!(panic.contains(said), "{panic}");
    }

    // A future that was polled on one thread is dropped on another.
    let mut hanging = ask(&instance, "hang");
    assert!(matches!(
        hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Pending
    ));
    assert_eq!(open(&instance).await, 1);
    std::thread::spawn(move || drop(hanging)).join().unwrap();
    assert_eq!(open(&instance).await, 0);

    // A task that the host runs is still there when the instance goes; the two end in any order.
    let spawned = Request::post("/misbehaving/spawn").body(Body::empty()).unwrap();
    assert_eq!(instance.serve(spawned).await.unwrap().status(), 204);
    assert_eq!(instance.tasks(), Some(1), "the raw one");

    // A body keeps its instance, and its bytes keep nothing but themselves.
    let mut body = ask(&instance, "huge?mib=1")
        .await
        .unwrap()
        .into_body()
        .into_data_stream();
    drop(instance);
    let first = futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
    assert_eq!(runtimes(), 1, "the body is not read to its end");
    std::thread::spawn(move || drop(body)).join().unwrap();
    until("the instance has ended", async || runtimes() == 0).await;
    assert_eq!((first.len(), first.iter().all(|byte| *byte == b'x')), (64 << 10, true));
    let part = first.slice(100..200);
    drop(first);
    std::thread::spawn(move || drop(part)).join().unwrap();

    // The same image makes another.
    let instance = loaded.create(&[]).await.unwrap();
    assert_eq!(text(ask(&instance, "fine").await.unwrap()).await, "first");
    instance.drain().await;
    std::thread::spawn(move || drop(instance)).join().unwrap();
    until("the last instance has ended", async || runtimes() == 0).await;
}
