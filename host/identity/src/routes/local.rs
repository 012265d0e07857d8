//! One-time links: `GET /oauth/local/callback?token=…` signs in by one, `POST /api/v1/sign-in/link` asks for one by mail.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Query, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use url::{Url, form_urlencoded};

use super::{address, entry, from};
use crate::{
    caller::{away, json as answer, refusal_with},
    core::Identity,
    error::IdentityError,
    landing::on_our_host,
    people::domain,
};

/// Where a link is asked for.
pub(super) const SEND: &str = "/api/v1/sign-in/link";

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
    #[serde(default, rename = "returnTo")]
    return_to: Option<String>,
}

pub(super) async fn redeem(State(identity): State<Identity>, Query(link): Query<Link>, request: Request) -> Response {
    match sign_in(&identity, &link, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "a sign-in link cannot be redeemed");
            away()
        }
    }
}

async fn sign_in(identity: &Identity, link: &Link, request: Request) -> Result<Response, IdentityError> {
    let next = identity.own_page(link.return_to.as_deref(), request.headers());
    // Programs that look at mail ask with HEAD; what they ask for is not used up by it.
    let person = match request.method() == Method::HEAD {
        true => None,
        false => identity.redeem(&link.token).await?,
    };
    let Some(person) = person else {
        return Ok(refused(next.as_deref(), request.headers()));
    };
    let from = from(&request);
    let done = entry(
        &person.id,
        "session.began",
        &format!("person:{}", person.id),
        from.address.clone(),
    );
    let cookie = identity.begin_session(&person.id, from).await?;
    identity.record(done).await?;
    let target = next.as_deref().unwrap_or("/");
    let mut response = if !identity.0.settings.terms || person.terms_accepted_ms.is_some() {
        to(target)
    } else {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("redirect_url", target)
            .finish();
        to(&format!("/accept-tos?{query}"))
    };
    if let Some(cookie) = identity.set_cookie(&cookie, request.headers()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The sign-in page says it to people, and keeps where they wanted to go; a program reads it.
fn refused(next: Option<&str>, headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accept| accept.contains("text/html")) {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("error", "invalid_link");
        if let Some(next) = next {
            query.append_pair("returnTo", next);
        }
        return to(&format!("/login?{}", query.finish()));
    }
    refusal_with(
        StatusCode::UNAUTHORIZED,
        "InvalidLink",
        "this sign-in link was used, has expired, or is not complete; `jackfield admin sign-in-link` makes a new one",
    )
}

#[derive(Deserialize)]
struct Wish {
    email: String,
    #[serde(default, rename = "returnTo")]
    return_to: Option<String>,
}

/// The answer is the same for every address, and comes before it is looked up.
pub(super) async fn send(State(identity): State<Identity>, request: Request) -> Response {
    if !identity.0.mail.ready().await.unwrap_or(false) {
        return refusal_with(
            StatusCode::NOT_FOUND,
            "NoLinks",
            "this host sends no sign-in links, because it sends no mail; set JACKFIELD_SMTP_URL and JACKFIELD_MAIL_FROM",
        );
    }
    let (headers, address) = (request.headers().clone(), address(&request));
    let body = Bytes::from_request(request, &()).await.unwrap_or_default();
    let wish = serde_json::from_slice::<Wish>(&body).ok();
    let Some(wish) = wish.filter(|wish| domain(wish.email.trim()).is_some()) else {
        return answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({ "detail": "write the address as {\"email\":\"name@example.com\"}" }),
        );
    };
    let next = identity.own_page(wish.return_to.as_deref(), &headers);
    tokio::spawn(async move {
        if let Err(error) = identity.send_link(&wish.email, next.as_deref(), address).await {
            tracing::error!(%error, "a sign-in link is not sent");
        }
    });
    let told = "If the address is known here, a link is on its way. It works once, for 15 minutes.";
    answer(StatusCode::OK, &json!({ "message": told }))
}

impl Identity {
    /// `wanted` as a path, when it is a page of ours and not the sign-in page itself.
    fn own_page(&self, wanted: Option<&str>, headers: &HeaderMap) -> Option<String> {
        let base = Url::parse(&format!("{}/", self.base(headers))).ok()?;
        let page = on_our_host(wanted?, &base)?;
        let path = page.split(['?', '#']).next().unwrap_or_default();
        (path != "/login").then_some(page)
    }
}

fn to(place: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let place = HeaderValue::try_from(place).unwrap_or_else(|_| HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, place);
    response
}
