//! Links by mail through a real SMTP server: signing in, and another address. What they hold is in the mail and nowhere else.

use std::path::Path;

use jackfield_tests::{
    host::{Host, Setup, binary},
    postgres::database,
    relay::Relay,
    scratch::Scratch,
};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::people::{Signed, follow, link, read};

fn setup(scratch: &Scratch, relay: &Relay) -> Setup {
    Setup::plain(scratch.0.clone())
        .with("JACKFIELD_SMTP_URL", &format!("smtp://127.0.0.1:{}", relay.port))
        .with("JACKFIELD_SMTP_STARTTLS", "never")
        // A program asks faster than people do.
        .with("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "1000")
        .with("JACKFIELD_MAIL_FROM", "Acme <no-reply@acme.example>")
}

/// The link of a mail; it leads to this host.
fn in_mail(host: &Host, mail: &Value, to: &str) -> String {
    assert_eq!(mail["to"], json!([to]));
    let text = mail["text"].as_str().unwrap();
    let base = host.url("/");
    let line = text.lines().find(|line| line.starts_with(&base));
    line.unwrap_or_else(|| panic!("no link to {base}: {text}")).to_owned()
}

fn token(link: &str) -> &str {
    let (_, rest) = link.split_once("token=").unwrap();
    rest.split('&').next().unwrap()
}

/// What an anonymous program or browser is answered: the status and where it is led.
async fn open(link: &str, accept: &str) -> (u16, String) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let answer = client.build().unwrap().get(link).header(header::ACCEPT, accept).send();
    let answer = answer.await.unwrap();
    let place = answer.headers().get(header::LOCATION);
    (
        answer.status().as_u16(),
        place
            .map(|place| place.to_str().unwrap().to_owned())
            .unwrap_or_default(),
    )
}

async fn ask(host: &Host, email: &str) -> (u16, Value) {
    let wish = json!({ "email": email, "returnTo": "/settings/api-keys" });
    let asked = host.client.post(host.url("/api/v1/sign-in/link")).json(&wish).send();
    read(asked.await.unwrap()).await
}

/// Every file below a folder that holds `secret`.
fn holding(folder: &Path, secret: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, secret, found);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(secret.len()).any(|part| part == secret.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

async fn is_nowhere(host: &Host, scratch: &Scratch, secret: &str) {
    let mut found = Vec::new();
    holding(&scratch.0, secret, &mut found);
    assert!(found.is_empty(), "the token stands in {found:?}");
    assert!(!host.log().contains(secret));
    let (code, out, error) = host
        .setup
        .run_aside(&["deliveries", "list", "--plugin", "email", "--json"])
        .await;
    assert_eq!(code, 0, "{error}");
    let page: Value = serde_json::from_str(&out).unwrap();
    let rows = page.as_array().or(page["deliveries"].as_array()).unwrap().clone();
    assert!(!rows.is_empty());
    for row in rows {
        let (code, shown, error) = host
            .setup
            .run_aside(&["deliveries", "show", row["id"].as_str().unwrap(), "--json"])
            .await;
        assert_eq!(code, 0, "{error}");
        assert!(!shown.contains(secret) && !shown.contains("token="), "{shown}");
    }
}

async fn resend(signed: &Signed<'_>) -> (u16, Value) {
    read(signed.send(Method::PUT, "/api/email/resend", None).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_change_their_address_by_mail() {
    let Some(_) = binary() else { return };
    story(None).await;
    if let Some(url) = database().await {
        story(Some(&url)).await;
    }
}

/// On SQLite, or on the PostgreSQL of this address.
async fn story(database_url: Option<&str>) {
    let Some(relay) = Relay::start(&json!({})) else { return };
    let scratch = Scratch::new("links");
    let mut setup = setup(&scratch, &relay);
    if let Some(url) = database_url {
        setup = setup.with("JACKFIELD_DATABASE_URL", url);
    }
    let host = setup.start().await;
    let told = read(
        host.client
            .get(host.url("/api/v1/web-client/config"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(told.1["sign_in_links"], true);
    // Ada is invited; her operator's link is not used.
    link(&host, Some("ada@people.example")).await;

    let nobody = ask(&host, "nobody@people.example").await;
    let ada = ask(&host, "Ada@People.example").await;
    assert_eq!((ada.0, &ada), (200, &nobody));
    let mails = relay.until(1).await;
    let by_mail = in_mail(&host, &mails[0], "ada@people.example");
    is_nowhere(&host, &scratch, token(&by_mail)).await;
    let signed = follow(&host, &by_mail).await.expect("the link lets nobody in");
    assert_eq!(
        open(&by_mail, "text/html").await,
        (
            303,
            "/login?error=invalid_link&returnTo=%2Fsettings%2Fapi-keys".to_owned()
        )
    );
    assert_eq!(open(&by_mail, "application/json").await.0, 401);

    let new = json!({ "email": "ada@new.example" });
    assert_eq!(
        signed.post("/api/email", new).await,
        (200, json!({ "message": "Email changed" }))
    );
    // Both addresses hear of it, in either order.
    let mut mails = relay.until(3).await.split_off(1);
    mails.sort_by_key(|mail| mail["to"].to_string());
    let confirm = in_mail(&host, &mails[0], "ada@new.example");
    assert_eq!(
        in_mail(&host, &mails[1], "ada@people.example"),
        host.url("/settings/user")
    );
    is_nowhere(&host, &scratch, token(&confirm)).await;
    // She stands before the gate, and these are before it.
    assert_eq!(
        signed.get("/api/keys").await,
        (403, json!({ "error": "EmailNotVerifiedError" }))
    );
    let soon = "Too many requests. Please wait 30 seconds before trying again.";
    assert_eq!(resend(&signed).await, (429, json!({ "detail": soon })));
    let links = ask(&host, "ada@new.example").await;
    assert_eq!(links, nobody, "an address that is not confirmed gets no link");
    assert_eq!(
        open(&confirm, "text/html").await,
        (302, "/login?email_verified=true".to_owned())
    );
    assert_eq!(
        open(&confirm, "text/html").await,
        (302, "/login?error=invalid_verification_link".to_owned())
    );
    let begun = std::time::Instant::now();
    while signed.get("/api/keys").await.0 != 200 {
        assert!(begun.elapsed().as_secs() < 5, "the gate stays shut");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(signed.get("/api/v1/users/me").await.1["email"], "ada@new.example");
    assert_eq!(relay.mails().len(), 3);

    trail(&host, &signed).await;
}

/// Who did what, from where: people through plugins, operators over both ways.
async fn trail(host: &Host, signed: &Signed<'_>) {
    let (status, _) = signed.post("/api/settings", json!({ "language": "de" })).await;
    assert_eq!(status, 200);
    let (status, _) = signed.post("/api/keys", json!({ "name": "ci" })).await;
    assert_eq!(status, 200);
    for action in ["pause", "resume"] {
        let (code, _, error) = host.setup.run_aside(&["plugins", action, "api-keys"]).await;
        assert_eq!(code, 0, "{error}");
    }
    let (status, _) = host.admin_post("/plugins/settings/reload", &json!({})).await;
    assert_eq!(status, 200);
    let (code, out, error) = host.setup.run_aside(&["admin", "audit", "export"]).await;
    assert_eq!(code, 0, "{error}");
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |action: &str| {
        let found = rows.iter().find(|row| row["action"] == action);
        found.unwrap_or_else(|| panic!("no {action}: {out}"))
    };
    assert!(rows.iter().all(|row| row["sound"] == true));
    for action in [
        "sign_in_link.sent",
        "session.began",
        "email.changed",
        "email.verified",
        "settings.changed",
        "key.created",
    ] {
        assert_eq!(row(action)["address"], "127.0.0.1", "{action}");
    }
    assert_eq!(row("email.changed")["actor"], row("email.verified")["actor"]);
    for (action, target) in [
        ("plugin.pause", "plugin:api-keys"),
        ("plugin.resume", "plugin:api-keys"),
        ("plugin.reload", "plugin:settings"),
    ] {
        let row = row(action);
        assert_eq!((&row["actor"], &row["target"]), (&json!("operator"), &json!(target)));
        assert_eq!(row["detail"]["done"], true);
    }
    // Over the control socket there is no address, over the listener there is.
    assert_eq!(row("plugin.pause")["address"], Value::Null);
    assert_eq!(row("plugin.reload")["address"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mail_people_are_told_and_not_stranded() {
    let Some(_) = binary() else { return };
    let scratch = Scratch::new("links-off");
    let host = Setup::plain(scratch.0.clone()).start().await;
    let told = read(
        host.client
            .get(host.url("/api/v1/web-client/config"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(told.1["sign_in_links"], false);
    let (status, text) = ask(&host, "ada@people.example").await;
    assert_eq!((status, &text["error"]), (404, &json!("NoLinks")));
    let by_operator = link(&host, Some("ada@people.example")).await;
    let signed = follow(&host, &by_operator).await.unwrap();
    let (status, text) = signed.post("/api/email", json!({ "email": "ada@new.example" })).await;
    assert_eq!((status, &text["error"]), (503, &json!("MailUnavailable")));
    let me = signed.get("/api/v1/users/me").await.1;
    assert_eq!(
        (&me["email"], &me["email_verified"]),
        (&json!("ada@people.example"), &json!(true))
    );
    assert_eq!(signed.get("/api/keys").await.0, 200);
}
