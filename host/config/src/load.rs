//! Bringing the host's settings together: defaults < `jackfield.toml` < environment < flags, merged by figment.

use std::{collections::BTreeMap, path::PathBuf};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use url::Url;

use crate::{
    check,
    problem::{Problem, line_of, nearest},
    settings::{Flags, Loaded, Settings, flatten},
    source::{Environment, Source},
};

/// Variables with a name of their own, theirs of the reference included, and the keys they set.
const VARIABLES: &[(&str, &str)] = &[
    ("PERMITTED_CORS_ORIGINS", "cors.origins"),
    ("FRONTEND_DIRECTORY", "frontend_dir"),
    ("WEB_HOST", "public_url"),
    ("KEYCLOAK_SERVER_URL", "keycloak.server_url"),
    ("AUTH_WEB_HOST", "keycloak.public_url"),
    ("KEYCLOAK_SERVER_URL_EXT", "keycloak.public_url"),
    ("KEYCLOAK_REALM_NAME", "keycloak.realm"),
    ("KEYCLOAK_CLIENT_ID", "keycloak.client_id"),
    ("KEYCLOAK_CLIENT_SECRET", "keycloak.client_secret"),
    ("ROLE_CHECK_ENABLED", "keycloak.role_check"),
    ("DUPLICATE_EMAIL_CHECK", "keycloak.duplicate_email_check"),
    ("JACKFIELD_KEYCLOAK__CLIENT_SECRET", "keycloak.client_secret"),
    ("JACKFIELD_LISTEN", "listen"),
    ("JACKFIELD_ADMIN_LISTEN", "admin_listen"),
    ("JACKFIELD_DATA_DIR", "data_dir"),
    ("JACKFIELD_DATABASE_URL", "database_url"),
    ("JACKFIELD_REDIS_URL", "redis_url"),
    ("JACKFIELD_KEYRING", "keyring"),
    ("JACKFIELD_PUBLIC_URL", "public_url"),
    ("JACKFIELD_FRONTEND_DIR", "frontend_dir"),
    ("JACKFIELD_OPERATOR_KEY", "operator_key"),
    ("JACKFIELD_PLUGINS_FILE", "plugins_file"),
    ("JACKFIELD_LOG", "log"),
    ("JACKFIELD_LOG_FORMAT", "log_format"),
];

const SECRETS: [&str; 5] = [
    "operator_key",
    "database_url",
    "redis_url",
    "keyring",
    "keycloak.client_secret",
];

/// Variables of the host that hold secrets, each also as `NAME_FILE`.
pub fn secret_variables() -> impl Iterator<Item = &'static str> {
    VARIABLES
        .iter()
        .filter(|(_, key)| SECRETS.contains(key))
        .map(|(variable, _)| *variable)
        .chain(["DB_PASS", "REDIS_PASSWORD"])
}

/// Numbers that have no default to tell so.
const NUMBERS: [&str; 2] = ["inbox.jobs_per_minute", "inbox.tenant_jobs_per_minute"];

/// Merges all sources; every problem is reported, not only the first. `of_plugins` are variables that plugins read; those that
/// begin with `JACKFIELD_` are no misspelt settings of the host.
pub fn load(flags: &Flags, environment: &Environment, of_plugins: &[String]) -> Result<Loaded, Vec<Problem>> {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let known: Vec<String> = flatten("", &defaults).into_iter().map(|(key, _)| key).collect();
    let mut problems = Vec::new();
    let mut values: BTreeMap<String, (serde_json::Value, Source)> = BTreeMap::new();
    from_file(flags, &known, &mut values, &mut problems);
    from_environment(environment, &known, &defaults, of_plugins, &mut values, &mut problems);
    let text = |value: &str| serde_json::Value::from(value);
    if let Some(listen) = &flags.listen {
        values.insert("listen".to_owned(), (text(listen), Source::Flag("--listen")));
    }
    if let Some(listen) = &flags.admin_listen {
        values.insert(
            "admin_listen".to_owned(),
            (text(listen), Source::Flag("--admin-listen")),
        );
    }
    if let Some(plugins) = &flags.plugins {
        values.insert(
            "plugins_file".to_owned(),
            (text(&plugins.to_string_lossy()), Source::Flag("--plugins")),
        );
    }
    let mut figment = Figment::from(figment::providers::Serialized::defaults(Settings::default()));
    for (key, (value, source)) in &values {
        figment = figment.merge(Layer {
            key: key.clone(),
            value: value.clone(),
            source: source.clone(),
        });
    }
    match figment.extract::<Settings>() {
        Ok(settings) if problems.is_empty() => {
            let problems = check::problems(&settings, &values);
            if !problems.is_empty() {
                return Err(problems);
            }
            let sources = values.into_iter().map(|(key, (_, source))| (key, source)).collect();
            Ok(Loaded { settings, sources })
        }
        Ok(_) => Err(problems),
        Err(error) => {
            problems.extend(error.into_iter().map(|error| wrong_type(&error, &values)));
            Err(problems)
        }
    }
}

/// One value as a figment layer.
struct Layer {
    key: String,
    value: serde_json::Value,
    source: Source,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut value = Value::serialize(&self.value)?;
        for part in self.key.rsplit('.') {
            value = Value::from(Dict::from([(part.to_owned(), value)]));
        }
        Ok(Map::from([(Profile::Default, value.into_dict().unwrap_or_default())]))
    }
}

fn from_file(
    flags: &Flags,
    known: &[String],
    values: &mut BTreeMap<String, (serde_json::Value, Source)>,
    problems: &mut Vec<Problem>,
) {
    let path = flags.config.clone().unwrap_or_else(|| PathBuf::from("jackfield.toml"));
    let file = path.display().to_string();
    let problem = |line, key: &str, what: String, fix: &str| Problem {
        file: file.clone(),
        line,
        key: key.to_owned(),
        what,
        fix: fix.to_owned(),
        suggestion: None,
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if flags.config.is_none() && !path.exists() => return,
        Err(error) => {
            problems.push(problem(
                None,
                "--config",
                format!("cannot be read: {error}"),
                "name a readable file",
            ));
            return;
        }
    };
    let document = match toml_edit::Document::parse(text.as_str()) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map(|span| line_of(&text, span.start));
            problems.push(problem(
                line,
                "(syntax)",
                error.message().to_owned(),
                "write valid TOML",
            ));
            return;
        }
    };
    let mut found = Vec::new();
    crate::plugins::leaves("", document.as_item(), &mut found, &|key| {
        known.iter().any(|name| name == key)
    });
    for (key, item, span) in found {
        let line = span.map(|span| line_of(&text, span.start));
        if known.contains(&key) {
            values.insert(
                key,
                (
                    crate::plugins::json_of(item),
                    Source::File(file.clone(), line.unwrap_or(0)),
                ),
            );
        } else {
            let mut unknown = problem(
                line,
                &key,
                "there is no such setting".to_owned(),
                "remove it or correct its name",
            );
            unknown.suggestion = nearest(&key, known.iter().map(String::as_str));
            problems.push(unknown);
        }
    }
}

fn from_environment(
    environment: &Environment,
    known: &[String],
    defaults: &serde_json::Value,
    of_plugins: &[String],
    values: &mut BTreeMap<String, (serde_json::Value, Source)>,
    problems: &mut Vec<Problem>,
) {
    let mut set = |key: &str, text: &str, variable: &str| {
        let value = if NUMBERS.contains(&key) {
            number(text)
        } else {
            read_as(defaults.pointer(&format!("/{}", key.replace('.', "/"))), text)
        };
        values.insert(key.to_owned(), (value, Source::Variable(variable.to_owned())));
    };
    let secret = |name: &str, problems: &mut Vec<Problem>| match environment.secret(name) {
        Ok(found) => found.map(|(value, _)| value),
        Err(what) => {
            problems.push(of_variable(name, what, "name a readable file", None));
            None
        }
    };
    if let Some(host) = environment.get("DB_HOST") {
        let part = |name: &str, default: &str| environment.get(name).unwrap_or(default).to_owned();
        let mut url = Url::parse("postgres://localhost").ok();
        if let Some(url) = &mut url {
            // The scheme has an authority, so these cannot fail.
            let _ = url.set_host(Some(host));
            let _ = url.set_port(part("DB_PORT", "5432").parse().ok());
            let _ = url.set_username(&part("DB_USER", "postgres"));
            let _ = url.set_password(secret("DB_PASS", problems).as_deref());
            url.set_path(&part("DB_NAME", "openhands"));
            set("database_url", url.as_str(), "DB_HOST");
        }
    }
    if let Some(host) = environment.get("REDIS_HOST") {
        let port = environment
            .get("REDIS_PORT")
            .filter(|port| !port.starts_with("tcp://"))
            .unwrap_or("6379");
        let mut url = Url::parse("redis://localhost").ok();
        if let Some(url) = &mut url {
            // The scheme has an authority, so these cannot fail.
            let _ = url.set_host(Some(host));
            let _ = url.set_port(port.parse().ok());
            let _ = url.set_password(secret("REDIS_PASSWORD", problems).as_deref());
            url.set_path(environment.get("REDIS_DB").unwrap_or("0"));
            set("redis_url", url.as_str(), "REDIS_HOST");
        }
    }
    for (variable, key) in VARIABLES {
        let given = if SECRETS.contains(key) {
            match environment.secret(variable) {
                Ok(given) => given,
                Err(what) => {
                    problems.push(of_variable(variable, what, "name a readable file", None));
                    continue;
                }
            }
        } else {
            environment
                .get(variable)
                .map(|value| (value.to_owned(), (*variable).to_owned()))
        };
        let Some((text, name)) = given else { continue };
        match *variable {
            "WEB_HOST" | "AUTH_WEB_HOST" => set(key, &format!("https://{}", text.trim()), &name),
            // The reference knows no other way to sign in.
            "KEYCLOAK_SERVER_URL" => {
                set(key, &text, &name);
                set("identity.provider", "keycloak", &name);
            }
            _ => set(key, &text, &name),
        }
    }
    for name in environment.names() {
        let Some(rest) = name.strip_prefix("JACKFIELD_") else {
            continue;
        };
        // Kubernetes injects these for a service called jackfield; JACKFIELD_TEST_ belongs to the test suite.
        let theirs = rest.starts_with("SERVICE_") || rest.starts_with("PORT") || rest.starts_with("TEST_");
        let is = |variable: &str| variable == name || name.strip_suffix("_FILE") == Some(variable);
        if theirs || VARIABLES.iter().any(|(variable, _)| is(variable)) || of_plugins.iter().any(|one| is(one)) {
            continue;
        }
        let key = rest.to_ascii_lowercase().replace("__", ".");
        match environment.get(name) {
            Some(text) if known.contains(&key) => set(&key, text, name),
            Some(_) => {
                let names: Vec<String> = known
                    .iter()
                    .map(|key| format!("JACKFIELD_{}", key.to_ascii_uppercase().replace('.', "__")))
                    .collect();
                let suggestion = nearest(name, names.iter().map(String::as_str));
                let what = "there is no such setting".to_owned();
                problems.push(of_variable(name, what, "unset it or correct its name", suggestion));
            }
            None => {}
        }
    }
}

fn of_variable(name: &str, what: String, fix: &str, suggestion: Option<String>) -> Problem {
    Problem {
        file: "environment".to_owned(),
        line: None,
        key: name.to_owned(),
        what,
        fix: fix.to_owned(),
        suggestion,
    }
}

/// A variable's text as the type that the default has.
fn read_as(default: Option<&serde_json::Value>, text: &str) -> serde_json::Value {
    use serde_json::Value as Json;
    match default {
        Some(Json::Bool(_)) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => true.into(),
            "0" | "false" | "no" | "off" => false.into(),
            _ => text.into(),
        },
        Some(Json::Number(_)) => number(text),
        Some(Json::Array(_)) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Json::from)
            .collect(),
        _ => text.into(),
    }
}

/// A number, or the text that was to be one.
fn number(text: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), serde_json::Value::Number)
}

fn wrong_type(error: &Error, values: &BTreeMap<String, (serde_json::Value, Source)>) -> Problem {
    let key = error.path.join(".");
    let (file, line) = place(values.get(&key).map(|(_, source)| source));
    let what = match &error.kind {
        figment::error::Kind::InvalidType(_, expected) | figment::error::Kind::InvalidValue(_, expected) => {
            format!("{expected} was expected")
        }
        other if SECRETS.contains(&key.as_str()) => format!("{} does not fit", std::any::type_name_of_val(other)),
        other => other.to_string(),
    };
    Problem {
        file,
        line,
        key,
        what,
        fix: "write a value of that kind".to_owned(),
        suggestion: None,
    }
}

pub(crate) fn place(source: Option<&Source>) -> (String, Option<usize>) {
    match source {
        Some(Source::File(file, line)) => (file.clone(), Some(*line)),
        Some(Source::Variable(name)) => (format!("environment {name}"), None),
        Some(other) => (other.to_string(), None),
        None => ("default".to_owned(), None),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
