//! `check` and `config show`.

use jackfield_config::{Loaded, Problem};
use jackfield_plugins::Enablement;
use serde_json::{Value, json};

use super::{BAD_CONFIG, GOOD, output};
use crate::plan;

/// Prints each problem on its own.
pub(super) fn problems(problems: &[Problem], as_json: bool) -> u8 {
    if as_json {
        output::json(&json!({ "ok": false, "problems": problems, "plugins": [] }));
    } else {
        tell(problems);
    }
    BAD_CONFIG
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}\n");
    }
    match problems.len() {
        1 => eprintln!("1 problem"),
        many => eprintln!("{many} problems"),
    }
}

pub(super) fn check(loaded: &Loaded, as_json: bool) -> u8 {
    let plan = match plan::plan(&loaded.settings, None) {
        Ok(plan) => plan,
        Err(found) => return problems(&found, as_json),
    };
    let rows: Vec<Value> = plan
        .wanted
        .iter()
        .map(|wanted| {
            let (enabled, reason) = match &wanted.enablement {
                Enablement::Enabled(reason) => (true, reason),
                Enablement::Disabled(reason) | Enablement::Refused(reason) => (false, reason),
            };
            json!({ "id": wanted.id, "enabled": enabled, "reason": reason, "egress": wanted.egress })
        })
        .collect();
    if as_json {
        output::json(&json!({ "ok": plan.problems.is_empty(), "problems": plan.problems, "plugins": rows }));
    } else {
        let shown: Vec<Value> = rows
            .iter()
            .map(|row| {
                let reach: Vec<&str> = row["egress"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                json!({ "plugin": row["id"], "enabled": row["enabled"], "reason": row["reason"], "may reach": reach.join(" ") })
            })
            .collect();
        output::line(output::table(&shown, &["plugin", "enabled", "reason", "may reach"]));
        if !plan.problems.is_empty() {
            eprintln!();
            tell(&plan.problems);
        }
    }
    if plan.problems.is_empty() { GOOD } else { BAD_CONFIG }
}

pub(super) fn show_config(loaded: &Loaded, sources: bool, as_json: bool) -> u8 {
    let mut rows = loaded.rows();
    match plan::plan(&loaded.settings, None) {
        Ok(plan) => {
            for (id, resolved) in &plan.resolved {
                let values = resolved.redacted();
                for (name, value) in values.as_object().into_iter().flatten() {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let source = resolved.sources.get(name).map(ToString::to_string).unwrap_or_default();
                    rows.push((format!("plugins.{id}.config.{name}"), shown, source));
                }
            }
        }
        Err(found) => return problems(&found, as_json),
    }
    if as_json {
        let row =
            |(key, value, source): &(String, String, String)| json!({ "key": key, "value": value, "source": source });
        output::json(&rows.iter().map(row).collect());
    } else {
        for (key, value, source) in rows {
            if sources {
                output::line(format_args!("{key} = {value}  # {source}"));
            } else {
                output::line(format_args!("{key} = {value}"));
            }
        }
    }
    GOOD
}
