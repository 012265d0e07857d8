//! `deliveries list | show | cancel`; replaying and sending have files of their own.

use http::Method;
use jackfield_config::Loaded;
use jackfield_inbox::{
    model::{Filter, ReplayMode},
    store::Store,
};
use serde_json::{Value, json};

use super::{Failure, open_store, output, replay, send};
use crate::{cli::DeliveriesCommand, control, show};

const COLUMNS: [&str; 8] = [
    "id",
    "plugin",
    "event",
    "lane",
    "state",
    "attempts",
    "received_at",
    "outcome",
];

pub(super) async fn deliveries(loaded: &Loaded, command: DeliveriesCommand, as_json: bool) -> Result<(), Failure> {
    match command {
        DeliveriesCommand::List {
            plugin,
            state,
            since,
            limit,
        } => {
            let filter = Filter {
                plugin,
                state,
                since_ms: since.map(|since| since.0),
                ..Filter::default()
            };
            let found = open_store(loaded).await?.list(&filter, None, limit).await?;
            let mut rows = serde_json::to_value(found)?;
            if !as_json {
                rows.as_array_mut().into_iter().flatten().for_each(tell_why);
            }
            output::rows(&rows, &COLUMNS, "no deliveries match", as_json);
        }
        DeliveriesCommand::Show { id } => {
            let found = open_store(loaded).await?.show(id).await?;
            let detail = show::detail(&found.ok_or_else(|| format!("there is no delivery {id}"))?);
            if output::person(as_json) {
                tell(&detail);
            } else {
                output::json(&detail);
            }
        }
        DeliveriesCommand::Cancel { id } => {
            let path = format!("/api/admin/v1/deliveries/{id}/cancel");
            let done = control::call(&loaded.settings.data_dir, Method::POST, &path, None).await?;
            if as_json {
                output::json(&done);
            } else {
                output::line(format_args!("cancelled {id}"));
            }
        }
        DeliveriesCommand::Replay {
            ids,
            plugin,
            state,
            since,
            dry_run,
            from_start,
            again,
        } => {
            let filter = Filter {
                plugin,
                state,
                since_ms: since.map(|since| since.0),
                until_ms: None,
                ids,
            };
            let mode = match (from_start, again) {
                (true, _) => ReplayMode::FromStart,
                (_, true) => ReplayMode::Again,
                _ => ReplayMode::Resume,
            };
            replay::replay(loaded, &filter, mode, dry_run, as_json).await?;
        }
        DeliveriesCommand::Send(options) => send::send(loaded, options, as_json).await?,
    }
    Ok(())
}

/// People read one column: what came of it, else why it is where it is. Times are shown to the second.
fn tell_why(row: &mut Value) {
    let why = ["outcome", "last_error", "reason"]
        .into_iter()
        .find(|member| row[*member].as_str().is_some_and(|text| !text.is_empty()))
        .map(|member| row[member].clone());
    row["outcome"] = why.unwrap_or_default();
    if let Some(at) = row["received_at"].as_str() {
        row["received_at"] = to_the_second(at).into();
    }
}

/// `2026-11-01T00:00:00.123Z` without the fraction.
fn to_the_second(time: &str) -> String {
    time.split_once('.')
        .map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

/// One delivery for people: facts, steps, attempts, headers, body.
fn tell(detail: &Value) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let facts = [
        "id",
        "plugin",
        "handler",
        "event",
        "tenant",
        "lane",
        "delivery_id",
        "state",
        "attempts",
        "received_at",
        "next_attempt_at",
        "finished_at",
        "outcome",
        "reason",
        "last_error",
    ];
    for name in facts {
        let value = &detail[name];
        if !value.is_null() && value.as_str() != Some("") {
            output::line(format_args!("{name:<16} {}", text(value)));
        }
    }
    if let Some(topic) = detail["waits_for"].as_object() {
        output::line(format_args!("{:<16} {}", "waits_for", json!(topic)));
    }
    let section = |title: &str, rows: &Value, columns: &[&str]| {
        if let Some(rows) = rows.as_array().filter(|rows| !rows.is_empty()) {
            output::line(format_args!("\n{title}\n{}", output::table(rows, columns)));
        }
    };
    section(
        "steps",
        &detail["steps"],
        &["name", "state", "attempt", "started_at", "ended_at", "result"],
    );
    section(
        "attempts",
        &detail["attempts_log"],
        &["number", "started_at", "ended_at", "error"],
    );
    section("headers", &detail["headers"], &["name", "value"]);
    let body = detail["body"]
        .as_str()
        .or(detail["body_base64"].as_str())
        .unwrap_or_default();
    let pretty = serde_json::from_str::<Value>(body).and_then(|value| serde_json::to_string_pretty(&value));
    output::line(format_args!("\nbody\n{}", pretty.as_deref().unwrap_or(body)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_one_reason_and_whole_seconds() {
        let mut row = json!({ "outcome": null, "reason": "held: paused", "last_error": "", "received_at": "2026-11-01T00:00:00.123Z" });
        tell_why(&mut row);
        assert_eq!(row["outcome"], "held: paused");
        assert_eq!(row["received_at"], "2026-11-01T00:00:00Z");
    }
}
