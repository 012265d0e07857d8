//! End-to-end suites against the shipped binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod corpus;
mod faults;
mod operations;
