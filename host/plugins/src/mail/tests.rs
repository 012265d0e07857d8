use jackfield_inbox::{
    clock::ManualClock,
    engine::{NoObserver, Settings},
    memory::MemoryStore,
    model::Filter,
};

use super::*;

fn inbox() -> Inbox {
    let store = MemoryStore::new(Arc::new(ManualClock::at(1_000_000)));
    Inbox::new(Arc::new(store), Settings::default(), Arc::new(NoObserver))
}

fn link(key: &str) -> NewMail {
    NewMail::new("ada@example.com", "sign-in-link")
        .value("link", "https://x.example/1")
        .key(key)
}

async fn stored(inbox: &Inbox) -> usize {
    let listed = inbox.store().list(&Filter::default(), None, 100).await;
    listed.unwrap().len()
}

#[tokio::test]
async fn without_a_plugin_that_sends_nothing_is_stored_and_the_settings_are_named() {
    let (mail, inbox) = (Mail::default(), inbox());
    let refused = |answer: Result<Uuid, ServiceError>| match answer {
        Err(ServiceError::Unavailable { message }) => message,
        other => panic!("{other:?}"),
    };
    let nobody = refused(mail.send(&inbox, "shop", link("1")).await);
    assert_eq!(
        nobody,
        "mail is off, because this host has no plugin `email`; compile `jackfield-plugin-email` in and set JACKFIELD_SMTP_URL and \
         JACKFIELD_MAIL_FROM"
    );
    mail.mount(Mount::Off("auto: JACKFIELD_SMTP_URL is not set".to_owned()));
    let off = refused(mail.clone().send(&inbox, "shop", link("1")).await);
    assert_eq!(
        off,
        "mail is off, because the plugin `email` is (auto: JACKFIELD_SMTP_URL is not set); set JACKFIELD_SMTP_URL and JACKFIELD_MAIL_FROM"
    );
    assert_eq!(stored(&inbox).await, 0);
}

#[tokio::test]
async fn a_mail_is_a_job_once_for_each_key_sender_and_tenant() {
    let (mail, inbox) = (Mail::default(), inbox());
    mail.mount(Mount::On);
    let send = async |from: &str, mail_: NewMail| mail.send(&inbox, from, mail_).await.unwrap();
    let first = send("shop", link("1")).await;
    assert_eq!(send("shop", link("1")).await, first, "the same key");
    let others = [
        send("shop", link("2")).await,
        send("door", link("1")).await,
        send("shop", link("1").tenant("acme")).await,
        send("shop", NewMail::new("ada@example.com", "sign-in-link")).await,
        send("shop", NewMail::new("ada@example.com", "sign-in-link")).await,
    ];
    assert!(!others.contains(&first));
    assert_eq!(stored(&inbox).await, 6);
    let detail = inbox.store().show(others[2]).await.unwrap().unwrap();
    let summary = &detail.summary;
    assert_eq!(
        (
            summary.plugin.as_str(),
            summary.handler.as_str(),
            summary.event.as_str()
        ),
        ("email", "send", "sign-in-link")
    );
    assert_eq!(
        (summary.tenant.as_str(), summary.delivery_id.as_str()),
        ("acme", "shop:1")
    );
    let kept: NewMail = serde_json::from_slice(&detail.body).unwrap();
    assert_eq!(kept, link("1").tenant("acme"));
}

#[tokio::test]
async fn what_can_never_be_sent_is_refused_at_once() {
    let (mail, inbox) = (Mail::default(), inbox());
    mail.mount(Mount::On);
    for (to, template, what) in [
        (" ", "invitation", "`to` is empty"),
        (
            "ada@example.com\r\nBcc: all@example.com",
            "invitation",
            "control character",
        ),
        (&"a".repeat(600), "invitation", "longer than 512"),
        ("ada@example.com", "", "`template` is empty"),
    ] {
        let answer = mail.send(&inbox, "shop", NewMail::new(to, template)).await;
        assert!(
            matches!(&answer, Err(ServiceError::Invalid { message }) if message.contains(what)),
            "{answer:?}"
        );
    }
    assert_eq!(stored(&inbox).await, 0);
}

#[tokio::test]
async fn mail_may_be_kept_instead() {
    let keep: KeepMail = Arc::new(|from, mail| {
        assert_eq!((from, mail.to.as_str()), ("shop", "ada@example.com"));
        Ok(Uuid::max())
    });
    let (mail, inbox) = (Mail::kept_by(keep), inbox());
    assert_eq!(mail.send(&inbox, "shop", link("1")).await, Ok(Uuid::max()));
    assert_eq!(stored(&inbox).await, 0);
}
