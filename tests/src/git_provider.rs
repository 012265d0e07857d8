//! A GitHub for Keycloak to broker: authorization, tokens that end and are renewed as GitHub's do, and who somebody is.
//!
//! It counts what it is asked, and fails as it is told. Its forms are those that Keycloak's provider `github` uses, with JSON answers
//! (`githubJsonFormat`).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::scratch::free_address;

/// What it can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The browser came to sign in.
    Authorize,
    /// A code was exchanged.
    Exchange,
    /// A token was renewed.
    Refresh,
    /// Who is it.
    User,
    /// Which addresses does it have.
    Emails,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With this status and no use.
    Status(u16),
    /// As GitHub says no: status 200 with an `error`; the browser is sent back with one.
    Refused,
    /// It does what it was asked, but answers only after this time.
    Late(Duration),
    /// It does what it was asked, and the answer is lost.
    Lost,
}

/// Somebody who has an account there.
#[derive(Debug, Clone)]
pub struct Account {
    /// Number.
    pub id: u64,
    /// Login name.
    pub login: String,
    /// Name for people.
    pub name: Option<String>,
    /// The address that `/user` shows.
    pub public_email: Option<String>,
    /// The addresses that `/user/emails` shows: address, primary, verified.
    pub emails: Vec<(String, bool, bool)>,
}

impl Account {
    /// One with a name and a verified, public address.
    pub fn new(id: u64, login: &str) -> Self {
        let email = format!("{login}@example.com");
        Self {
            id,
            login: login.to_owned(),
            name: Some(format!("{login} of GitHub")),
            public_email: Some(email.clone()),
            emails: vec![(email, true, true)],
        }
    }
}

#[derive(Default)]
struct World {
    /// Who sits at the browser: signs in next.
    present: Option<Account>,
    codes: HashMap<String, Account>,
    access: HashMap<String, Account>,
    refresh: HashMap<String, (Account, String)>,
    count: u64,
    /// What a token answer says of its life.
    lifetime: u64,
    asked: Vec<Asked>,
    failures: HashMap<Asked, VecDeque<Failure>>,
}

type Shared = Arc<Mutex<World>>;

/// A running provider; gone when dropped.
pub struct GitProvider {
    /// Its address.
    pub url: String,
    world: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl GitProvider {
    /// Starts one on which nobody has an account.
    pub async fn start() -> Self {
        let address = free_address();
        let world = Shared::default();
        world.lock().unwrap().lifetime = 28_800;
        let router = Router::new()
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(access_token))
            .route("/api/v3/user", get(user))
            .route("/api/v3/user/emails", get(emails))
            .with_state(Arc::clone(&world));
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url: format!("http://{address}"),
            world,
            task,
        }
    }

    /// Where its API is.
    pub fn api(&self) -> String {
        format!("{}/api/v3", self.url)
    }

    /// This account signs in from now on.
    pub fn present(&self, account: Account) {
        self.world().present = Some(account);
    }

    /// Tokens that are given from now on live so long. Keycloak renews one that has less than 5 s left.
    pub fn lifetime(&self, seconds: u64) {
        self.world().lifetime = seconds;
    }

    /// The next such question fails so; several in their order.
    pub fn fail(&self, asked: Asked, failure: Failure) {
        self.world().failures.entry(asked).or_default().push_back(failure);
    }

    /// How often it was asked this.
    pub fn count(&self, asked: Asked) -> usize {
        self.world().asked.iter().filter(|one| **one == asked).count()
    }

    /// Whether an access token is good now.
    pub fn knows(&self, access_token: &str) -> bool {
        self.world().access.contains_key(access_token)
    }

    /// Every token ends, as when people take the app's access back.
    pub fn revoke_all(&self) {
        let mut world = self.world();
        world.access.clear();
        world.refresh.clear();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Drop for GitProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    fn next(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}_{}_{}", self.count, uuid::Uuid::new_v4().simple())
    }

    /// A pair, as GitHub's apps get it.
    fn pair(&mut self, account: Account) -> Value {
        let (access, refresh) = (self.next("ghu"), self.next("ghr"));
        self.access.insert(access.clone(), account.clone());
        self.refresh.insert(refresh.clone(), (account, access.clone()));
        json!({
            "access_token": access, "expires_in": self.lifetime, "refresh_token": refresh,
            "refresh_token_expires_in": 15_897_600, "scope": "", "token_type": "bearer",
        })
    }
}

/// Counts the question, does what is asked, and answers as the script says.
async fn respond(world: &Shared, asked: Asked, act: impl FnOnce(&mut World, bool) -> Response) -> Response {
    let (failure, answer) = {
        let mut world = world.lock().unwrap();
        world.asked.push(asked);
        let failure = world.failures.get_mut(&asked).and_then(VecDeque::pop_front);
        if let Some(Failure::Status(status)) = failure {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        let answer = act(&mut world, failure == Some(Failure::Refused));
        (failure, answer)
    };
    match failure {
        Some(Failure::Late(time)) => tokio::time::sleep(time).await,
        // What the caller sees when the connection broke behind a proxy.
        Some(Failure::Lost) => return StatusCode::BAD_GATEWAY.into_response(),
        _ => {}
    }
    answer
}

async fn authorize(State(world): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Response {
    respond(&world, Asked::Authorize, |world, refused| {
        let (Some(back), Some(state)) = (query.get("redirect_uri"), query.get("state")) else {
            return (StatusCode::BAD_REQUEST, "redirect_uri and state are needed").into_response();
        };
        let answer = match world.present.clone() {
            Some(account) if !refused => {
                let code = world.next("code");
                world.codes.insert(code.clone(), account);
                ("code", code)
            }
            _ => ("error", "access_denied".to_owned()),
        };
        let parameters = [(answer.0, answer.1.as_str()), ("state", state)];
        let target = reqwest::Url::parse_with_params(back, parameters).unwrap();
        Redirect::to(target.as_str()).into_response()
    })
    .await
}

async fn access_token(
    State(world): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if headers
        .get(header::ACCEPT)
        .is_none_or(|accept| accept != "application/json")
    {
        return (StatusCode::NOT_ACCEPTABLE, "this GitHub answers with JSON only").into_response();
    }
    if (field("client_id"), field("client_secret")) != ("stub-client", "stub-secret") {
        return no("incorrect_client_credentials");
    }
    let renews = field("grant_type") == "refresh_token";
    let asked = if renews { Asked::Refresh } else { Asked::Exchange };
    respond(&world, asked, |world, refused| match (renews, refused) {
        (true, true) => no("bad_refresh_token"),
        (false, true) => no("bad_verification_code"),
        // Used once; the access token that came with it ends too.
        (true, false) => match world.refresh.remove(field("refresh_token")) {
            Some((account, access)) => {
                world.access.remove(&access);
                Json(world.pair(account)).into_response()
            }
            None => no("bad_refresh_token"),
        },
        (false, false) => match world.codes.remove(field("code")) {
            Some(account) => Json(world.pair(account)).into_response(),
            None => no("bad_verification_code"),
        },
    })
    .await
}

/// GitHub says no with status 200.
fn no(error: &str) -> Response {
    Json(json!({ "error": error, "error_description": "the stub says no" })).into_response()
}

async fn user(State(world): State<Shared>, headers: HeaderMap) -> Response {
    respond(&world, Asked::User, |world, refused| {
        with_account(world, &headers, refused, |account| {
            json!({ "id": account.id, "login": account.login, "name": account.name, "email": account.public_email })
        })
    })
    .await
}

async fn emails(State(world): State<Shared>, headers: HeaderMap) -> Response {
    respond(&world, Asked::Emails, |world, refused| {
        with_account(world, &headers, refused, |account| {
            let all = account.emails.iter();
            all.map(|(email, primary, verified)| json!({ "email": email, "primary": primary, "verified": verified }))
                .collect()
        })
    })
    .await
}

fn with_account(world: &World, headers: &HeaderMap, refused: bool, show: impl FnOnce(&Account) -> Value) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
    match token.and_then(|token| world.access.get(token)) {
        Some(account) if !refused => Json(show(account)).into_response(),
        _ => (StatusCode::UNAUTHORIZED, Json(json!({ "message": "Bad credentials" }))).into_response(),
    }
}
