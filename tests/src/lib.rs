//! What the end-to-end suites share: a host process, a stateful GitHub, a signer.
//!
//! The suites start the binary that `JACKFIELD_TEST_HOST_BIN` names; without it they say so and pass, because `cargo test`
//! alone runs what needs no service.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod github;
pub mod host;
pub mod sign;
