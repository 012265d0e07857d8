//! A stateful GitHub: tokens, permissions, reactions, comments. It can die after applying and before answering, hold an
//! answer back, refuse, and be gone.
//!
//! It runs on a runtime of its own, so that [`GitHub::die`] ends it as a killed process ends: every connection breaks, what
//! was applied stays.

use std::sync::{Arc, Mutex};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
    response::IntoResponse,
    routing::any,
};
use base64::Engine;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

/// What the story asks of GitHub, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// A token of the installation.
    Token,
    /// What the asker may do.
    Permission,
    /// The acknowledging reaction.
    Reaction,
    /// The comments before.
    Comments,
    /// Anything else: the app itself, its deliveries, looks at reactions.
    Other,
}

/// When a trap closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the call has changed anything.
    Before,
    /// After it was applied, before it is answered.
    After,
}

/// A call that does not get its answer.
struct Trap {
    call: Call,
    when: When,
    caught: oneshot::Sender<()>,
    release: Arc<Notify>,
}

/// A trap that was set: tells when a call is in it, and lets it go.
pub struct Trapped {
    caught: oneshot::Receiver<()>,
    release: Arc<Notify>,
}

impl Trapped {
    /// Waits until a call is caught.
    pub async fn caught(&mut self) {
        tokio::time::timeout(std::time::Duration::from_secs(90), &mut self.caught)
            .await
            .expect("no call came into the trap within 90 s")
            .unwrap();
    }

    /// Lets the call go on.
    pub fn release(&self) {
        self.release.notify_one();
    }
}

/// What the stub remembers.
#[derive(Default)]
pub struct World {
    /// Reactions: path and content, in order of arrival.
    pub reactions: Mutex<Vec<(String, String)>>,
    /// Every call: method and path.
    pub calls: Mutex<Vec<String>>,
    /// While set, the app is not installed: every story ends with a permanent error before it has an effect.
    pub uninstalled: std::sync::atomic::AtomicBool,
    traps: Mutex<Vec<Trap>>,
}

impl World {
    /// Catches the next such call.
    pub fn trap(&self, call: Call, when: When) -> Trapped {
        let (tell, caught) = oneshot::channel();
        let release = Arc::new(Notify::new());
        self.traps.lock().unwrap().push(Trap {
            call,
            when,
            caught: tell,
            release: Arc::clone(&release),
        });
        Trapped { caught, release }
    }

    /// Reactions as one sorted list.
    pub fn sorted_reactions(&self) -> Vec<(String, String)> {
        let mut all = self.reactions.lock().unwrap().clone();
        all.sort();
        all
    }

    async fn stumble(&self, call: Call, when: When) {
        let trap = {
            let mut traps = self.traps.lock().unwrap();
            let at = traps.iter().position(|trap| trap.call == call && trap.when == when);
            at.map(|at| traps.remove(at))
        };
        if let Some(trap) = trap {
            let _ = trap.caught.send(());
            trap.release.notified().await;
        }
    }
}

/// A running stub.
pub struct GitHub {
    /// Its memory.
    pub world: Arc<World>,
    /// Its address.
    pub url: String,
    /// A private key for the app, PKCS#8 PEM.
    pub private_key: String,
    address: String,
    process: Option<tokio::runtime::Runtime>,
}

impl GitHub {
    /// Starts one.
    pub fn start() -> Self {
        let address = crate::scratch::free_address();
        let mut github = Self {
            world: Arc::new(World::default()),
            url: format!("http://{address}"),
            private_key: private_key(),
            address,
            process: None,
        };
        github.revive();
        github
    }

    /// Ends it in the middle of whatever it does.
    pub fn die(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
    }

    /// Starts it again where it was.
    pub fn revive(&mut self) {
        let process = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let router = Router::new().fallback(any(answer)).with_state(Arc::clone(&self.world));
        let address = self.address.clone();
        let (tell, bound) = std::sync::mpsc::channel();
        process.spawn(async move {
            let listener = loop {
                // The one that died may still be letting go of the port.
                match tokio::net::TcpListener::bind(&address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            };
            let _ = tell.send(());
            axum::serve(listener, router).await
        });
        bound
            .recv_timeout(std::time::Duration::from_secs(10))
            .expect("the stub GitHub has no port after 10 s");
        self.process = Some(process);
    }

    /// Reactions as one sorted list.
    pub fn reactions(&self) -> Vec<(String, String)> {
        self.world.sorted_reactions()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.die();
    }
}

fn private_key() -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

fn kind(method: &str, path: &str) -> Call {
    match method {
        "POST" if path.ends_with("/access_tokens") => Call::Token,
        "POST" if path.ends_with("/reactions") => Call::Reaction,
        "GET" if path.ends_with("/permission") => Call::Permission,
        "GET" if path.ends_with("/comments") => Call::Comments,
        _ => Call::Other,
    }
}

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response<Body> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap_or_default();
    let call = kind(&method, &path);
    world.stumble(call, When::Before).await;
    world.calls.lock().unwrap().push(format!("{method} {path}"));
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = apply(&world, call, (&method, &path), &sent);
    world.stumble(call, When::After).await;
    answer
}

fn apply(world: &World, call: Call, (method, path): (&str, &str), sent: &Value) -> Response<Body> {
    match (call, method, path) {
        (Call::Token, ..) if world.uninstalled.load(std::sync::atomic::Ordering::SeqCst) => {
            (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" }))).into_response()
        }
        (Call::Token, ..) => {
            let body = json!({ "token": "ghs_stub", "expires_at": "2099-01-01T00:00:00Z" });
            (StatusCode::CREATED, Json(body)).into_response()
        }
        (Call::Permission, ..) => Json(json!({ "permission": "write", "role_name": "write" })).into_response(),
        (Call::Reaction, ..) => react(world, path, sent),
        (_, "GET", "/app") => Json(json!({ "id": 1, "slug": "openhands", "name": "OpenHands" })).into_response(),
        (_, "GET", path) if path.ends_with("/reactions") => {
            let all = world.reactions.lock().unwrap();
            let own: Vec<Value> = all
                .iter()
                .filter(|(place, _)| place == path)
                .map(|(_, content)| json!({ "id": 1, "content": content, "user": { "login": "openhands[bot]", "type": "Bot" } }))
                .collect();
            Json(own).into_response()
        }
        (_, "GET", _) => Json(json!([])).into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" }))).into_response(),
    }
}

/// A real GitHub keeps one reaction per person and content; this one counts each call that would make another, so that a
/// double shows.
fn react(world: &World, path: &str, sent: &Value) -> Response<Body> {
    let content = sent["content"].as_str().unwrap_or_default().to_owned();
    let mut reactions = world.reactions.lock().unwrap();
    reactions.push((path.to_owned(), content.clone()));
    let body = json!({ "id": reactions.len(), "content": content });
    (StatusCode::CREATED, Json(body)).into_response()
}
