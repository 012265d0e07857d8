//! Work for the concurrency suites, and the small words they share.

use std::collections::HashMap;

use bytes::Bytes;
use jackfield_inbox::{
    model::{AttemptEnd, DedupKey, NewWork, Next, WorkKind, Write},
    store::ClaimRequest,
};
use jackfield_sdk::{
    error::{Failure, Fate},
    run::{Fence, Outcome},
};
use uuid::Uuid;

pub(crate) const PLUGIN: &str = "p";

/// A delivery that the sender calls `name`.
pub(crate) fn delivery(name: &str, lane: Option<String>) -> NewWork {
    NewWork {
        id: Uuid::now_v7(),
        kind: WorkKind::Webhook,
        plugin: PLUGIN.to_owned(),
        handler: "hook".to_owned(),
        tenant: String::new(),
        delivery_id: name.to_owned(),
        event: "event".to_owned(),
        lane,
        headers: Vec::new(),
        body: Bytes::copy_from_slice(name.as_bytes()),
        dedup: DedupKey::of(PLUGIN, "webhook", "", name),
        delay_ms: 0,
        held: None,
        lease_ms: None,
        death: None,
    }
}

pub(crate) fn request(limit: u32, lease_ms: u64) -> ClaimRequest {
    ClaimRequest {
        plugin: PLUGIN.to_owned(),
        limit,
        lease_ms,
        tenant_limit: 1_000,
        running: HashMap::new(),
    }
}

pub(crate) fn end(fence: Fence, next: Next) -> Write {
    let end = AttemptEnd {
        started_ms: 1,
        next,
        orphans: Vec::new(),
    };
    Write::End(fence, Box::new(end))
}

pub(crate) fn done(fence: Fence) -> Write {
    end(fence, Next::Done(Outcome::done("ok")))
}

pub(crate) fn dead(fence: Fence) -> Write {
    let failure = failure();
    end(fence, Next::Dead { failure, notice: None })
}

pub(crate) fn failure() -> Failure {
    Failure {
        fate: Fate::Transient,
        message: "it broke".to_owned(),
        tell: None,
        code: None,
    }
}
