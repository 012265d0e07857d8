//! Signing in by a link: asked for by mail, redeemed in a browser.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{body::Body, response::Response};
use http::{Request, StatusCode, header};
use jackfield_sdk::identity::EmailChange;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{World, told};
use crate::{Arrival, IdentitySettings};

impl World {
    async fn call(&self, request: Request<Body>) -> Response {
        self.identity.router().oneshot(request).await.unwrap()
    }

    async fn ask(&self, body: Value) -> (StatusCode, String) {
        let request = Request::post("/api/v1/sign-in/link").body(Body::from(body.to_string()));
        told(self.call(request.unwrap()).await).await
    }

    /// Links that were sent, once there are so many: the work goes on after the answer.
    async fn links(&self, count: usize) -> Vec<(String, String)> {
        for _ in 0..500 {
            if self.post.sent.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sent = self.post.sent.lock().unwrap();
        let all = sent.iter().map(|mail| {
            assert_eq!(mail.template, "sign-in-link");
            (mail.to.clone(), mail.values["link"].as_str().unwrap().to_owned())
        });
        all.collect()
    }

    async fn open(&self, link: &str, accept: &str) -> (StatusCode, String, Option<String>) {
        let request = Request::get(link)
            .header("host", "app.example.com")
            .header("accept", accept)
            .body(Body::empty());
        let response = self.call(request.unwrap()).await;
        let text = |name| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let (place, cookie) = (text(header::LOCATION), text(header::SET_COOKIE));
        (response.status(), place.unwrap_or_default(), cookie)
    }
}

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

#[tokio::test]
async fn a_link_is_mailed_to_whom_it_signs_in_and_everybody_is_answered_alike() {
    let world = World::new().await;
    world.person("ann").await;
    world.person("off").await;
    world.identity.set_disabled("off", true).await.unwrap();
    let arrival = |id: &str, provider: &str, email_verified| Arrival {
        id: Some(id.to_owned()),
        provider: provider.to_owned(),
        username: id.to_owned(),
        email: Some(format!("{id}@example.com")),
        email_verified,
        name: None,
        company: None,
        operator: false,
    };
    world.identity.arrive(arrival("new", "local", false)).await.unwrap();
    world.identity.arrive(arrival("sso", "github", true)).await.unwrap();
    let mut answers = Vec::new();
    for email in ["nobody", "off", "new", "sso"] {
        answers.push(world.ask(json!({ "email": format!("{email}@example.com") })).await);
    }
    answers.push(world.ask(json!({ "email": " Ann@Example.com " })).await);
    let expected =
        r#"{"message":"If the address is known here, a link is on its way. It works once, for 15 minutes."}"#;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == (StatusCode::OK, expected.to_owned())),
        "{answers:?}"
    );
    let links = world.links(1).await;
    let [(to, link)] = links.as_slice() else {
        panic!("{links:?}")
    };
    assert_eq!(to, "ann@example.com");
    let (status, place, cookie) = world.open(link, BROWSER).await;
    assert_eq!((status, place.as_str()), (StatusCode::SEE_OTHER, "/"));
    assert!(cookie.unwrap().starts_with("keycloak_auth="));
    let trail = world.identity.audit(0, 10).await.unwrap();
    let done: Vec<&str> = trail.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(done, ["sign_in_link.sent", "session.began"]);
}

#[tokio::test]
async fn three_links_are_on_their_way_at_most_and_an_address_that_changes_ends_them() {
    let world = World::new().await;
    world.person("ann").await;
    for _ in 0..5 {
        world.identity.send_link("ann@example.com", None, None).await.unwrap();
    }
    let links = world.links(3).await;
    assert_eq!(links.len(), 3);
    let changed = world.identity.change_email("ann", "ann@new.example").await.unwrap();
    assert_eq!(changed, EmailChange::Changed);
    let (status, _, cookie) = world.open(&links[0].1, "application/json").await;
    assert_eq!((status, cookie), (StatusCode::UNAUTHORIZED, None));
    // To an address that is not verified yet goes nothing, to the old one neither.
    for email in ["ann@new.example", "ann@example.com"] {
        world.identity.send_link(email, None, None).await.unwrap();
    }
    assert_eq!(world.links(3).await.len(), 3);
    assert!(world.identity.verify_email("ann", "ann@new.example").await.unwrap());
    world.identity.send_link("ann@new.example", None, None).await.unwrap();
    assert_eq!(world.links(4).await[3].0, "ann@new.example");
    world.clock.advance(Duration::from_secs(901));
    let last = world.links(4).await[3].1.clone();
    assert_eq!(world.open(&last, "*/*").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_host_without_mail_says_so_and_what_is_no_address_is_refused() {
    let world = World::new().await;
    world.person("ann").await;
    for body in [
        json!({}),
        json!({ "email": "ann" }),
        json!({ "email": 1 }),
        json!([]),
        Value::Null,
    ] {
        assert_eq!(
            world.ask(body.clone()).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{body}"
        );
    }
    world.post.shut.store(true, Ordering::SeqCst);
    let (status, text) = world.ask(json!({ "email": "ann@example.com" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        text.contains("NoLinks") && text.contains("JACKFIELD_SMTP_URL"),
        "{text}"
    );
    assert!(world.links(0).await.is_empty());
}

#[tokio::test]
async fn a_good_link_leads_where_its_owner_wanted_to_go_and_nowhere_else() {
    let world = World::new().await;
    world.person("ann").await;
    let body = json!({ "email": "ann@example.com", "returnTo": "/settings/api-keys?a=1&b=2" });
    world.ask(body).await;
    let link = world.links(1).await[0].1.clone();
    assert_eq!(world.open(&link, BROWSER).await.1, "/settings/api-keys?a=1&b=2");
    for (wanted, lands) in [
        ("/conversations/1%23x", "/conversations/1#x"),
        ("https://app.example.com/x", "/x"),
        ("//evil.example", "/"),
        ("/%5Cevil.example", "/"),
        ("%5C%5Cevil.example", "/"),
        ("https://evil.example/", "/"),
        ("https://app.example.com//evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/%09/evil.example", "/"),
        ("/login?returnTo=/login", "/"),
        ("", "/"),
    ] {
        let link = world.identity.link("ann").await.unwrap();
        let (status, place, _) = world.open(&format!("{}&returnTo={wanted}", link.path), BROWSER).await;
        assert_eq!((status, place.as_str()), (StatusCode::SEE_OTHER, lands), "{wanted}");
    }
    // What is asked for by mail is checked before it is sent.
    let evil = json!({ "email": "ann@example.com", "returnTo": "//evil.example" });
    let clock = &world.clock;
    clock.advance(Duration::from_secs(901));
    world.ask(evil).await;
    assert!(!world.links(2).await[1].1.contains("returnTo"));
}

#[tokio::test]
async fn a_link_that_is_not_good_leads_people_to_the_sign_in_page_and_programs_are_told() {
    let world = World::new().await;
    world.person("ann").await;
    let link = world.identity.link("ann").await.unwrap().path;
    // A program that looks at mail uses nothing up.
    let head = Request::head(&link).body(Body::empty()).unwrap();
    assert_eq!(world.call(head).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.open(&link, BROWSER).await.0, StatusCode::SEE_OTHER);
    for bad in [link.as_str(), "/oauth/local/callback", "/oauth/local/callback?token=x"] {
        let (status, place, cookie) = world.open(bad, BROWSER).await;
        assert_eq!(
            (status, place.as_str(), cookie),
            (StatusCode::SEE_OTHER, "/login?error=invalid_link", None),
            "{bad}"
        );
        for program in ["application/json", "*/*", ""] {
            let request = Request::get(bad).header("accept", program).body(Body::empty());
            let (status, text) = told(world.call(request.unwrap()).await).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert!(text.contains(r#""error":"InvalidLink""#), "{text}");
        }
    }
    let (_, place, _) = world.open(&format!("{link}&returnTo=/settings/user"), BROWSER).await;
    assert_eq!(place, "/login?error=invalid_link&returnTo=%2Fsettings%2Fuser");
}

#[tokio::test]
async fn who_has_not_accepted_the_terms_is_led_to_them() {
    let settings = IdentitySettings {
        terms: true,
        ..IdentitySettings::default()
    };
    let world = World::with(settings).await;
    world.person("ann").await;
    let path = world.identity.link("ann").await.unwrap().path;
    let (status, place, cookie) = world.open(&format!("{path}&returnTo=/settings"), BROWSER).await;
    assert_eq!(
        (status, place.as_str()),
        (StatusCode::SEE_OTHER, "/accept-tos?redirect_url=%2Fsettings")
    );
    assert!(cookie.is_some());
    world.identity.accept_terms("ann").await.unwrap();
    let path = world.identity.link("ann").await.unwrap().path;
    assert_eq!(world.open(&path, BROWSER).await.1, "/");
}
