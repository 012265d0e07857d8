//! Addresses that the identity provider keeps: it is told of a new one, sends the mail that asks to confirm it, and says when
//! it is confirmed.

use std::net::IpAddr;

use jackfield_sdk::{
    http::{HeaderMap, HeaderValue, header},
    identity::AuditEntry,
    prelude::*,
};
use serde_json::{Value, json};

use crate::{
    Users,
    answer::{Answer, Refused, away},
    email::{ACCOUNT, no_mail, too_many, too_soon},
    verification::{COOLDOWN_S, Reserved},
};

impl Users {
    /// Changes the address there, and asks for the mail.
    pub(crate) async fn change_elsewhere(&self, who: &Person, email: &str) -> Answer<Value> {
        // The token is for the cool-down alone: the provider's mail has one of its own.
        let token = match self.reserve(&who.id, email).await.map_err(away)? {
            Reserved::Token(token) => token,
            Reserved::TooSoon => return Err(too_soon()),
            Reserved::TooMany => return Err(too_many()),
        };
        if let Some(refusal) = self.set_address(&who.id, email).await {
            self.give_back(&token).await.map_err(away)?;
            return Err(refusal);
        }
        self.note(who, "email.changed", format!("person:{}", who.id)).await?;
        if let Err(error) = self.identity.send_verification(&who.id, true).await {
            tracing::error!(%error, "the address was changed and its mail is not sent");
            self.give_back(&token).await.map_err(away)?;
            return Err(no_mail(
                "the address was changed, but no mail was sent to it; send it again in a while",
            ));
        }
        Ok(Json(json!({ "message": "Email changed" })))
    }

    /// Asks for the mail again. Whether there is such a person is not told.
    pub(crate) async fn send_again_elsewhere(
        &self,
        person: &str,
        signed_in: bool,
    ) -> std::result::Result<Json<Value>, (HeaderMap, Refused)> {
        let plain = |refused: Refused| (HeaderMap::new(), refused);
        let sent = || Ok(Json(json!({ "message": "Email verification message sent" })));
        // Before the first sign-in nobody knows the address here; the mail of one person counts.
        let token = match self.reserve(person, "").await.map_err(|error| plain(away(error)))? {
            Reserved::Token(token) => token,
            Reserved::TooSoon => {
                let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(COOLDOWN_S))]);
                return Err((wait, too_soon()));
            }
            Reserved::TooMany => return Err(plain(too_many())),
        };
        match self.identity.send_verification(person, signed_in).await {
            Ok(_) => sent(),
            Err(error) => {
                tracing::error!(%error, "the identity provider sends no mail");
                self.give_back(&token).await.map_err(|error| plain(away(error)))?;
                Err(plain(no_mail("no mail was sent")))
            }
        }
    }

    /// Where the browser goes that comes back from the provider's mail.
    pub(crate) async fn confirmed_elsewhere(&self, who: Option<Person>, from: Option<IpAddr>) -> Result<&'static str> {
        let Some(who) = who else {
            return Ok("/login?email_verified=true");
        };
        let before = self.identity.user(&who.id).await?;
        let now = self.identity.renew(&who.id).await?;
        let verified =
            |user: &Option<jackfield_sdk::identity::User>| user.as_ref().is_some_and(|user| user.email_verified);
        if verified(&now) && !verified(&before) {
            let entry = AuditEntry {
                actor: who.id.clone(),
                action: "email.verified".to_owned(),
                target: format!("person:{}", who.id),
                address: from.map(|address| address.to_string()),
                detail: json!({}),
            };
            self.host.audit().record(entry).await?;
        }
        Ok(ACCOUNT)
    }
}
