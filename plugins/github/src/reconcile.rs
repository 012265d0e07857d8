//! Finds deliveries that never reached us and has GitHub send them again (requirement I5).
//!
//! GitHub does not repeat a failed delivery by itself, but lists for three days what it sent and what came of it. Every
//! few minutes the new part of that list is read; a delivery that failed and did not arrive later is asked for again,
//! with growing gaps, until it arrives or is three days old. A redelivery carries the same id, so one that had arrived
//! after all is a duplicate and changes nothing.
//! <https://docs.github.com/rest/apps/webhooks#list-deliveries-for-an-app-webhook>.

use std::collections::{HashMap, HashSet};

use jackfield_sdk::prelude::*;
use time::OffsetDateTime;

use crate::{
    api::Api,
    rest::{accepted, next_cursor},
};

/// How far back GitHub's list goes, in seconds.
const KEPT: i64 = 3 * 86_400;
/// How far back the first look goes: what failed before we were there is not ours to repeat.
const FIRST_LOOK: i64 = 3600;
/// Seconds that two looks overlap, for entries that GitHub lists late.
const OVERLAP: i64 = 600;
/// Gap after the first redelivery, in seconds; it doubles each time.
const FIRST_GAP: i64 = 300;
/// Largest gap, in seconds.
const MAX_GAP: i64 = 6 * 3600;
/// Pages of 100 that one look reads.
const MAX_PAGES: usize = 200;
/// Redeliveries that one look asks for.
const MAX_DUE: usize = 500;
/// Deliveries that are watched at once; with more, the oldest come first and the list is read again.
const MAX_OPEN: usize = 1_000;

/// One sending, as GitHub lists it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sent {
    id: u64,
    guid: String,
    #[serde(with = "time::serde::rfc3339")]
    delivered_at: OffsetDateTime,
    /// What we answered; 0 when nothing came back.
    #[serde(default)]
    status_code: i64,
}

/// What is kept between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Everything sent before this was looked at. Seconds since the Unix epoch; 0 before the first look.
    until: i64,
    open: Vec<Open>,
}

/// A delivery that has not arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    guid: String,
    /// The newest sending.
    id: u64,
    /// When it was first seen to fail.
    first: i64,
    /// When we last asked for it.
    asked: i64,
    /// How often we asked for it.
    tries: u32,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Sendings to repeat, oldest first.
    pub(crate) due: Vec<u64>,
    /// What to keep.
    pub(crate) state: State,
    /// Deliveries that failed for three days.
    pub(crate) given_up: usize,
    /// The list was longer than a look reads; older entries were not seen.
    pub(crate) cut_short: bool,
}

/// Reads what GitHub sent since the last look and decides what to ask for again.
pub(crate) async fn look(api: &Api, state: State) -> Result<Plan> {
    let now = api.rest().now();
    let since = since(&state, now);
    let (sent, cut_short) = sent_since(api, since).await?;
    Ok(Plan {
        cut_short,
        ..plan(state, sent, now)
    })
}

/// Asks GitHub to repeat one sending.
pub(crate) async fn redeliver(api: &Api, id: u64) -> Result<()> {
    let path = ["app", "hook", "deliveries", &id.to_string(), "attempts"];
    let request = api.rest().post(&path).bearer(&api.app().statement()?);
    accepted(api.rest().send(request).await?).map(|_| ())
}

fn since(state: &State, now: i64) -> i64 {
    if state.until == 0 {
        now - FIRST_LOOK
    } else {
        (state.until - OVERLAP).max(now - KEPT)
    }
}

/// The list, newest first, down to `since`; and whether it went on.
async fn sent_since(api: &Api, since: i64) -> Result<(Vec<Sent>, bool)> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let mut query = vec![("per_page", "100")];
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let request = api
            .rest()
            .get(&["app", "hook", "deliveries"], &query)
            .bearer(&api.app().statement()?);
        let answer = accepted(api.rest().send(request).await?)?;
        let page: Vec<Sent> = answer.json()?;
        let reached = page.iter().any(|sent| sent.delivered_at.unix_timestamp() < since);
        all.extend(
            page.into_iter()
                .filter(|sent| sent.delivered_at.unix_timestamp() >= since),
        );
        cursor = next_cursor(answer.headers());
        if reached || cursor.is_none() {
            return Ok((all, false));
        }
    }
    Ok((all, true))
}

/// Pure: merges the list into what is known.
fn plan(state: State, mut sent: Vec<Sent>, now: i64) -> Plan {
    sent.sort_by_key(|sent| (sent.delivered_at, sent.id));
    let arrived: HashSet<&str> = sent
        .iter()
        .filter(|sent| (200..300).contains(&sent.status_code))
        .map(|sent| sent.guid.as_str())
        .collect();
    let mut open: HashMap<String, Open> = state.open.into_iter().map(|open| (open.guid.clone(), open)).collect();
    for failed in &sent {
        let at = failed.delivered_at.unix_timestamp();
        let entry = open.entry(failed.guid.clone()).or_insert_with(|| Open {
            guid: failed.guid.clone(),
            id: failed.id,
            first: at,
            asked: 0,
            tries: 0,
        });
        entry.id = failed.id;
    }
    let mut open: Vec<Open> = open
        .into_values()
        .filter(|open| !arrived.contains(open.guid.as_str()))
        .collect();
    let failing = open.len();
    open.retain(|open| now - open.first < KEPT);
    let given_up = failing - open.len();

    open.sort_by_key(|a| (a.first, a.id));
    let mut until = now;
    if let Some(next) = open.get(MAX_OPEN) {
        until = next.first;
        open.truncate(MAX_OPEN);
    }
    let mut due = Vec::new();
    for open in open.iter_mut().filter(|open| open.is_due(now)).take(MAX_DUE) {
        due.push(open.id);
        open.asked = now;
        open.tries += 1;
    }
    Plan {
        due,
        state: State { until, open },
        given_up,
        cut_short: false,
    }
}

impl Open {
    fn is_due(&self, now: i64) -> bool {
        match self.tries.checked_sub(1) {
            None => true,
            Some(doublings) => now - self.asked >= (FIRST_GAP << doublings.min(16)).min(MAX_GAP),
        }
    }
}

#[cfg(test)]
mod tests;
