//! How the plugin under test is carried. The same test runs on each.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use jackfield_sdk::{
    Reconfigured,
    config::SigningSecrets,
    error::Failure,
    health::Health,
    host::{Host, RemoteServices},
    instance::{self, Instance, JobCall, JobEnd, Panicked},
    manifest::{Builtin, Described},
    service::{BoxFuture, Loopback, Remote},
};
use serde::{Serialize, de::DeserializeOwned};

/// How a plugin is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carrier {
    /// Compiled in: it holds the host's services directly.
    #[default]
    Builtin,
    /// Compiled in, but every host service, every job and every end of one crosses as bytes, as they do for a plugin that
    /// is loaded from a file.
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
        descriptor: instance::descriptor::<P>,
        validate: instance::validate::<P>,
        create: create::<P>,
    };
}

fn create<P: Described>(
    config: serde_json::Value,
    host: Host,
) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>> {
    Box::pin(async move {
        let direct = host.services();
        let remote = Remote::new(Arc::new(Loopback::new(Arc::clone(&direct))));
        let services = RemoteServices::new(P::MANIFEST.id, remote, direct);
        let made = instance::create::<P>(config, host.over(Arc::new(services))).await?;
        Ok(Arc::new(Bridged(made)) as Arc<dyn Instance>)
    })
}

/// An instance that is reached by bytes wherever the SDK has a wire form.
struct Bridged(Arc<dyn Instance>);

impl Instance for Bridged {
    fn serve(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Panicked>> {
        self.0.serve(request)
    }

    fn run(&self, call: JobCall) -> BoxFuture<'static, JobEnd> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { across(&inner.run(across(&call)).await) })
    }

    fn verify(&self, hook: &str, headers: HeaderMap, body: Bytes) -> BoxFuture<'static, Result<bool, Failure>> {
        self.0.verify(hook, headers, body)
    }

    fn secrets(&self, hook: &str, key: String) -> BoxFuture<'static, Result<SigningSecrets, Failure>> {
        self.0.secrets(hook, key)
    }

    fn health(&self) -> BoxFuture<'static, Result<Health, Panicked>> {
        let health = self.0.health();
        Box::pin(async move { health.await.map(|health| across(&health)) })
    }

    fn reconfigure(&self, config: serde_json::Value) -> BoxFuture<'static, Result<Reconfigured, String>> {
        self.0.reconfigure(across(&config))
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        self.0.drain()
    }
}

/// Out as MessagePack and in again. What does not survive that cannot be carried, and the test shall end.
fn across<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let kind = std::any::type_name::<T>();
    let bytes = rmp_serde::to_vec_named(value).unwrap_or_else(|error| panic!("{kind} has no wire form: {error}"));
    rmp_serde::from_slice(&bytes).unwrap_or_else(|error| panic!("{kind} does not survive the wire: {error}"))
}
