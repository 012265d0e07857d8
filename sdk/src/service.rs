//! How a plugin reaches the host: bytes in, bytes out.
//!
//! Every host service is a trait declared once with `service!`, which derives two more things from it: a *client* that
//! speaks to any [`Bridge`] (service id, method id, MessagePack bytes → future of bytes) and a *dispatcher* that serves
//! the trait over such a bridge. Adding a service or a method therefore never changes the boundary. A built-in plugin
//! holds the host's implementation directly; one in a shared library, and every plugin in the test kit's second carrier, speaks
//! through [`Remote`].
//!
//! Encoding: MessagePack; arguments as an array in declaration order, structs as maps, so fields may be added.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::Fate;

/// A boxed future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a host service refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ServiceError {
    /// The plugin lacks a capability. The message names the line to add.
    #[error(
        "the plugin has no capability `{capability}`; add it to `capabilities` under [plugins.{plugin}] in plugins.toml"
    )]
    Denied {
        /// Plugin id.
        plugin: String,
        /// The capability that is missing.
        capability: String,
    },
    /// The call itself is wrong; another attempt will fail the same way.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what to do.
        message: String,
    },
    /// The service cannot answer now.
    #[error("{message}")]
    Unavailable {
        /// What is unavailable.
        message: String,
    },
    /// The run's lease was lost: another worker owns the job now and nothing of this run is written.
    #[error("this run no longer owns its job")]
    Fenced,
}

impl ServiceError {
    /// [`ServiceError::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
        }
    }

    /// [`ServiceError::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable {
            message: message.into(),
        }
    }

    /// Refusals are permanent, outages are not.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Denied { .. } | Self::Invalid { .. } => Fate::Permanent,
            Self::Unavailable { .. } | Self::Fenced => Fate::Transient,
        }
    }
}

/// The one generic call of the boundary.
pub trait Bridge: Send + Sync {
    /// Calls `method` of `service` with MessagePack bytes.
    fn call(&self, service: u32, method: u32, input: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>>;
}

/// Every host service, spoken over a [`Bridge`].
#[derive(Clone)]
pub struct Remote(Arc<dyn Bridge>);

impl Remote {
    /// Speaks over `bridge`.
    pub fn new(bridge: Arc<dyn Bridge>) -> Self {
        Self(bridge)
    }

    pub(crate) async fn call<I: Serialize, O: DeserializeOwned>(
        &self,
        service: u32,
        method: u32,
        input: &I,
    ) -> Result<O, ServiceError> {
        let bytes = self.0.call(service, method, encode(input)?).await?;
        decode(&bytes)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    rmp_serde::to_vec_named(value).map_err(|error| ServiceError::invalid(format!("cannot encode a call: {error}")))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ServiceError> {
    rmp_serde::from_slice(bytes).map_err(|error| ServiceError::invalid(format!("cannot decode a call: {error}")))
}

/// Declares a host service: the trait, its client over a bridge, its dispatcher.
macro_rules! service {
    (
        $(#[$doc:meta])*
        pub trait $name:ident = $id:literal, $serve:ident {
            $( $(#[$mdoc:meta])* $num:literal => fn $method:ident($($arg:ident: $ty:ty),* $(,)?) -> $out:ty; )*
        }
    ) => {
        $(#[$doc])*
        #[async_trait::async_trait]
        pub trait $name: Send + Sync {
            $( $(#[$mdoc])* async fn $method(&self, $($arg: $ty),*) -> Result<$out, $crate::service::ServiceError>; )*
        }

        #[async_trait::async_trait]
        impl $name for $crate::service::Remote {
            $( async fn $method(&self, $($arg: $ty),*) -> Result<$out, $crate::service::ServiceError> {
                self.call($id, $num, &($($arg,)*)).await
            } )*
        }

        pub(crate) async fn $serve(
            target: &dyn $name,
            method: u32,
            input: &[u8],
        ) -> Result<Vec<u8>, $crate::service::ServiceError> {
            match method {
                $( $num => {
                    let ($($arg,)*): ($($ty,)*) = $crate::service::decode(input)?;
                    $crate::service::encode(&target.$method($($arg),*).await?)
                } )*
                other => Err($crate::service::ServiceError::invalid(format!(
                    "this host does not know method {other} of service {}", stringify!($name)
                ))),
            }
        }
    };
}
pub(crate) use service;
