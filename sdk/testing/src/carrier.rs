//! How the plugin under test is carried. The same test runs on each.

use std::sync::Arc;

use jackfield_sdk::{
    descriptor::Descriptor,
    ffi::plugin::Export,
    host::Host,
    instance::Instance,
    manifest::{Builtin, Described},
    service::BoxFuture,
};

/// How a plugin is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carrier {
    /// Compiled in: it holds the host's services directly.
    #[default]
    Builtin,
    /// Compiled in, but reached through the boundary that a plugin in a shared library is reached through: its own runtime,
    /// and every request, job, host service and log line crosses as bytes.
    Bridge,
}

impl Carrier {
    /// Every carrier, for `for carrier in Carrier::ALL`.
    pub const ALL: [Self; 2] = [Self::Builtin, Self::Bridge];

    pub(crate) const fn carry<P: Described>(self) -> &'static Builtin {
        match self {
            Self::Builtin => Carried::<P>::DIRECT,
            Self::Bridge => Carried::<P>::BRIDGED,
        }
    }
}

struct Carried<P>(std::marker::PhantomData<P>);

impl<P: Described> Carried<P> {
    const DIRECT: &'static Builtin = &Builtin::of::<P>();
    const BRIDGED: &'static Builtin = &Builtin {
        manifest: P::MANIFEST,
        descriptor: Self::descriptor,
        validate: |config| Export::<P>::foreign().validate(&config),
        create: Self::create,
    };

    fn descriptor() -> Descriptor {
        let read = Export::<P>::foreign().descriptor();
        read.unwrap_or_else(|error| panic!("the plugin `{}` cannot be carried: {error}", P::MANIFEST.id))
    }

    fn create(config: serde_json::Value, host: Host) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>> {
        // Made in the async block, because it must be made inside the host's runtime.
        Box::pin(async move { Export::<P>::foreign().create(&config, host).await })
    }
}
