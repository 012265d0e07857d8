//! Another address, and the mail that asks to confirm it.

use jackfield_sdk::http::{Method, StatusCode};
use jackfield_testing::{Carrier, Reply, TestHost, person};
use serde_json::{Value, json};

use crate::Users;

const COOLDOWN: &str = "Too many requests. Please wait 30 seconds before trying again.";

/// Ann, who has confirmed her address, and Bob, who has not.
async fn host(carrier: Carrier) -> TestHost {
    let host = TestHost::new().plugin::<Users>("").carrier(carrier).start().await;
    host.add_person(person("ann"));
    let mut bob = person("bob");
    bob.email_verified = false;
    host.add_person(bob);
    host
}

async fn change(host: &TestHost, who: &str, email: &str) -> Reply {
    let body = json!({ "email": email });
    host.post("/api/email")
        .as_user(who)
        .from_address("203.0.113.9")
        .json(&body)
        .await
}

async fn resend(host: &TestHost, who: &str) -> Reply {
    host.call(Method::PUT, "/api/email/resend").as_user(who).await
}

/// The link of the last mail, which went to `to`.
fn link(host: &TestHost, to: &str) -> String {
    let last = host.mail().pop().expect("a mail");
    assert_eq!(
        (last.mail.to.as_str(), last.mail.template.as_str()),
        (to, "verify-email")
    );
    let link = last.mail.values["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with("/api/email/verified?token="), "{link}");
    link
}

async fn opened(host: &TestHost, link: &str) -> String {
    let reply = host.get(link).from_address("203.0.113.9").await.expect(302);
    reply.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_new_address_is_confirmed_by_the_link_that_is_sent_to_it_once() {
    for carrier in Carrier::ALL {
        let host = host(carrier).await;
        let reply = change(&host, "ann", "ann@new.example").await.expect(200);
        assert_eq!(reply.json::<Value>(), json!({ "message": "Email changed" }));
        let ann = host.person("ann").unwrap();
        assert_eq!(
            (ann.email.as_deref(), ann.email_verified),
            (Some("ann@new.example"), false)
        );
        let link = link(&host, "ann@new.example");
        // The address that was hers is told.
        let told = host.mail().remove(0).mail;
        assert_eq!(
            (told.to.as_str(), told.template.as_str()),
            ("ann@example.com", "email-changed")
        );
        assert_eq!(told.values["link"], "/settings/user");
        // What only looks at mail uses nothing up.
        host.call(Method::HEAD, &link).await;
        assert!(!host.person("ann").unwrap().email_verified);
        assert_eq!(opened(&host, &link).await, "/login?email_verified=true");
        assert!(host.person("ann").unwrap().email_verified);
        assert_eq!(opened(&host, &link).await, "/login?error=invalid_verification_link");
        let done: Vec<_> = host
            .audit()
            .into_iter()
            .map(|entry| (entry.actor, entry.action, entry.address))
            .collect();
        let from = Some("203.0.113.9".to_owned());
        assert_eq!(
            done,
            [
                ("ann".to_owned(), "email.changed".to_owned(), from.clone()),
                ("ann".to_owned(), "email.verified".to_owned(), from)
            ]
        );
        // Her own address, which is confirmed: nothing happens.
        change(&host, "ann", "ann@new.example").await.expect(200);
        assert!(host.person("ann").unwrap().email_verified);
        assert_eq!(host.mail().len(), 2);
    }
}

#[tokio::test]
async fn who_is_signed_in_goes_on_to_the_account() {
    let host = host(Carrier::Builtin).await;
    change(&host, "bob", "bob@new.example").await.expect(200);
    assert_eq!(host.mail().len(), 1, "an address that nobody confirmed is not told");
    let link = link(&host, "bob@new.example");
    let reply = host.get(&link).as_user("bob").await.expect(302);
    assert_eq!(reply.header("location"), Some("/settings/user"));
    assert!(host.person("bob").unwrap().email_verified);
}

#[tokio::test]
async fn a_link_confirms_one_address_for_a_day() {
    let host = host(Carrier::Builtin).await;
    change(&host, "ann", "ann@first.example").await.expect(200);
    let first = link(&host, "ann@first.example");
    change(&host, "ann", "ann@second.example").await.expect(200);
    let second = link(&host, "ann@second.example");
    assert_eq!(opened(&host, &first).await, "/login?error=invalid_verification_link");
    assert!(!host.person("ann").unwrap().email_verified);
    host.advance(std::time::Duration::from_secs(86_400));
    assert_eq!(opened(&host, &second).await, "/login?error=invalid_verification_link");
    for none in [
        "/api/email/verified",
        "/api/email/verified?token=",
        "/api/email/verified?token=x",
    ] {
        assert_eq!(opened(&host, none).await, "/login?error=invalid_verification_link");
    }
    assert!(!host.person("ann").unwrap().email_verified);
    // What has ended is removed.
    let swept = host.fire("sweep").await;
    assert_eq!(swept.done(), "removed 1 verification mails that have ended");
}

#[tokio::test]
async fn without_mail_no_address_is_changed() {
    let host = host(Carrier::Builtin).await;
    host.refuse_mail(true);
    let reply = change(&host, "ann", "ann@new.example").await.expect(503);
    let told: Value = reply.json();
    assert_eq!(told["error"], "MailUnavailable");
    assert!(told["detail"].as_str().unwrap().contains("stays as it is"), "{told}");
    let ann = host.person("ann").unwrap();
    assert_eq!(
        (ann.email.as_deref(), ann.email_verified),
        (Some("ann@example.com"), true)
    );
    assert_eq!(
        resend(&host, "bob").await.expect(503).json::<Value>()["error"],
        "MailUnavailable"
    );
    // Nothing of it counts when there is mail again.
    host.refuse_mail(false);
    change(&host, "ann", "ann@new.example").await.expect(200);
}

#[tokio::test]
async fn it_is_sent_again_every_30_seconds_and_ten_times_a_day() {
    let host = host(Carrier::Builtin).await;
    let sent = json!({ "message": "Email verification message sent" });
    assert_eq!(resend(&host, "bob").await.expect(200).json::<Value>(), sent);
    let soon = resend(&host, "bob").await.expect(429);
    assert_eq!(soon.json::<Value>(), json!({ "detail": COOLDOWN }));
    assert_eq!(soon.header("retry-after"), Some("30"));
    assert_eq!(
        change(&host, "bob", "bob@example.com")
            .await
            .expect(429)
            .json::<Value>(),
        json!({ "detail": COOLDOWN })
    );
    for _ in 1..10 {
        host.advance(std::time::Duration::from_secs(31));
        resend(&host, "bob").await.expect(200);
    }
    host.advance(std::time::Duration::from_secs(31));
    let many: Value = resend(&host, "bob").await.expect(429).json();
    assert!(many["detail"].as_str().unwrap().contains("tomorrow"), "{many}");
    change(&host, "bob", "bob@stranger.example").await.expect(429);
    assert_eq!(host.mail().len(), 10);
    assert_eq!(host.person("bob").unwrap().email.as_deref(), Some("bob@example.com"));
    // Each of them works, and the first that is opened ends the others.
    let links: Vec<String> = host
        .mail()
        .iter()
        .map(|one| one.mail.values["link"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(opened(&host, &links[0]).await, "/login?email_verified=true");
    assert_eq!(opened(&host, &links[9]).await, "/login?error=invalid_verification_link");
    let verified = resend(&host, "bob").await.expect(200);
    assert_eq!(
        verified.json::<Value>(),
        json!({ "message": "Email is verified already" })
    );
}

#[tokio::test]
async fn who_is_not_signed_in_learns_nothing_of_anybody() {
    let host = host(Carrier::Builtin).await;
    let ask = async |id: &str| {
        let body = json!({ "user_id": id, "is_auth_flow": true });
        host.call(Method::PUT, "/api/email/resend").json(&body).await
    };
    let told = ["bob", "bob", "ann", "nobody"];
    for id in told {
        let reply = ask(id).await.expect(200);
        assert_eq!(
            reply.json::<Value>(),
            json!({ "message": "Email verification message sent" })
        );
    }
    // Bob alone waits for one, and has it once.
    assert_eq!(host.mail().len(), 1);
    link(&host, "bob@example.com");
    let nobody = host.call(Method::PUT, "/api/email/resend").await.expect(400);
    let text = "user_id is required in request body or user must be authenticated";
    assert_eq!(nobody.json::<Value>(), json!({ "detail": text }));
    host.call(Method::PUT, "/api/email/resend").body("{").await.expect(422);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_the_references_words() {
    let host = host(Carrier::Builtin).await;
    for no in [
        "",
        "ann",
        "ann@",
        "@x.example",
        "a b@x.example",
        "ann@x",
        "ann@x.e",
        "ann@x..example",
        "ann@x.exam-ple",
        "ann@b@x.example",
        "ann@x.example\r\nBcc: all@x.example",
        "änn@x.example",
    ] {
        let told: Value = change(&host, "ann", no).await.expect(422).json();
        assert_eq!(told["detail"][0]["msg"], "Value error, Invalid email format", "{no}");
        assert_eq!(told["detail"][0]["loc"], json!(["body", "email"]));
    }
    let missing: Value = host
        .post("/api/email")
        .as_user("ann")
        .json(&json!({}))
        .await
        .expect(422)
        .json();
    assert_eq!(missing["detail"][0]["type"], "missing");
    let number: Value = host
        .post("/api/email")
        .as_user("ann")
        .json(&json!({ "email": 1 }))
        .await
        .expect(422)
        .json();
    assert_eq!(number["detail"][0]["type"], "string_type");
    let taken: Value = change(&host, "bob", "Ann@Example.com").await.expect(409).json();
    assert_eq!(taken["error"], "EmailTaken");
    let body = json!({ "email": "ann@evil.example" });
    let key = host.post("/api/email").as_api_key("ann", &[]).json(&body).await;
    assert_eq!(key.status(), StatusCode::FORBIDDEN);
    assert_eq!(key.json::<Value>()["error"], "SessionRequired");
    assert_eq!(
        host.post("/api/email").json(&body).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(host.mail().is_empty() && host.person("ann").unwrap().email_verified);
    // What was refused does not count.
    change(&host, "bob", "bob@new.example").await.expect(200);
}
