//! `/oauth/device/*` (RFC 8628; statuses and texts of spec/10 §17).

use axum::{
    Extension, Form,
    extract::{Request, State, rejection::FormRejection},
    response::Response,
};
use http::StatusCode;
use jackfield_edge::ClientAddr;
use jackfield_sdk::Person;
use serde::Deserialize;
use serde_json::json;

use super::entry;
use crate::{
    caller::json as answer,
    core::Identity,
    devices::{Decided, INTERVAL_S, LIFE, Polled},
};

#[derive(Deserialize)]
pub(super) struct DeviceForm {
    device_code: String,
}

#[derive(Deserialize)]
pub(super) struct UserForm {
    user_code: String,
}

pub(super) async fn authorize(State(identity): State<Identity>, request: Request) -> Response {
    let base = identity.base(request.headers());
    match identity.new_device().await {
        Ok(codes) => {
            let at = format!("{base}/oauth/device/verify");
            answer(
                StatusCode::OK,
                &json!({
                    "device_code": codes.device,
                    "user_code": codes.user,
                    "verification_uri": at,
                    "verification_uri_complete": format!("{at}?user_code={}", codes.user),
                    "expires_in": LIFE.as_secs(),
                    "interval": INTERVAL_S,
                }),
            )
        }
        Err(error) => failed(&error),
    }
}

pub(super) async fn token(State(identity): State<Identity>, form: Result<Form<DeviceForm>, FormRejection>) -> Response {
    let Ok(Form(form)) = form else {
        return missing("device_code");
    };
    let polled = match identity.poll_device(&form.device_code).await {
        Ok(polled) => polled,
        Err(error) => {
            tracing::warn!(%error, "a device cannot be answered");
            return refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "Internal server error",
                None,
            );
        }
    };
    let no = |error, description| refused(StatusCode::BAD_REQUEST, error, description, None);
    match polled {
        Polled::Unknown => no("invalid_grant", "Invalid device code"),
        Polled::TooOften { wait_s } => refused(
            StatusCode::BAD_REQUEST,
            "slow_down",
            &format!("Polling too frequently. Wait at least {wait_s} seconds between requests."),
            Some(wait_s),
        ),
        Polled::Expired => no("expired_token", "Device code has expired"),
        Polled::Denied => no("access_denied", "User denied the authorization request"),
        Polled::Pending => no("authorization_pending", "User has not yet completed authorization"),
        Polled::Key(created) => answer(
            StatusCode::OK,
            &json!({ "access_token": created.key, "token_type": "Bearer", "expires_in": null }),
        ),
    }
}

pub(super) async fn approve(
    State(identity): State<Identity>,
    person: Person,
    from: Option<Extension<ClientAddr>>,
    form: Result<Form<UserForm>, FormRejection>,
) -> Response {
    let who = (&person, from.map(|Extension(from)| from));
    decide(&identity, who, form, true, "Device authorized successfully!").await
}

pub(super) async fn deny(
    State(identity): State<Identity>,
    person: Person,
    from: Option<Extension<ClientAddr>>,
    form: Result<Form<UserForm>, FormRejection>,
) -> Response {
    let who = (&person, from.map(|Extension(from)| from));
    decide(&identity, who, form, false, "Device denied.").await
}

async fn decide(
    identity: &Identity,
    (person, from): (&Person, Option<ClientAddr>),
    form: Result<Form<UserForm>, FormRejection>,
    approve: bool,
    done: &str,
) -> Response {
    let Ok(Form(form)) = form else {
        return missing("user_code");
    };
    // People type what they read; the codes have no small letters.
    let code = form.user_code.trim().to_ascii_uppercase();
    let decided = identity
        .decide_device(&code, approve, &person.id, &person.organization)
        .await;
    let detail = |status, text: &str| answer(status, &json!({ "detail": text }));
    match decided {
        Ok(Decided::Done) => {
            let action = if approve { "device.approved" } else { "device.denied" };
            if let Err(error) = identity
                .record(entry(
                    &person.id,
                    action,
                    &format!("device:{code}"),
                    from.map(|from| from.as_str().to_owned()),
                ))
                .await
            {
                tracing::error!(%error, action, "the audit entry is not written");
            }
            answer(StatusCode::OK, &json!({ "message": done }))
        }
        Ok(Decided::Unknown) => detail(StatusCode::BAD_REQUEST, "The device code is invalid or has expired."),
        Ok(Decided::Over) => detail(StatusCode::BAD_REQUEST, "This device code has already been processed."),
        Err(error) => {
            tracing::warn!(%error, "a device cannot be decided on");
            detail(
                StatusCode::INTERNAL_SERVER_ERROR,
                "An unexpected error occurred. Please try again.",
            )
        }
    }
}

fn failed(error: &crate::error::IdentityError) -> Response {
    tracing::warn!(%error, "a device cannot be given codes");
    answer(
        StatusCode::INTERNAL_SERVER_ERROR,
        &json!({ "detail": "Internal server error" }),
    )
}

fn refused(status: StatusCode, error: &str, description: &str, interval: Option<i64>) -> Response {
    answer(
        status,
        &json!({ "error": error, "error_description": description, "interval": interval }),
    )
}

/// As the reference's validation says it.
fn missing(field: &str) -> Response {
    answer(
        StatusCode::UNPROCESSABLE_ENTITY,
        &json!({ "detail": [{ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": null }] }),
    )
}
