//! The SQL stores keep the contract of the inbox, on SQLite and on PostgreSQL, and hold under concurrency.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod inbox {
    mod claimers;
    mod contract;
    pub(crate) mod databases;
    mod leases;
    mod poison;
    mod senders;
    pub(crate) mod work;
}
