//! A plugin's settings, resolved as the host resolves them: by the schema in its manifest.

use std::sync::Arc;

use jackfield_config::{Decision, Enabled, Environment, PluginEntry, PluginsFile, Problem, decide, resolve};
use jackfield_plugins::{Code, Enablement, Wanted};
use jackfield_sdk::manifest::Manifest;
use serde_json::Value;

/// The settings' name in messages.
const FILE: &str = "settings";

/// What a plugin's settings may be written as: TOML text (what stands under `[plugins.ID.config]`), JSON, or `()` for none.
///
/// ```
/// # use jackfield_testing::Settings;
/// let toml: Settings = "channel = '#ops'".into();
/// let json: Settings = serde_json::json!({ "channel": "#ops" }).into();
/// # let _ = (toml, json);
/// ```
#[derive(Debug, Clone)]
pub struct Settings(Written);

#[derive(Debug, Clone)]
enum Written {
    Toml(String),
    Json(Value),
}

impl From<&str> for Settings {
    fn from(toml: &str) -> Self {
        Self(Written::Toml(toml.to_owned()))
    }
}

impl From<String> for Settings {
    fn from(toml: String) -> Self {
        Self(Written::Toml(toml))
    }
}

impl From<Value> for Settings {
    fn from(json: Value) -> Self {
        Self(Written::Json(json))
    }
}

impl From<()> for Settings {
    fn from((): ()) -> Self {
        Self(Written::Toml(String::new()))
    }
}

/// What is wrong with settings, for people.
fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn entry(id: &str, settings: &Settings) -> Result<PluginEntry, String> {
    let mut entry = match &settings.0 {
        Written::Toml(text) => {
            let text = format!("[plugins.{id}.config]\n{text}");
            let mut parsed = PluginsFile::parse(FILE, &text, &[id]).map_err(|mut problems| {
                for line in problems.iter_mut().filter_map(|problem| problem.line.as_mut()) {
                    *line = line.saturating_sub(1).max(1);
                }
                told(&problems)
            })?;
            let mut entry = parsed.entries.remove(id).unwrap_or_default();
            entry.config.values_mut().for_each(|(_, line)| *line -= 1);
            entry
        }
        Written::Json(Value::Object(members)) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            PluginEntry {
                config: members
                    .map(|(name, value)| (name.clone(), (value.clone(), 1)))
                    .collect(),
                ..PluginEntry::default()
            }
        }
        Written::Json(other) => return Err(format!("the settings of `{id}` are no object: {other}")),
    };
    entry.enabled = Enabled::On;
    Ok(entry)
}

/// What the host is to bring about, or what is wrong with the settings.
pub(crate) fn wanted(code: &Arc<dyn Code>, settings: &Settings, environment: &Environment) -> Result<Wanted, String> {
    let manifest = code.manifest();
    let entry = entry(manifest.id, settings)?;
    let resolved = resolve(manifest.id, FILE, manifest.config_schema, Some(&entry), environment);
    let reason = match decide(Some(&entry), &resolved) {
        Decision::Enabled(reason) => reason,
        Decision::Disabled(reason) => return Err(format!("`{}` is switched off: {reason}", manifest.id)),
        Decision::Invalid(problems) => return Err(told(&problems)),
    };
    code.validate(resolved.value.clone())?;
    Ok(Wanted {
        id: manifest.id.to_owned(),
        code: Some(Arc::clone(code)),
        enablement: Enablement::Enabled(reason),
        config: resolved.value,
        capabilities: manifest.capabilities.iter().map(|one| (*one).to_owned()).collect(),
        egress: resolved.egress,
    })
}

/// The secrets in settings, with the setting's name: what must not show anywhere.
pub(crate) fn secrets(manifest: &Manifest, settings: &Settings) -> Vec<(String, String)> {
    let Ok(entry) = entry(manifest.id, settings) else {
        return Vec::new();
    };
    let resolved = resolve(
        manifest.id,
        FILE,
        manifest.config_schema,
        Some(&entry),
        &Environment::default(),
    );
    let mut found = Vec::new();
    for name in &resolved.secrets {
        texts(&resolved.value[name.as_str()], &mut |text| {
            found.push((name.clone(), text.to_owned()));
        });
    }
    found
}

/// Every text in a value that is written by hand; times and names of members are none.
fn texts(value: &Value, take: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, take)),
        Value::Object(members) => texts(&members.get("value").cloned().unwrap_or_default(), take),
        _ => {}
    }
}
