//! Printing: JSON for programs, tables in colour for people at a terminal.

use std::io::{IsTerminal, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde_json::Value;

/// A reader that went away (`| head`) is no error.
pub(super) fn bytes(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
}

/// Whether a person reads: of what has a form for each, programs get JSON without asking.
pub(super) fn person(as_json: bool) -> bool {
    !as_json && std::io::stdout().is_terminal()
}

/// One line.
pub(super) fn line(text: impl std::fmt::Display) {
    bytes(format!("{text}\n").as_bytes());
}

/// Indented JSON.
pub(super) fn json(value: &Value) {
    line(serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Rows of JSON objects as they are, or `columns` of them as a table; `none` is said when there is no row.
pub(super) fn rows(rows: &Value, columns: &[&str], none: &str, as_json: bool) {
    if as_json {
        json(rows);
        return;
    }
    let all = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        eprintln!("{none}");
        return;
    }
    line(table(all, columns));
}

/// A table without lines; colours only on a terminal, and not with NO_COLOR.
pub(super) fn table(rows: &[Value], columns: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        table.force_no_tty();
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(
        columns
            .iter()
            .map(|column| Cell::new(column).add_attribute(Attribute::Bold)),
    );
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(column, &row[*column])));
    }
    table
}

fn cell(column: &str, value: &Value) -> Cell {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let colour = match (column, text.as_str()) {
        ("state", "active" | "done") | ("applied" | "enabled", "true") => Some(Color::Green),
        ("state", "failed" | "refused" | "dead" | "quarantined" | "failing" | "timed_out") => Some(Color::Red),
        ("state", "paused" | "held" | "blocked" | "waiting" | "draining") | ("applied", "false") => Some(Color::Yellow),
        ("state", "running" | "pending" | "signalled") => Some(Color::Cyan),
        ("state", "disabled" | "cancelled") | ("enabled", "false") | ("id", _) => Some(Color::DarkGrey),
        ("last_error" | "error", _) => Some(Color::Red),
        _ => None,
    };
    match colour {
        Some(colour) => Cell::new(text).fg(colour),
        None => Cell::new(text),
    }
}
