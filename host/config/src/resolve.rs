//! A plugin's settings: default < `plugins.toml` < environment, checked against its JSON Schema without running it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use crate::{
    plugins::{Enabled, PluginEntry},
    problem::{Problem, nearest},
    source::{Environment, Source},
};

/// Settings of one plugin.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// All fields, defaults filled in. Holds secrets.
    pub value: Value,
    /// Where each came from.
    pub sources: BTreeMap<String, Source>,
    /// Fields that are secrets.
    pub secrets: Vec<String>,
    /// Values of `egress` fields.
    pub egress: Vec<Url>,
    /// Fields that switch the plugin on and have no value, with how to set them.
    pub missing_enables: Vec<String>,
    /// Fields without which it cannot run, with how to set them.
    pub missing: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Whether a plugin runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs, for this reason.
    Enabled(String),
    /// It does not, for this reason.
    Disabled(String),
    /// Its settings are wrong.
    Invalid(Vec<Problem>),
}

impl Resolved {
    /// The values of its secrets.
    pub fn secret_values(&self) -> Vec<String> {
        let mut found = Vec::new();
        for value in self.secrets.iter().filter_map(|name| self.value.get(name)) {
            texts(value, &mut found);
        }
        found
    }

    /// For `config show`.
    pub fn redacted(&self) -> Value {
        let mut value = self.value.clone();
        for secret in &self.secrets {
            if let Some(member) = value.get_mut(secret) {
                *member = "[redacted]".into();
            }
        }
        value
    }
}

/// Every text in a secret. A signing secret is a text or `value`; `not_after` is no secret.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.get("value").into_iter().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// Brings a plugin's settings together. `schema` is its manifest's.
pub fn resolve(id: &str, file: &str, schema: &str, entry: Option<&PluginEntry>, environment: &Environment) -> Resolved {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let mut resolved = Resolved {
        value: Value::Object(Map::new()),
        ..Resolved::default()
    };
    let empty = Map::new();
    let fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let given = entry.map(|entry| &entry.config);
    for (name, (_, line)) in given
        .into_iter()
        .flatten()
        .filter(|(name, _)| !fields.contains_key(*name))
    {
        resolved.problems.push(Problem {
            file: file.to_owned(),
            line: Some(*line),
            key: format!("plugins.{id}.config.{name}"),
            what: "there is no such setting".to_owned(),
            fix: "remove it or correct its name".to_owned(),
            suggestion: nearest(name, fields.keys().map(String::as_str)),
        });
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in fields {
        let mark = |mark: &str| field.get(mark).and_then(Value::as_bool).unwrap_or(false);
        let variables: Vec<&str> = field
            .get("x-env")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if mark("x-secret") {
            resolved.secrets.push(name.clone());
        }
        let (value, source) = match pick(id, file, name, field, given, &variables, mark("x-secret"), environment) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let how = variables
                    .first()
                    .map_or_else(|| format!("plugins.{id}.config.{name}"), |name| (*name).to_owned());
                if mark("x-enables") {
                    resolved.missing_enables.push(how.clone());
                }
                if mark("x-enables") || required.contains(&name.as_str()) {
                    resolved.missing.push(how);
                }
                continue;
            }
            Err(problem) => {
                resolved.problems.push(problem);
                continue;
            }
        };
        if mark("x-egress") {
            resolved
                .egress
                .extend(value.as_str().and_then(|text| Url::parse(text).ok()));
        }
        resolved.sources.insert(name.clone(), source);
        resolved.value[name.as_str()] = value;
    }
    resolved
}

#[expect(clippy::too_many_arguments, reason = "the parts of one field")]
fn pick(
    id: &str,
    file: &str,
    name: &str,
    field: &Value,
    given: Option<&BTreeMap<String, (Value, usize)>>,
    variables: &[&str],
    secret: bool,
    environment: &Environment,
) -> Result<Option<(Value, Source)>, Problem> {
    let problem = |place: &str, line, key: String, what: String| Problem {
        file: place.to_owned(),
        line,
        key,
        what,
        fix: format!("write {}", expected(field)),
        suggestion: None,
    };
    for variable in variables {
        let found = if secret {
            let found = environment.secret(variable);
            found.map_err(|what| problem("environment", None, (*variable).to_owned(), what))?
        } else {
            environment
                .get(variable)
                .map(|text| (text.to_owned(), (*variable).to_owned()))
        };
        let Some((text, variable)) = found else { continue };
        let value = read_text(field, &text);
        if !fits(field, &value) {
            return Err(problem(
                "environment",
                None,
                variable,
                format!("it is not {}", expected(field)),
            ));
        }
        return Ok(Some((value, Source::Variable(variable))));
    }
    if let Some((value, line)) = given.and_then(|given| given.get(name)) {
        if !fits(field, value) {
            let key = format!("plugins.{id}.config.{name}");
            return Err(problem(
                file,
                Some(*line),
                key,
                format!("it is not {}", expected(field)),
            ));
        }
        return Ok(Some((value.clone(), Source::File(file.to_owned(), *line))));
    }
    Ok(field.get("default").map(|value| (value.clone(), Source::Default)))
}

/// Whether the plugin runs, and why.
pub fn decide(entry: Option<&PluginEntry>, resolved: &Resolved) -> Decision {
    let enabled = entry.map_or(Enabled::Auto, |entry| entry.enabled);
    if enabled == Enabled::Off {
        return Decision::Disabled("disabled in plugins.toml".to_owned());
    }
    if enabled == Enabled::Auto
        && let Some(missing) = resolved.missing_enables.first()
    {
        // What stands in the file is meant, and a misspelt name may be why the value is missing.
        let written: Vec<Problem> = resolved
            .problems
            .iter()
            .filter(|one| one.line.is_some())
            .cloned()
            .collect();
        if !written.is_empty() {
            return Decision::Invalid(written);
        }
        return Decision::Disabled(format!("auto: {missing} is not set"));
    }
    let mut problems = resolved.problems.clone();
    problems.extend(resolved.missing.iter().map(|how| Problem {
        file: "configuration".to_owned(),
        line: None,
        key: how.clone(),
        what: "it is not set".to_owned(),
        fix: format!("set {how}"),
        suggestion: None,
    }));
    if !problems.is_empty() {
        return Decision::Invalid(problems);
    }
    let reason = if enabled == Enabled::On {
        "enabled in plugins.toml"
    } else {
        "auto: its settings are there"
    };
    Decision::Enabled(reason.to_owned())
}

/// A variable's text as the field's type.
fn read_text(field: &Value, text: &str) -> Value {
    match field.get("type").and_then(Value::as_str) {
        Some("boolean") => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => true.into(),
            "0" | "false" | "no" | "off" => false.into(),
            _ => text.into(),
        },
        Some("integer" | "number") => {
            serde_json::from_str::<serde_json::Number>(text.trim()).map_or_else(|_| text.into(), Value::Number)
        }
        // A JSON list, as the reference writes it, or names with commas between.
        Some("array") if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        Some("array") => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Value::from)
            .collect(),
        _ => text.into(),
    }
}

/// Whether a value is of a field's type: the part of JSON Schema that `#[derive(Config)]` writes.
fn fits(field: &Value, value: &Value) -> bool {
    if let Some(choices) = field.get("oneOf").and_then(Value::as_array) {
        return choices.iter().any(|choice| fits(choice, value));
    }
    if let Some(choices) = field.get("enum").and_then(Value::as_array) {
        return choices.contains(value);
    }
    let bound = |name: &str| field.get(name).and_then(Value::as_f64);
    match field.get("type").and_then(Value::as_str) {
        Some("string") => value
            .as_str()
            .is_some_and(|text| match field.get("format").and_then(Value::as_str) {
                Some("uri") => Url::parse(text).is_ok(),
                _ => true,
            }),
        Some("boolean") => value.is_boolean(),
        Some("integer" | "number") => {
            let whole = field["type"] == "number" || value.is_i64() || value.is_u64();
            whole
                && value.as_f64().is_some_and(|number| {
                    bound("minimum").is_none_or(|least| number >= least)
                        && bound("maximum").is_none_or(|most| number <= most)
                })
        }
        Some("array") => value
            .as_array()
            .is_some_and(|items| items.iter().all(|item| fits(&field["items"], item))),
        Some("object") => value.as_object().is_some_and(|members| {
            let properties = &field["properties"];
            let needed = field.get("required").and_then(Value::as_array);
            let all = needed
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .all(|name| members.contains_key(name));
            all && members
                .iter()
                .all(|(name, member)| properties.get(name).is_some_and(|field| fits(field, member)))
        }),
        _ => true,
    }
}

/// A field's type in words.
fn expected(field: &Value) -> String {
    if let Some(choices) = field.get("enum").and_then(Value::as_array) {
        let names: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        return format!("one of {}", names.join(", "));
    }
    if field.get("oneOf").is_some() {
        return "a text, or a list of { value, not_after }".to_owned();
    }
    match (
        field.get("type").and_then(Value::as_str),
        field.get("format").and_then(Value::as_str),
    ) {
        (Some("string"), Some("uri")) => "an address such as https://host.example".to_owned(),
        (Some("string"), _) => "a text".to_owned(),
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some("integer"), _) => match field.get("maximum") {
            Some(most) => format!("a whole number from 0 to {most}"),
            None => "a whole number".to_owned(),
        },
        (Some("number"), _) => "a number".to_owned(),
        (Some("array"), _) => "a list of texts".to_owned(),
        _ => "another value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SCHEMA: &str = r##"{"type":"object","additionalProperties":false,"properties":{
        "channel":{"type":"string","description":"c","default":"#ops","x-env":["PAGER_CHANNEL"]},
        "api":{"type":"string","format":"uri","default":"https://api.example","x-env":["PAGER_URL"],"x-egress":true},
        "count":{"type":"integer","minimum":0,"maximum":9,"x-env":["COUNT"],"default":1},
        "secrets":{"x-secret":true,"oneOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}],"x-env":["PAGER_SECRET"],"x-enables":true}
        },"required":[]}"##;

    fn given(text: &str) -> PluginEntry {
        let file = crate::PluginsFile::parse("plugins.toml", text, &["pager"]).unwrap();
        file.entries["pager"].clone()
    }

    #[test]
    fn auto_says_which_variable_is_missing() {
        let resolved = resolve("pager", "plugins.toml", SCHEMA, None, &Environment::default());
        assert_eq!(
            decide(None, &resolved),
            Decision::Disabled("auto: PAGER_SECRET is not set".to_owned())
        );
        let on = given("[plugins.pager]\nenabled = true\n");
        let Decision::Invalid(problems) = decide(Some(&on), &resolved) else {
            panic!("missing settings are errors")
        };
        assert_eq!(problems[0].key, "PAGER_SECRET");
    }

    #[test]
    fn a_misspelt_setting_is_said_even_when_its_absence_switches_the_plugin_off() {
        let entry = given("[plugins.pager.config]\nsecret = \"x\"\n");
        let resolved = resolve("pager", "plugins.toml", SCHEMA, Some(&entry), &Environment::default());
        let Decision::Invalid(problems) = decide(Some(&entry), &resolved) else {
            panic!("it is meant, and it does nothing")
        };
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].suggestion.as_deref(), Some("secrets"));
        // Who has switched it off is left alone, and so is a variable that may be another program's.
        let off = given("[plugins.pager]\nenabled = false\n[plugins.pager.config]\nsecret = \"x\"\n");
        assert!(matches!(decide(Some(&off), &resolved), Decision::Disabled(_)));
        let other = Environment::from([("COUNT", "many")]);
        let resolved = resolve("pager", "plugins.toml", SCHEMA, None, &other);
        assert!(matches!(decide(None, &resolved), Decision::Disabled(_)));
    }

    #[test]
    fn environment_beats_file_beats_default() {
        let entry = given("[plugins.pager.config]\nchannel = \"file\"\ncount = 2\nsecrets = \"canary\"\n");
        let environment = Environment::from([("PAGER_CHANNEL", "env"), ("PAGER_URL", "http://127.0.0.1:9")]);
        let resolved = resolve("pager", "plugins.toml", SCHEMA, Some(&entry), &environment);
        assert_eq!(resolved.value["channel"], "env");
        assert_eq!(resolved.value["count"], 2);
        assert_eq!(resolved.sources["count"], Source::File("plugins.toml".to_owned(), 3));
        assert_eq!(resolved.egress[0].as_str(), "http://127.0.0.1:9/");
        assert!(matches!(decide(Some(&entry), &resolved), Decision::Enabled(_)));
        assert!(!resolved.redacted().to_string().contains("canary"));
    }

    #[test]
    fn wrong_values_are_named_without_showing_secrets() {
        let entry = given("[plugins.pager.config]\nchanel = 1\ncount = 12\nsecrets = 7\n");
        let resolved = resolve(
            "pager",
            "plugins.toml",
            SCHEMA,
            Some(&entry),
            &Environment::from([("PAGER_URL", "nope")]),
        );
        let mut keys: Vec<(String, Option<usize>)> = resolved
            .problems
            .iter()
            .map(|problem| (problem.key.clone(), problem.line))
            .collect();
        keys.sort();
        let config = |name: &str, line| (format!("plugins.pager.config.{name}"), Some(line));
        assert_eq!(
            keys,
            [
                ("PAGER_URL".to_owned(), None),
                config("chanel", 2),
                config("count", 3),
                config("secrets", 4)
            ]
        );
        assert_eq!(resolved.problems[0].suggestion.as_deref(), Some("channel"));
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let path = std::env::temp_dir().join(format!("jackfield-secret-{}", std::process::id()));
        std::fs::write(&path, "from-a-file\n").unwrap();
        let environment = Environment::from([("PAGER_SECRET_FILE", path.to_str().unwrap())]);
        let resolved = resolve("pager", "plugins.toml", SCHEMA, None, &environment);
        assert_eq!(resolved.value["secrets"], "from-a-file");
        std::fs::remove_file(path).unwrap();
    }
}
