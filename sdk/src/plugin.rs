//! The one trait that a plugin implements.

use std::future::Future;

use crate::{
    config::Config,
    error::Result,
    health::Health,
    hooks::{Jobs, Webhooks},
    host::Host,
    routes::Routes,
};

/// A plugin. Annotate the `impl` with `#[plugin(id = "…", capabilities(…))]`.
///
/// Life: `validate` (pure) → `create` → migrate → activate → serve (`reconfigure`) → `drain` → retire.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Its settings; `()` when it has none.
    type Config: Config;

    /// Checks what a schema cannot say. Pure: no network, no files.
    fn validate(_config: &Self::Config) -> Result<()> {
        Ok(())
    }

    /// Makes an instance within 10 s, without the network: a provider that is down must not keep a host from starting.
    fn create(config: Self::Config, host: Host) -> impl Future<Output = Result<Self>> + Send;

    /// Declares HTTP routes.
    fn routes(_routes: &mut Routes<Self>) {}

    /// Declares webhooks.
    fn webhooks(_hooks: &mut Webhooks<Self>) {}

    /// Declares jobs and schedules.
    fn jobs(_jobs: &mut Jobs<Self>) {}

    /// How it is; answer within 2 s. An error is unhealthy.
    fn health(&self) -> impl Future<Output = Result<Health>> + Send {
        async { Ok(Health::ok()) }
    }

    /// Takes a configuration that only changes values, or asks for a new generation.
    fn reconfigure(&self, _config: Self::Config) -> impl Future<Output = Result<Reconfigured>> + Send {
        async { Ok(Reconfigured::NeedsReload) }
    }

    /// Lets go of what it holds before it is retired.
    fn drain(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Whether a running instance took a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconfigured {
    /// The instance works with it from now on.
    Applied,
    /// The host makes a new generation.
    NeedsReload,
}
