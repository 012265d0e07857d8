//! Outgoing HTTP without a network: scripted answers, and a record of what was asked.
//!
//! The operator's grants hold as in the real client: a call that it would refuse is refused here by the same code. A call
//! that nobody scripted fails and says which one it was.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jackfield_egress::{Admission, Hop};
use jackfield_sdk::{
    http_client::{HttpService, IncomingResponse, OutgoingRequest},
    service::ServiceError,
};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{pattern::Pattern, process::Process};

/// What a provider answers.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Arrives,
    Lost,
    Unreachable,
    Hangs,
    Kills,
}

impl Answer {
    /// An answer with this status and no body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            ending: Ending::Arrives,
        }
    }

    /// 200 with a JSON body.
    pub fn ok<T: Serialize>(body: &T) -> Self {
        Self::status(200).json(body)
    }

    /// Nothing gets there: the provider has not seen the request.
    pub fn unreachable() -> Self {
        Self {
            ending: Ending::Unreachable,
            ..Self::status(0)
        }
    }

    /// It gets there and nothing comes back, until the caller's own timeout.
    pub fn hangs() -> Self {
        Self {
            ending: Ending::Hangs,
            ..Self::status(0)
        }
    }

    /// A JSON body.
    pub fn json<T: Serialize>(mut self, body: &T) -> Self {
        let written = serde_json::to_vec(body).unwrap_or_else(|error| panic!("the answer is no JSON: {error}"));
        self.body = written.into();
        self.header("content-type", "application/json")
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .push((name.to_ascii_lowercase(), Bytes::copy_from_slice(value.as_bytes())));
        self
    }

    /// The provider applies the request, and its answer never arrives.
    pub fn lost(mut self) -> Self {
        self.ending = Ending::Lost;
        self
    }

    /// The provider applies the request, and the host is killed before the answer arrives.
    pub fn then_kill(mut self) -> Self {
        self.ending = Ending::Kills;
        self
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Answered with this status.
    Answered(u16),
    /// Applied, or so it must be taken, but the answer did not arrive.
    Lost,
    /// It did not get there.
    Unreachable,
    /// Nobody scripted it.
    Unscripted,
    /// The operator has not granted it.
    Denied,
}

/// One outgoing call.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Plugin that asked.
    pub plugin: String,
    /// Method.
    pub method: String,
    /// Where.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// What became of it.
    pub reached: Reached,
}

impl Asked {
    /// `POST /path?query`.
    pub fn call(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{} {}{query}", self.method, self.url.path())
    }

    /// The first value of a header, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON. Panics when it is none.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: the body is not what was expected: {error}", self.call()))
    }

    /// Whether the provider has acted on it: it came through, was not refused, and is no mere look (GET, HEAD).
    pub fn is_effect(&self) -> bool {
        let looks = matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let applied = match self.reached {
            Reached::Answered(status) => status < 400,
            Reached::Lost => true,
            Reached::Unreachable | Reached::Unscripted | Reached::Denied => false,
        };
        applied && !looks
    }
}

type Responder = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

enum Says {
    Queue(VecDeque<Answer>),
    Computes(Responder),
}

#[derive(Default)]
struct Inner {
    rules: Vec<(Pattern, Says)>,
    asked: Vec<Asked>,
}

/// The outside world. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<Inner>>);

impl Script {
    /// Nothing is there yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `call` (`POST /path`, `GET https://host/path?query`; `*` is anything within a segment, `**` anything). The
    /// same call again adds the next answer; the last one is given for ever. Of several patterns that fit, the one that was
    /// added last decides. Panics when `call` is none.
    pub fn on(&self, call: &str, answer: Answer) {
        let pattern = pattern(call);
        let mut inner = self.lock();
        let known = inner.rules.iter_mut().find(|(known, _)| *known == pattern);
        if let Some((_, Says::Queue(answers))) = known {
            answers.push_back(answer);
            return;
        }
        inner.rules.push((pattern, Says::Queue(VecDeque::from([answer]))));
    }

    /// Answers `call` as `respond` decides: for providers that remember. Takes the place of what was said before.
    pub fn on_with(&self, call: &str, respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        let pattern = pattern(call);
        let mut inner = self.lock();
        inner.rules.retain(|(known, _)| *known != pattern);
        inner.rules.push((pattern, Says::Computes(Arc::new(respond))));
    }

    /// Forgets what was scripted for `call`.
    pub fn forget(&self, call: &str) {
        let pattern = pattern(call);
        self.lock().rules.retain(|(known, _)| *known != pattern);
    }

    /// Every call so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// The calls since this was last called.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    /// The calls that fit a pattern, oldest first.
    pub fn asked_for(&self, call: &str) -> Vec<Asked> {
        let pattern = pattern(call);
        let mut asked = self.asked();
        asked.retain(|one| pattern.fits(&one.method, &one.url));
        asked
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, asked: Asked) {
        self.lock().asked.push(asked);
    }

    /// The answer to a call, or what there is instead. A responder runs without the lock: it may look at the script.
    fn answer(&self, asked: &Asked) -> Result<Answer, ServiceError> {
        let responder = {
            let mut inner = self.lock();
            let fitting = |(pattern, _): &&mut (Pattern, Says)| pattern.fits(&asked.method, &asked.url);
            match inner.rules.iter_mut().rev().find(fitting) {
                Some((_, Says::Queue(answers))) => {
                    let next = if answers.len() > 1 {
                        answers.pop_front()
                    } else {
                        answers.front().cloned()
                    };
                    return next.ok_or_else(|| ServiceError::invalid("the script holds an empty queue"));
                }
                Some((_, Says::Computes(respond))) => Arc::clone(respond),
                None => return Err(unscripted(&inner, asked)),
            }
        };
        Ok(responder(asked))
    }
}

fn pattern(call: &str) -> Pattern {
    Pattern::of(call).unwrap_or_else(|what| panic!("{what}"))
}

fn unscripted(inner: &Inner, asked: &Asked) -> ServiceError {
    let scripted: Vec<String> = inner.rules.iter().map(|(pattern, _)| format!("`{pattern}`")).collect();
    let there = if scripted.is_empty() {
        "nothing is".to_owned()
    } else {
        scripted.join(", ")
    };
    ServiceError::invalid(format!(
        "`{}` is not scripted ({there}); add `host.on(\"{} {}\", Answer::status(200))` before it is asked",
        asked.call(),
        asked.method,
        asked.url.path()
    ))
}

/// The wire of one plugin in one process.
pub(crate) struct Wire {
    pub(crate) script: Script,
    pub(crate) admission: Admission,
    pub(crate) plugin: String,
    pub(crate) process: Arc<Process>,
}

impl Wire {
    fn asked(&self, hop: &Hop, reached: Reached) -> Asked {
        Asked {
            plugin: self.plugin.clone(),
            method: hop.method.to_string(),
            url: hop.url.clone(),
            headers: hop.headers.clone(),
            body: hop.body.clone(),
            reached,
        }
    }

    /// Asks once; gives the answer that arrives.
    async fn ask(&self, hop: &Hop, timeout: Duration) -> Result<Answer, ServiceError> {
        let mut asked = self.asked(hop, Reached::Unscripted);
        if let Err(refused) = self.admission.admit(&hop.url) {
            asked.reached = Reached::Denied;
            self.script.record(asked);
            return Err(refused);
        }
        let answer = match self.script.answer(&asked) {
            Ok(answer) => answer,
            Err(unscripted) => {
                self.script.record(asked);
                return Err(unscripted);
            }
        };
        asked.reached = match answer.ending {
            Ending::Arrives => Reached::Answered(answer.status),
            Ending::Lost | Ending::Hangs | Ending::Kills => Reached::Lost,
            Ending::Unreachable => Reached::Unreachable,
        };
        self.script.record(asked);
        // Others get a turn while the answer is on its way.
        tokio::task::yield_now().await;
        match answer.ending {
            Ending::Arrives => Ok(answer),
            Ending::Lost => Err(ServiceError::unavailable("the call broke off: connection reset")),
            Ending::Unreachable => Err(ServiceError::unavailable("cannot connect: connection refused")),
            Ending::Hangs => {
                tokio::time::sleep(timeout).await;
                Err(ServiceError::unavailable(format!(
                    "no answer within {:.1} s",
                    timeout.as_secs_f64()
                )))
            }
            Ending::Kills => {
                self.process.kill();
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn send(&self, request: OutgoingRequest) -> Result<IncomingResponse, ServiceError> {
        self.process.living()?;
        let (max_bytes, timeout) = (request.max_bytes, Duration::from_millis(request.timeout_ms));
        let mut hop = Hop::first(request)?;
        loop {
            let answer = self.ask(&hop, timeout).await?;
            self.process.living()?;
            let from = hop.url.clone();
            let location = answer
                .headers
                .iter()
                .find(|(name, _)| name == header::LOCATION.as_str());
            let location = location.and_then(|(_, value)| std::str::from_utf8(value).ok());
            if hop.follow(answer.status, location)? {
                continue;
            }
            if answer.body.len() as u64 > max_bytes {
                return Err(ServiceError::invalid(format!(
                    "the answer has more than {max_bytes} bytes"
                )));
            }
            return Ok(IncomingResponse {
                status: answer.status,
                url: from,
                headers: answer.headers,
                body: answer.body,
            });
        }
    }
}

impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Self {
        Self::status(status.as_u16())
    }
}
