//! Who is let pass besides what a credential opens: other sites' pages, those who come too often, operators, the disabled.

use std::time::Duration;

use axum::{body::Body, response::Response};
use http::{Method, StatusCode, header};
use jackfield_edge::{ClientAddr, PeerCred};
use jackfield_plugins::{Guard, Rules};
use jackfield_sdk::{descriptor::Policy, principal::OPERATOR};

use super::{World, asking, counting, pass, pass_by, refused, told, with_cookie, with_key};
use crate::IdentitySettings;

#[tokio::test]
async fn pages_of_other_sites_cannot_act_with_a_cookie() {
    let world = World::new().await;
    world.person("ann").await;
    let (cookie, key) = (world.cookie("ann").await, world.key("ann", &[]).await);
    let acts = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = with_cookie(&cookie);
        *request.method_mut() = method;
        for (name, value) in headers {
            let name = header::HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        pass(&world.identity, request).await.is_ok()
    };
    assert!(acts(Method::POST, &[]).await, "no browser");
    assert!(acts(Method::POST, &[("origin", "https://app.example.com")]).await);
    assert!(
        acts(Method::POST, &[("origin", "https://other.example.com")]).await,
        "an origin that may"
    );
    assert!(acts(Method::POST, &[("sec-fetch-site", "same-origin")]).await);
    assert!(
        acts(Method::GET, &[("origin", "https://evil.example")]).await,
        "CORS keeps the answer"
    );
    assert!(!acts(Method::POST, &[("origin", "https://evil.example")]).await);
    assert!(!acts(Method::POST, &[("origin", "null")]).await);
    assert!(!acts(Method::DELETE, &[("sec-fetch-site", "cross-site")]).await);
    assert!(
        !acts(Method::POST, &[("sec-fetch-site", "same-site")]).await,
        "a sub-domain is another site"
    );
    assert!(
        !acts(
            Method::GET,
            &[("origin", "https://evil.example"), ("upgrade", "websocket")]
        )
        .await
    );
    let mut by_key = with_key(&key);
    *by_key.method_mut() = Method::POST;
    by_key
        .headers_mut()
        .insert(header::ORIGIN, "https://evil.example".parse().unwrap());
    assert!(
        pass(&world.identity, by_key).await.is_ok(),
        "no browser adds a key by itself"
    );
}

#[tokio::test]
async fn people_are_counted_over_their_credentials_and_guesses_by_address() {
    let world = World::new().await;
    let identity = counting(
        &world.database,
        &world.clock,
        IdentitySettings::default(),
        10,
        &world.post,
    );
    for name in ["ann", "bob"] {
        world.person(name).await;
    }
    let (cookie, key) = (world.cookie("ann").await, world.key("ann", &[]).await);
    for at in 0..10 {
        let request = if at % 2 == 0 {
            with_cookie(&cookie)
        } else {
            with_key(&key)
        };
        assert!(pass(&identity, request).await.is_ok(), "request {at}");
    }
    let response = pass(&identity, with_key(&key)).await.unwrap_err();
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["x-ratelimit-limit"], "10 per 1 second");
    let expected = (
        StatusCode::TOO_MANY_REQUESTS,
        r#"{"error":"Rate limit exceeded: 10 per 1 second"}"#.to_owned(),
    );
    assert_eq!(told(response).await, expected);
    assert!(pass(&identity, with_cookie(&world.cookie("bob").await)).await.is_ok());
    world.clock.advance(Duration::from_millis(100));
    let mut request = with_cookie(&cookie);
    let passed = pass_by(&identity, &Rules::of(Policy::SignedIn), &mut request)
        .await
        .unwrap();
    let mut answer = Response::new(Body::empty());
    identity.leave(passed, &mut answer);
    assert_eq!(answer.headers()["ratelimit-remaining"], "0");
    let uncounted = Rules {
        rate_limit: Some("none".to_owned()),
        ..Rules::of(Policy::SignedIn)
    };
    assert!(pass_by(&identity, &uncounted, &mut with_cookie(&cookie)).await.is_ok());

    let guess = |address: [u8; 4]| {
        let mut request = with_key("sk-oh-guess");
        request.extensions_mut().insert(ClientAddr::new(address.into()));
        request
    };
    for _ in 0..60 {
        assert_eq!(
            refused(&identity, guess([192, 0, 2, 1])).await.0,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        refused(&identity, guess([192, 0, 2, 1])).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        refused(&identity, guess([192, 0, 2, 2])).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn operators_need_no_account() {
    let world = World::new().await;
    let principal = pass(&world.identity, with_key("operator-key-of-at-least-32-characters"))
        .await
        .unwrap();
    assert!(principal.holds(&[OPERATOR]) && principal.user.is_none());
    let at_socket = |uid| {
        let mut request = asking(&[]);
        request.extensions_mut().insert(PeerCred { uid });
        request
    };
    assert!(pass(&world.identity, at_socket(1000)).await.is_ok());
    assert!(pass(&world.identity, at_socket(0)).await.is_ok());
    assert!(pass(&world.identity, at_socket(1001)).await.is_err());
}

#[tokio::test]
async fn a_disabled_person_is_kept_out() {
    let world = World::new().await;
    world.person("ann").await;
    let (cookie, key) = (world.cookie("ann").await, world.key("ann", &[]).await);
    assert!(pass(&world.identity, with_cookie(&cookie)).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    world.identity.set_disabled("ann", true).await.unwrap();
    assert!(pass(&world.identity, with_cookie(&cookie)).await.is_err());
    assert!(pass(&world.identity, with_key(&key)).await.is_err());
}
