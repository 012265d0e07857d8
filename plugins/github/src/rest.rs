//! How GitHub's REST API is spoken: addresses under any base, headers, limits.
//!
//! A limit becomes an error that says when to come back, a failing server one that may be tried again; every other
//! answer is the caller's to judge, with [`accepted`] for those who only want success.
//! Limits: <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::time::Duration;

use jackfield_sdk::{
    host::Clock,
    http::{HeaderMap, StatusCode},
    http_client::{HttpResponse, RequestBuilder},
    prelude::*,
};

/// What GitHub asks of clients that hit a secondary limit without saying for how long.
const SECONDARY_LIMIT: Duration = Duration::from_secs(60);
/// Characters of GitHub's own error text that are kept.
const REASON: usize = 200;

/// The API under one base address.
#[derive(Clone)]
pub(crate) struct Rest {
    http: Http,
    clock: Clock,
    base: Url,
}

impl Rest {
    /// `base` may have a path: `https://ghe.example/api/v3`.
    pub(crate) fn new(host: &Host, base: Url) -> Self {
        Self {
            http: host.http(),
            clock: host.clock(),
            base,
        }
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    pub(crate) fn get<S: AsRef<str>>(&self, path: &[S], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        dressed(self.http.get(url))
    }

    pub(crate) fn post<S: AsRef<str>>(&self, path: &[S]) -> RequestBuilder {
        dressed(self.http.post(self.url(path)))
    }

    /// Sends a request; limits and failing servers are errors.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<HttpResponse> {
        let answer = request.await?;
        if let Some(after) = limited(&answer, self.now()) {
            let message = format!("{} is limited: GitHub asks to wait {} s", answer.url(), after.as_secs());
            return Err(Error::retry(after, message).tell("GitHub asked us to slow down."));
        }
        match answer.status() {
            StatusCode::REQUEST_TIMEOUT => answer.error_for_status(),
            status if status.is_server_error() => answer.error_for_status(),
            _ => Ok(answer),
        }
    }

    /// Each segment is percent-encoded; the base's own path stays.
    fn url<S: AsRef<str>>(&self, path: &[S]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// The answer when it is a success; otherwise a permanent error with GitHub's own reason.
pub(crate) fn accepted(answer: HttpResponse) -> Result<HttpResponse> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (url, status) = (answer.url(), answer.status());
    Err(Error::permanent(match reason(&answer) {
        Some(reason) => format!("{url} answered {status}: {reason}"),
        None => format!("{url} answered {status}"),
    }))
}

/// The cursor of the next page, from `Link`.
pub(crate) fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get("link")?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let target = next.split_once('<')?.1.split_once('>')?.0;
    let target = Url::parse(target).ok()?;
    target
        .query_pairs()
        .find(|(name, _)| name == "cursor")
        .map(|(_, cursor)| cursor.into_owned())
}

fn dressed(request: RequestBuilder) -> RequestBuilder {
    request
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
        .header(
            "user-agent",
            concat!("jackfield-plugin-github/", env!("CARGO_PKG_VERSION")),
        )
        // A renamed repository answers with its new place.
        .redirects(3)
}

/// How long GitHub wants to be left alone, when this answer is a limit.
fn limited(answer: &HttpResponse, now: i64) -> Option<Duration> {
    let status = answer.status();
    if !matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    if let Some(after) = answer.retry_after() {
        return Some(after.max(Duration::from_secs(1)));
    }
    let number = |name: &str| answer.headers().get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    if number("x-ratelimit-remaining") == Some(0)
        && let Some(reset) = number("x-ratelimit-reset")
    {
        return Some(Duration::from_secs(
            u64::try_from(reset - now).unwrap_or_default().max(1),
        ));
    }
    let secondary = reason(answer).is_some_and(|reason| {
        let reason = reason.to_ascii_lowercase();
        reason.contains("secondary rate limit") || reason.contains("abuse detection")
    });
    (secondary || status == StatusCode::TOO_MANY_REQUESTS).then_some(SECONDARY_LIMIT)
}

fn reason(answer: &HttpResponse) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(answer.body()).ok()?;
    Some(refusal.message.chars().take(REASON).collect())
}

#[cfg(test)]
mod tests;
