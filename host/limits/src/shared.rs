//! The states of callers in Redis, and what this replica does about a Redis that does not answer.
//!
//! - A question waits 50 ms. After three in a row without an answer no request asks any more, so none waits.
//! - A task tells every second that this replica is there, and learns how many are; while Redis does not answer it tries
//!   four times a second, and the first answer in time lets requests ask again.
//! - A question whose answer came too late may have been counted in Redis and here: a caller then has less, never more.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jackfield_sdk::service::ServiceError;
use jackfield_storage::{Redis, RedisScript};
use smallvec::SmallVec;

use crate::{class::Class, gcra::Pace, verdict::Verdict};

/// So many questions in a row without an answer, and requests stop asking.
const FAILURES: u32 = 3;
/// Where replicas announce themselves.
const REPLICAS: &str = "limits:replicas";

/// How long things may take; tests have other times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Longest a request waits for Redis.
    pub(crate) answer: Duration,
    /// Between two announcements.
    pub(crate) announce: Duration,
    /// Between two announcements while Redis does not answer.
    pub(crate) announce_away: Duration,
    /// A replica that was silent for so many seconds is gone.
    pub(crate) gone_secs: u32,
}

impl Times {
    pub(crate) const USUAL: Self = Self {
        answer: Duration::from_millis(50),
        announce: Duration::from_secs(1),
        announce_away: Duration::from_millis(250),
        gone_secs: 5,
    };
}

pub(crate) struct Shared {
    redis: Redis,
    times: Times,
    decide: RedisScript,
    announce: RedisScript,
    failures: AtomicU32,
    replicas: AtomicU32,
}

impl Shared {
    /// With the task, which ends when nobody else holds this.
    pub(crate) fn start(redis: Redis, times: Times) -> Arc<Self> {
        let shared = Arc::new(Self {
            redis,
            times,
            decide: RedisScript::new(include_str!("gcra.lua")),
            announce: RedisScript::new(include_str!("announce.lua")),
            failures: AtomicU32::new(0),
            replicas: AtomicU32::new(1),
        });
        tokio::spawn(keep_announcing(Arc::downgrade(&shared)));
        shared
    }

    /// Nothing when Redis cannot be asked now.
    pub(crate) async fn check(&self, class: &Class, who: &str) -> Option<Verdict> {
        if !self.answers() {
            return None;
        }
        match self.ask(class, who).await {
            Ok(verdict) => {
                self.answered();
                Some(verdict)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Whether requests ask.
    pub(crate) fn answers(&self) -> bool {
        self.failures.load(Relaxed) < FAILURES
    }

    /// How many there were when Redis last said.
    pub(crate) fn replicas(&self) -> u32 {
        self.replicas.load(Relaxed)
    }

    pub(crate) async fn ask(&self, class: &Class, who: &str) -> Result<Verdict, ServiceError> {
        let paces = class.limits().iter().map(|limit| Pace::of(limit, 1));
        let numbers: SmallVec<[i64; 4]> = paces.flat_map(|pace| [pace.interval, pace.window]).collect();
        let key = key(class, who);
        let answer = self.redis.run(&self.decide, &key, &numbers, self.times.answer).await?;
        match answer.as_slice() {
            [allowed, now, fulls @ ..] if fulls.len() == class.limits().len() => {
                Ok(Verdict::of(class, 1, *now, *allowed == 1, fulls))
            }
            other => Err(ServiceError::unavailable(format!(
                "Redis answers a rate-limit script with {} numbers instead of {}",
                other.len(),
                class.limits().len() + 2
            ))),
        }
    }

    async fn announce(&self, id: i64) -> Result<u32, ServiceError> {
        let numbers = [id, i64::from(self.times.gone_secs)];
        let answer = self
            .redis
            .run(&self.announce, REPLICAS, &numbers, self.times.answer)
            .await?;
        let count = answer.first().and_then(|count| u32::try_from(*count).ok());
        Ok(count.unwrap_or(1).max(1))
    }

    fn answered(&self) {
        // Read first: in the usual case no core takes the line from another.
        if self.failures.load(Relaxed) > 0 && self.failures.swap(0, Relaxed) >= FAILURES {
            tracing::info!("rate limits hold over all replicas again");
        }
    }

    fn failed(&self, error: &ServiceError) {
        if self.failures.fetch_add(1, Relaxed) + 1 == FAILURES {
            let replicas = self.replicas();
            tracing::warn!(%error, replicas, "rate limits without Redis: this replica enforces its share of each");
        }
    }
}

/// A caller's key, without the prefix that all of ours have.
pub(crate) fn key(class: &Class, who: &str) -> String {
    format!("limit:{}:{who}", class.name())
}

async fn keep_announcing(shared: Weak<Shared>) {
    let id = i64::from(rand::random::<u32>());
    let mut fewer_since = None;
    while let Some(shared) = shared.upgrade() {
        let times = shared.times;
        let gone = Duration::from_secs(times.gone_secs.into());
        match shared.announce(id).await {
            Ok(count) => {
                // After Redis lost its data the others announce themselves one by one: fewer must last to be believed.
                let known = shared.replicas();
                if count >= known || fewer_since.get_or_insert_with(Instant::now).elapsed() >= gone {
                    shared.replicas.store(count, Relaxed);
                    fewer_since = None;
                }
                shared.answered();
            }
            Err(error) => shared.failed(&error),
        }
        let pause = if shared.answers() {
            times.announce
        } else {
            times.announce_away
        };
        drop(shared);
        tokio::time::sleep(pause).await;
    }
}
