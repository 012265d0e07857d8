//! Who calls: people, their sessions and API keys, devices, operators, and the audit trail.
//!
//! - A session is a row; its cookie holds 256 random bits and the database their SHA-256, so neither a dump nor a log opens
//!   anything. Ending is a write to the one field that says so: an ended session stays ended.
//! - What was looked up is kept for a minute. A change to a person, a session or a key is written with its time, and every
//!   replica asks twice a second what changed: what was revoked opens nothing a second later, on any of them.
//! - [`Identity::pass`](jackfield_plugins::Gate::pass) is the one place that decides who reaches a route: credentials, then
//!   terms of service and e-mail, then scopes, all before the handler, for every kind of credential that stands for a person.
//! - Times are milliseconds since the Unix epoch.

mod audit;
mod blocked;
mod cache;
mod caller;
mod change;
mod cookie;
mod core;
mod devices;
mod error;
mod gate;
mod keycloak;
mod keys;
mod landing;
mod lease;
mod limits;
mod links;
mod operator;
mod people;
mod provider;
mod routes;
mod seen;
mod service;
mod sessions;
mod settings;
mod token;

#[cfg(test)]
mod tests;

pub use audit::AuditRow;
pub use core::{Identity, Parts};
pub use error::IdentityError;
pub use keycloak::{Keycloak, KeycloakProvider, KeycloakSettings};
pub use limits::Rates;
pub use links::Link;
pub use operator::Operators;
pub use people::Arrival;
pub use provider::Provider;
pub use routes::{Local, OwnRoute};
pub use sessions::OwnedSession;
pub use settings::{IdentitySettings, Places};
