//! Handlers of webhooks, jobs and schedules: plain `async fn(&self, Run, T) -> Result<Outcome>` methods.

use std::{future::Future, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, Failure, Result},
    run::{Outcome, Run},
    service::BoxFuture,
};

/// What a handler is called for: a stored delivery, an enqueued job or a schedule's slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Delivery {
    /// The sender's delivery id, the job's key, or the slot.
    pub delivery_id: String,
    /// Kind of event.
    pub event: String,
    /// Whose data it is; empty when not known.
    pub tenant: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// Raw body.
    pub body: Bytes,
    /// Milliseconds since the Unix epoch.
    pub received_ms: i64,
}

impl Delivery {
    /// The first value of a header, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// What a handler takes as its last argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event that a handler can take",
    label = "this handler takes it",
    note = "take `Json<T>` (T: Deserialize), `Delivery` or `()`, or implement `FromDelivery` for it"
)]
pub trait FromDelivery: Sized + Send + 'static {
    /// Reads it. An error is permanent: the same bytes will not parse next time either.
    fn from_delivery(delivery: &Delivery) -> Result<Self>;
}

impl FromDelivery for Delivery {
    fn from_delivery(delivery: &Delivery) -> Result<Self> {
        Ok(delivery.clone())
    }
}

impl<T: DeserializeOwned + Send + 'static> FromDelivery for axum::Json<T> {
    fn from_delivery(delivery: &Delivery) -> Result<Self> {
        serde_json::from_slice(&delivery.body)
            .map(Self)
            .map_err(|error| Error::permanent(format!("the body does not parse: {error}")))
    }
}

impl FromDelivery for () {
    fn from_delivery(_: &Delivery) -> Result<Self> {
        Ok(())
    }
}

/// What `on_dead` gets.
pub struct Death<T> {
    /// The event that could not be handled.
    pub event: T,
    record: DeathRecord,
}

/// Why a job died, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathRecord {
    /// The last failure.
    pub failure: Failure,
    /// Attempts made.
    pub attempts: u32,
    /// The dead job.
    pub job: uuid::Uuid,
}

impl<T> Death<T> {
    /// What may be told to the people who wait.
    pub fn for_people(&self) -> &str {
        self.record
            .failure
            .tell
            .as_deref()
            .unwrap_or("Something went wrong on our side, and trying again did not help.")
    }

    /// Why it died, for logs.
    pub fn reason(&self) -> &str {
        &self.record.failure.message
    }

    /// Attempts made.
    pub fn attempts(&self) -> u32 {
        self.record.attempts
    }
}

/// A method that can be called with a borrowed plugin. Implemented for `async fn(&P, Run, T) -> Result<Outcome>`.
#[diagnostic::on_unimplemented(
    message = "a handler is `async fn(&self, run: Run, event: T) -> Result<Outcome>`",
    note = "T is `Json<…>`, `Delivery`, `()` or your own `FromDelivery`; for `on_dead` it is `Death<T>`"
)]
pub trait Call<'a, P, T>: Send + Sync {
    /// What the method returns.
    type Future: Future<Output = Result<Outcome>> + Send + 'a;

    /// Calls it.
    fn call(&self, plugin: &'a P, run: Run, event: T) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<'a, P: 'a, T, F, Fut> Call<'a, P, T> for F
where
    F: Fn(&'a P, Run, T) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Outcome>> + Send + 'a,
{
    type Future = Fut;

    fn call(&self, plugin: &'a P, run: Run, event: T) -> Fut {
        self(plugin, run, event)
    }
}

/// A handler whose event type is forgotten.
pub(crate) trait Erased<P>: Send + Sync {
    fn call<'a>(
        &'a self,
        plugin: &'a P,
        run: Run,
        delivery: &'a Delivery,
        death: Option<DeathRecord>,
    ) -> BoxFuture<'a, Result<Outcome>>;
}

pub(crate) fn erase<P, T, H>(handler: H) -> Arc<dyn Erased<P>>
where
    P: Send + Sync + 'static,
    T: FromDelivery,
    H: for<'a> Call<'a, P, T> + 'static,
{
    Arc::new(Plain(handler, PhantomData::<fn(T)>))
}

pub(crate) fn erase_death<P, T, H>(handler: H) -> Arc<dyn Erased<P>>
where
    P: Send + Sync + 'static,
    T: FromDelivery,
    H: for<'a> Call<'a, P, Death<T>> + 'static,
{
    Arc::new(OnDeath(handler, PhantomData::<fn(T)>))
}

struct Plain<H, T>(H, PhantomData<fn(T)>);

impl<P, T, H> Erased<P> for Plain<H, T>
where
    P: Send + Sync + 'static,
    T: FromDelivery,
    H: for<'a> Call<'a, P, T>,
{
    fn call<'a>(
        &'a self,
        plugin: &'a P,
        run: Run,
        delivery: &'a Delivery,
        _: Option<DeathRecord>,
    ) -> BoxFuture<'a, Result<Outcome>> {
        match T::from_delivery(delivery) {
            Ok(event) => Box::pin(self.0.call(plugin, run, event)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

struct OnDeath<H, T>(H, PhantomData<fn(T)>);

impl<P, T, H> Erased<P> for OnDeath<H, T>
where
    P: Send + Sync + 'static,
    T: FromDelivery,
    H: for<'a> Call<'a, P, Death<T>>,
{
    fn call<'a>(
        &'a self,
        plugin: &'a P,
        run: Run,
        delivery: &'a Delivery,
        death: Option<DeathRecord>,
    ) -> BoxFuture<'a, Result<Outcome>> {
        let Some(record) = death else {
            return Box::pin(std::future::ready(Err(Error::permanent(
                "on_dead was called for a job that lives",
            ))));
        };
        match T::from_delivery(delivery) {
            Ok(event) => Box::pin(self.0.call(plugin, run, Death { event, record })),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
