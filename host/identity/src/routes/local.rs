//! `GET /oauth/local/callback?token=…`: a one-time link.

use axum::{
    body::Body,
    extract::{Query, Request, State},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{entry, from};
use crate::{
    caller::{away, refusal_with},
    core::Identity,
    error::IdentityError,
};

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
}

pub(super) async fn redeem(State(identity): State<Identity>, Query(link): Query<Link>, request: Request) -> Response {
    match sign_in(&identity, &link.token, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "a sign-in link cannot be redeemed");
            away()
        }
    }
}

async fn sign_in(identity: &Identity, token: &str, request: Request) -> Result<Response, IdentityError> {
    let Some(person) = identity.redeem(token).await? else {
        return Ok(refusal_with(
            StatusCode::UNAUTHORIZED,
            "InvalidLink",
            "this sign-in link was used, has expired, or is not complete; `jackfield admin sign-in-link` makes a new one",
        ));
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
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response
        .headers_mut()
        .insert(header::LOCATION, HeaderValue::from_static("/"));
    if let Some(cookie) = identity.set_cookie(&cookie, request.headers()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
