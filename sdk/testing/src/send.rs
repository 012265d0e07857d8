//! Deliveries to webhooks: signed as the provider signs, or not.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::atomic::Ordering,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use jackfield_inbox::{model::Stored, verify::sign};
use jackfield_sdk::{
    config::{Secret, SigningSecrets},
    descriptor::WebhookDescriptor,
    expr::Expr,
    webhook::{Scheme, SecretSource, Verify},
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    call::{Reply, request, set, written},
    crash::MARK,
    host::TestHost,
    work::Work,
};

impl TestHost {
    /// A delivery to the webhook of this name (or path), signed by its declared scheme with the first active secret of the
    /// settings; `.await` sends it. Panics when no plugin declares it.
    pub fn deliver(&self, webhook: &str) -> Delivery<'_> {
        let found = self.codes().iter().find_map(|code| {
            let hooks = &code.descriptor().webhooks;
            let hook = hooks.iter().find(|hook| hook.name == webhook || hook.path == webhook)?;
            Some((code.manifest().id, hook.clone()))
        });
        let Some((plugin, hook)) = found else {
            panic!("no plugin of this test declares a webhook `{webhook}`");
        };
        Delivery {
            host: self,
            plugin,
            hook,
            id: None,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
            content_type: "application/json".to_owned(),
            secret: None,
            scheme: None,
            signed: Signed::Well,
            age: Duration::ZERO,
        }
    }
}

/// How a delivery is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signed {
    Well,
    Forged,
    Tampered,
    Not,
}

/// A delivery being made. `.await` sends it and gives the [`Receipt`]; [`Delivery::settled`] gives the work that came of it.
#[must_use = "a delivery is sent by awaiting it"]
pub struct Delivery<'h> {
    host: &'h TestHost,
    plugin: &'static str,
    hook: WebhookDescriptor,
    id: Option<String>,
    headers: HeaderMap,
    body: Bytes,
    content_type: String,
    secret: Option<String>,
    scheme: Option<Scheme>,
    signed: Signed,
    age: Duration,
}

impl Delivery<'_> {
    /// The delivery id, sent where the webhook looks for it when that is a header. A new one for each delivery unless said.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// A JSON body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.body = written(body);
        self
    }

    /// A form.
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let written = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.body = written.into();
        "application/x-www-form-urlencoded".clone_into(&mut self.content_type);
        self
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header, also one of the signature's.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        set(&mut self.headers, name, value);
        self
    }

    /// Signs with this secret: the one of a sender whose secrets the plugin chooses, or a second one of a rotation.
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    /// Signs by this scheme instead of the declared (or first declared) one.
    pub fn signed_as(mut self, verify: Verify) -> Self {
        self.scheme = Some(verify.scheme);
        self
    }

    /// Signs with a secret that is not the plugin's.
    pub fn forged(mut self) -> Self {
        self.signed = Signed::Forged;
        self
    }

    /// Changes the body after it was signed. A shared token does not cover the body.
    pub fn tampered(mut self) -> Self {
        self.signed = Signed::Tampered;
        self
    }

    /// Does not sign.
    pub fn unsigned(mut self) -> Self {
        self.signed = Signed::Not;
        self
    }

    /// Signs as though that was some time ago.
    pub fn signed_ago(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    async fn send(self) -> Receipt {
        let mark = self.host.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let id = self.id.clone().unwrap_or_else(|| format!("test-{mark}"));
        let mut headers = HeaderMap::new();
        set(&mut headers, "content-type", &self.content_type);
        if let Some(name) = self.hook.delivery_id.as_ref().and_then(id_header) {
            set(&mut headers, name, &id);
        } else if self.id.is_some() && self.hook.delivery_id.is_some() {
            panic!(
                "webhook `{}` takes the delivery id from the body; put it there instead of `.id(…)`",
                self.hook.name
            );
        }
        if let Some(secret) = self.secret_to_sign_with() {
            let scheme = self.scheme.as_ref().unwrap_or(&self.hook.verify.scheme);
            headers.extend(sign(scheme, &secret, &id, &self.body, self.host.now() - self.age));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mark = mark.to_string();
        set(&mut headers, MARK, &mark);
        let mut body = self.body.to_vec();
        if self.signed == Signed::Tampered {
            body.push(b' ');
        }
        let reply = self
            .host
            .serve(request(Method::POST, &self.hook.path, headers, body.into()))
            .await;
        Receipt {
            reply,
            stored: self.host.disk().stored(&mark),
        }
    }

    /// Sends it, settles, and gives the work that came of it. Panics when it was not stored.
    pub async fn settled(self) -> Work {
        let host = self.host;
        let id = self.send().await.id();
        host.settle().await;
        host.work(id).await
    }

    fn secret_to_sign_with(&self) -> Option<Secret> {
        let scheme = self.scheme.as_ref().unwrap_or(&self.hook.verify.scheme);
        if self.signed == Signed::Not || matches!(scheme, Scheme::Plugin | Scheme::None { .. }) {
            return None;
        }
        if self.signed == Signed::Forged {
            return Some(Secret::new("a secret that is not the plugin's"));
        }
        if let Some(secret) = &self.secret {
            return Some(Secret::new(secret.clone()));
        }
        let SecretSource::Config(field) = &self.hook.verify.secrets else {
            panic!(
                "webhook `{}` chooses its secret by the sender; say which with `.secret(\"…\")`",
                self.hook.name
            );
        };
        let value = self.host.config_of(self.plugin)[field.as_str()].clone();
        let secrets: SigningSecrets = serde_json::from_value(value).unwrap_or_default();
        let active = secrets.active(self.host.now()).next().cloned();
        Some(active.unwrap_or_else(|| panic!("the settings of `{}` hold no active secret in `{field}`", self.plugin)))
    }
}

impl<'h> IntoFuture for Delivery<'h> {
    type Output = Receipt;
    type IntoFuture = Pin<Box<dyn Future<Output = Receipt> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// The first header that a delivery id is looked for in.
fn id_header(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Header(name) => Some(name),
        Expr::First(all) => all.iter().find_map(id_header),
        _ => None,
    }
}

/// What the sender was answered, and what was stored.
#[derive(Debug, Clone)]
pub struct Receipt {
    reply: Reply,
    stored: Option<Stored>,
}

impl Receipt {
    /// The answer.
    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.reply.status().as_u16()
    }

    /// What became of it in the store; none when it was refused, or answered as a challenge.
    pub fn stored(&self) -> Option<Stored> {
        self.stored
    }

    /// Whether it was known already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.stored, Some(Stored::Duplicate(_)))
    }

    /// The id it is stored under. Panics with the answer when it was not stored.
    #[track_caller]
    pub fn id(&self) -> Uuid {
        match self.stored {
            Some(stored) => stored.id(),
            None => panic!("nothing was stored; the answer was {:?}", self.reply),
        }
    }

    /// Panics with the answer when the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{:?}", self.reply);
        self
    }
}
