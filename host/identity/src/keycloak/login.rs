//! `GET /realms/{realm}/protocol/openid-connect/auth` and `GET /oauth/keycloak/callback` (spec/10 §12; RFC 6749 §4.1, RFC 7636,
//! RFC 9207).
//!
//! A row holds the hash of the `state` that Keycloak is given and of the browser's login cookie, and where the browser goes
//! after it. PKCE's verifier and the nonce follow from cookie and state, so nothing that is stored opens anything, and a code
//! that another browser began is worth nothing in this one.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jackfield_storage::entity::{keycloak_login as login, person};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Keycloak, PROVIDER,
    checks::{Arriving, Refused},
    claims::Claims,
    endpoints::{CallError, Tokens},
    work::Work,
};
use crate::{
    caller::{provider_away, refusal},
    core::Identity,
    error::IdentityError,
    landing::on_our_host,
    routes::{entry, from},
    sessions::From,
    token,
};

/// How long a browser may take at Keycloak, in seconds; its own page gives up after as long.
const LIFE_S: i64 = 1800;
/// Longest `state` of a client that is kept.
const STATE: usize = 4000;

/// What a client asks for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    state: String,
    kc_idp_hint: Option<String>,
    prompt: Option<String>,
    login_hint: Option<String>,
}

/// What Keycloak sends the browser back with.
#[derive(Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

type Parts = (Identity, Arc<Keycloak>);

pub(super) async fn authorize(
    State((identity, keycloak)): State<Parts>,
    Path(realm): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let settings = &keycloak.settings;
    let callback = settings.callback();
    let wrong = [
        (realm == settings.realm, "realm", settings.realm.as_str()),
        (asked.client_id == settings.client_id, "client_id", &settings.client_id),
        (asked.response_type == "code", "response_type", "code"),
        // The stock client writes https wherever its page is not on `localhost`; the address must be ours, and no other.
        (asked.redirect_uri == callback, "redirect_uri", &callback),
    ];
    if let Some((_, name, must)) = wrong.into_iter().find(|(right, ..)| !right) {
        let text = format!("Invalid parameter: {name}; it must be {must}");
        return refusal(StatusCode::BAD_REQUEST, &text);
    }
    if asked.state.len() > STATE {
        return refusal(StatusCode::BAD_REQUEST, "Invalid parameter: state; it is too long");
    }
    match begin(&identity, &keycloak, &asked, &headers).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "a sign-in cannot begin");
            provider_away()
        }
    }
}

async fn begin(
    identity: &Identity,
    keycloak: &Keycloak,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response, IdentityError> {
    let settings = &keycloak.settings;
    let state = token::opaque();
    // A second tab does not take the first one's sign-in away.
    let kept = identity
        .login_cookie(headers)
        .filter(|value| value.len() == token::OPAQUE);
    let cookie = kept.map_or_else(token::opaque, str::to_owned);
    let row = login::ActiveModel {
        hash: Set(token::hash(&state).to_vec()),
        cookie: Set(token::hash(&cookie).to_vec()),
        return_to: Set(return_to(&asked.state, &settings.public_url)),
        expires_ms: Set(identity.now() + LIFE_S * 1000),
    };
    row.insert(identity.write()).await?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(derived("verifier", &cookie, &state)));
    let nonce = derived("nonce", &cookie, &state);
    let callback = settings.callback();
    let mut query = vec![
        ("client_id", settings.client_id.as_str()),
        ("response_type", "code"),
        ("redirect_uri", &callback),
        ("scope", "openid email profile offline_access"),
        ("state", &state),
        ("nonce", &nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let more = [
        ("kc_idp_hint", &asked.kc_idp_hint),
        ("prompt", &asked.prompt),
        ("login_hint", &asked.login_hint),
    ];
    query.extend(more.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let to = format!("{}/protocol/openid-connect/auth", settings.issuer());
    let to = Url::parse_with_params(&to, query).map_err(|error| IdentityError::Provider(error.to_string()))?;
    let mut response = redirect(to.as_str());
    if let Some(cookie) = identity.set_login_cookie(&cookie, LIFE_S, headers) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(super) async fn callback(
    State((identity, keycloak)): State<Parts>,
    Query(back): Query<Back>,
    request: Request,
) -> Response {
    let (from, headers) = (from(&request), request.into_parts().0.headers);
    match come_back(&identity, &keycloak, &back, from, &headers).await {
        Ok(mut response) => {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::warn!(%error, "a sign-in cannot be completed");
            provider_away()
        }
    }
}

async fn come_back(
    identity: &Identity,
    keycloak: &Arc<Keycloak>,
    back: &Back,
    from: From,
    headers: &HeaderMap,
) -> Result<Response, IdentityError> {
    let cookie = identity.login_cookie(headers).unwrap_or_default();
    let Some(return_to) = take(identity, &back.state, cookie).await? else {
        let text = "This sign-in was used, has expired, or began in another browser; start again from the sign-in page";
        return Ok(refusal(StatusCode::BAD_REQUEST, text));
    };
    let settings = &keycloak.settings;
    if back.iss.as_deref() != Some(settings.issuer().as_str()) {
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "The answer comes from another issuer; keycloak.public_url must be the address that Keycloak names in its tokens",
        ));
    }
    if back.code.is_empty() {
        let expired = (Some("temporarily_unavailable"), Some("authentication_expired"));
        if (back.error.as_deref(), back.error_description.as_deref()) == expired {
            return Ok(redirect(&settings.page(&return_to)));
        }
        tracing::info!(error = back.error, "Keycloak sent a browser back without a code");
        return Ok(refusal(StatusCode::BAD_REQUEST, "Missing code in request params"));
    }
    let verifier = derived("verifier", cookie, &back.state);
    let tokens = match keycloak
        .endpoints
        .exchange(&back.code, &verifier, &settings.callback())
        .await
    {
        Ok(tokens) => tokens,
        Err(error @ CallError::Refused { .. }) => {
            tracing::info!(%error, "a code is refused");
            return Ok(refusal(StatusCode::BAD_REQUEST, "Problem retrieving Keycloak tokens"));
        }
        Err(error @ CallError::Away(_)) => return Err(error.into()),
    };
    let nonce = derived("nonce", cookie, &back.state);
    let claims = match &tokens.id_token {
        Some(token) => keycloak.id_claims(token, &nonce).await,
        None => Err(super::claims::TokenError::Malformed("there is none")),
    };
    let claims = match claims {
        Ok(claims) => claims,
        Err(super::claims::TokenError::Keycloak(error)) => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "an ID token is not believed");
            return Ok(refusal(StatusCode::BAD_REQUEST, "Problem retrieving Keycloak tokens"));
        }
    };
    let arrived = Arrived { claims, tokens, from };
    enter(identity, keycloak, arrived, &return_to, headers).await
}

/// Who came back, with what, from where.
struct Arrived {
    claims: Claims,
    tokens: Tokens,
    from: From,
}

/// Checks, and only then people, grants and sessions.
async fn enter(
    identity: &Identity,
    keycloak: &Arc<Keycloak>,
    arrived: Arrived,
    return_to: &str,
    headers: &HeaderMap,
) -> Result<Response, IdentityError> {
    let Arrived { claims, tokens, from } = &arrived;
    let known = person::Entity::find_by_id(&claims.sub).one(identity.read()).await?;
    let arriving = Arriving {
        identity,
        keycloak,
        claims,
        access: &tokens.access_token,
        known: known.is_some(),
        disabled: known.is_some_and(|person| person.disabled),
    };
    for check in &keycloak.checks {
        if let Some(refused) = check.ask(&arriving).await? {
            return Ok(shut(keycloak, claims, tokens, refused).await);
        }
    }
    let arrived = identity.arrive(claims.arrival()).await;
    let user = match arrived {
        Ok(user) => user,
        Err(IdentityError::Taken) => return Ok(shut(keycloak, claims, tokens, Refused::Duplicate).await),
        Err(error) => return Err(error),
    };
    keycloak.set_refused(identity, &user.id, false).await?;
    let sid = claims.sid.as_deref().unwrap_or_default();
    // Both or none: a grant that no session stands on is tidied away.
    let tx = identity.0.database.begin().await?;
    let grant = keycloak.keep_grant(identity, &tx, &user.id, sid, tokens).await?;
    let from = From {
        keycloak_grant: Some(grant.clone()),
        ..from.clone()
    };
    let done = entry(
        &user.id,
        "session.began",
        &format!("person:{}", user.id),
        from.address.clone(),
    );
    let cookie = identity.begin_session_in(&tx, &user.id, from).await?;
    tx.commit().await?;
    identity.record(done).await?;
    if keycloak.was_logged_out(identity, sid).await? {
        keycloak.end_grant(identity, &grant, PROVIDER).await?;
    }
    keycloak.enqueue(Work::Tidy(user.id.clone()));
    let accepted = !identity.0.settings.terms || user.terms_accepted_ms.is_some();
    let target = keycloak.settings.page(return_to);
    let to = if accepted {
        target
    } else {
        let page = keycloak.settings.page("/accept-tos");
        Url::parse_with_params(&page, [("redirect_url", &target)]).map_or(target, String::from)
    };
    let mut response = redirect(&to);
    if let Some(cookie) = identity.set_cookie(&cookie, headers) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The answer to who does not come in. Nothing is left of their sign-in, here or at Keycloak.
async fn shut(keycloak: &Keycloak, claims: &Claims, tokens: &Tokens, refused: Refused) -> Response {
    if let Some(token) = &tokens.refresh_token
        && let Err(error) = keycloak.endpoints.end(token).await
    {
        tracing::info!(%error, "the session of a refused sign-in ends by its age");
    }
    let page = |path: &str| redirect(&keycloak.settings.page(path));
    match refused {
        Refused::Role => refusal(StatusCode::UNAUTHORIZED, "Missing required role"),
        Refused::Name => refusal(StatusCode::BAD_REQUEST, "Missing user ID or username in response"),
        Refused::Disabled => refusal(StatusCode::UNAUTHORIZED, "Access denied: This account is disabled here"),
        Refused::Domain => refusal(
            StatusCode::UNAUTHORIZED,
            "Access denied: Your email domain is not allowed to access this service",
        ),
        Refused::Duplicate => page("/login?duplicated_email=true"),
        Refused::Unverified => {
            let back = keycloak.settings.page("/login?email_verified=true");
            let client = &keycloak.settings.client_id;
            // Without it the page still says what to do, and lets the mail be sent again.
            if let Err(error) = keycloak.admin.send_verification(&claims.sub, client, &back).await {
                tracing::warn!(%error, "Keycloak sends no verification mail");
            }
            let query = [("email_verification_required", "true"), ("user_id", &claims.sub)];
            let to = Url::parse_with_params(&keycloak.settings.page("/login"), query);
            to.map_or_else(|_| page("/login"), |url| redirect(url.as_str()))
        }
    }
}

/// Where a sign-in of this browser leads; each is good for once.
async fn take(identity: &Identity, state: &str, cookie: &str) -> Result<Option<String>, IdentityError> {
    let hash = token::hash(state).to_vec();
    let Some(row) = login::Entity::find_by_id(hash.clone()).one(identity.write()).await? else {
        return Ok(None);
    };
    if row.cookie != token::hash(cookie) {
        // Not the browser that began: the sign-in of the one that did goes on.
        return Ok(None);
    }
    let taken = login::Entity::delete_by_id(hash).exec(identity.write()).await?;
    let good = taken.rows_affected > 0 && row.expires_ms > identity.now();
    Ok(good.then_some(row.return_to))
}

impl Keycloak {
    pub(super) async fn forget_logins(&self, identity: &Identity) -> Result<(), IdentityError> {
        login::Entity::delete_many()
            .filter(login::Column::ExpiresMs.lt(identity.now()))
            .exec(identity.write())
            .await?;
        Ok(())
    }
}

/// A secret of one sign-in: whoever has the row and not the cookie cannot tell it.
fn derived(what: &str, cookie: &str, state: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{what}\n{cookie}\n{state}")))
}

/// Where a client's state leads: it is the page, or base64 of JSON that names it (spec/10 §12.1). Never off our host.
fn return_to(state: &str, base: &Url) -> String {
    const EITHER: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, EITHER);
    #[derive(Deserialize)]
    struct Wrapped {
        #[serde(default)]
        redirect_url: String,
    }
    let standard = state.replace('-', "+").replace('_', "/");
    let wrapped = BASE64.decode(standard).ok();
    let wrapped = wrapped.and_then(|bytes| serde_json::from_slice::<Wrapped>(&bytes).ok());
    let wanted = wrapped.map_or_else(|| state.to_owned(), |wrapped| wrapped.redirect_url);
    on_our_host(&wanted, base).unwrap_or_else(|| "/".to_owned())
}

fn redirect(to: &str) -> Response {
    match HeaderValue::try_from(to) {
        Ok(to) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, to);
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_state_leads_to_a_page_of_ours() {
        let base: Url = "https://app.example.com/".parse().unwrap();
        let plain = "https://app.example.com/conversations/7?login_method=github";
        assert_eq!(return_to(plain, &base), "/conversations/7?login_method=github");
        let json = format!(r#"{{"redirect_url":"{plain}","recaptcha_token":"x?>~"}}"#);
        for encoded in [STANDARD.encode(&json), URL_SAFE_NO_PAD.encode(&json)] {
            assert_eq!(return_to(&encoded, &base), "/conversations/7?login_method=github");
        }
        for other in ["", "https://evil.example/", "//evil.example", &STANDARD.encode("{}")] {
            assert_eq!(return_to(other, &base), "/", "{other}");
        }
    }
}
