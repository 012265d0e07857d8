//! What the end-to-end suites share: host processes, plugins in shared libraries, a PostgreSQL of one's own, a stateful GitHub,
//! a real Keycloak with a browser and a git provider to sign in with, senders.
//!
//! The suites start the binary that `JACKFIELD_TEST_HOST_BIN` names; without it they say so and pass, because `cargo test`
//! alone runs what needs no service.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod carrier;
pub mod contract;
pub mod counter;
pub mod front;
pub mod git_provider;
pub mod github;
pub mod host;
pub mod keycloak;
pub mod load;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod raw;
pub mod relay;
pub mod scratch;
pub mod sign;
pub mod turnstile;
