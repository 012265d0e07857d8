//! Listings.

use jackfield_inbox::{
    model::{AttemptRecord, Detail, Filter, State, Summary},
    store::StoreResult,
};
use jackfield_sdk::run::Outcome;
use sea_orm::{ConnectionTrait, Value};
use uuid::Uuid;

use super::{
    SqlStore,
    rows::{get, memo, parse, summary, summary_sql, unpack_headers},
    store_error,
    text::text_option,
};

impl SqlStore {
    pub(super) async fn list_page(
        &self,
        filter: &Filter,
        before: Option<Uuid>,
        limit: u32,
    ) -> StoreResult<Vec<Summary>> {
        let (mut conditions, mut values) = conditions(filter);
        if let Some(before) = before {
            values.push(before.into());
            conditions.push(format!("d.id < ${}", values.len()));
        }
        let mut text = with_conditions(&conditions);
        values.push(i64::from(limit).into());
        text.push_str(&format!(" ORDER BY d.id DESC LIMIT ${}", values.len()));
        let rows = self
            .db
            .read
            .query_all_raw(self.statement(&text, values))
            .await
            .map_err(store_error)?;
        rows.iter().map(summary).collect()
    }

    pub(super) async fn count_matching(&self, filter: &Filter) -> StoreResult<u64> {
        let (conditions, values) = conditions(filter);
        let text = format!(
            "SELECT CAST(count(*) AS bigint) AS n FROM ({}) AS matching",
            with_conditions(&conditions)
        );
        let row = self
            .db
            .read
            .query_one_raw(self.statement(&text, values))
            .await
            .map_err(store_error)?;
        let count: i64 = row.map(|row| get(&row, "n")).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn show_one(&self, id: Uuid) -> StoreResult<Option<Detail>> {
        let text = format!("{} WHERE d.id = $1", summary_sql());
        let Some(row) = self
            .db
            .read
            .query_one_raw(self.statement(&text, [id.into()]))
            .await
            .map_err(store_error)?
        else {
            return Ok(None);
        };
        let read = |text: &'static str| self.db.read.query_all_raw(self.statement(text, [id.into()]));
        let bodies = read("SELECT headers, body FROM body WHERE id = $1")
            .await
            .map_err(store_error)?;
        let (headers, body) = match bodies.first() {
            Some(row) => (
                unpack_headers(&get::<Vec<u8>>(row, "headers")?),
                get::<Vec<u8>>(row, "body")?,
            ),
            None => (Vec::new(), Vec::new()),
        };
        let attempts = read(
            "SELECT number, started_ms, ended_ms, error FROM attempt WHERE job = $1 \
             UNION ALL SELECT attempts, began_ms, finished_ms, NULL FROM delivery WHERE id = $1 AND began_ms IS NOT NULL \
             ORDER BY number, started_ms",
        )
            .await
            .map_err(store_error)?;
        let steps = read("SELECT * FROM memo WHERE job = $1 ORDER BY started_ms, name")
            .await
            .map_err(store_error)?;
        let outcome: Option<String> = get(&row, "outcome")?;
        let wait: Option<String> = get(&row, "wait")?;
        let orphans: Option<String> = get(&row, "orphans")?;
        Ok(Some(Detail {
            summary: summary(&row)?,
            headers,
            body: body.into(),
            outcome: outcome.as_deref().map(parse::<Outcome>).transpose()?,
            attempts: attempts
                .iter()
                .map(|row| {
                    Ok(AttemptRecord {
                        number: u32::try_from(get::<i32>(row, "number")?).unwrap_or(0),
                        started_at: get(row, "started_ms")?,
                        ended_at: get(row, "ended_ms")?,
                        error: text_option(row, "error")?,
                    })
                })
                .collect::<StoreResult<_>>()?,
            steps: steps
                .iter()
                .map(|row| memo(row).map(|(_, memo)| memo))
                .collect::<StoreResult<_>>()?,
            wait: wait.as_deref().map(parse).transpose()?,
            orphans: orphans.as_deref().map(parse).transpose()?.unwrap_or_default(),
        }))
    }
}

/// A filter as SQL. `blocked` is derived, so it is asked for on the derived column.
pub(super) fn conditions(filter: &Filter) -> (Vec<String>, Vec<Value>) {
    let (mut conditions, mut values): (Vec<String>, Vec<Value>) = (Vec::new(), Vec::new());
    let mut add = |text: &str, value: Value| {
        values.push(value);
        conditions.push(format!("{text} ${}", values.len()));
    };
    if let Some(plugin) = &filter.plugin {
        add("d.plugin =", plugin.clone().into());
    }
    if let Some(since) = filter.since_ms {
        add("d.received_ms >=", since.into());
    }
    if let Some(until) = filter.until_ms {
        add("d.received_ms <", until.into());
    }
    match filter.state {
        Some(state) if state.ended() => add("d.state =", state.as_str().into()),
        Some(State::Pending | State::Blocked) => add("d.state IS NULL AND j.state =", "pending".into()),
        Some(state) => add("d.state IS NULL AND j.state =", state.as_str().into()),
        None => {}
    }
    if !filter.ids.is_empty() {
        let places: Vec<String> = filter
            .ids
            .iter()
            .map(|id| {
                values.push((*id).into());
                format!("${}", values.len())
            })
            .collect();
        conditions.push(format!("d.id IN ({})", places.join(", ")));
    }
    match filter.state {
        Some(State::Pending) => conditions.push("blocked = 0".to_owned()),
        Some(State::Blocked) => conditions.push("blocked = 1".to_owned()),
        _ => {}
    }
    (conditions, values)
}

fn with_conditions(conditions: &[String]) -> String {
    let (derived, plain): (Vec<&String>, Vec<&String>) = conditions
        .iter()
        .partition(|condition| condition.starts_with("blocked"));
    let join = |all: &[&String]| all.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(" AND ");
    let mut text = summary_sql();
    if !plain.is_empty() {
        text = format!("{text} WHERE {}", join(&plain));
    }
    if !derived.is_empty() {
        text = format!("SELECT * FROM ({text}) AS d WHERE {}", join(&derived));
    }
    text
}
