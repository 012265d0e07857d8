//! Plugins in the host: registry, generations, route table, webhooks, lifecycle.
//!
//! Guarantees: a plugin that panics, hangs or cannot be created harms no other; what is in flight ends on the generation it
//! began on; a delivery is accepted for every plugin that is not disabled.

mod code;
mod generation;
mod guard;
mod hook;
mod ingress;
mod lifecycle;
mod mail;
mod openapi;
mod quarantine;
mod series;
mod serve;
mod services;
mod table;
mod timed;
mod wanted;
mod watch;

pub use code::{BuiltinCode, Code};
pub use generation::Generation;
pub use guard::{Believing, Guard, NoIdentity, Passed, Rules};
pub use lifecycle::{ChangeError, PluginRow, Plugins};
pub use mail::{HostMail, KeepMail, Mail};
pub use services::{Backends, PluginServices};
pub use table::{Conflict, HOST, RouteRow, RouteTable};
pub use wanted::{Enablement, PluginState, Wanted};
pub use watch::Watch;
