//! The host's own settings: defaults < `jackfield.toml` < environment < flags, merged by figment.

use std::{collections::BTreeMap, path::PathBuf};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    problem::{Problem, line_of, nearest},
    source::{Environment, Source},
};

/// Host settings. Durations are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Main listener.
    pub listen: String,
    /// Admin listener: metrics and probes; never expose it.
    pub admin_listen: String,
    /// SQLite file, control socket, key ring.
    pub data_dir: PathBuf,
    /// `sqlite://PATH` or `postgres://…`; a file in the data directory when not set.
    pub database_url: Option<String>,
    /// Redis; in-process pub/sub and cache when not set.
    pub redis_url: Option<String>,
    /// Address people use.
    pub public_url: Option<Url>,
    /// Folder that is served instead of the embedded app.
    pub frontend_dir: Option<PathBuf>,
    /// Break-glass bearer for the admin API, at least 32 characters.
    pub operator_key: Option<String>,
    /// `plugins.toml`.
    pub plugins_file: Option<PathBuf>,
    /// Log filter, as `info,jackfield=debug`.
    pub log: String,
    /// `auto`, `text` or `json`.
    pub log_format: LogFormat,
    /// Limits of the edge.
    pub limits: Limits,
    /// The inbox.
    pub inbox: Inbox,
    /// Cross-origin callers.
    pub cors: Cors,
    /// Outgoing network.
    pub egress: Egress,
    /// Sign-in.
    pub identity: Identity,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Limits of the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests at once; more are shed with 503.
    pub concurrency: usize,
    /// Connections at once.
    pub connections: usize,
    /// From a connection to its first byte.
    pub first_byte: f64,
    /// For a request's head.
    pub header_read: f64,
    /// Between requests.
    pub idle: f64,
    /// Until an answer begins.
    pub response: f64,
    /// Not ready, but still serving, after SIGTERM.
    pub drain_delay: f64,
    /// For requests and jobs in flight after that.
    pub drain_deadline: f64,
}

/// The inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// Jobs of a plugin at once on this host.
    pub jobs: u32,
    /// Jobs of one tenant of a plugin at once.
    pub tenant_jobs: usize,
    /// Days that ended deliveries are kept.
    pub retention_days: u32,
    /// Deliveries a replay arms per second.
    pub replay_per_second: u32,
    /// PostgreSQL connections.
    pub connections: u32,
    /// Whether `serve` applies pending migrations.
    pub migrate: bool,
}

/// Cross-origin callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins; the public address when empty.
    pub origins: Vec<String>,
}

/// Outgoing network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Proxy for plugins' calls.
    pub proxy: Option<Url>,
    /// Hosts that are reached without it.
    pub no_proxy: Vec<String>,
    /// PEM file with more certificate authorities.
    pub extra_ca_file: Option<PathBuf>,
    /// Addresses that plugins with `http:*` may reach.
    pub allow: Vec<Url>,
}

/// Sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `local`.
    pub provider: SignIn,
}

/// Who signs people in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// This host itself.
    Local,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:3000".to_owned(),
            admin_listen: "127.0.0.1:3001".to_owned(),
            data_dir: PathBuf::from("./data"),
            database_url: None,
            redis_url: None,
            public_url: None,
            frontend_dir: None,
            operator_key: None,
            plugins_file: None,
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            limits: Limits {
                concurrency: 1024,
                connections: 10_000,
                first_byte: 10.0,
                header_read: 10.0,
                idle: 75.0,
                response: 60.0,
                drain_delay: 0.0,
                drain_deadline: 30.0,
            },
            inbox: Inbox {
                jobs: 64,
                tenant_jobs: 32,
                retention_days: 30,
                replay_per_second: 1000,
                connections: 16,
                migrate: true,
            },
            cors: Cors { origins: Vec::new() },
            egress: Egress {
                proxy: None,
                no_proxy: Vec::new(),
                extra_ca_file: None,
                allow: Vec::new(),
            },
            identity: Identity {
                provider: SignIn::Local,
            },
        }
    }
}

impl Settings {
    /// The database's address.
    pub fn database(&self) -> String {
        let file = self.data_dir.join("jackfield.db");
        self.database_url
            .clone()
            .unwrap_or_else(|| format!("sqlite://{}", file.display()))
    }

    /// Origins that may call.
    pub fn origins(&self) -> Vec<String> {
        if !self.cors.origins.is_empty() {
            return self.cors.origins.clone();
        }
        self.public_url
            .iter()
            .map(|url| url.origin().ascii_serialization())
            .collect()
    }
}

/// Command-line flags that are settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
    /// `--plugins`.
    pub plugins: Option<PathBuf>,
}

/// Settings and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// By dotted key.
    pub sources: BTreeMap<String, Source>,
}

impl Loaded {
    /// Rows of `config show`: key, value with secrets redacted, source.
    pub fn rows(&self) -> Vec<(String, String, String)> {
        let value = serde_json::to_value(&self.settings).unwrap_or_default();
        let mut rows = Vec::new();
        for (key, value) in flatten("", &value) {
            let shown = match (key.as_str(), value) {
                ("operator_key", serde_json::Value::String(_)) => "[redacted]".to_owned(),
                ("database_url" | "redis_url" | "egress.proxy", serde_json::Value::String(text)) => {
                    without_password(text)
                }
                (_, serde_json::Value::String(text)) => text.clone(),
                (_, other) => other.to_string(),
            };
            let source = self.sources.get(&key).unwrap_or(&Source::Default).to_string();
            rows.push((key, shown, source));
        }
        rows
    }
}

/// Variables with a name of their own, theirs of the reference included, and the keys they set.
const VARIABLES: &[(&str, &str)] = &[
    ("PERMITTED_CORS_ORIGINS", "cors.origins"),
    ("FRONTEND_DIRECTORY", "frontend_dir"),
    ("WEB_HOST", "public_url"),
    ("JACKFIELD_LISTEN", "listen"),
    ("JACKFIELD_ADMIN_LISTEN", "admin_listen"),
    ("JACKFIELD_DATA_DIR", "data_dir"),
    ("JACKFIELD_DATABASE_URL", "database_url"),
    ("JACKFIELD_REDIS_URL", "redis_url"),
    ("JACKFIELD_PUBLIC_URL", "public_url"),
    ("JACKFIELD_FRONTEND_DIR", "frontend_dir"),
    ("JACKFIELD_OPERATOR_KEY", "operator_key"),
    ("JACKFIELD_PLUGINS_FILE", "plugins_file"),
    ("JACKFIELD_LOG", "log"),
    ("JACKFIELD_LOG_FORMAT", "log_format"),
];

const SECRETS: [&str; 3] = ["operator_key", "database_url", "redis_url"];

/// Merges all sources; every problem is reported, not only the first.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, Vec<Problem>> {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let known: Vec<String> = flatten("", &defaults).into_iter().map(|(key, _)| key).collect();
    let mut problems = Vec::new();
    let mut values: BTreeMap<String, (serde_json::Value, Source)> = BTreeMap::new();
    from_file(flags, &known, &mut values, &mut problems);
    from_environment(environment, &known, &defaults, &mut values, &mut problems);
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
            if let Some(problem) = weak_key(&settings, &values) {
                return Err(vec![problem]);
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
    values: &mut BTreeMap<String, (serde_json::Value, Source)>,
    problems: &mut Vec<Problem>,
) {
    let mut set = |key: &str, text: &str, variable: &str| {
        let value = read_as(defaults.pointer(&format!("/{}", key.replace('.', "/"))), text);
        values.insert(key.to_owned(), (value, Source::Variable(variable.to_owned())));
    };
    if let Some(host) = environment.get("DB_HOST") {
        let part = |name: &str, default: &str| environment.get(name).unwrap_or(default).to_owned();
        let mut url = Url::parse("postgres://localhost").ok();
        if let Some(url) = &mut url {
            // The scheme has an authority, so these cannot fail.
            let _ = url.set_host(Some(host));
            let _ = url.set_port(part("DB_PORT", "5432").parse().ok());
            let _ = url.set_username(&part("DB_USER", "postgres"));
            let _ = url.set_password(environment.get("DB_PASS"));
            url.set_path(&part("DB_NAME", "openhands"));
            set("database_url", url.as_str(), "DB_HOST");
        }
    }
    if let Some(host) = environment.get("REDIS_HOST") {
        let port = environment
            .get("REDIS_PORT")
            .filter(|port| !port.starts_with("tcp://"))
            .unwrap_or("6379");
        let password = environment
            .get("REDIS_PASSWORD")
            .map(|password| format!(":{password}@"))
            .unwrap_or_default();
        let database = environment.get("REDIS_DB").unwrap_or("0");
        set(
            "redis_url",
            &format!("redis://{password}{host}:{port}/{database}"),
            "REDIS_HOST",
        );
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
            "WEB_HOST" => set(key, &format!("https://{}", text.trim()), &name),
            _ => set(key, &text, &name),
        }
    }
    for name in environment.names() {
        let Some(rest) = name.strip_prefix("JACKFIELD_") else {
            continue;
        };
        // Kubernetes injects these for a service called jackfield; JACKFIELD_TEST_ belongs to the test suite.
        let theirs = rest.starts_with("SERVICE_") || rest.starts_with("PORT") || rest.starts_with("TEST_");
        let own = |variable: &&(&str, &str)| variable.0 == name || format!("{}_FILE", variable.0) == name;
        if theirs || VARIABLES.iter().any(|variable| own(&variable)) {
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
        Some(Json::Number(_)) => {
            serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), Json::Number)
        }
        Some(Json::Array(_)) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Json::from)
            .collect(),
        _ => text.into(),
    }
}

fn weak_key(settings: &Settings, values: &BTreeMap<String, (serde_json::Value, Source)>) -> Option<Problem> {
    let key = settings.operator_key.as_ref().filter(|key| key.chars().count() < 32)?;
    let (file, line) = place(values.get("operator_key").map(|(_, source)| source));
    Some(Problem {
        file,
        line,
        key: "operator_key".to_owned(),
        what: format!("it has {} characters", key.chars().count()),
        fix: "use at least 32 random characters, such as `openssl rand -hex 32` prints".to_owned(),
        suggestion: None,
    })
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

fn place(source: Option<&Source>) -> (String, Option<usize>) {
    match source {
        Some(Source::File(file, line)) => (file.clone(), Some(*line)),
        Some(Source::Variable(name)) => (format!("environment {name}"), None),
        Some(other) => (other.to_string(), None),
        None => ("default".to_owned(), None),
    }
}

/// Leaves of a JSON object by dotted key.
fn flatten<'v>(prefix: &str, value: &'v serde_json::Value) -> Vec<(String, &'v serde_json::Value)> {
    let serde_json::Value::Object(members) = value else {
        return vec![(prefix.to_owned(), value)];
    };
    members
        .iter()
        .flat_map(|(name, value)| {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            flatten(&key, value)
        })
        .collect()
}

fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // It has an authority, or it would have no password.
            let _ = url.set_password(Some("redacted"));
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
