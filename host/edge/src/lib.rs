//! The HTTP edge: accept loop, deadlines, layers. Knows nothing of plugins or configuration files.
//!
//! hyper's auto builder has no timer while it reads the first bytes, so first-byte and idle deadlines sit on the IO
//! wrapper ([`deadline_io`]); everything after that is hyper's `header_read_timeout` and the layers of [`stack`].

mod access_log;
pub mod answer;
pub mod body;
mod cache_headers;
mod client_addr;
mod concurrency;
mod cors;
mod deadline_io;
mod listener;
mod request_id;
mod security_headers;
mod stack;

pub use access_log::RouteLabel;
pub use client_addr::{ClientAddr, TrustedProxies};
pub use cors::CorsOrigins;
pub use listener::{Edge, EdgeSettings, Listener, PeerAddr, PeerCred};
pub use security_headers::{SecurityHeaders, content_security_policy};
pub use stack::{Stack, StackSettings, stack};
