//! Mails that ask somebody to confirm an address, and the tokens in them.
//!
//! - A token is 256 random bits, works once, and ends after a day. The database holds its SHA-256, the job that sends the mail
//!   holds it sealed.
//! - It confirms one address of one person: after another change of address it confirms nothing.
//! - A person has a mail to one address every 30 s and ten a day, so that nobody makes this host write to strangers.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jackfield_sdk::{mail::NewMail, prelude::*};
use rand::RngExt;
use sha2::{Digest, Sha256};

use crate::{Users, email::ACCOUNT};

/// How long a link confirms.
const LIFE_MS: i64 = 86_400_000;
/// Between two mails to one address.
pub(crate) const COOLDOWN_S: i64 = 30;
/// Mails that wait to be answered, for one person.
const OPEN: i64 = 10;
/// Where links lead.
pub(crate) const PATH: &str = "/api/email/verified";

/// A token that may be sent.
pub(crate) struct Token {
    secret: String,
    hash: String,
}

/// What became of the wish for a mail.
pub(crate) enum Reserved {
    /// It may be sent.
    Token(Token),
    /// One was sent to this address just now.
    TooSoon,
    /// Too many wait to be answered.
    TooMany,
}

#[derive(Deserialize)]
struct Row {
    person: String,
    email: String,
}

impl Users {
    /// Whether mail can be sent; when it cannot be told, it cannot.
    pub(crate) async fn sends_mail(&self) -> bool {
        self.host.mail().ready().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether mail can be sent is not known");
            false
        })
    }

    /// Makes a token for a person's address, within the limits. One statement: of two at once on SQLite one is too soon.
    pub(crate) async fn reserve(&self, person: &str, email: &str) -> Result<Reserved> {
        let bits: [u8; 32] = rand::rng().random();
        let secret = BASE64_URL_SAFE_NO_PAD.encode(bits);
        let hash = hash(&secret);
        let now = self.now_ms();
        let made = sql("INSERT INTO verification (hash, person, email, created_ms, expires_ms) SELECT $1, $2, $3, CAST($4 AS bigint), CAST($5 AS bigint) \
             WHERE NOT EXISTS (SELECT 1 FROM verification WHERE person = $2 AND email = $3 AND created_ms > $6) \
             AND (SELECT count(*) FROM verification WHERE person = $2 AND expires_ms > $4) < $7")
        .bind(hash.as_str())
        .bind(person)
        .bind(email)
        .bind(now)
        .bind(now + LIFE_MS)
        .bind(now - COOLDOWN_S * 1_000)
        .bind(OPEN);
        if self.database.execute(made).await? > 0 {
            return Ok(Reserved::Token(Token { secret, hash }));
        }
        let recent = sql("SELECT count(*) FROM verification WHERE person = $1 AND email = $2 AND created_ms > $3")
            .bind(person)
            .bind(email)
            .bind(now - COOLDOWN_S * 1_000);
        let recent: Option<i64> = self.database.query_one(recent).await?;
        Ok(if recent > Some(0) {
            Reserved::TooSoon
        } else {
            Reserved::TooMany
        })
    }

    /// A token that was not sent after all does not count.
    pub(crate) async fn give_back(&self, token: &Token) -> Result<()> {
        let gone = sql("DELETE FROM verification WHERE hash = $1").bind(token.hash.as_str());
        self.database.execute(gone).await.map(|_| ())
    }

    /// Sends the mail.
    pub(crate) async fn ask(&self, email: &str, token: &Token) -> Result<()> {
        let mail = NewMail::new(email, "verify-email")
            .value("link", format!("{PATH}?token={}", token.secret))
            .value("expires_in", "a day");
        match self.host.mail().send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.give_back(token).await?;
                Err(error)
            }
        }
    }

    /// Tells the address that was theirs before: whoever is signed in as somebody else does not take their account unseen.
    pub(crate) async fn tell_of_change(&self, old: &str) {
        let mail = NewMail::new(old, "email-changed").value("link", ACCOUNT);
        if let Err(error) = self.host.mail().send(mail).await {
            tracing::error!(%error, "the address was changed, and the one before was not told");
        }
    }

    /// Confirms the address that a token was sent to; gives whose it is. None when it was used, has ended, or is of an address
    /// that is no longer theirs. The token goes last: when the host does not answer, it can be opened again.
    pub(crate) async fn confirm(&self, secret: &str) -> Result<Option<String>> {
        let find = sql("SELECT person, email FROM verification WHERE hash = $1 AND expires_ms > $2")
            .bind(hash(secret))
            .bind(self.now_ms());
        let found: Vec<Row> = self.database.query_as(find).await?;
        let Some(row) = found.into_iter().next() else {
            return Ok(None);
        };
        let verified = self.identity.verify_email(&row.person, &row.email).await?;
        let used = sql("DELETE FROM verification WHERE person = $1 AND email = $2")
            .bind(row.person.as_str())
            .bind(row.email.as_str());
        self.database.execute(used).await?;
        Ok(verified.then_some(row.person))
    }

    /// Removes what has ended.
    pub(crate) async fn sweep(&self, run: Run, (): ()) -> Result<Outcome> {
        let before = self.now_ms();
        let removed = run
            .step("sweep", |_| async move {
                let ended = sql("DELETE FROM verification WHERE expires_ms <= $1").bind(before);
                self.database.execute(ended).await
            })
            .await?;
        Ok(match removed {
            0 => Outcome::ignored("no verification mail has ended"),
            removed => Outcome::done(format!("removed {removed} verification mails that have ended")),
        })
    }

    fn now_ms(&self) -> i64 {
        let now = self.host.clock().now();
        i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
