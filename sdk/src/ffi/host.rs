//! The host's side: a plugin behind the boundary as an [`Instance`] like any other.

use std::{mem::size_of, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use jackfield_abi as abi;
use time::OffsetDateTime;

use super::{
    buffer::{self, lend},
    future::{Answer, Context, Imported},
    message as over,
    object::HostObject,
    plugin::{pack, unpack},
    sized,
};
use crate::{
    Principal, Reconfigured,
    config::{Secret, SigningSecret, SigningSecrets},
    descriptor::Descriptor,
    error::{Error, Failure},
    health::Health,
    host::Host,
    instance::{Instance, JobCall, JobEnd, JobFailure, Panicked},
    service::BoxFuture,
};

/// A plugin's code behind the boundary.
#[derive(Clone, Copy)]
pub struct Foreign(*const abi::Entry);

// SAFETY: an entry is static, constant, and its functions may be called from any thread.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

/// Why an entry is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It answers null.
    #[error("the entry function answers null")]
    Null,
    /// It was built for another boundary.
    #[error("the plugin speaks ABI {major}.{minor}, this host {}.{}", abi::MAJOR, abi::MINOR)]
    Abi {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// Its struct is smaller than the first version's.
    #[error("the entry has {0} bytes, too few")]
    Size(usize),
}

impl Foreign {
    /// Takes an entry.
    ///
    /// # Safety
    /// `entry` is null or follows the rules of [`abi::Entry`] for as long as the process runs.
    pub unsafe fn of(entry: *const abi::Entry) -> Result<Self, EntryError> {
        if entry.is_null() {
            return Err(EntryError::Null);
        }
        // SAFETY: the caller's promise; nothing behind the size is read before it is known to be there.
        let (major, minor) = unsafe {
            if !sized::reaches(entry, sized::ENTRY) {
                return Err(EntryError::Size((*entry).size));
            }
            ((*entry).major, (*entry).minor)
        };
        if major != abi::MAJOR || minor > abi::MINOR {
            return Err(EntryError::Abi { major, minor });
        }
        Ok(Self(entry))
    }

    /// An entry of this program's own.
    pub(super) const fn ours(entry: &'static abi::Entry) -> Self {
        Self(entry)
    }

    /// Its declarations.
    pub fn descriptor(&self) -> Result<Descriptor, String> {
        let mut out = buffer::EMPTY;
        // SAFETY: `of`'s promise; the place lives for this call and is set by it.
        let (status, bytes) = unsafe {
            let status = ((*self.0).descriptor)(&raw mut out);
            (status, buffer::take(out))
        };
        if status != abi::READY {
            return Err(format!("its declarations panic: {}", String::from_utf8_lossy(&bytes)));
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("its descriptor cannot be read: {error}"))
    }

    /// Checks a configuration without side effects.
    pub fn validate(&self, config: &serde_json::Value) -> Result<(), String> {
        let (text, mut out) = (config.to_string(), buffer::EMPTY);
        // SAFETY: `of`'s promise; view and place live for this call.
        let (status, said) = unsafe {
            let status = ((*self.0).validate)(lend(text.as_bytes()), &raw mut out);
            (status, buffer::take_text(out))
        };
        match status {
            abi::READY => Ok(()),
            abi::PANICKED => Err(format!("the plugin panicked: {said}")),
            _ => Err(said),
        }
    }

    /// Makes an instance. Call it inside the host's runtime.
    pub fn create(
        &self,
        config: &serde_json::Value,
        host: Host,
    ) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>> {
        let mut out = buffer::EMPTY;
        let host = HostObject::new(host);
        let context = host.context();
        // SAFETY: `of`'s promise; one reference to the host is given away.
        let (instance, said) = unsafe {
            let instance = ((*self.0).instance)(Arc::into_raw(host).cast(), &raw mut out);
            (instance, buffer::take_text(out))
        };
        if instance.is_null() {
            return Box::pin(std::future::ready(Err(said)));
        }
        // SAFETY: an instance that is not null follows the rules.
        if !unsafe { sized::reaches((*instance).vtable, sized::INSTANCE) } {
            return Box::pin(std::future::ready(Err(sized::SHORT.to_owned())));
        }
        let foreign = ForeignInstance(Arc::new(Held { instance, context }));
        let creating = foreign.0.call(abi::OP_CREATE, config.to_string().as_bytes());
        Box::pin(async move {
            match creating.await {
                Answer::Ready(_) => Ok(Arc::new(foreign) as Arc<dyn Instance>),
                Answer::Failed(text) => Err(String::from_utf8_lossy(&text).into_owned()),
                Answer::Panicked(text) => Err(Panicked(text).to_string()),
            }
        })
    }
}

/// An instance that is released with the last future that runs in it.
struct Held {
    instance: *const abi::Instance,
    /// The host's runtime, for bodies that the plugin reads.
    context: Arc<Context>,
}

// SAFETY: the rules let every object be used from any thread.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// Fields before [`sized::INSTANCE`] may be read.
    fn functions(&self) -> *const abi::InstanceVtable {
        // SAFETY: the instance follows the rules.
        unsafe { (*self.instance).vtable }
    }

    fn call(self: &Arc<Self>, op: u32, input: &[u8]) -> Calling {
        // SAFETY: the instance follows the rules; the input is lent for this call.
        let future = unsafe { Imported::new(((*self.functions()).call)(self.instance, op, lend(input), 0)) };
        Calling {
            future,
            _held: Arc::clone(self),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let ending = Ending(self.instance);
        // Ending a runtime blocks, which a worker must not. It is the host's runtime, whatever the thread is inside of.
        drop(self.context.handle.spawn_blocking(move || ending.end()));
    }
}

/// An instance at its end.
struct Ending(*const abi::Instance);

// SAFETY: the rules let every object be used from any thread.
unsafe impl Send for Ending {}

impl Ending {
    fn end(self) {
        // SAFETY: no future is left, so this is the end; once each, in this order.
        unsafe {
            let functions = (*self.0).vtable;
            ((*functions).retire)(self.0);
            ((*functions).release)(self.0);
        }
    }
}

/// A call that keeps its instance. Fields drop in this order.
struct Calling {
    future: Imported,
    _held: Arc<Held>,
}

impl Future for Calling {
    type Output = Answer;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Answer> {
        std::pin::Pin::new(&mut self.future).poll(cx)
    }
}

struct ForeignInstance(Arc<Held>);

impl ForeignInstance {
    fn job(call: &JobCall) -> Result<Bytes, JobEnd> {
        pack(call).map_err(|text| failed_end(JobFailure::Failed(Error::permanent(text).to_failure())))
    }
}

fn failed_end(failure: JobFailure) -> JobEnd {
    JobEnd {
        result: Err(failure),
        orphans: Vec::new(),
    }
}

fn failure(answer: Answer) -> Failure {
    match answer {
        Answer::Ready(_) => Error::permanent("the plugin's answer cannot be read").to_failure(),
        Answer::Failed(text) => Error::transient(String::from_utf8_lossy(&text).into_owned()).to_failure(),
        Answer::Panicked(text) => Error::transient(Panicked(text).to_string()).to_failure(),
    }
}

impl Instance for ForeignInstance {
    fn serve(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Panicked>> {
        let (parts, body) = request.into_parts();
        let principal = parts
            .extensions
            .get::<Principal>()
            .map(|principal| serde_json::to_vec(principal).unwrap_or_default())
            .unwrap_or_default();
        let uri = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let headers = over::headers(&parts.headers);
        let head = abi::RequestHead {
            size: size_of::<abi::RequestHead>(),
            method: lend(parts.method.as_str().as_bytes()),
            uri: lend(uri.as_bytes()),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
            principal: lend(&principal),
            span: 0,
        };
        let body = over::export_body(body, Arc::clone(&self.0.context));
        // SAFETY: the instance follows the rules; the head is lent for this call, the body given away.
        let answering =
            unsafe { over::Imported::new(((*self.0.functions()).serve)(self.0.instance, &raw const head, body)) };
        let (held, span) = (Arc::clone(&self.0), tracing::Span::current());
        Box::pin(async move {
            let answer = answering.await;
            // The body runs in the instance too, after the request's own future has ended.
            answer.map(|response| {
                response.map(|body| {
                    Body::new(Keeping {
                        body,
                        span,
                        _held: held,
                    })
                })
            })
        })
    }

    fn run(&self, call: JobCall) -> BoxFuture<'static, JobEnd> {
        let calling = Self::job(&call).map(|bytes| self.0.call(abi::OP_RUN, &bytes));
        Box::pin(async move {
            let calling = match calling {
                Ok(calling) => calling,
                Err(end) => return end,
            };
            match calling.await {
                Answer::Ready(bytes) => unpack(&bytes).unwrap_or_else(|text| {
                    failed_end(JobFailure::Failed(
                        Error::permanent(format!("the plugin's answer cannot be read: {text}")).to_failure(),
                    ))
                }),
                Answer::Panicked(text) => failed_end(JobFailure::Panicked(text)),
                failed @ Answer::Failed(_) => failed_end(JobFailure::Failed(failure(failed))),
            }
        })
    }

    fn verify(&self, hook: &str, headers: HeaderMap, body: Bytes) -> BoxFuture<'static, Result<bool, Failure>> {
        let headers: Vec<(String, Bytes)> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        self.ask(abi::OP_VERIFY, pack(&(hook, headers, body)))
    }

    fn secrets(&self, hook: &str, key: String) -> BoxFuture<'static, Result<SigningSecrets, Failure>> {
        let asking = self.ask::<Vec<(String, Option<i64>)>>(abi::OP_SECRETS, pack(&(hook, key)));
        Box::pin(async move { asking.await.map(|list| close(&list)) })
    }

    fn health(&self) -> BoxFuture<'static, Result<Health, Panicked>> {
        let calling = self.0.call(abi::OP_HEALTH, b"");
        Box::pin(async move {
            match calling.await {
                Answer::Ready(bytes) => Ok(serde_json::from_slice(&bytes)
                    .unwrap_or_else(|error| Health::unhealthy(format!("its report cannot be read: {error}")))),
                Answer::Failed(text) => Ok(Health::unhealthy(String::from_utf8_lossy(&text))),
                Answer::Panicked(text) => Err(Panicked(text)),
            }
        })
    }

    fn reconfigure(&self, config: serde_json::Value) -> BoxFuture<'static, Result<Reconfigured, String>> {
        let calling = self.0.call(abi::OP_RECONFIGURE, config.to_string().as_bytes());
        Box::pin(async move {
            match calling.await {
                Answer::Ready(bytes) if &bytes[..] == b"true" => Ok(Reconfigured::Applied),
                Answer::Ready(_) => Ok(Reconfigured::NeedsReload),
                Answer::Failed(text) => Err(String::from_utf8_lossy(&text).into_owned()),
                Answer::Panicked(text) => Err(Panicked(text).to_string()),
            }
        })
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let calling = self.0.call(abi::OP_DRAIN, b"");
        Box::pin(async move {
            if let Answer::Failed(text) = calling.await {
                tracing::debug!(text = %String::from_utf8_lossy(&text), "drain was refused");
            }
        })
    }

    fn tasks(&self) -> Option<u64> {
        // SAFETY: the instance follows the rules, and the field is read only when its struct has it.
        unsafe {
            let functions = self.0.functions();
            if !sized::reaches(functions, sized::INSTANCE_TASKS) {
                return None;
            }
            (*functions).tasks.map(|tasks| tasks(self.0.instance))
        }
    }
}

impl ForeignInstance {
    /// An operation that answers `Result<T, Failure>`.
    fn ask<T: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        op: u32,
        input: Result<Bytes, String>,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        let calling = input.map(|input| self.0.call(op, &input));
        Box::pin(async move {
            let calling = calling.map_err(|text| Error::permanent(text).to_failure())?;
            match calling.await {
                Answer::Ready(bytes) => {
                    unpack::<Result<T, Failure>>(&bytes).unwrap_or_else(|text| Err(Error::permanent(text).to_failure()))
                }
                other => Err(failure(other)),
            }
        })
    }
}

/// Secrets as they cross: value and end in milliseconds.
pub(super) fn open(secrets: &SigningSecrets) -> Vec<(String, Option<i64>)> {
    let ms = |end: OffsetDateTime| i64::try_from(end.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let one = |secret: &SigningSecret| (secret.value.expose().to_owned(), secret.not_after.map(ms));
    secrets.0.iter().map(one).collect()
}

fn close(list: &[(String, Option<i64>)]) -> SigningSecrets {
    let at = |ms: i64| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok();
    let one = |(value, end): &(String, Option<i64>)| SigningSecret {
        value: Secret::new(value.clone()),
        // An end that is no time is in the past.
        not_after: end.map(|ms| at(ms).unwrap_or(OffsetDateTime::UNIX_EPOCH)),
    };
    SigningSecrets(list.iter().map(one).collect())
}

pin_project_lite::pin_project! {
    /// A body that keeps its instance, and is polled in its request's span.
    struct Keeping {
        #[pin]
        body: Body,
        span: tracing::Span,
        _held: Arc<Held>,
    }
}

impl http_body::Body for Keeping {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let this = self.project();
        let _within = this.span.enter();
        this.body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
