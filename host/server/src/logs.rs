//! Logs: text on a terminal, JSON otherwise.

use std::io::IsTerminal;

use jackfield_config::Settings;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. A filter that does not parse becomes `info` and says so.
pub(crate) fn start(settings: &Settings) {
    let text = match serde_json::to_value(settings.log_format)
        .ok()
        .as_ref()
        .and_then(|value| value.as_str())
    {
        Some("text") => true,
        Some("json") => false,
        _ => std::io::stderr().is_terminal(),
    };
    let (filter, broken) = match EnvFilter::try_new(&settings.log) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if text {
        builder.try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    };
    if let (Ok(()), Some(error)) = (started, broken) {
        tracing::warn!(%error, "the log filter does not parse; `info` is used");
    }
}
