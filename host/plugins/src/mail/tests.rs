use jackfield_inbox::{
    clock::ManualClock,
    engine::{NoObserver, Settings},
    memory::MemoryStore,
    model::Filter,
};

use std::sync::Mutex;

use super::*;

/// Sealed values by the number that stands for them.
#[derive(Default)]
struct Sealing(Mutex<Vec<(String, Bytes)>>);

#[async_trait]
impl VaultService for Sealing {
    async fn get(&self, _: String, name: String) -> Result<Option<Bytes>, ServiceError> {
        Err(ServiceError::invalid(name))
    }
    async fn put(&self, _: String, name: String, _: Bytes) -> Result<(), ServiceError> {
        Err(ServiceError::invalid(name))
    }
    async fn delete(&self, _: String, name: String) -> Result<(), ServiceError> {
        Err(ServiceError::invalid(name))
    }
    async fn seal(&self, tenant: String, name: String, value: Bytes) -> Result<Bytes, ServiceError> {
        let mut all = self.0.lock().unwrap();
        all.push((format!("{tenant}{name}"), value));
        Ok(format!("{}", all.len() - 1).into())
    }
    async fn open(&self, tenant: String, name: String, sealed: Bytes) -> Result<Bytes, ServiceError> {
        let number: usize = std::str::from_utf8(&sealed).unwrap().parse().unwrap();
        let (place, value) = self.0.lock().unwrap()[number].clone();
        assert_eq!(place, format!("{tenant}{name}"));
        Ok(value)
    }
}

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
    let nobody = refused(mail.send(&inbox, &Sealing::default(), "shop", link("1")).await);
    assert_eq!(
        nobody,
        "mail is off, because this host has no plugin `email`; compile `jackfield-plugin-email` in and set JACKFIELD_SMTP_URL and \
         JACKFIELD_MAIL_FROM"
    );
    mail.mount(Mount::Off("auto: JACKFIELD_SMTP_URL is not set".to_owned()));
    let off = refused(mail.clone().send(&inbox, &Sealing::default(), "shop", link("1")).await);
    assert_eq!(
        off,
        "mail is off, because the plugin `email` is (auto: JACKFIELD_SMTP_URL is not set); set JACKFIELD_SMTP_URL and JACKFIELD_MAIL_FROM"
    );
    assert_eq!(stored(&inbox).await, 0);
    assert!(!mail.is_ready());
    mail.mount(Mount::On);
    assert!(mail.is_ready());
}

#[tokio::test]
async fn a_mail_is_a_job_once_for_each_key_sender_and_tenant() {
    let (mail, inbox) = (Mail::default(), inbox());
    mail.mount(Mount::On);
    let vault = Sealing::default();
    let send = async |from: &str, mail_: NewMail| mail.send(&inbox, &vault, from, mail_).await.unwrap();
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
    let text = String::from_utf8(detail.body.to_vec()).unwrap();
    assert!(!text.contains("https://x.example/1"), "{text}");
    let kept: StoredMail = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (kept.to.as_str(), kept.template.as_str()),
        ("ada@example.com", "sign-in-link")
    );
    let sealed = BASE64_STANDARD.decode(kept.sealed.unwrap()).unwrap();
    let opened = vault.open("email:".to_owned(), SEALED.to_owned(), sealed.into()).await;
    assert_eq!(opened.unwrap(), r#"{"link":"https://x.example/1"}"#);
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
        let answer = mail
            .send(&inbox, &Sealing::default(), "shop", NewMail::new(to, template))
            .await;
        assert!(
            matches!(&answer, Err(ServiceError::Invalid { message }) if message.contains(what)),
            "{answer:?}"
        );
    }
    assert_eq!(stored(&inbox).await, 0);
}

#[tokio::test]
async fn a_link_that_is_a_path_leads_to_this_host() {
    let (mail, inbox, vault) = (Mail::default(), inbox(), Sealing::default());
    mail.mount(Mount::On);
    mail.set_base("https://app.example/");
    let send = |link: &str| {
        let new = NewMail::new("ada@example.com", "verify-email").value("link", link);
        mail.send(&inbox, &vault, "users", new)
    };
    send("/api/email/verified?token=t").await.unwrap();
    send("https://elsewhere.example/1").await.unwrap();
    let sealed: Vec<Bytes> = vault.0.lock().unwrap().iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(
        sealed,
        [
            r#"{"link":"https://app.example/api/email/verified?token=t"}"#,
            r#"{"link":"https://elsewhere.example/1"}"#
        ]
    );
}

struct Shelf(bool);

impl KeepMail for Shelf {
    fn keep(&self, from: &str, mail: NewMail) -> Result<Uuid, ServiceError> {
        assert_eq!((from, mail.to.as_str()), ("shop", "ada@example.com"));
        Ok(Uuid::max())
    }

    fn is_ready(&self) -> bool {
        self.0
    }
}

#[tokio::test]
async fn mail_may_be_kept_instead() {
    let (mail, inbox, vault) = (Mail::kept_by(Arc::new(Shelf(true))), inbox(), Sealing::default());
    assert!(mail.is_ready());
    assert_eq!(mail.send(&inbox, &vault, "shop", link("1")).await, Ok(Uuid::max()));
    let shut = Mail::kept_by(Arc::new(Shelf(false)));
    assert!(!shut.is_ready());
    let refused = shut.send(&inbox, &vault, "shop", link("1")).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable { .. })), "{refused:?}");
    assert_eq!(stored(&inbox).await, 0);
}
