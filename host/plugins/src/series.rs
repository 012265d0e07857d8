//! A plugin's own metrics: prefixed with its id, and so many series at most, because each stays in memory until the process
//! ends and a label that holds an id would make one for every value.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use jackfield_sdk::host::MetricService;
use metrics::{Label, counter, gauge, histogram};

/// Series of one plugin; what would be one more is dropped.
const MAX_SERIES: usize = 1_000;
/// Characters of a label's value that are kept.
const MAX_VALUE: usize = 128;

/// The series of one plugin instance.
pub(crate) struct Series {
    plugin: String,
    prefix: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    series: HashSet<u64>,
    full: bool,
}

impl Series {
    pub(crate) fn of(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            prefix: format!("jackfield_plugin_{}_", plugin.replace('-', "_")),
            seen: Mutex::default(),
        }
    }

    /// The full name and labels, unless it would be one series too many.
    fn admit(&self, name: &str, labels: &[(&str, &str)]) -> Option<(String, Vec<Label>)> {
        let labels: Vec<(&str, String)> = labels
            .iter()
            .map(|(name, value)| (*name, value.chars().take(MAX_VALUE).collect()))
            .collect();
        let mut hash = DefaultHasher::new();
        (name, &labels).hash(&mut hash);
        let hash = hash.finish();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.series.contains(&hash) {
            if seen.series.len() >= MAX_SERIES {
                if !std::mem::replace(&mut seen.full, true) {
                    tracing::warn!(
                        plugin = self.plugin,
                        metric = name,
                        "the plugin has {MAX_SERIES} series of metrics; further ones are dropped. Labels hold kinds, not ids"
                    );
                }
                return None;
            }
            seen.series.insert(hash);
        }
        let labels = labels
            .into_iter()
            .map(|(name, value)| Label::new(name.to_owned(), value))
            .collect();
        Some((format!("{}{name}", self.prefix), labels))
    }
}

impl MetricService for Series {
    fn count(&self, name: &str, labels: &[(&str, &str)], by: u64) {
        if let Some((name, labels)) = self.admit(name, labels) {
            counter!(name, labels).increment(by);
        }
    }
    fn gauge(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        if let Some((name, labels)) = self.admit(name, labels) {
            gauge!(name, labels).set(value);
        }
    }
    fn record(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        if let Some((name, labels)) = self.admit(name, labels) {
            histogram!(name, labels).record(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prefixed_and_series_are_capped() {
        let series = Series::of("jira-dc");
        let admitted = (0..MAX_SERIES + 5)
            .filter(|at| series.admit("calls", &[("id", &at.to_string())]).is_some())
            .count();
        assert_eq!(admitted, MAX_SERIES);
        let known = series.admit("calls", &[("id", "3")]);
        assert_eq!(
            known.map(|(name, _)| name).as_deref(),
            Some("jackfield_plugin_jira_dc_calls")
        );
    }

    #[test]
    fn long_values_are_cut() {
        let series = Series::of("p");
        let admitted = series.admit("m", &[("l", &"é".repeat(500))]);
        let length = admitted.map(|(_, labels)| labels[0].value().chars().count());
        assert_eq!(length, Some(MAX_VALUE));
    }
}
