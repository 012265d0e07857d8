//! Rate limits: how often one caller may come, exact over all replicas while Redis is there.
//!
//! A [`Class`] holds limits that all apply to a request of it. Each is GCRA: `amount` at once, then one more every
//! `per / amount`, so never more than `amount + t × amount / per` in any time `t`. A refused request counts against none
//! of them: who keeps knocking is let in as early as who waits.
//!
//! - [`RateLimits::memory`] counts in this process.
//! - [`RateLimits::redis`] counts in Redis: one script a request decides all its limits in one step, by Redis' own
//!   clock, so replicas need not agree on theirs. While Redis is away or slow each replica enforces the limit divided by
//!   the number of replicas it last knew of, which is neither open nor closed. Exactness is promised with Redis only: at
//!   each change from one to the other, a caller may gain at most the burst of the side that takes over.
//!
//! `governor` decides one limit at a time and counts a request against the first although the second refuses it, so the
//! arithmetic is our own: `gcra.rs`, and the same in `gcra.lua`; a property test holds the two together.

mod class;
mod gcra;
mod memory;
mod rate_limits;
// The server that a test may stop and start, as the storage's suites have it.
#[cfg(test)]
#[path = "../../storage/tests/services/redis_server.rs"]
mod redis_server;
mod shared;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
mod verdict;

pub use class::{ADDRESS, Class, DEFAULT, DEVICE, Limit};
pub use rate_limits::RateLimits;
pub use verdict::{Standing, Verdict};
