//! A stateful GitHub: tokens, permissions, reactions, comments; it can die after applying and before answering.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

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

/// What the stub remembers.
#[derive(Default)]
pub struct World {
    /// Reactions: path and content, in order of arrival.
    pub reactions: Mutex<Vec<(String, String)>>,
    /// Every call: method and path.
    pub calls: Mutex<Vec<String>>,
    /// So many of the next reactions are applied and their answers lost.
    pub lose_answers: AtomicUsize,
    next: AtomicU64,
}

/// A running stub.
pub struct GitHub {
    /// Its memory.
    pub world: Arc<World>,
    /// Its address.
    pub url: String,
    /// A private key for the app, PKCS#8 PEM.
    pub private_key: String,
}

impl GitHub {
    /// Starts one.
    pub async fn start() -> Self {
        let world = Arc::new(World::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(any(answer)).with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            world,
            url,
            private_key: private_key(),
        }
    }

    /// Reactions as one sorted list.
    pub fn reactions(&self) -> Vec<(String, String)> {
        let mut all = self.world.reactions.lock().unwrap().clone();
        all.sort();
        all
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

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response<Body> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap_or_default();
    world.calls.lock().unwrap().push(format!("{method} {path}"));
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (method.as_str(), path.as_str()) {
        ("GET", "/app") => Json(json!({ "id": 1, "slug": "openhands", "name": "OpenHands" })).into_response(),
        ("GET", "/app/hook/deliveries") => Json(json!([])).into_response(),
        ("POST", path) if path.ends_with("/access_tokens") => {
            let body = json!({ "token": "ghs_stub", "expires_at": "2099-01-01T00:00:00Z" });
            (StatusCode::CREATED, Json(body)).into_response()
        }
        ("GET", path) if path.ends_with("/permission") => {
            Json(json!({ "permission": "write", "role_name": "write" })).into_response()
        }
        ("POST", path) if path.ends_with("/reactions") => react(&world, path, &sent),
        ("GET", path) if path.ends_with("/reactions") => {
            let all = world.reactions.lock().unwrap();
            let own: Vec<Value> = all
                .iter()
                .filter(|(place, _)| place == path)
                .map(|(_, content)| json!({ "id": 1, "content": content, "user": { "login": "openhands[bot]", "type": "Bot" } }))
                .collect();
            Json(own).into_response()
        }
        ("GET", _) => Json(json!([])).into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" }))).into_response(),
    }
}

/// A real GitHub keeps one reaction per person and content; this one counts each call that would make another, so that a
/// double shows.
fn react(world: &World, path: &str, sent: &Value) -> Response<Body> {
    let content = sent["content"].as_str().unwrap_or_default().to_owned();
    world.reactions.lock().unwrap().push((path.to_owned(), content.clone()));
    let lose = world
        .lose_answers
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if lose.is_ok() {
        return (StatusCode::BAD_GATEWAY, "the answer was lost").into_response();
    }
    let id = world.next.fetch_add(1, Ordering::SeqCst);
    (StatusCode::CREATED, Json(json!({ "id": id, "content": content }))).into_response()
}
