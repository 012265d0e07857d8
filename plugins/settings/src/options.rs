//! What a client offers to choose from: models, agents, security analyzers (spec/10 §20.3). For whoever is signed in.

use std::collections::BTreeSet;

use jackfield_sdk::prelude::*;

use crate::{Settings, models::known};

/// Agents of the agent server.
const AGENTS: [&str; 6] = [
    "BrowsingAgent",
    "CodeActAgent",
    "DummyAgent",
    "LocAgent",
    "ReadOnlyAgent",
    "VisualBrowsingAgent",
];
/// Its security analyzers.
const ANALYZERS: [&str; 3] = ["grayswan", "invariant", "llm"];

/// Models, by name, each once: those that are built in, the operator's, and the one of who has chosen none.
#[utoipa::path(get, path = "/api/options/models", responses((status = 200, body = Vec<String>)))]
pub(crate) async fn models(settings: This<Settings>) -> Json<BTreeSet<String>> {
    let config = &settings.config;
    let own = config.models.iter().flatten().chain(&config.default_model).cloned();
    Json(known().chain(own).collect())
}

/// Agents, by name.
#[utoipa::path(get, path = "/api/options/agents", responses((status = 200, body = Vec<String>)))]
pub(crate) async fn agents() -> Json<[&'static str; 6]> {
    Json(AGENTS)
}

/// Security analyzers, by name.
#[utoipa::path(get, path = "/api/options/security-analyzers", responses((status = 200, body = Vec<String>)))]
pub(crate) async fn analyzers() -> Json<[&'static str; 3]> {
    Json(ANALYZERS)
}
