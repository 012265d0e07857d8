//! The plugin's side: what `#[plugin]` exports.
//!
//! Every instance owns a runtime with one worker thread and is entered into it at each call: create, poll, body, health,
//! drop. Raw `tokio::spawn` ends with the instance; `Host::spawn` is counted by the host.

use std::{
    marker::PhantomData,
    mem::size_of,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use jackfield_abi as abi;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::{
    buffer::{self, lend, view},
    future::{self, Answer, Context, Imported},
    guard,
    host::Foreign,
    message, quiet, sized, trace,
};
use crate::{
    database::DatabaseService,
    host::{ClockService, Host, JobService, KvService, MetricService, PubSubService, Services, VaultService},
    http_client::HttpService,
    identity::{AuditService, IdentityService},
    instance::{self, Instance, JobCall, Panicked},
    mail::MailService,
    manifest::Described,
    plugin::Reconfigured,
    run::RunService,
    service::{BoxFuture, Bridge, Remote, ServiceError},
};

/// Makes an instance from a configuration.
type Create = fn(serde_json::Value, Host) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>>;

/// The entry of one plugin type.
pub struct Export<P>(PhantomData<fn() -> P>);

impl<P: Described> Export<P> {
    /// What the exported entry function answers.
    pub const ENTRY: &'static abi::Entry = &abi::Entry {
        size: size_of::<abi::Entry>(),
        major: abi::MAJOR,
        minor: abi::MINOR,
        descriptor: Self::descriptor,
        validate: Self::validate,
        instance: Self::instance,
    };

    /// The same code as the host sees it behind the boundary.
    pub fn foreign() -> Foreign {
        Foreign::ours(Self::ENTRY)
    }

    unsafe extern "C" fn descriptor(out: *mut abi::Buffer) -> u32 {
        let made = guard(|| serde_json::to_vec(&instance::descriptor::<P>()).unwrap_or_default());
        // SAFETY: the caller gives a place for one buffer.
        unsafe { settle(made.map(Ok), out) }
    }

    unsafe extern "C" fn validate(config: abi::Slice, out: *mut abi::Buffer) -> u32 {
        // SAFETY: the slice is lent for this call.
        let config = unsafe { view(config) };
        let checked = guard(|| {
            let config = serde_json::from_slice(config).map_err(|error| error.to_string())?;
            instance::validate::<P>(config)
        });
        // SAFETY: the caller gives a place for one buffer.
        unsafe { settle(checked.map(|checked| checked.map(|()| Vec::new())), out) }
    }

    unsafe extern "C" fn instance(host: *const abi::Host, out: *mut abi::Buffer) -> *const abi::Instance {
        // SAFETY: the reference is ours now.
        let host = unsafe { HostRef::take(host) };
        let id = P::MANIFEST.id;
        let made = guard(|| Exported::new(id, host?, instance::create::<P>));
        match made {
            Ok(Ok(exported)) => Arc::into_raw(exported).cast(),
            Ok(Err(text)) | Err(text) => {
                // SAFETY: the caller gives a place for one buffer.
                unsafe { out.write(buffer::give(text.into())) };
                std::ptr::null()
            }
        }
    }
}

/// Writes a result that is there at once.
///
/// # Safety
/// `out` is a place for one buffer.
unsafe fn settle(result: Result<Result<Vec<u8>, String>, String>, out: *mut abi::Buffer) -> u32 {
    let (status, value) = match result {
        Ok(Ok(value)) => (abi::READY, value),
        Ok(Err(text)) => (abi::FAILED, text.into_bytes()),
        Err(text) => (abi::PANICKED, text.into_bytes()),
    };
    // SAFETY: the caller's promise.
    unsafe { out.write(buffer::give(value.into())) };
    status
}

/// An instance behind the boundary.
#[repr(C)]
struct Exported {
    abi: abi::Instance,
    host: Host,
    create: Create,
    context: Arc<Context>,
    runtime: Mutex<Option<Runtime>>,
    retired: watch::Sender<bool>,
    instance: RwLock<Option<Arc<dyn Instance>>>,
}

static INSTANCE: abi::InstanceVtable = abi::InstanceVtable {
    size: size_of::<abi::InstanceVtable>(),
    call,
    serve,
    retire,
    release,
    tasks: Some(tasks),
};

impl Exported {
    fn new(id: &'static str, host: HostRef, create: Create) -> Result<Arc<Self>, String> {
        let host = Arc::new(host);
        let log = trace::Log::new(Arc::clone(&host));
        let of_threads = log.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("plugin-{id}"))
            .on_thread_start(move || of_threads.stay())
            .enable_all()
            .build()
            .map_err(|error| format!("the plugin's runtime cannot be made: {error}"))?;
        let context = Arc::new(Context {
            handle: runtime.handle().clone(),
            log: Some(log),
        });
        let (retired, watch) = watch::channel(false);
        let services: Arc<dyn Services> = Arc::new(HostServices {
            plugin: id,
            remote: Remote::new(Arc::clone(&host) as Arc<dyn Bridge>),
            host,
            context: Arc::clone(&context),
        });
        Ok(Arc::new(Self {
            abi: abi::Instance {
                vtable: &raw const INSTANCE,
            },
            host: Host::new(services, watch),
            create,
            context,
            runtime: Mutex::new(Some(runtime)),
            retired,
            instance: RwLock::new(None),
        }))
    }

    fn running(&self) -> Result<Arc<dyn Instance>, String> {
        let instance = self.instance.read().unwrap_or_else(PoisonError::into_inner);
        instance
            .clone()
            .ok_or_else(|| "the instance is not created, or has retired".to_owned())
    }

    /// One operation; its bytes in, its bytes out.
    fn operate(self: Arc<Self>, op: u32, input: Bytes) -> BoxFuture<'static, Result<Bytes, Bytes>> {
        Box::pin(async move { self.operation(op, input).await.map_err(Bytes::from) })
    }

    async fn operation(&self, op: u32, input: Bytes) -> Result<Bytes, String> {
        match op {
            abi::OP_CREATE => {
                let config = serde_json::from_slice(&input).map_err(|error| error.to_string())?;
                let made = (self.create)(config, self.host.clone()).await?;
                *self.instance.write().unwrap_or_else(PoisonError::into_inner) = Some(made);
                Ok(Bytes::new())
            }
            abi::OP_RUN => {
                let call: JobCall = unpack(&input)?;
                pack(&self.running()?.run(call).await)
            }
            abi::OP_VERIFY => {
                let (hook, headers, body): (String, Vec<(String, Bytes)>, Bytes) = unpack(&input)?;
                let headers = headers
                    .iter()
                    .filter_map(|(name, value)| Some((name.parse().ok()?, value.as_ref().try_into().ok()?)))
                    .collect();
                pack(&self.running()?.verify(&hook, headers, body).await)
            }
            abi::OP_SECRETS => {
                let (hook, key): (String, String) = unpack(&input)?;
                let secrets = self.running()?.secrets(&hook, key).await;
                pack(&secrets.map(|secrets| super::host::open(&secrets)))
            }
            abi::OP_HEALTH => {
                let health = self.running()?.health().await;
                health.map_or_else(|panic| Err(panic.to_string()), |health| json(&health))
            }
            abi::OP_RECONFIGURE => {
                let config = serde_json::from_slice(&input).map_err(|error| error.to_string())?;
                let taken = self.running()?.reconfigure(config).await?;
                json(&(taken == Reconfigured::Applied))
            }
            abi::OP_DRAIN => {
                self.running()?.drain().await;
                Ok(Bytes::new())
            }
            other => Err(format!("this plugin does not know operation {other}")),
        }
    }
}

pub(super) fn pack<T: Serialize>(value: &T) -> Result<Bytes, String> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

fn json<T: Serialize>(value: &T) -> Result<Bytes, String> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// SAFETY: whoever calls holds an instance that `Export::instance` gave and that is not released.
unsafe fn shared(instance: *const abi::Instance) -> Arc<Exported> {
    let exported = instance.cast::<Exported>();
    // SAFETY: see above.
    unsafe {
        Arc::increment_strong_count(exported);
        Arc::from_raw(exported)
    }
}

unsafe extern "C" fn call(instance: *const abi::Instance, op: u32, input: abi::Slice, _: u64) -> abi::Future {
    // SAFETY: see `shared`; the slice is lent for this call.
    let (exported, input) = unsafe { (shared(instance), Bytes::copy_from_slice(view(input))) };
    let context = Arc::clone(&exported.context);
    future::export(exported.operate(op, input), context)
}

unsafe extern "C" fn serve(
    instance: *const abi::Instance,
    head: *const abi::RequestHead,
    body: abi::Body,
) -> abi::ResponseFuture {
    // SAFETY: see `shared`.
    let exported = unsafe { shared(instance) };
    let context = Arc::clone(&exported.context);
    let begun = guard(|| {
        let _entered = context.enter();
        // SAFETY: the head is lent for this call and the body is ours.
        let request = unsafe { message::request(head, body) };
        Ok(exported.running()?.serve(request?))
    });
    let answering = match begun {
        Ok(Ok(answering)) => answering,
        Ok(Err(text)) | Err(text) => Box::pin(std::future::ready(Err::<http::Response<Body>, _>(Panicked(text)))),
    };
    message::export(answering, context)
}

unsafe extern "C" fn retire(instance: *const abi::Instance) {
    // SAFETY: see `shared`.
    let exported = unsafe { shared(instance) };
    exported.retired.send_replace(true);
    quiet(|| {
        let _entered = exported.context.enter();
        drop(exported.instance.write().unwrap_or_else(PoisonError::into_inner).take());
    });
    let runtime = exported.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(runtime) = runtime {
        quiet(|| runtime.shutdown_timeout(Duration::from_secs(1)));
    }
}

unsafe extern "C" fn tasks(instance: *const abi::Instance) -> u64 {
    // SAFETY: see `shared`.
    let exported = unsafe { shared(instance) };
    exported.context.handle.metrics().num_alive_tasks() as u64
}

unsafe extern "C" fn release(instance: *const abi::Instance) {
    // SAFETY: the holder releases the reference that `Export::instance` gave, once, last.
    let exported = unsafe { Arc::from_raw(instance.cast::<Exported>()) };
    quiet(|| drop(exported));
}

/// The host that an instance was given.
pub(super) struct HostRef(*const abi::Host);

// SAFETY: the rules let every object be used from any thread.
unsafe impl Send for HostRef {}
// SAFETY: as above.
unsafe impl Sync for HostRef {}

impl HostRef {
    /// # Safety
    /// `host` follows the rules of [`abi::Host`] and one reference is given away.
    unsafe fn take(host: *const abi::Host) -> Result<Self, String> {
        // SAFETY: the caller's promise.
        if host.is_null() || !unsafe { sized::reaches((*host).vtable, sized::HOST) } {
            return Err(sized::SHORT.to_owned());
        }
        Ok(Self(host))
    }

    /// Fields before [`sized::HOST`] may be read.
    fn functions(&self) -> *const abi::HostVtable {
        // SAFETY: `take`'s promise.
        unsafe { (*self.0).vtable }
    }

    fn call(&self, service: u32, method: u32, input: &[u8]) -> Imported {
        // SAFETY: `take`'s promise; the input is lent for this call.
        unsafe { Imported::new(((*self.functions()).call)(self.0, service, method, lend(input))) }
    }

    pub(super) fn level(&self) -> u32 {
        // SAFETY: `take`'s promise.
        unsafe { ((*self.functions()).level)(self.0) }
    }

    pub(super) fn span(&self, parent: u64, level: u32, name: abi::Slice, fields: abi::Slice) -> u64 {
        // SAFETY: `take`'s promise; the caller lends the views for this call.
        unsafe { ((*self.functions()).span)(self.0, parent, level, name, fields) }
    }

    pub(super) fn close(&self, span: u64) {
        // SAFETY: `take`'s promise.
        unsafe { ((*self.functions()).close)(self.0, span) }
    }

    /// Older hosts have no such function.
    pub(super) fn record(&self, span: u64, fields: abi::Slice) {
        // SAFETY: `take`'s promise, and the struct's size; the caller lends the view for this call.
        unsafe {
            if sized::reaches(self.functions(), sized::HOST_RECORD) {
                ((*self.functions()).record)(self.0, span, fields);
            }
        }
    }

    pub(super) fn event(&self, span: u64, level: u32, target: abi::Slice, fields: abi::Slice) {
        // SAFETY: `take`'s promise; the caller lends the views for this call.
        unsafe { ((*self.functions()).event)(self.0, span, level, target, fields) }
    }

    fn metric(&self, kind: u32, name: &str, labels: &[(&str, &str)], value: f64) {
        let mut lines = String::new();
        for (name, value) in labels {
            lines.extend([*name, "=", &value.replace('\n', " "), "\n"]);
        }
        // SAFETY: `take`'s promise; the views are lent for this call.
        unsafe { ((*self.functions()).metric)(self.0, kind, lend(name.as_bytes()), lend(lines.as_bytes()), value) }
    }
}

impl Drop for HostRef {
    fn drop(&mut self) {
        // SAFETY: the reference is ours; we drop once.
        unsafe { ((*self.functions()).release)(self.0) }
    }
}

impl Bridge for HostRef {
    fn call(&self, service: u32, method: u32, input: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>> {
        let calling = HostRef::call(self, service, method, &input);
        Box::pin(async move {
            match calling.await {
                Answer::Ready(bytes) => Ok(bytes.into()),
                Answer::Failed(bytes) => {
                    Err(unpack(&bytes).unwrap_or_else(|_| ServiceError::unavailable("the host's error cannot be read")))
                }
                Answer::Panicked(text) => Err(ServiceError::unavailable(format!("the host failed: {text}"))),
            }
        })
    }
}

/// The host's services, over the boundary.
struct HostServices {
    plugin: &'static str,
    remote: Remote,
    host: Arc<HostRef>,
    context: Arc<Context>,
}

impl Services for HostServices {
    fn plugin(&self) -> &str {
        self.plugin
    }
    fn http(&self) -> &dyn HttpService {
        &self.remote
    }
    fn runs(&self) -> &dyn RunService {
        &self.remote
    }
    fn kv(&self) -> &dyn KvService {
        &self.remote
    }
    fn pubsub(&self) -> &dyn PubSubService {
        &self.remote
    }
    fn jobs(&self) -> &dyn JobService {
        &self.remote
    }
    fn vault(&self) -> &dyn VaultService {
        &self.remote
    }
    fn database(&self) -> &dyn DatabaseService {
        &self.remote
    }
    fn identity(&self) -> &dyn IdentityService {
        &self.remote
    }
    fn audit(&self) -> &dyn AuditService {
        &self.remote
    }
    fn metrics(&self) -> &dyn MetricService {
        self
    }
    fn clock(&self) -> &dyn ClockService {
        self
    }
    fn mail(&self) -> &dyn MailService {
        &self.remote
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let task = Box::pin(async move {
            task.await;
            Ok(Bytes::new())
        });
        let task = future::export(task, Arc::clone(&self.context));
        // SAFETY: the host takes the future over.
        unsafe { ((*self.host.functions()).spawn)(self.host.0, task) }
    }
}

#[async_trait]
impl MetricService for HostServices {
    #[allow(clippy::cast_precision_loss)]
    fn count(&self, name: &str, labels: &[(&str, &str)], by: u64) {
        self.host.metric(abi::METRIC_COUNT, name, labels, by as f64);
    }
    fn gauge(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.host.metric(abi::METRIC_GAUGE, name, labels, value);
    }
    fn record(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.host.metric(abi::METRIC_RECORD, name, labels, value);
    }
}

impl ClockService for HostServices {
    fn now_ms(&self) -> i64 {
        // SAFETY: `HostRef::take`'s promise.
        unsafe { ((*self.host.functions()).now_ms)(self.host.0) }
    }
}
