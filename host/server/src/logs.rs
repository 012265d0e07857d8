//! Logs: text on a terminal, JSON otherwise. The filter can be changed while the host runs.
//!
//! Lines are gathered and written by a thread of their own ([`lines`]), so that no request waits for standard error.

mod json;
mod lines;
mod redact;

use std::io::IsTerminal;

use jackfield_config::{LogFormat, Settings};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// The filter that holds now.
pub(crate) struct Logs(Option<reload::Handle<EnvFilter, Registry>>);

impl Logs {
    /// Starts logging to standard error. A filter that does not parse becomes `info` and says so.
    pub(crate) fn start(settings: &Settings) -> Self {
        let text = match settings.log_format {
            LogFormat::Text => true,
            LogFormat::Json => false,
            LogFormat::Auto => std::io::stderr().is_terminal(),
        };
        let (filter, broken) = match EnvFilter::try_new(&settings.log) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new("info"), Some(error)),
        };
        let (filter, handle) = reload::Layer::new(filter);
        let lines = tracing_subscriber::fmt::layer().with_writer(|| lines::Lines);
        let lines = if text {
            lines.boxed()
        } else {
            lines.event_format(json::JsonLine).fmt_fields(json::JsonFields).boxed()
        };
        let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
        if let (Ok(()), Some(error)) = (&started, broken) {
            tracing::warn!(%error, "the log filter does not parse; `info` is used");
        }
        Self(started.is_ok().then_some(handle))
    }

    /// Another filter from now on; one that does not parse changes nothing and says so.
    pub(crate) fn set(&self, filter: &str) {
        let Some(handle) = &self.0 else { return };
        match EnvFilter::try_new(filter) {
            Ok(filter) => {
                if let Err(error) = handle.reload(filter) {
                    tracing::warn!(%error, "the log filter cannot be changed");
                }
            }
            Err(error) => tracing::warn!(%error, "the log filter does not parse; the old one stays"),
        }
    }
}

static SECRETS: redact::Redactor = redact::Redactor::new();

/// No line shows these values from now on.
pub(crate) fn hide(values: impl IntoIterator<Item = String>) {
    SECRETS.hide(values);
}

/// Writes what is gathered. Called before the process ends.
pub(crate) fn flush() {
    lines::flush();
}
