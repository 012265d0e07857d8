//! The wire contract of `spec/10` as tables: what is sent, and the status, body, headers and cookie that come back.
//!
//! A row begins with its section. Where this host answers otherwise than the reference, and means to, the row says why
//! after a colon; a number in brackets is one of §30, the reference's weaknesses. What every answer has in common (cache
//! headers, no cookie that the row does not name, a body of the kind that its header says) is asked of each row.

mod client;
mod device;
mod gates;
mod headers;
mod keys;
mod row;
mod session;

use std::time::Duration;

use jackfield_tests::{
    host::{Host, Setup, binary},
    scratch::Scratch,
};
use reqwest::{Client, Method, Response, redirect::Policy};
use serde_json::{Value, json};

use crate::people::{Signed, follow, key, link};
use row::{Row, row};

/// Who is signed in, as this host says it.
const ME: &str = "/api/v1/users/me";
/// `Set-Cookie` that takes the session's cookie away (§5).
const CLEARED: &str = r#"keycloak_auth=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=lax"#;

/// A host, somebody who is signed in at it, and a key of theirs.
struct Ground {
    host: Host,
    client: Client,
    _scratch: Scratch,
}

impl Ground {
    /// A host that does not count requests, with more variables; none without a binary.
    async fn start(name: &str, variables: &[(&str, &str)]) -> Option<Self> {
        let off = [
            ("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "0"),
            ("JACKFIELD_IDENTITY__REQUESTS_PER_MINUTE", "0"),
        ];
        Self::counting(name, &[&off, variables].concat()).await
    }

    /// The same with the usual limits.
    async fn counting(name: &str, variables: &[(&str, &str)]) -> Option<Self> {
        binary()?;
        let scratch = Scratch::new(name);
        let mut setup = Setup::plain(scratch.0.clone());
        for (name, value) in variables {
            setup = setup.with(name, value);
        }
        let client = Client::builder()
            .no_proxy()
            .no_gzip()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(60));
        Some(Self {
            host: setup.start().await,
            client: client.build().unwrap(),
            _scratch: scratch,
        })
    }

    /// Somebody who is signed in.
    async fn person(&self, email: &str) -> Signed<'_> {
        follow(&self.host, &link(&self.host, Some(email)).await).await.unwrap()
    }

    /// A key of theirs.
    async fn key(&self, email: &str) -> String {
        key(&self.host, email, &[]).await
    }

    /// Asks what every row says, one after the other, and tells of every difference at once.
    async fn holds(&self, rows: impl IntoIterator<Item = Row>) {
        let mut wrong = Vec::new();
        for row in rows {
            let (_, mistakes) = self.ask(&row).await;
            wrong.extend(mistakes);
        }
        assert!(wrong.is_empty(), "\n{}\n{}", wrong.join("\n"), self.host.log_end());
    }

    /// Asks one row and gives the body of its answer.
    async fn told(&self, row: Row) -> Value {
        let (body, wrong) = self.ask(&row).await;
        assert!(wrong.is_empty(), "\n{}\n{}", wrong.join("\n"), self.host.log_end());
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{row}: {error}: {body}"))
    }

    async fn ask(&self, row: &Row) -> (String, Vec<String>) {
        let answer: Response = row.request(&self.client, &self.host.url("")).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        let wrong = row.differences(status, &headers, &body);
        (body, wrong)
    }
}

/// `{"error":…}`.
fn error(text: &str) -> Value {
    json!({ "error": text })
}

/// `{"detail":…}`.
fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

/// One mistake of a body or a path, as the reference's validator lists it (§ reading notes).
fn mistake(kind: &str, place: &Value) -> Value {
    json!({ "detail": [{ "type": kind, "loc": place, "msg": "<text>", "input": "<any>" }] })
}

fn get(of: &'static str, path: &str) -> Row {
    row(of, Method::GET, path)
}

fn post(of: &'static str, path: &str) -> Row {
    row(of, Method::POST, path)
}
