//! Mail from a plugin through the host to a real SMTP server: refused while nobody sends it, sent, and not lost by `kill -9`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use jackfield_tests::{
    host::{Host, Setup, binary},
    relay::Relay,
    scratch::Scratch,
};
use serde_json::{Value, json};

/// A host in which a plugin sends mail (`tests/hosts/guests.rs`).
fn setup(scratch: &Scratch) -> Setup {
    let mut setup = Setup::plain(scratch.0.clone()).with("POSTMAN_LINK", "https://app.example/s/canary-of-the-mail");
    setup.program = PathBuf::from(env!("CARGO_BIN_EXE_host-with-guests"));
    setup
}

fn with_relay(setup: &Setup, relay: &Relay) -> Setup {
    setup
        .clone()
        .with("JACKFIELD_SMTP_URL", &format!("smtp://127.0.0.1:{}", relay.port))
        .with("JACKFIELD_SMTP_STARTTLS", "never")
        .with("JACKFIELD_MAIL_FROM", "Acme <no-reply@acme.example>")
}

async fn send(host: &Host, to: &str) -> (u16, String) {
    let answer = host.client.post(host.url("/postman")).json(to).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// What `jackfield deliveries list --plugin email` shows, once every mail has this state.
async fn listed(host: &Host, state: &str) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let (code, out, error) = host
            .setup
            .run_aside(&["deliveries", "list", "--plugin", "email", "--json"])
            .await;
        assert_eq!(code, 0, "{error}");
        let page: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}"));
        let rows = page.as_array().or(page["deliveries"].as_array()).expect("rows").clone();
        if !rows.is_empty() && rows.iter().all(|row| row["state"] == state) {
            return rows;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{rows:?}\n{}",
            host.log_end()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_refused_while_nobody_sends_it() {
    let Some(_) = binary() else { return };
    let scratch = Scratch::new("mail-off");
    let host = setup(&scratch).start().await;
    let (status, text) = send(&host, "ada@people.example").await;
    assert_eq!(status, 503);
    for part in [
        "JACKFIELD_SMTP_URL is not set",
        "set JACKFIELD_SMTP_URL and JACKFIELD_MAIL_FROM",
    ] {
        assert!(text.contains(part), "{text}");
    }
    drop(host);
    // One setting is not enough, and `check` says which is missing.
    let half = setup(&scratch).with("JACKFIELD_SMTP_URL", "smtp://relay.example");
    let (code, out, error) = half.run_aside(&["check"]).await;
    assert_eq!(code, 78);
    assert!(
        format!("{out}{error}").contains("set JACKFIELD_MAIL_FROM"),
        "{out}{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_once_and_survives_kill_9_while_the_relay_thinks() {
    let Some(_) = binary() else { return };
    let Some(relay) = Relay::start(&json!({ "data": [null, "hang"] })) else {
        return;
    };
    let scratch = Scratch::new("mail-sent");
    let setup = with_relay(&setup(&scratch), &relay);
    let mut host = setup.start().await;
    let (status, id) = send(&host, "ada@people.example").await;
    assert_eq!(status, 200, "{id}");
    assert_eq!(send(&host, "ada@people.example").await.1, id, "the same key");
    let rows = listed(&host, "done").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["event"], &rows[0]["id"]),
        (&json!("sign-in-link"), &json!(id))
    );
    let outcome = rows[0]["outcome"].to_string();
    assert!(
        outcome.contains("to ada@people.example") && outcome.contains("250 2.0.0 Ok"),
        "{outcome}"
    );
    assert_eq!(relay.mails().len(), 1);

    // The relay has the whole mail and does not answer; then the host is gone.
    let (_, second) = send(&host, "bob@people.example").await;
    relay.until(2).await;
    host.kill();
    let host = setup.start().await;
    let mails = relay.until(3).await;
    assert_eq!(listed(&host, "done").await.len(), 2);
    let ids: Vec<&Value> = mails.iter().map(|mail| &mail["headers"]["message-id"]).collect();
    assert_eq!(ids[1], ids[2], "the same message for whoever compares");
    assert_ne!(ids[0], ids[1]);
    assert!(ids[1].as_str().unwrap().contains(&second), "{ids:?}");
    // Links and addresses are for one person: none stands in the log.
    let log = host.log();
    assert!(
        !log.contains("canary-of-the-mail") && !log.contains("people.example"),
        "{log}"
    );
}
