//! Outgoing HTTP of plugins: deny by default.
//!
//! An operator's value in an `egress` field grants exactly its scheme, host and port to that plugin, private addresses
//! included. The capability `http:*` grants public addresses on the usual ports: the resolver that connects drops every
//! other address, so a name that changes its answer between check and connection gains nothing. With a proxy it is the proxy
//! that connects: a name that is private as seen from here, or plainly local, is not handed to it; what a name means over
//! there is under the proxy's own rules.
//!
//! The rules are pure; the feature `client` (on unless said) adds the client that keeps them on a network.

mod address;
mod admission;
#[cfg(feature = "client")]
mod client;
mod grant;
mod hop;

pub use address::is_public;
pub use admission::{Admission, Reach};
#[cfg(feature = "client")]
pub use client::{Egress, EgressError, EgressSettings, Guarded, Lookup};
pub use grant::Grant;
pub use hop::Hop;
