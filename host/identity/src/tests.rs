//! Identity on a real SQLite database, with a clock that the test moves. PostgreSQL runs the same in `tests/e2e`.

mod guard;
mod links;
mod openapi;
mod rows;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{body::Body, response::Response};
use http::{Request, StatusCode, header};
use jackfield_inbox::clock::ManualClock;
use jackfield_limits::{Limit, RateLimits};
use jackfield_plugins::{Guard, Passed, Rules};
use jackfield_sdk::{
    Principal,
    descriptor::{Gate, Policy},
    identity::{EmailChange, IdentityService, NewApiKey, User},
    mail::{MailService, NewMail},
    principal::OPERATOR,
    service::ServiceError,
};
use jackfield_storage::{Database, OpenOptions};
use uuid::Uuid;

use crate::{Arrival, Identity, IdentitySettings, Local, Operators, Parts, Places, Rates, sessions::From};

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Mail that was sent, as the plugin of mail would have it.
#[derive(Default)]
struct Post {
    sent: Mutex<Vec<NewMail>>,
    shut: AtomicBool,
}

#[async_trait]
impl MailService for Post {
    async fn send(&self, mail: NewMail) -> Result<Uuid, ServiceError> {
        self.sent.lock().unwrap().push(mail);
        Ok(Uuid::now_v7())
    }
    async fn ready(&self) -> Result<bool, ServiceError> {
        Ok(!self.shut.load(Ordering::SeqCst))
    }
}

struct World {
    identity: Identity,
    post: Arc<Post>,
    clock: Arc<ManualClock>,
    database: Database,
    scratch: Scratch,
}

impl World {
    async fn new() -> Self {
        Self::with(IdentitySettings::default()).await
    }

    async fn with(settings: IdentitySettings) -> Self {
        let scratch = Scratch(std::env::temp_dir().join(format!("jackfield-identity-{}", uuid::Uuid::new_v4())));
        let url = format!("sqlite://{}", scratch.0.join("jackfield.db").display());
        let database = Database::open(&url, &OpenOptions::default()).await.unwrap();
        let clock = Arc::new(ManualClock::at(1_800_000_000_000));
        let post = Arc::new(Post::default());
        let identity = counting(&database, &clock, settings, 1_000, &post);
        Self {
            identity,
            post,
            clock,
            database,
            scratch,
        }
    }

    async fn person(&self, name: &str) -> User {
        let arrival = Arrival {
            id: Some(name.to_owned()),
            provider: "local".to_owned(),
            username: name.to_owned(),
            email: Some(format!("{name}@example.com")),
            email_verified: true,
            name: None,
            company: None,
            operator: false,
        };
        self.identity.arrive(arrival).await.unwrap()
    }

    async fn cookie(&self, person: &str) -> String {
        self.identity.begin_session(person, From::default()).await.unwrap()
    }

    async fn key(&self, person: &str, scopes: &[&str]) -> String {
        let new = NewApiKey {
            user: person.to_owned(),
            organization: person.to_owned(),
            name: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            expires_ms: None,
        };
        self.identity.create_key(new).await.unwrap().key
    }
}

fn replica(database: &Database, clock: &Arc<ManualClock>, settings: IdentitySettings) -> Identity {
    counting(database, clock, settings, 1_000, &Arc::default())
}

/// One that lets a person come so often in a second.
fn counting(
    database: &Database,
    clock: &Arc<ManualClock>,
    settings: IdentitySettings,
    often: u32,
    post: &Arc<Post>,
) -> Identity {
    let operators = Operators::new(Some("operator-key-of-at-least-32-characters"), 1000);
    let places = Places {
        public_url: Some("https://app.example.com/".parse().unwrap()),
        origins: vec!["https://other.example.com".to_owned()],
    };
    let second = Limit::new(often.try_into().unwrap(), Duration::from_secs(1));
    let rates = Rates::new(RateLimits::memory(Arc::clone(clock) as _), vec![second]);
    let parts = Parts {
        settings,
        places,
        operators,
        rates,
        mail: Arc::clone(post) as _,
        provider: Arc::new(Local),
    };
    Identity::new(database.clone(), Arc::clone(clock) as _, parts)
}

fn asking(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri("/api/x");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn with_cookie(cookie: &str) -> Request<Body> {
    asking(&[("cookie", &format!("other=1; keycloak_auth={cookie}"))])
}

fn with_key(key: &str) -> Request<Body> {
    asking(&[("authorization", &format!("Bearer {key}"))])
}

async fn pass(identity: &Identity, mut request: Request<Body>) -> Result<Principal, Response> {
    pass_by(identity, &Rules::of(Policy::SignedIn), &mut request).await?;
    Ok(request.extensions().get::<Principal>().cloned().unwrap())
}

async fn pass_by(identity: &Identity, rules: &Rules, request: &mut Request<Body>) -> Result<Passed, Response> {
    identity.pass(rules, request).await
}

async fn refused(identity: &Identity, request: Request<Body>) -> (StatusCode, String) {
    told(pass(identity, request).await.unwrap_err()).await
}

async fn told(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_cookie_opens_and_nothing_is_kept_of_it() {
    let world = World::new().await;
    world.person("ann").await;
    let cookie = world.cookie("ann").await;
    let principal = pass(&world.identity, with_cookie(&cookie)).await.unwrap();
    assert_eq!(
        (principal.user.as_deref(), principal.organization.as_deref()),
        (Some("ann"), Some("ann"))
    );
    assert!(principal.holds(&["anything"]) && !principal.holds(&[OPERATOR]));
    let path = world.scratch.0.join("jackfield.db-wal");
    let file = std::fs::read(path).unwrap();
    assert!(
        !file.windows(cookie.len()).any(|part| part == cookie.as_bytes()),
        "the cookie is on disk"
    );
}

#[tokio::test]
async fn whoever_brings_nothing_or_something_wrong_is_told_what() {
    let world = World::new().await;
    let nothing = (StatusCode::UNAUTHORIZED, r#"{"error":"NoCredentialsError"}"#.to_owned());
    assert_eq!(refused(&world.identity, asking(&[])).await, nothing);
    assert_eq!(refused(&world.identity, with_key("sk-oh-unknown")).await, nothing);
    assert_eq!(refused(&world.identity, with_key("x")).await, nothing);
    let response = pass(&world.identity, with_cookie("garbage")).await.unwrap_err();
    let cleared = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(
        cleared.starts_with("keycloak_auth=\"\";") && cleared.contains("Max-Age=0"),
        "{cleared}"
    );
    let expected = (
        StatusCode::UNAUTHORIZED,
        r#"{"error":"Invalid authentication token"}"#.to_owned(),
    );
    assert_eq!(told(response).await, expected);
    // A public route takes whoever comes.
    let passed = pass_by(&world.identity, &Rules::of(Policy::Public), &mut with_cookie("garbage")).await;
    assert!(passed.is_ok());
}

#[tokio::test]
async fn an_ended_session_opens_nothing_here_at_once_and_elsewhere_after_a_look() {
    let world = World::new().await;
    let other = replica(&world.database, &world.clock, IdentitySettings::default());
    world.person("ann").await;
    let cookie = world.cookie("ann").await;
    let session = pass(&world.identity, with_cookie(&cookie))
        .await
        .unwrap()
        .session
        .unwrap();
    assert!(pass(&other, with_cookie(&cookie)).await.is_ok());

    world.clock.advance(Duration::from_millis(10));
    assert!(world.identity.end_session("ann", &session).await.unwrap());
    assert!(pass(&world.identity, with_cookie(&cookie)).await.is_err());
    assert!(
        pass(&other, with_cookie(&cookie)).await.is_ok(),
        "it has not looked yet"
    );
    other.take_changes().await.unwrap();
    assert!(pass(&other, with_cookie(&cookie)).await.is_err());
    assert!(
        !world.identity.end_session("ann", &session).await.unwrap(),
        "it stays ended"
    );
    assert!(world.identity.sessions("ann").await.unwrap().is_empty());
}

#[tokio::test]
async fn operators_page_through_open_sessions_and_end_more_than_are_shown() {
    let world = World::new().await;
    for who in ["ann", "bob"] {
        world.person(who).await;
    }
    for _ in 0..201 {
        world.cookie("ann").await;
    }
    world.cookie("bob").await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.identity.all_sessions(cursor.as_deref(), 100).await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Some(last.session.id.clone());
        seen.extend(page.into_iter().map(|one| (one.session.id, one.person)));
    }
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert_eq!((seen.len(), ids.len()), (202, 202));
    assert_eq!(seen.iter().filter(|(_, person)| person == "bob").count(), 1);

    assert_eq!(world.identity.end_sessions("ann").await.unwrap(), 201);
    let left = world.identity.all_sessions(None, 100).await.unwrap();
    let left: Vec<_> = left.iter().map(|one| one.person.as_str()).collect();
    assert_eq!(left, ["bob"]);
    world.clock.advance(IdentitySettings::default().idle);
    assert!(world.identity.all_sessions(None, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_ends_their_own_session_loses_the_cookie_with_the_answer() {
    let world = World::new().await;
    world.person("ann").await;
    let cookie = world.cookie("ann").await;
    let mut request = with_cookie(&cookie);
    let passed = pass_by(&world.identity, &Rules::of(Policy::SignedIn), &mut request)
        .await
        .unwrap();
    let mut answer = Response::new(Body::empty());
    world.identity.leave(passed.clone(), &mut answer);
    assert!(answer.headers().get(header::SET_COOKIE).is_none());
    world
        .identity
        .end_session("ann", passed.session.as_ref().unwrap())
        .await
        .unwrap();
    world.identity.leave(passed, &mut answer);
    assert!(answer.headers().get(header::SET_COOKIE).is_some());
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
    let settings = IdentitySettings {
        idle: Duration::from_secs(100),
        lifetime: Duration::from_secs(250),
        ..IdentitySettings::default()
    };
    let world = World::with(settings.clone()).await;
    world.person("ann").await;
    let (idle, busy) = (world.cookie("ann").await, world.cookie("ann").await);
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(60));
        // What is kept would hide what the database says; a replica that has just started keeps nothing.
        let fresh = replica(&world.database, &world.clock, settings.clone());
        assert!(pass(&fresh, with_cookie(&busy)).await.is_ok());
        fresh.write_seen().await.unwrap();
    }
    let fresh = replica(&world.database, &world.clock, settings);
    assert!(pass(&fresh, with_cookie(&idle)).await.is_err());
    world.clock.advance(Duration::from_secs(20));
    assert!(
        pass(&fresh, with_cookie(&busy)).await.is_err(),
        "250 s after its sign-in"
    );
}

#[tokio::test]
async fn a_key_does_what_its_scopes_and_its_owner_may() {
    let world = World::new().await;
    world.person("ann").await;
    let (all, one, operator) = (
        world.key("ann", &[]).await,
        world.key("ann", &["orders:read"]).await,
        world.key("ann", &[OPERATOR]).await,
    );
    let holds = async |key: &str, scope: &str| pass(&world.identity, with_key(key)).await.unwrap().holds(&[scope]);
    assert!(holds(&all, "orders:write").await && !holds(&all, OPERATOR).await);
    assert!(holds(&one, "orders:read").await && !holds(&one, "orders:write").await);
    assert!(holds(&operator, OPERATOR).await, "an operator made it");
    assert!(!holds(&operator, "orders:read").await);
    let own = NewApiKey {
        user: "ann".to_owned(),
        organization: "ann".to_owned(),
        name: None,
        scopes: vec![OPERATOR.to_owned()],
        expires_ms: None,
    };
    assert!(
        IdentityService::create_key(&world.identity, own.clone()).await.is_err(),
        "she is none"
    );
    world.identity.set_operator("ann", true).await.unwrap();
    assert!(IdentityService::create_key(&world.identity, own).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    world.identity.set_operator("ann", false).await.unwrap();
    assert!(
        pass(&world.identity, with_key(&operator)).await.is_err(),
        "it ends with the flag"
    );
    assert_eq!(world.identity.keys("ann", "ann").await.unwrap().len(), 2);

    let named = asking(&[("x-session-api-key", one.as_str())]);
    assert!(pass(&world.identity, named).await.is_ok());
    let other_scheme = asking(&[("authorization", "Basic x"), ("x-access-token", one.as_str())]);
    assert!(pass(&world.identity, other_scheme).await.is_ok());
    let rules = Rules::of(Policy::Scopes(vec!["orders:write".to_owned()]));
    let response = pass_by(&world.identity, &rules, &mut with_key(&one)).await.unwrap_err();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_deleted_or_expired_key_opens_nothing() {
    let world = World::new().await;
    world.person("ann").await;
    let key = world.key("ann", &[]).await;
    assert!(pass(&world.identity, with_key(&key)).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    let id = world.identity.keys("ann", "ann").await.unwrap()[0].id;
    assert!(!world.identity.delete_key("bob", "ann", id).await.unwrap());
    assert!(world.identity.delete_key("ann", "ann", id).await.unwrap());
    assert!(pass(&world.identity, with_key(&key)).await.is_err());

    let ends = NewApiKey {
        user: "ann".to_owned(),
        organization: "ann".to_owned(),
        name: None,
        scopes: Vec::new(),
        expires_ms: Some(1_800_000_060_000),
    };
    let key = world.identity.create_key(ends).await.unwrap().key;
    assert!(pass(&world.identity, with_key(&key)).await.is_ok());
    world.clock.advance(Duration::from_secs(60));
    assert!(
        pass(&world.identity, with_key(&key)).await.is_err(),
        "also while it is kept"
    );
}

#[tokio::test]
async fn gates_close_before_the_handler_for_sessions_and_keys() {
    let settings = IdentitySettings {
        terms: true,
        ..IdentitySettings::default()
    };
    let world = World::with(settings).await;
    world.person("ann").await;
    let (cookie, key) = (world.cookie("ann").await, world.key("ann", &[]).await);
    let not_accepted = (
        StatusCode::UNAUTHORIZED,
        r#"{"error":"TosNotAcceptedError"}"#.to_owned(),
    );
    assert_eq!(refused(&world.identity, with_cookie(&cookie)).await, not_accepted);
    assert_eq!(refused(&world.identity, with_key(&key)).await, not_accepted);
    let before = Rules {
        before: vec![Gate::Terms, Gate::Email],
        ..Rules::of(Policy::SignedIn)
    };
    assert!(
        pass_by(&world.identity, &before, &mut with_cookie(&cookie))
            .await
            .is_ok()
    );

    world.clock.advance(Duration::from_millis(1));
    assert!(world.identity.accept_terms("ann").await.unwrap());
    assert!(pass(&world.identity, with_cookie(&cookie)).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    let changed = world.identity.change_email("ann", "New@Example.com").await.unwrap();
    assert_eq!(changed, EmailChange::Changed);
    let not_verified = (StatusCode::FORBIDDEN, r#"{"error":"EmailNotVerifiedError"}"#.to_owned());
    assert_eq!(refused(&world.identity, with_cookie(&cookie)).await, not_verified);
    assert_eq!(refused(&world.identity, with_key(&key)).await, not_verified);
    assert!(pass_by(&world.identity, &before, &mut with_key(&key)).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert!(!world.identity.verify_email("ann", "old@example.com").await.unwrap());
    assert!(world.identity.verify_email("ann", "new@example.com").await.unwrap());
    assert!(pass(&world.identity, with_key(&key)).await.is_ok());
}

#[tokio::test]
async fn an_address_is_one_persons_who_has_verified_it() {
    let world = World::new().await;
    for name in ["ann", "bob"] {
        world.person(name).await;
    }
    let change = async |email: &str| world.identity.change_email("bob", email).await;
    assert_eq!(change("ANN@example.com").await.unwrap(), EmailChange::Taken);
    assert_eq!(
        change("bob@example.com").await.unwrap(),
        EmailChange::Changed,
        "it is his"
    );
    assert!(world.identity.user("bob").await.unwrap().unwrap().email_verified);
    for wrong in [
        "bob",
        "@example.com",
        "bob@",
        "bob@exa mple.com",
        "b ob@example.com",
        "bob@example..com",
    ] {
        assert!(change(wrong).await.is_err(), "{wrong}");
    }
    // Two who wait for the same address: the first to verify it has it.
    world.identity.change_email("ann", "team@example.com").await.unwrap();
    change("team@example.com").await.unwrap();
    assert!(world.identity.verify_email("bob", "team@example.com").await.unwrap());
    assert!(!world.identity.verify_email("ann", "team@example.com").await.unwrap());
}
