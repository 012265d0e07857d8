//! Rows to values and back.

use bytes::Bytes;
use jackfield_inbox::{
    model::{State, Summary, WorkKind},
    store::StoreError,
};
use jackfield_sdk::run::Memo;
use sea_orm::{DbErr, QueryResult, TryGetable};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::text::{text, text_option};

/// A column's value.
pub(super) fn get<T: TryGetable>(row: &QueryResult, column: &str) -> Result<T, StoreError> {
    row.try_get("", column)
        .map_err(|error: DbErr| StoreError::Away(error.to_string()))
}

/// Headers as they are kept.
pub(super) fn pack_headers(headers: &[(String, Bytes)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum());
    for (name, value) in headers {
        for part in [name.as_bytes(), value] {
            out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend(part);
        }
    }
    out
}

/// The reverse of [`pack_headers`]; what does not fit the form ends the list.
pub(super) fn unpack_headers(mut packed: &[u8]) -> Vec<(String, Bytes)> {
    let mut take = || -> Option<Vec<u8>> {
        let (length, rest) = packed.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let part = rest.get(..length)?.to_vec();
        packed = &rest[length..];
        Some(part)
    };
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (take(), take()) {
        headers.push((String::from_utf8_lossy(&name).into_owned(), value.into()));
    }
    headers
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Away(format!("cannot write JSON: {error}")))
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Away(format!("a row holds JSON that does not fit: {error}")))
}

pub(super) fn state(text: &str) -> Result<State, StoreError> {
    text.parse()
        .map_err(|error: jackfield_inbox::model::UnknownState| StoreError::Away(error.to_string()))
}

pub(super) fn kind(text: &str) -> Result<WorkKind, StoreError> {
    let all = [WorkKind::Webhook, WorkKind::Job, WorkKind::Schedule, WorkKind::Death];
    all.into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| StoreError::Away(format!("`{text}` is no kind of work")))
}

pub(super) fn memo(row: &QueryResult) -> Result<(Uuid, Memo), StoreError> {
    let state: Vec<u8> = get(row, "state")?;
    let memo = Memo {
        name: text(row, "name")?,
        key: text(row, "key")?,
        state: serde_json::from_slice(&state)
            .map_err(|error| StoreError::Away(format!("a memo does not fit: {error}")))?,
        attempt: u32::try_from(get::<i32>(row, "attempt")?).unwrap_or(0),
        started_ms: get(row, "started_ms")?,
        ended_ms: get(row, "ended_ms")?,
    };
    Ok((get(row, "job")?, memo))
}

/// A row of [`SUMMARY`].
pub(super) fn summary(row: &QueryResult) -> Result<Summary, StoreError> {
    let ended: Option<String> = get(row, "ended")?;
    let live: Option<String> = get(row, "live")?;
    let blocked: i64 = get(row, "blocked")?;
    let now_state = match (ended, live) {
        (Some(ended), _) => state(&ended)?,
        (None, Some(live)) if live == "pending" && blocked != 0 => State::Blocked,
        (None, Some(live)) => state(&live)?,
        (None, None) => State::Cancelled,
    };
    let attempts: i32 = get(row, "attempts")?;
    Ok(Summary {
        id: get(row, "id")?,
        kind: kind(&get::<String>(row, "kind")?)?,
        plugin: text(row, "plugin")?,
        handler: text(row, "handler")?,
        tenant: text(row, "tenant")?,
        delivery_id: text(row, "delivery_id")?,
        event: text(row, "event")?,
        lane: text_option(row, "lane")?,
        state: now_state,
        attempts: u32::try_from(attempts).unwrap_or(0),
        received_at: get(row, "received_ms")?,
        next_attempt_at: get(row, "next_ms")?,
        finished_at: get(row, "finished_ms")?,
        outcome: text_option(row, "summary")?,
        reason: text_option(row, "reason")?,
        last_error: text_option(row, "last_error")?,
    })
}

/// Whether an earlier pending job `e` of the lane of `j` is in the way.
pub(super) const IN_THE_WAY: &str = "EXISTS (SELECT 1 FROM job e WHERE e.plugin = j.plugin AND e.lane = j.lane \
     AND e.seq < j.seq AND e.state = 'pending' \
     AND NOT (e.first_failed_ms IS NOT NULL AND e.first_failed_ms + 300000 <= {now}) \
     AND NOT (e.delayed AND e.first_failed_ms IS NULL AND e.run_at > {now}))";

/// What a summary is read from; conditions follow.
pub(super) fn summary_sql() -> String {
    format!(
        "SELECT d.id, d.kind, d.plugin, d.handler, d.tenant, d.delivery_id, d.event, d.lane, d.received_ms, \
         d.state AS ended, j.state AS live, d.finished_ms, d.summary, d.reason, d.last_error, d.outcome, d.orphans, \
         COALESCE(j.attempts, d.attempts) AS attempts, j.wait, \
         CASE WHEN j.state IN ('pending', 'waiting') THEN j.run_at END AS next_ms, \
         CAST(CASE WHEN j.state = 'pending' AND j.lane IS NOT NULL AND \
           (EXISTS (SELECT 1 FROM lane_lease l WHERE l.plugin = j.plugin AND l.lane = j.lane) OR {IN_THE_WAY}) \
           THEN 1 ELSE 0 END AS bigint) AS blocked \
         FROM delivery d LEFT JOIN job j ON j.id = d.id"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        let headers = vec![
            ("a".to_owned(), Bytes::from_static(b"1")),
            ("b".to_owned(), Bytes::from_static(&[0, 255, 13])),
            ("c".to_owned(), Bytes::new()),
        ];
        assert_eq!(unpack_headers(&pack_headers(&headers)), headers);
        assert_eq!(unpack_headers(&pack_headers(&headers)[..9]).len(), 0);
    }
}
