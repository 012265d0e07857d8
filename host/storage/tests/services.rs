//! What the services promise, over every implementation: memory and Redis, SQLite and PostgreSQL.

#![allow(clippy::unwrap_used)]

#[path = "services/database.rs"]
mod database;
#[path = "services/kv.rs"]
mod kv;
#[path = "services/lifecycle.rs"]
mod lifecycle;
#[path = "services/migrations.rs"]
mod migrations;
#[path = "services/opening.rs"]
mod opening;
#[path = "services/places.rs"]
mod places;
#[path = "services/pubsub.rs"]
mod pubsub;
#[path = "services/redis_server.rs"]
mod redis_server;
