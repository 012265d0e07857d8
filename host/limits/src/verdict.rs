//! What was decided, and how a caller is told.

use std::time::Duration;

use http::{HeaderName, HeaderValue, header::RETRY_AFTER};
use smallvec::SmallVec;

use crate::{
    class::{Class, Limit},
    gcra::Pace,
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The decision about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    allowed: bool,
    /// Microseconds since the Unix epoch.
    at: i64,
    standings: SmallVec<[Standing; 2]>,
}

/// Where a caller stands with one limit, after the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit; shown as `10 per 1 second`.
    pub limit: Limit,
    /// How many more would be allowed now.
    pub remaining: u32,
    /// How long until all of it is there again.
    pub reset: Duration,
    /// How long until one is allowed again; nothing where this limit did not refuse.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    pub(crate) fn of(class: &Class, replicas: u32, now: i64, allowed: bool, fulls: &[i64]) -> Self {
        let standing = |(limit, full): (&Limit, &i64)| {
            let pace = Pace::of(limit, replicas);
            let wait = pace.wait(now, *full);
            Standing {
                limit: *limit,
                remaining: pace.remaining(now, *full),
                reset: micros(full - now),
                retry_after: (!allowed && wait > 0).then(|| micros(wait)),
            }
        };
        Self {
            allowed,
            at: now,
            standings: class.limits().iter().zip(fulls).map(standing).collect(),
        }
    }

    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Each limit of the class, in its order.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    #[cfg(test)]
    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// The limit that callers are told about: of a refusal the one to wait for longest, else the one with the least left.
    pub fn foremost(&self) -> Option<&Standing> {
        self.standings
            .iter()
            .max_by_key(|one| (one.retry_after, std::cmp::Reverse(one.remaining), one.reset))
    }

    /// The text of a refusal, as the reference words it: `Rate limit exceeded: 10 per 1 second`.
    pub fn refusal(&self) -> Option<String> {
        let refused = self.foremost().filter(|_| !self.allowed)?;
        Some(format!("Rate limit exceeded: {}", refused.limit))
    }

    /// Headers for the answer, about the [foremost](Self::foremost) limit. Always `RateLimit-Limit`, `RateLimit-Remaining`
    /// and `RateLimit-Reset` (in seconds) of draft-ietf-httpapi-ratelimit-headers-06, the last with these three. On a
    /// refusal also the reference's `X-RateLimit-Limit` (`10 per 1 second`), `X-RateLimit-Remaining`, `X-RateLimit-Reset`
    /// (Unix seconds), and `Retry-After` (seconds, at least 1).
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let (at, allowed) = (self.at, self.allowed);
        let told = self.foremost().copied();
        let always = told.map(|one| {
            [
                (LIMIT, one.limit.amount().get().into()),
                (REMAINING, one.remaining.into()),
                (RESET, seconds(one.reset).into()),
            ]
        });
        let refused = told.filter(|_| !allowed).and_then(|one| {
            let retry = one.retry_after.map_or(1, seconds).max(1);
            Some([
                (X_LIMIT, HeaderValue::try_from(one.limit.to_string()).ok()?),
                (X_REMAINING, one.remaining.into()),
                (X_RESET, seconds(micros(at) + one.reset).into()),
                (RETRY_AFTER, retry.into()),
            ])
        });
        always.into_iter().flatten().chain(refused.into_iter().flatten())
    }
}

fn micros(number: i64) -> Duration {
    Duration::from_micros(number.max(0) as u64)
}

/// Rounded up: who comes then does not come too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
