//! An address that Keycloak keeps: changed there, confirmed by its mail, through a real SMTP server.

use jackfield_tests::{host::client, keycloak::Browser, relay::Relay};
use reqwest::Method;
use serde_json::{Value, json};

use super::{COOKIE, Person, Site};

/// The link of the newest of so many mails to an address; it leads to Keycloak.
async fn link(site: &Site, relay: &Relay, count: usize, to: &str) -> String {
    let mails = relay.until(count).await;
    let mail = &mails[count - 1];
    assert_eq!(mail["to"], json!([to]));
    let text = mail["text"].as_str().unwrap_or_else(|| panic!("no text: {mail}"));
    let realm = site.realm.url();
    let words = text.split_whitespace();
    let link = words.map(str::to_owned).find(|word| word.starts_with(&realm));
    link.unwrap_or_else(|| panic!("no link: {text}"))
}

/// Opens the link of a mail in a browser that knows nobody; where its pages lead back to.
async fn confirm(link: &str) -> String {
    let mut browser = Browser::new();
    let asked = browser.open(link).await;
    let done = browser.click(asked, "login-actions/action-token").await;
    done.link("email").unwrap_or_else(|| panic!("no way back: {done:#?}"))
}

async fn change(person: &Person<'_>, email: &str) -> (u16, Value) {
    let asked = client()
        .post(person.site.url("/api/email"))
        .header("cookie", format!("{COOKIE}={}", person.cookie))
        .json(&json!({ "email": email }))
        .send()
        .await
        .unwrap();
    (asked.status().as_u16(), asked.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_is_confirmed_by_keycloaks_own_mail() {
    let Some(relay) = Relay::start(&json!({})) else { return };
    let Some(site) = Site::start("kc-address", &[]).await else {
        return;
    };
    let smtp = json!({ "host": "127.0.0.1", "port": relay.port.to_string(), "from": "sign-in@example.com" });
    site.realm.set(&json!({ "smtpServer": smtp })).await;
    let (user, person) = site.somebody("mover").await;
    site.somebody("owner-of-it").await;
    assert_eq!(change(&person, "owner-of-it@example.com").await.0, 409);
    let (status, said) = change(&person, "moved@example.com").await;
    assert_eq!(
        (status, &said),
        (200, &json!({ "message": "Email changed" })),
        "{}",
        site.host().log_end()
    );
    let record = site.realm.record(&user).await;
    assert_eq!(
        (&record["email"], &record["emailVerified"]),
        (&json!("moved@example.com"), &json!(false))
    );
    assert_eq!(record["firstName"], "First", "nothing was erased");

    // Until it is confirmed, nothing but the account is open.
    let (status, said) = person.get("/api/keys").await;
    assert_eq!((status, &said["error"]), (403, &json!("EmailNotVerifiedError")));
    let back = confirm(&link(&site, &relay, 1, "moved@example.com").await).await;
    assert_eq!(back, site.url("/api/email/verified"));
    let answer = person.send(0, Method::GET, "/api/email/verified").await;
    assert!(answer.url().path().starts_with("/settings/user"), "{answer:?}");
    let (status, me) = person.me().await;
    assert_eq!(
        (status, &me["email"], &me["email_verified"]),
        (200, &json!("moved@example.com"), &json!(true))
    );
    assert_eq!(person.get("/api/keys").await.0, 200);

    // Somebody who cannot sign in before they have confirmed asks for the mail again without a session.
    let newcomer = site.realm.create_user("newcomer").await;
    let unverified = json!({ "emailVerified": false });
    site.realm.change_user(&newcomer, &unverified).await;
    let visit = site.enter(&mut Browser::new(), &newcomer).await;
    assert_eq!(
        super::field(&visit, "user_id").as_deref(),
        Some(newcomer.id.as_str()),
        "{visit:#?}"
    );
    relay.until(2).await;
    let again = |id: &str| {
        let body = json!({ "user_id": id, "is_auth_flow": true });
        let asked = client().put(site.url("/api/email/resend")).json(&body);
        async move { asked.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(again(&newcomer.id).await, 200);
    assert_eq!(again(&newcomer.id).await, 429, "twice within 30 s");
    assert_eq!(again("nobody").await, 200, "who is not there is not told from who is");
    assert_eq!(again(&user.id).await, 200, "who has confirmed gets no mail");
    let back = confirm(&link(&site, &relay, 3, "newcomer@example.com").await).await;
    assert_eq!(back, site.url("/login?email_verified=true"));
    assert_eq!(relay.mails().len(), 3);
    site.signed_in(&newcomer).await;
}
