//! `/api/email*` (spec/10 §16, spec/40 §9): another address, the mail that asks to confirm it, and the link in that mail.
//!
//! Without mail no address is changed, because its owner could never confirm it and would stand before the gate for ever.
//! Only a session changes an address: who holds a key of somebody's could otherwise take the account, by a link to an address
//! of their own.

use jackfield_sdk::{
    bytes::Bytes,
    http::{HeaderMap, HeaderValue, Method, header},
    identity::{AuditEntry, EmailChange},
    prelude::*,
};
use serde_json::{Value, json};

use crate::{
    Users,
    answer::{Answer, Message, Refusal, Refused, away, detail, optional, refused_with},
    verification::{COOLDOWN_S, Reserved},
};

/// Longest address (RFC 5321).
const LONGEST: usize = 254;
/// Where somebody who is signed in goes on.
pub(crate) const ACCOUNT: &str = "/settings/user";

/// Another address.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "it describes the body, which is read by hand to say what is wrong as the reference does"
)]
pub(crate) struct ChangeEmail {
    /// Letters, digits and `._%+-`, then `@` and a domain.
    email: String,
}

/// Changes the address; it is to be confirmed by the link that is sent to it.
#[utoipa::path(post, path = "/api/email", request_body = ChangeEmail, extensions(("x-jackfield-before" = json!(["email"]))),
    responses((status = 200, body = Message), (status = 403, body = Refusal), (status = 409, body = Refusal),
        (status = 422, body = Refusal), (status = 429, body = Refusal), (status = 503, body = Refusal)))]
pub(crate) async fn change(users: This<Users>, who: Person, body: Bytes) -> Answer<Value> {
    let email = address(&body)?;
    if who.session.is_none() {
        return Err(refused_with(
            StatusCode::FORBIDDEN,
            "SessionRequired",
            "an API key does not change the address; sign in with a browser",
        ));
    }
    let user = users.user(&who).await?;
    let changed = || Ok(Json(json!({ "message": "Email changed" })));
    if user.email_verified && user.email.as_deref() == Some(email.as_str()) {
        return changed();
    }
    if !users.signs_in_here() {
        return users.change_elsewhere(&who, &email).await;
    }
    if !users.sends_mail().await {
        return Err(no_mail(
            "the address stays as it is, because a new one could not be confirmed",
        ));
    }
    let token = match users.reserve(&who.id, &email).await.map_err(away)? {
        Reserved::Token(token) => token,
        Reserved::TooSoon => return Err(too_soon()),
        Reserved::TooMany => return Err(too_many()),
    };
    if let Some(refusal) = users.set_address(&who.id, &email).await {
        users.give_back(&token).await.map_err(away)?;
        return Err(refusal);
    }
    users.note(&who, "email.changed", format!("person:{}", who.id)).await?;
    // Nobody who never confirmed an address is written to without having asked.
    if let Some(old) = user.email.filter(|old| user.email_verified && *old != email) {
        users.tell_of_change(&old).await;
    }
    if let Err(error) = users.ask(&email, &token).await {
        tracing::error!(%error, "the address was changed and its mail is not stored");
        return Err(no_mail(
            "the address was changed, but no mail was sent to it; send it again in a while",
        ));
    }
    changed()
}

/// Whom to send the mail to again.
#[derive(Default, Deserialize, ToSchema)]
#[allow(dead_code, reason = "clients of the reference send what does not matter here")]
pub(crate) struct ResendVerification {
    /// Somebody who cannot sign in before they have confirmed their address; whoever is signed in need not say who they are.
    user_id: Option<String>,
    /// Whether it is for a sign-in; the link leads on either way.
    #[serde(default)]
    is_auth_flow: bool,
}

/// Sends the mail again. Who is not signed in is told nothing of the person they name: the answer is the same for everybody.
#[utoipa::path(put, path = "/api/email/resend", request_body = ResendVerification, security(()),
    extensions(("x-jackfield-rate-limit" = json!("address"))),
    responses((status = 200, body = Message), (status = 400, body = Refusal), (status = 429, body = Refusal),
        (status = 503, body = Refusal)))]
pub(crate) async fn resend(
    users: This<Users>,
    who: std::result::Result<Person, Problem>,
    body: Bytes,
) -> std::result::Result<Json<Value>, (HeaderMap, Refused)> {
    let plain = |refused: Refused| (HeaderMap::new(), refused);
    let named: ResendVerification = optional(&body, "the body is no JSON object with user_id").map_err(plain)?;
    let signed_in = who.ok();
    let id = match (&signed_in, named.user_id) {
        (Some(who), _) => who.id.clone(),
        (None, Some(id)) => id,
        (None, None) => {
            let text = "user_id is required in request body or user must be authenticated";
            return Err(plain(detail(StatusCode::BAD_REQUEST, text)));
        }
    };
    if !users.signs_in_here() {
        return users.send_again_elsewhere(&id, signed_in.is_some()).await;
    }
    if !users.sends_mail().await {
        return Err(plain(no_mail("no mail was sent")));
    }
    let sent = || Ok(Json(json!({ "message": "Email verification message sent" })));
    let user = users.identity.user(&id).await.map_err(|error| plain(away(error)))?;
    let Some((email, verified)) = user.and_then(|user| Some((user.email?, user.email_verified))) else {
        return sent();
    };
    if verified {
        return match signed_in {
            Some(_) => Ok(Json(json!({ "message": "Email is verified already" }))),
            None => sent(),
        };
    }
    match users.reserve(&id, &email).await.map_err(|error| plain(away(error)))? {
        Reserved::Token(token) => users.ask(&email, &token).await.map_err(|error| plain(away(error)))?,
        Reserved::TooSoon if signed_in.is_some() => {
            let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(COOLDOWN_S))]);
            return Err((wait, too_soon()));
        }
        Reserved::TooMany if signed_in.is_some() => return Err(plain(too_many())),
        Reserved::TooSoon | Reserved::TooMany => {}
    }
    sent()
}

/// What the link carries.
#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    token: String,
}

/// Confirms the address that the link was sent to, on whatever device it is opened, and leads on: to the account, or to the
/// sign-in page, which says what became of it.
#[utoipa::path(get, path = "/api/email/verified", params(("token" = Option<String>, Query, description = "From the mail")),
    security(()), extensions(("x-jackfield-rate-limit" = json!("address"))),
    responses((status = 302, description = "To the account or the sign-in page"), (status = 503, body = Refusal)))]
pub(crate) async fn verified(
    users: This<Users>,
    who: std::result::Result<Person, Problem>,
    ClientAddress(from): ClientAddress,
    method: Method,
    Query(link): Query<Link>,
) -> std::result::Result<impl IntoResponse, Refused> {
    // Programs that look at mail ask with HEAD; what they ask for is not used up by it.
    let confirmed = match method == Method::HEAD || link.token.is_empty() {
        true => None,
        false => users.confirm(&link.token).await.map_err(away)?,
    };
    if !users.signs_in_here() {
        let to = users.confirmed_elsewhere(who.ok(), from).await.map_err(away)?;
        return Ok((StatusCode::FOUND, [(header::LOCATION, to)]));
    }
    if let Some(person) = &confirmed {
        let entry = AuditEntry {
            actor: person.clone(),
            action: "email.verified".to_owned(),
            target: format!("person:{person}"),
            address: from.map(|address| address.to_string()),
            detail: json!({}),
        };
        users.host.audit().record(entry).await.map_err(away)?;
    }
    let to = match (who.is_ok(), confirmed.is_some()) {
        (true, _) => ACCOUNT,
        (false, true) => "/login?email_verified=true",
        (false, false) => "/login?error=invalid_verification_link",
    };
    // 302, as the reference has it.
    Ok((StatusCode::FOUND, [(header::LOCATION, to)]))
}

impl Users {
    /// Changes the address; why it is not changed, if it is not.
    pub(crate) async fn set_address(&self, person: &str, email: &str) -> Option<Refused> {
        let refused = match self.identity.change_email(person, email).await {
            Ok(EmailChange::Changed) => return None,
            Ok(EmailChange::Taken) => (
                StatusCode::CONFLICT,
                "EmailTaken",
                "another account has confirmed this address",
            ),
            Ok(EmailChange::Blocked) => (
                StatusCode::FORBIDDEN,
                "EmailBlocked",
                "addresses of this domain may not be used here",
            ),
            Ok(EmailChange::Unknown) => (StatusCode::UNAUTHORIZED, "User does not exist", "sign in again"),
            Err(error) => return Some(away(error)),
        };
        Some(refused_with(refused.0, refused.1, refused.2))
    }
}

pub(crate) fn no_mail(what: &str) -> Refused {
    let detail = format!("this host cannot send mail now: {what}; ask the people who run it");
    refused_with(StatusCode::SERVICE_UNAVAILABLE, "MailUnavailable", &detail)
}

pub(crate) fn too_soon() -> Refused {
    let text = format!("Too many requests. Please wait {COOLDOWN_S} seconds before trying again.");
    detail(StatusCode::TOO_MANY_REQUESTS, &text)
}

pub(crate) fn too_many() -> Refused {
    let text = "Too many requests. Ten mails wait to be answered; open the last one, or try again tomorrow.";
    detail(StatusCode::TOO_MANY_REQUESTS, text)
}

/// The address of a body, or what is wrong with it in the words of the reference's validator.
fn address(body: &[u8]) -> std::result::Result<String, Refused> {
    let wrong = |mistake: Value| Err((StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": [mistake] }))));
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return wrong(json!({ "type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error", "input": {} }));
    };
    let at = json!(["body", "email"]);
    match body.get("email") {
        None => wrong(json!({ "type": "missing", "loc": at, "msg": "Field required", "input": body })),
        Some(Value::String(email)) if is_address(email) => Ok(email.clone()),
        Some(Value::String(email)) => wrong(json!({
            "type": "value_error", "loc": at, "msg": "Value error, Invalid email format", "input": email, "ctx": { "error": {} },
        })),
        Some(other) => {
            wrong(json!({ "type": "string_type", "loc": at, "msg": "Input should be a valid string", "input": other }))
        }
    }
}

/// `^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$`, and no empty label.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let ending = domain.rsplit_once('.').map_or("", |(_, ending)| ending);
    text.len() <= LONGEST
        && !local.is_empty()
        && local.chars().all(|c| plain(c) || matches!(c, '_' | '%' | '+'))
        && domain.chars().all(plain)
        && domain.split('.').all(|label| !label.is_empty())
        && ending.len() >= 2
        && ending.chars().all(|c| c.is_ascii_alphabetic())
}
