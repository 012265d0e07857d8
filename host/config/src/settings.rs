//! The host's own settings, with their defaults. [`load`](crate::load) brings them together.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{page_source::PageSource, source::Source};

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
    /// Keys that secrets are sealed with, `ID:KEY` each, the newest last; the file `keyring` in the data directory when not
    /// set. Replicas on one database need the same.
    pub keyring: Option<String>,
    /// Address people use.
    pub public_url: Option<Url>,
    /// Networks of proxies in front, as `10.0.0.0/8`: their `X-Forwarded-For` says where a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Folder that is served instead of the embedded app.
    pub frontend_dir: Option<PathBuf>,
    /// Origins beside our own that pages may load from, connect to and frame.
    pub page_sources: Vec<PageSource>,
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
    /// Keycloak, when it signs people in.
    pub keycloak: Keycloak,
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
    pub tenant_jobs: u32,
    /// Jobs of a plugin that are started in a minute, by all replicas together.
    pub jobs_per_minute: Option<NonZeroU32>,
    /// Jobs of one tenant of a plugin that are started in a minute, by all replicas together.
    pub tenant_jobs_per_minute: Option<NonZeroU32>,
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
    /// `local` or `keycloak`.
    pub provider: SignIn,
    /// Name of the session's cookie; `__Host-…` makes browsers refuse it from other hosts.
    pub cookie: String,
    /// Seconds without a request after which a session ends.
    pub session_idle: u32,
    /// Seconds after its sign-in at which a session ends.
    pub session_lifetime: u32,
    /// Whether people have to accept the terms of service first.
    pub terms: bool,
    /// Address of the person that a fresh local installation is made for.
    pub owner_email: String,
    /// Requests of one person at once, and each second after; 0 sets no limit.
    pub requests_per_second: u32,
    /// Requests of one person in a minute; 0 sets no limit.
    pub requests_per_minute: u32,
}

/// Who signs people in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// This host itself.
    Local,
    /// A Keycloak realm.
    Keycloak,
}

/// A Keycloak realm and our client in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keycloak {
    /// Where this host reaches it, as `http://keycloak:8080`.
    pub server_url: Option<Url>,
    /// Where browsers reach it, and what its tokens name; `server_url` when not set.
    pub public_url: Option<Url>,
    /// Realm; the stock web client knows `allhands` only.
    pub realm: String,
    /// Our client; the stock web client knows `allhands` only.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<String>,
    /// Whether only people with the claim `roles` come in.
    pub role_check: bool,
    /// Whether a new person may not have an address that differs from another's only in what follows a `+`.
    pub duplicate_email_check: bool,
    /// For one call.
    pub timeout: f64,
}

impl Keycloak {
    /// Where this host reaches it, without a slash at its end.
    pub fn server(&self) -> Option<String> {
        let url = self.server_url.as_ref()?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    }

    /// Where browsers reach it, without a slash at its end.
    pub fn public(&self) -> Option<String> {
        let url = self.public_url.as_ref().or(self.server_url.as_ref())?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    }
}

/// Keys that a running host takes over on SIGHUP or when a file changes.
const LIVE: [&str; 5] = ["log", "cors.origins", "public_url", "operator_key", "plugins_file"];

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:3000".to_owned(),
            admin_listen: "127.0.0.1:3001".to_owned(),
            data_dir: PathBuf::from("./data"),
            database_url: None,
            redis_url: None,
            keyring: None,
            public_url: None,
            trusted_proxies: Vec::new(),
            frontend_dir: None,
            page_sources: Vec::new(),
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
                jobs: 256,
                tenant_jobs: 64,
                jobs_per_minute: None,
                tenant_jobs_per_minute: None,
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
                cookie: "keycloak_auth".to_owned(),
                session_idle: 7 * 86_400,
                session_lifetime: 30 * 86_400,
                terms: false,
                owner_email: "owner@localhost".to_owned(),
                requests_per_second: 10,
                requests_per_minute: 100,
            },
            keycloak: Keycloak {
                server_url: None,
                public_url: None,
                realm: "allhands".to_owned(),
                client_id: "allhands".to_owned(),
                client_secret: None,
                role_check: false,
                duplicate_email_check: true,
                timeout: 5.0,
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

    /// The values of its secrets: keys, and the passwords in addresses.
    pub fn secret_values(&self) -> Vec<String> {
        let keys = self.keyring.iter().flat_map(|ring| ring.lines());
        let keys = keys.map(|line| line.split_once(':').map_or(line, |(_, key)| key).to_owned());
        let passwords = [&self.database_url, &self.redis_url]
            .into_iter()
            .flatten()
            .filter_map(|address| Url::parse(address).ok()?.password().map(str::to_owned));
        self.operator_key
            .iter()
            .chain(&self.keycloak.client_secret)
            .cloned()
            .chain(keys)
            .chain(passwords)
            .collect()
    }

    /// Keys whose value differs from `before` and that a running host cannot take.
    pub fn restart_needed(&self, before: &Self) -> Vec<String> {
        let (now, then) = (
            serde_json::to_value(self).unwrap_or_default(),
            serde_json::to_value(before).unwrap_or_default(),
        );
        let then: BTreeMap<String, &serde_json::Value> = flatten("", &then).into_iter().collect();
        flatten("", &now)
            .into_iter()
            .filter(|(key, value)| then.get(key) != Some(value))
            .map(|(key, _)| key)
            .filter(|key| !LIVE.contains(&key.as_str()))
            .collect()
    }

    /// Origins beside our own that pages may use, as a policy says them.
    pub fn page_sources(&self) -> Vec<&str> {
        self.page_sources.iter().map(PageSource::as_str).collect()
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
                ("operator_key" | "keyring" | "keycloak.client_secret", serde_json::Value::String(_)) => {
                    "[redacted]".to_owned()
                }
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

/// Leaves of a JSON object by dotted key.
pub(crate) fn flatten<'v>(prefix: &str, value: &'v serde_json::Value) -> Vec<(String, &'v serde_json::Value)> {
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
