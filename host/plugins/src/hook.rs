//! A mounted webhook: bytes → limits → verifier over the raw bytes → delivery id, tenant, lane → one commit → the
//! provider's expected answer. Never a 4xx for a fault of ours.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use jackfield_edge::body::{ReadBodyError, discard, read_body};
use jackfield_inbox::{
    engine::Inbox,
    extract::Plan,
    model::{DedupKey, NewWork, Stored, WorkKind},
    verify::{self, Refusal},
};
use jackfield_sdk::{
    config::{Secret, SigningSecrets},
    descriptor::WebhookDescriptor,
    webhook::{Scheme, SecretSource},
};
use metrics::counter;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{generation::Generation, ingress::Ingress};

/// Longest time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bodies above this are verified off the request workers.
const BIG: usize = 256 << 10;

/// A mounted webhook.
pub(crate) struct Hook {
    pub(crate) plugin: Arc<str>,
    pub(crate) descriptor: WebhookDescriptor,
    /// Delivery id, tenant, lane, event, the key of `secrets_for`, challenge's `when` and `answer`, in this order.
    plan: Plan,
    /// From the configuration; none when it cannot be resolved.
    secrets: Option<SigningSecrets>,
    /// Why its deliveries are not to be run now.
    held: Option<String>,
    generation: Option<Arc<Generation>>,
    ingress: Arc<Ingress>,
}

/// Positions in [`Hook::plan`].
mod at {
    pub(super) const DELIVERY_ID: usize = 0;
    pub(super) const TENANT: usize = 1;
    pub(super) const LANE: usize = 2;
    pub(super) const EVENT: usize = 3;
    pub(super) const SECRET_KEY: usize = 4;
    pub(super) const CHALLENGE: usize = 5;
    pub(super) const CHALLENGE_ANSWER: usize = 6;
}

impl Hook {
    pub(crate) fn new(
        plugin: &str,
        descriptor: WebhookDescriptor,
        config: &serde_json::Value,
        held: Option<String>,
        generation: Option<Arc<Generation>>,
        ingress: Arc<Ingress>,
    ) -> Self {
        let secret_key = match &descriptor.verify.secrets {
            SecretSource::Plugin(key) => Some(key),
            _ => None,
        };
        let challenge = descriptor.challenge.as_ref();
        let plan = Plan::new(&[
            descriptor.delivery_id.as_ref(),
            descriptor.tenant.as_ref(),
            descriptor.lane.as_ref(),
            descriptor.event.as_ref(),
            secret_key,
            challenge.map(|challenge| &challenge.when),
            challenge.map(|challenge| &challenge.answer),
        ]);
        let secrets = match &descriptor.verify.secrets {
            SecretSource::Config(field) => config
                .get(field)
                .and_then(|value| serde_json::from_value(value.clone()).ok()),
            SecretSource::Plugin(_) | SecretSource::None => Some(SigningSecrets::default()),
        };
        Self {
            plugin: plugin.into(),
            descriptor,
            plan,
            secrets,
            held,
            generation,
            ingress,
        }
    }

    /// Answers one delivery that arrives at `now`.
    pub(crate) async fn receive(&self, inbox: &Inbox, now: OffsetDateTime, request: Request<Body>) -> Response<Body> {
        let Some(_place) = self.ingress.enter() else {
            let (_, body) = request.into_parts();
            discard(body).await;
            return self.shed();
        };
        let (parts, body) = request.into_parts();
        let limit = usize::try_from(self.descriptor.max_body).unwrap_or(usize::MAX);
        let body = match read_body(body, limit, BODY_TIME).await {
            Ok(body) => body,
            Err(ReadBodyError::TooLarge { .. }) => {
                return self.refuse(
                    "too_large",
                    StatusCode::PAYLOAD_TOO_LARGE,
                    &format!("a delivery may have at most {} bytes", self.descriptor.max_body),
                );
            }
            Err(error) => {
                return self.refuse("aborted", StatusCode::REQUEST_TIMEOUT, &error.to_string());
            }
        };
        match self.authentic(&parts.headers, &body, now).await {
            Ok(()) => {}
            Err(Unverified::NotAuthentic(refusal)) => {
                return self.refuse("bad_signature", StatusCode::UNAUTHORIZED, &refusal);
            }
            Err(Unverified::OurFault(why)) => {
                tracing::error!(plugin = %self.plugin, webhook = %self.descriptor.name, %why, "a delivery cannot be verified");
                return self.refuse(
                    "unavailable",
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the delivery cannot be verified now; send it again",
                );
            }
        }
        self.store(inbox, &parts.headers, body).await
    }

    async fn store(&self, inbox: &Inbox, headers: &HeaderMap, body: Bytes) -> Response<Body> {
        let mut found = self.plan.evaluate(headers, &body);
        let mut take = |index: usize| found.get_mut(index).and_then(Option::take);
        if let Some(challenge) = &self.descriptor.challenge
            && take(at::CHALLENGE).as_deref() == Some(challenge.equals.as_str())
        {
            return challenge_answer(
                challenge.member.as_deref(),
                take(at::CHALLENGE_ANSWER).unwrap_or_default(),
            );
        }
        let tenant = take(at::TENANT).unwrap_or_default();
        let Some(_tenants_place) = self.ingress.enter_tenant(&tenant) else {
            return self.shed();
        };
        // A sender's id is the same wherever it sends to; a digest says nothing of where the body was meant to go.
        let (scope, delivery_id) = match take(at::DELIVERY_ID) {
            Some(id) => ("webhook".to_owned(), id),
            None => {
                let digest = hex::encode(Sha256::digest(&body));
                (format!("webhook:{}", self.descriptor.name), format!("sha256:{digest}"))
            }
        };
        let work = NewWork {
            id: Uuid::now_v7(),
            kind: WorkKind::Webhook,
            plugin: self.plugin.to_string(),
            handler: self.descriptor.name.clone(),
            dedup: DedupKey::of(&self.plugin, &scope, &tenant, &delivery_id),
            tenant,
            delivery_id,
            event: take(at::EVENT).unwrap_or_default(),
            lane: take(at::LANE),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes())))
                .collect(),
            body,
            delay_ms: 0,
            held: self.held.clone(),
            lease_ms: None,
            death: None,
        };
        match inbox.accept(work).await {
            Ok(stored) => {
                let (result, id) = match stored {
                    Stored::New(id) | Stored::Begun(id, _) => ("stored", id),
                    Stored::Rearmed(id) | Stored::Duplicate(id) => ("duplicate", id),
                };
                self.count(result);
                tracing::debug!(plugin = %self.plugin, delivery = %id, result, "delivery");
                self.accepted()
            }
            Err(error) => {
                tracing::error!(plugin = %self.plugin, %error, "a delivery cannot be stored");
                self.refuse(
                    "unavailable",
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the delivery cannot be stored now; send it again",
                )
            }
        }
    }

    async fn authentic(&self, headers: &HeaderMap, body: &Bytes, now: OffsetDateTime) -> Result<(), Unverified> {
        let scheme = &self.descriptor.verify.scheme;
        if matches!(scheme, Scheme::None { .. }) {
            return Ok(());
        }
        if matches!(scheme, Scheme::Plugin) {
            let Some(generation) = &self.generation else {
                return Err(Unverified::OurFault(
                    "the plugin verifies itself and does not run".to_owned(),
                ));
            };
            return match generation
                .instance()
                .verify(&self.descriptor.name, headers.clone(), body.clone())
                .await
            {
                Ok(true) => Ok(()),
                Ok(false) => Err(Unverified::NotAuthentic("the signature does not fit".to_owned())),
                Err(failure) => Err(Unverified::OurFault(failure.message)),
            };
        }
        let secrets = self.secrets_of(headers, body).await?;
        let active: Vec<Secret> = secrets.active(now).cloned().collect();
        let checked = if body.len() > BIG {
            let (scheme, headers, body) = (scheme.clone(), headers.clone(), body.clone());
            let check = tokio::task::spawn_blocking(move || verify::check(&scheme, &headers, &body, &active, now));
            check.await.map_err(|error| Unverified::OurFault(error.to_string()))?
        } else {
            verify::check(scheme, headers, body, &active, now)
        };
        match checked {
            Ok(()) => Ok(()),
            Err(Refusal::NoSecret) => Err(Unverified::OurFault("no active secret is configured".to_owned())),
            Err(refusal) => Err(Unverified::NotAuthentic(refusal.to_string())),
        }
    }

    async fn secrets_of(&self, headers: &HeaderMap, body: &Bytes) -> Result<SigningSecrets, Unverified> {
        if !matches!(self.descriptor.verify.secrets, SecretSource::Plugin(_)) {
            return self
                .secrets
                .clone()
                .ok_or_else(|| Unverified::OurFault("its secrets cannot be resolved".to_owned()));
        }
        let Some(generation) = &self.generation else {
            return Err(Unverified::OurFault(
                "the plugin chooses its secrets and does not run".to_owned(),
            ));
        };
        let key = self
            .plan
            .evaluate(headers, body)
            .get_mut(at::SECRET_KEY)
            .and_then(Option::take);
        let Some(key) = key else {
            return Err(Unverified::NotAuthentic(
                "the sender cannot be told from the delivery".to_owned(),
            ));
        };
        let secrets = generation.instance().secrets(&self.descriptor.name, key).await;
        secrets.map_err(|failure| Unverified::OurFault(failure.message))
    }

    fn shed(&self) -> Response<Body> {
        self.refuse(
            "shed",
            StatusCode::SERVICE_UNAVAILABLE,
            "too many deliveries at once; send it again",
        )
    }

    fn accepted(&self) -> Response<Body> {
        let answer = &self.descriptor.answer;
        respond(answer.status, &answer.content_type, answer.body.clone())
    }

    fn refuse(&self, result: &'static str, status: StatusCode, detail: &str) -> Response<Body> {
        self.count(result);
        let body = serde_json::json!({ "error": status.canonical_reason(), "detail": detail }).to_string();
        let mut response = respond(status.as_u16(), "application/json", body);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, http::HeaderValue::from_static("5"));
        }
        response
    }

    fn count(&self, result: &'static str) {
        counter!("jackfield_deliveries_total", "plugin" => self.plugin.to_string(), "result" => result).increment(1);
    }
}

enum Unverified {
    NotAuthentic(String),
    OurFault(String),
}

fn challenge_answer(member: Option<&str>, value: String) -> Response<Body> {
    match member {
        Some(member) => respond(
            200,
            "application/json",
            serde_json::json!({ member: value }).to_string(),
        ),
        None => respond(200, "text/plain; charset=utf-8", value),
    }
}

fn respond(status: u16, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Ok(value) = http::HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}
