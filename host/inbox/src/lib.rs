//! The durable inbox: nothing accepted is lost, nothing is done twice.
//!
//! The engine knows no SQL; [`store::Store`] is its contract, kept by a memory store here and by SQLite and PostgreSQL in
//! `host/storage`, all under one suite.

pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod engine;
pub mod extract;
pub mod lost;
pub mod memory;
pub mod model;
pub mod store;
pub mod verify;
pub mod when;
