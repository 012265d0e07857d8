//! What a plugin's code declares, as data: the same for every instance, readable before one exists, and stored by the
//! host, so that a plugin that fails, reloads or is quarantined still has its webhooks accepted.

use serde::{Deserialize, Serialize};

use crate::{
    expr::Expr,
    webhook::{Retry, Verify},
};

/// Everything one plugin contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Descriptor {
    /// HTTP routes, in declaration order.
    #[serde(default)]
    pub routes: Vec<RouteDescriptor>,
    /// Webhooks.
    #[serde(default)]
    pub webhooks: Vec<WebhookDescriptor>,
    /// Jobs the plugin enqueues itself.
    #[serde(default)]
    pub jobs: Vec<JobDescriptor>,
    /// Jobs the host starts by the clock.
    #[serde(default)]
    pub schedules: Vec<ScheduleDescriptor>,
    /// The routes' OpenAPI 3.1 document.
    #[serde(default)]
    pub openapi: serde_json::Value,
}

/// One method on one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDescriptor {
    /// Upper-case HTTP method.
    pub method: String,
    /// Pattern with `{name}` and `{*rest}` segments.
    pub path: String,
    /// Who may call it.
    pub policy: Policy,
    /// Gates that a person need not have passed, from the operation's `x-jackfield-before`: `["terms", "email"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Gate>,
    /// Rate-limit class, from the operation's `x-jackfield-rate-limit`; the default class when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// OpenAPI operation id.
    #[serde(default)]
    pub operation: Option<String>,
}

/// Who may call a route, from the operation's OpenAPI `security`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// `security(())`: anyone.
    Public,
    /// Nothing declared: any signed-in principal.
    SignedIn,
    /// A signed-in principal who holds every one of these scopes.
    Scopes(Vec<String>),
}

/// What a person must have done before a route that is not public answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Accepted the terms of service.
    Terms,
    /// Shown that the e-mail address is theirs.
    Email,
}

/// One webhook endpoint (always POST).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookDescriptor {
    /// Stable name: a waiting job finds its handler by it.
    pub name: String,
    /// Former names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Exact path.
    pub path: String,
    /// How authenticity is proved.
    pub verify: Verify,
    /// Dedup key; nothing found means a digest of the body.
    #[serde(default)]
    pub delivery_id: Option<Expr>,
    /// Whose data it is.
    #[serde(default)]
    pub tenant: Option<Expr>,
    /// What is handled in order; nothing found means a lane of its own.
    #[serde(default)]
    pub lane: Option<Expr>,
    /// Kind of event, for people and filters.
    #[serde(default)]
    pub event: Option<Expr>,
    /// Retry schedule.
    pub retry: Retry,
    /// Largest accepted body in bytes.
    pub max_body: u64,
    /// What the sender is answered once the delivery is stored.
    pub answer: Answer,
    /// Deliveries that are acknowledged without being stored.
    #[serde(default)]
    pub challenge: Option<Challenge>,
    /// Whether `on_dead` was declared.
    #[serde(default)]
    pub on_dead: bool,
    /// Longest run of the handler, in milliseconds.
    pub timeout_ms: u64,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// Body.
    pub body: String,
}

/// A handshake: when `when` yields `equals`, the *verified* delivery is answered with the value of `answer` and not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// Looked up in the delivery.
    pub when: Expr,
    /// The value that makes it a challenge.
    pub equals: String,
    /// What is sent back.
    pub answer: Expr,
    /// JSON member the answer is wrapped in; none sends plain text.
    #[serde(default)]
    pub member: Option<String>,
}

/// A job kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDescriptor {
    /// Stable name.
    pub name: String,
    /// Former names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Retry schedule.
    pub retry: Retry,
    /// Whether `on_dead` was declared.
    #[serde(default)]
    pub on_dead: bool,
    /// Longest run of the handler, in milliseconds.
    pub timeout_ms: u64,
}

/// A job started by the clock, once over all replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleDescriptor {
    /// The job that is started.
    pub job: JobDescriptor,
    /// Slot length in milliseconds; slots count from the Unix epoch.
    pub every_ms: u64,
}
