//! Mail from a plugin's `host.mail()` to a real SMTP server, on the real engine and on every carrier: crashed, refused, cut off.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use jackfield_plugin_email::Email;
use jackfield_sdk::{health::HealthStatus, prelude::*};
use jackfield_testing::{Carrier, Contract, ReplayMode, State, TestHost, Work, assert_plugin_contract};
use serde_json::{Value, json};

use crate::support::{Certificates, Sink};

/// Sends mail, as a plugin does that knows nothing of SMTP.
struct Club;

#[plugin(id = "club", capabilities("mail"))]
impl Plugin for Club {
    type Config = ();

    async fn create((): (), _host: Host) -> Result<Self> {
        Ok(Self)
    }
}

/// Settings for a server on this machine, with more of them.
fn settings(url: &str, more: Value) -> Value {
    let mut settings = json!({ "smtp_url": url, "from": "Acme <no-reply@acme.example>", "product": "Acme Cloud" });
    let Value::Object(more) = more else { panic!("{more}") };
    settings.as_object_mut().unwrap().extend(more);
    settings
}

/// Settings without TLS.
fn open(sink: &Sink) -> Value {
    settings(
        &format!("smtp://127.0.0.1:{}", sink.port),
        json!({ "starttls": "never" }),
    )
}

async fn host(carrier: Carrier, settings: Value) -> TestHost {
    TestHost::new()
        .plugin::<Email>(settings)
        .plugin::<Club>(())
        .carrier(carrier)
        .start()
        .await
}

fn invitation() -> NewMail {
    NewMail::new("Zoë <zoe@people.example>", "invitation")
        .value("inviter", "Ada <Lovelace>")
        .value("organization", "Zürich & Söhne")
        .value("link", "https://app.example/i/1?a=1&b=2")
}

/// Sends a mail and sees it through.
async fn sent(host: &TestHost, mail: NewMail) -> Work {
    let id = host.of::<Club>().mail().send(mail).await.unwrap();
    host.finish().await;
    host.work(id).await
}

/// Sends a mail and runs what is due, without retries.
async fn sent_so_far(host: &TestHost, mail: NewMail) -> Work {
    let id = host.of::<Club>().mail().send(mail).await.unwrap();
    host.settle().await;
    host.work(id).await
}

/// Message-IDs of the mails that were taken.
fn ids(sink: &mut Sink) -> Vec<String> {
    let id = |mail: &Value| mail["headers"]["message-id"].as_str().unwrap().to_owned();
    sink.mails().iter().map(id).collect()
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_meant() {
    for carrier in Carrier::ALL {
        let mut sink = Sink::open();
        let host = host(carrier, open(&sink)).await;
        let work = sent(&host, invitation().tenant("acme")).await;
        assert_eq!(
            work.done(),
            format!(
                "invitation to Zoë <zoe@people.example>: 127.0.0.1:{} took it (250 2.0.0 Ok: queued as SINK1)",
                sink.port
            )
        );
        // What `jackfield deliveries list --plugin email` shows.
        assert_eq!(
            (work.event(), work.tenant(), work.attempts()),
            ("invitation", "acme", 1)
        );
        assert_eq!(work.step_names(), ["smtp"]);

        let mails = sink.mails();
        let [mail] = mails.as_slice() else { panic!("{mails:?}") };
        assert_eq!(mail["from"], "no-reply@acme.example");
        assert_eq!(mail["to"], json!(["zoe@people.example"]));
        assert_eq!(mail["hello"], "acme.example");
        assert_eq!((&mail["tls"], &mail["signed_in"]), (&json!(false), &json!(false)));
        assert_eq!(mail["defects"], json!([]));
        let headers = &mail["headers"];
        assert_eq!(
            headers["subject"],
            "Ada <Lovelace> invites you to Zürich & Söhne on Acme Cloud"
        );
        assert_eq!(headers["from"], "Acme <no-reply@acme.example>");
        assert_eq!(headers["to"], "Zoë <zoe@people.example>");
        assert_eq!(headers["message-id"], format!("<{}.smtp@acme.example>", work.id()));
        assert_eq!(headers["auto-submitted"], "auto-generated");
        assert_eq!(headers["date"], "Thu, 01 Jan 2026 00:00:00 +0000");
        let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
        assert!(
            text.contains("Ada <Lovelace> invites you to join Zürich & Söhne"),
            "{text}"
        );
        assert!(text.contains("\nhttps://app.example/i/1?a=1&b=2\n"), "{text}");
        assert!(html.contains("Ada &lt;Lovelace&gt; invites you"), "{html}");
    }
}

#[tokio::test]
async fn starttls_is_used_and_nothing_is_sent_without_it() {
    let certificates = Certificates::new("starttls");
    let trusting = json!({ "ca_file": certificates.authority, "reply_to": "help@acme.example" });
    for carrier in Carrier::ALL {
        let mut sink = Sink::start(json!({ "starttls": certificates.files() }));
        let url = format!("smtp://127.0.0.1:{}", sink.port);
        let host = host(carrier, settings(&url, json!({}))).await;
        let work = sent_so_far(&host, invitation()).await;
        assert_eq!(work.state(), State::Pending, "a certificate that is not trusted");
        assert!(work.error().unwrap().contains("set ca_file"), "{work}");
        assert!(sink.mails().is_empty());

        host.reconfigure::<Email>(settings(&url, trusting.clone()))
            .await
            .unwrap();
        host.finish().await;
        assert!(host.work(work.id()).await.done().contains("250"));
        let mails = sink.mails();
        assert_eq!((mails.len(), &mails[0]["tls"]), (1, &json!(true)));
        assert_eq!(mails[0]["headers"]["reply-to"], "help@acme.example");

        // A server that does not offer it, or from which the offer was taken away.
        let mut bare = Sink::open();
        let url = format!("smtp://127.0.0.1:{}", bare.port);
        host.reconfigure::<Email>(settings(&url, trusting.clone()))
            .await
            .unwrap();
        let work = sent_so_far(&host, invitation()).await;
        assert_eq!(work.state(), State::Pending);
        assert!(work.error().unwrap().contains("STARTTLS is not supported"), "{work}");
        assert!(bare.mails().is_empty());
        let offered = json!({ "starttls": "if-offered" });
        host.reconfigure::<Email>(settings(&url, offered)).await.unwrap();
        host.finish().await;
        assert_eq!(bare.mails().len(), 1);
    }
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    let certificates = Certificates::new("implicit");
    let mut sink = Sink::start(json!({ "implicit": certificates.files() }));
    let url = format!("smtps://127.0.0.1:{}", sink.port);
    let trusting = json!({ "ca_file": certificates.authority });
    let host = host(Carrier::Bridge, settings(&url, trusting)).await;
    sent(&host, invitation()).await.done();
    assert_eq!(sink.mails()[0]["tls"], true);
}

#[tokio::test]
async fn a_wrong_password_kills_no_mail() {
    let certificates = Certificates::new("auth");
    for carrier in Carrier::ALL {
        let mut sink = Sink::start(json!({ "starttls": certificates.files(), "user": ["app@acme", "p:ss/word"] }));
        let with = |password: &str| {
            let url = format!("smtp://app%40acme:{password}@127.0.0.1:{}", sink.port);
            settings(&url, json!({ "ca_file": certificates.authority }))
        };
        let (wrong, right) = (with("canary"), with("p%3Ass%2Fword"));
        let host = host(carrier, wrong).await;
        let work = sent_so_far(&host, invitation()).await;
        assert_eq!(work.state(), State::Pending);
        let why = work.error().unwrap();
        assert!(
            why.contains("answered 535") && why.contains("JACKFIELD_SMTP_URL"),
            "{why}"
        );
        assert!(!format!("{work}").contains("canary"));
        let health = host.health::<Email>().await;
        assert_eq!(health.status, HealthStatus::Unhealthy, "{health:?}");

        host.reconfigure::<Email>(right).await.unwrap();
        host.advance(minutes(4));
        assert_eq!(host.settle().await, 0, "it waits for an operator");
        host.finish().await;
        host.work(work.id()).await.done();
        assert_eq!(host.health::<Email>().await.status, HealthStatus::Healthy);
        let (mails, sign_ins) = (sink.mails(), sink.sign_ins());
        assert_eq!((mails.len(), &mails[0]["signed_in"]), (1, &json!(true)));
        assert!(sign_ins.iter().all(|one| one["tls"] == true), "{sign_ins:?}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_sent_once() {
    for carrier in Carrier::ALL {
        let mut sink = Sink::start(json!({ "data": ["451 4.3.0 Try again later"], "rcpt": ["450 4.2.1 Greylisted"] }));
        let host = host(carrier, open(&sink)).await;
        let work = sent_so_far(&host, invitation()).await;
        assert_eq!(work.state(), State::Pending);
        assert!(
            work.error().unwrap().contains("answered 450: 4.2.1 Greylisted"),
            "{work}"
        );
        host.finish().await;
        let work = host.work(work.id()).await;
        assert!(work.done().contains("250 2.0.0"));
        assert_eq!((work.attempts(), sink.mails().len()), (3, 1));
    }
}

#[tokio::test]
async fn what_is_refused_is_dead_with_the_servers_reason() {
    for carrier in Carrier::ALL {
        let mut sink = Sink::start(json!({
            "rcpt": ["550 5.1.1 <zoe@people.example>: no such mailbox"],
            "data": ["554 5.7.1 Looks like spam"],
        }));
        let host = host(carrier, open(&sink)).await;
        for reason in [
            "550: 5.1.1 <zoe@people.example>: no such mailbox",
            "554: 5.7.1 Looks like spam",
        ] {
            let work = sent(&host, invitation()).await;
            let expected = format!("127.0.0.1:{} answered {reason}", sink.port);
            assert!(work.dead().contains(&expected), "{work}");
            assert_eq!(work.attempts(), 1);
        }
        assert!(sink.mails().is_empty());
        // The mailbox is there now, and an operator says "again".
        let dead = host.list().await[0].id();
        assert!(host.replay(dead, ReplayMode::Resume).await);
        host.work(dead).await.done();
        assert_eq!(sink.mails().len(), 1);
    }
}

#[tokio::test]
async fn a_crash_after_the_step_sends_nothing_twice() {
    for carrier in Carrier::ALL {
        let mut sink = Sink::open();
        let host = host(carrier, open(&sink)).await;
        host.crash_after("smtp");
        host.crash_at_end();
        let work = sent(&host, invitation()).await;
        work.done();
        assert_eq!((host.crashes(), sink.mails().len()), (2, 1));
    }
}

#[tokio::test]
async fn what_is_sent_twice_is_recognisable_as_one() {
    for carrier in Carrier::ALL {
        // The host dies when the server has taken it; the server takes it and its answer is lost; its answer never comes.
        for (told, crash) in [(json!(null), true), (json!("drop"), false), (json!("hang"), false)] {
            let mut sink = Sink::start(json!({ "data": [told] }));
            let mut settings = open(&sink);
            settings["timeout"] = 1.into();
            let host = host(carrier, settings).await;
            if crash {
                host.crash_losing("smtp");
            }
            let work = sent(&host, invitation()).await;
            work.done();
            let twice = ids(&mut sink);
            assert_eq!(twice.len(), 2, "{told}: {work}");
            assert_eq!(twice[0], twice[1]);

            // On purpose it is another one.
            assert!(host.replay(work.id(), ReplayMode::Again).await);
            let thrice = ids(&mut sink);
            assert_eq!(thrice.len(), 3);
            assert_ne!(thrice[1], thrice[2]);
        }
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_mail() {
    for carrier in Carrier::ALL {
        let mut sink = Sink::open();
        let host = host(carrier, open(&sink)).await;
        let first = sent(&host, invitation().key("acme/zoe")).await;
        let again = sent(&host, invitation().key("acme/zoe")).await;
        assert_eq!(first.id(), again.id());
        assert_eq!(sink.mails().len(), 1);
        sent(&host, invitation().key("acme/ann")).await;
        assert_eq!(sink.mails().len(), 2);
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_dead_and_named() {
    let mut sink = Sink::open();
    let host = host(Carrier::Bridge, open(&sink)).await;
    let to = "zoe@people.example";
    for (mail, what) in [
        (
            NewMail::new(to, "invitation"),
            "needs the value `inviter`, which is missing",
        ),
        (NewMail::new(to, "poem"), "there is no template `poem`"),
        (NewMail::new("zoe", "sign-in-link"), "to is no mailbox"),
        (
            NewMail::new("zoe@a.example, ann@b.example", "sign-in-link"),
            "to is no mailbox",
        ),
    ] {
        let work = sent(&host, mail).await;
        assert!(work.dead().contains(what), "{work}");
    }
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn mail_for_a_plugin_that_is_paused_waits() {
    let mut sink = Sink::open();
    let host = host(Carrier::Builtin, open(&sink)).await;
    host.plugins().pause("email").await.unwrap();
    let work = sent_so_far(&host, invitation()).await;
    assert_eq!(work.state(), State::Held);
    host.plugins().resume("email").await.unwrap();
    host.finish().await;
    host.work(work.id()).await.done();
    assert_eq!(sink.mails().len(), 1);
}

#[tokio::test]
async fn health_says_whether_the_relay_answers() {
    let sink = Sink::open();
    let settings = open(&sink);
    for carrier in Carrier::ALL {
        let host = host(carrier, settings.clone()).await;
        let health = host.health::<Email>().await;
        assert_eq!(health.status, HealthStatus::Healthy, "{health:?}");
        let detail = format!("127.0.0.1:{} answers", sink.port);
        assert_eq!(health.detail, Some(detail));
    }
    let host = host(Carrier::Bridge, settings).await;
    drop(sink);
    let health = host.health::<Email>().await;
    assert_eq!(health.status, HealthStatus::Degraded, "{health:?}");
    assert!(health.detail.unwrap().contains("cannot be reached"));
}

#[tokio::test]
async fn a_file_of_authorities_that_cannot_be_used_is_named() {
    let nowhere = settings("smtps://relay.example", json!({ "ca_file": "nowhere.pem" }));
    let refused = TestHost::new().plugin::<Email>(nowhere).try_start().await;
    let why = refused.err().expect("the file is not there");
    assert!(why.contains("ca_file `nowhere.pem`: No such file"), "{why}");
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let empty = settings("smtps://relay.example", json!({ "ca_file": other }));
    let refused = TestHost::new().plugin::<Email>(empty).try_start().await;
    let why = refused.err().expect("there is no certificate");
    assert!(why.contains("there is no certificate in it"), "{why}");
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let sink = Sink::open();
    let contract = Contract::with(open(&sink)).job("send", &invitation());
    assert_plugin_contract::<Email>(contract).await;
}
