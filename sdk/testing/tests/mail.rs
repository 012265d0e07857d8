//! Mail that a plugin sends, as its test reads it.
#![allow(clippy::unwrap_used)]

use jackfield_sdk::prelude::*;
use jackfield_testing::{Carrier, TestHost};
use serde_json::json;

struct Club {
    host: Host,
}

#[plugin(id = "club", capabilities("mail", "jobs"))]
impl Plugin for Club {
    type Config = ();

    async fn create((): (), host: Host) -> Result<Self> {
        Ok(Self { host })
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("invite").handle(Self::invite);
    }
}

impl Club {
    async fn invite(&self, run: Run, Json(address): Json<String>) -> Result<Outcome> {
        run.step("mail", |attempt| async move {
            let mail = NewMail::new(address, "invitation")
                .value("organization", "Acme")
                .value("seats", 3)
                .key(attempt.key())
                .tenant("acme");
            self.host.mail().send(mail).await
        })
        .await?;
        Ok(Outcome::done("invited"))
    }
}

async fn invited(host: &TestHost, address: &str) -> String {
    let id = host.of::<Club>().jobs().enqueue("invite", &address).await.unwrap();
    host.finish().await;
    let work = host.work(id).await;
    assert_eq!(work.done(), "invited");
    work.step("mail").key().to_owned()
}

#[tokio::test]
async fn what_was_sent_can_be_read_and_is_there_once_also_through_crashes() {
    for carrier in Carrier::ALL {
        let host = TestHost::new().plugin::<Club>(()).carrier(carrier).start().await;
        assert!(host.mail().is_empty());
        host.crash_losing("mail");
        let key = invited(&host, "Ada <ada@example.com>").await;
        invited(&host, "bob@example.com").await;
        assert_eq!(host.crashes(), 1);
        let sent = host.mail();
        let to: Vec<&str> = sent.iter().map(|one| one.mail.to.as_str()).collect();
        assert_eq!(to, ["Ada <ada@example.com>", "bob@example.com"]);
        let first = &sent[0];
        assert_eq!((first.plugin.as_str(), &first.mail.key), ("club", &Some(key)));
        assert_eq!(
            (first.mail.template.as_str(), first.mail.tenant.as_deref()),
            ("invitation", Some("acme"))
        );
        assert_eq!(
            serde_json::Value::from(first.mail.values.clone()),
            json!({ "organization": "Acme", "seats": 3 })
        );
    }
}

#[tokio::test]
async fn it_needs_its_capability_and_an_address() {
    for carrier in Carrier::ALL {
        let setup = TestHost::new().plugin::<Club>(()).carrier(carrier);
        let host = setup.capabilities::<Club>(&["jobs"]).start().await;
        let id = host
            .of::<Club>()
            .jobs()
            .enqueue("invite", &"ada@example.com")
            .await
            .unwrap();
        host.finish().await;
        let why = host.work(id).await.dead().to_owned();
        assert!(why.contains("no capability `mail`"), "{why}");

        let host = TestHost::new().plugin::<Club>(()).carrier(carrier).start().await;
        let id = host.of::<Club>().jobs().enqueue("invite", &" ").await.unwrap();
        host.finish().await;
        let why = host.work(id).await.dead().to_owned();
        assert!(why.contains("`to` is empty; give it one address"), "{why}");
        assert!(host.mail().is_empty());
    }
}
