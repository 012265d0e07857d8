//! Who counts those that pass the turnstile: what was told, how often, and with which keys; it can hold an answer back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    routing::any,
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::scratch::free_address;

/// What was told.
#[derive(Default)]
struct Told {
    /// How often, by path.
    times: Mutex<BTreeMap<String, usize>>,
    /// The path whose answer never comes, and who is told when somebody waits for it.
    held: Mutex<Option<(String, oneshot::Sender<()>)>>,
}

/// A running counter; ended when dropped.
pub struct Counter {
    /// Its address.
    pub url: String,
    told: Arc<Told>,
    serving: JoinHandle<()>,
}

impl Counter {
    /// Starts one.
    pub async fn start() -> Self {
        let address = free_address();
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let told = Arc::new(Told::default());
        let router = Router::new().fallback(any(count)).with_state(Arc::clone(&told));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            url: format!("http://{address}"),
            told,
            serving,
        }
    }

    /// The next call to this path is noted and never answered; tells when it has come.
    pub fn hold(&self, path: &str) -> oneshot::Receiver<()> {
        let (tell, caught) = oneshot::channel();
        *self.told.held.lock().unwrap() = Some((path.to_owned(), tell));
        caught
    }

    /// How often each path was called.
    pub fn times(&self) -> BTreeMap<String, usize> {
        self.told.times.lock().unwrap().clone()
    }

    /// Asserts that coins 0 to `count` were counted once and opened once, and nothing else.
    pub fn assert_each_once(&self, count: usize) {
        let times = self.times();
        let wrong: Vec<_> = (0..count)
            .flat_map(|number| [format!("/count/{number}"), format!("/open/{number}")])
            .filter_map(|path| match times.get(&path) {
                Some(1) => None,
                other => Some((path, other.copied().unwrap_or(0))),
            })
            .collect();
        assert!(wrong.is_empty(), "not once: {wrong:?}");
        assert_eq!(times.len(), 2 * count);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn count(State(told): State<Arc<Told>>, request: Request) -> StatusCode {
    let path = request.uri().path().to_owned();
    *told.times.lock().unwrap().entry(path.clone()).or_default() += 1;
    let held = {
        let mut held = told.held.lock().unwrap();
        held.take_if(|(wanted, _)| *wanted == path)
    };
    if let Some((_, tell)) = held {
        // The test may have stopped waiting.
        let _ = tell.send(());
        std::future::pending::<()>().await;
    }
    StatusCode::NO_CONTENT
}
