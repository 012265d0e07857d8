//! What the operator wants of each plugin, as configuration has resolved it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::code::Code;

/// One plugin as `plugins.toml`, environment and defaults want it.
#[derive(Clone)]
pub struct Wanted {
    /// Plugin id.
    pub id: String,
    /// What it is made from; none when there is no admissible code.
    pub code: Option<Arc<dyn Code>>,
    /// Whether it runs.
    pub enablement: Enablement,
    /// Its configuration with defaults filled in. Holds secrets.
    pub config: Value,
    /// What it may use.
    pub capabilities: Vec<String>,
    /// Values of its `egress` fields: each grants its scheme, host and port.
    pub egress: Vec<Url>,
}

impl Wanted {
    /// The `egress` values that a capability `http:{field}` opens. A value alone opens nothing: its default is the plugin's own.
    pub fn granted(&self) -> Vec<Url> {
        let opened: Vec<Url> = self
            .capabilities
            .iter()
            .filter_map(|capability| capability.strip_prefix("http:{")?.strip_suffix('}'))
            .filter_map(|field| self.config.get(field)?.as_str()?.parse().ok())
            .collect();
        let held = |url: &&Url| opened.contains(url);
        self.egress.iter().filter(held).cloned().collect()
    }

    /// Whether an instance made for `self` would differ from one made for `other` only in its configuration.
    pub(crate) fn same_but_config(&self, other: &Self) -> bool {
        let identity = |wanted: &Self| wanted.code.as_ref().map(|code| code.identity().to_owned());
        identity(self) == identity(other) && self.capabilities == other.capabilities && self.egress == other.egress
    }
}

/// Whether a plugin runs, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enablement {
    /// It runs; the reason is for people (`auto: configured`).
    Enabled(String),
    /// It does not: `auto: GITHUB_APP_CLIENT_ID is not set`.
    Disabled(String),
    /// Its configuration is invalid.
    Refused(String),
}

/// What a plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// It serves.
    Active,
    /// It is switched off.
    Disabled,
    /// Its configuration or its file was refused.
    Refused,
    /// It could not be created.
    Failed,
    /// Its last generation is ending.
    Draining,
    /// Its deliveries are stored and not processed.
    Paused,
    /// It panicked or hung too often; a probe follows.
    Quarantined,
}

impl PluginState {
    /// Every state, for gauges.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Disabled,
        Self::Refused,
        Self::Failed,
        Self::Draining,
        Self::Paused,
        Self::Quarantined,
    ];

    /// The name in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Draining => "draining",
            Self::Paused => "paused",
            Self::Quarantined => "quarantined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_granted_only_with_its_capability() {
        let url = |text: &str| text.parse::<Url>().ok();
        let wanted = |capabilities: &[&str]| Wanted {
            id: "pager".to_owned(),
            code: None,
            enablement: Enablement::Enabled(String::new()),
            config: serde_json::json!({ "api": "https://api.example", "docs": "https://docs.example" }),
            capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
            egress: url("https://api.example")
                .into_iter()
                .chain(url("https://docs.example"))
                .collect(),
        };
        assert_eq!(
            wanted(&["kv", "http:{api}"]).granted(),
            Vec::from_iter(url("https://api.example"))
        );
        assert_eq!(wanted(&["http:{other}", "http:*", "kv"]).granted(), Vec::new());
        assert_eq!(wanted(&["http:{api}", "http:{docs}"]).granted().len(), 2);
    }
}
