//! One JSON object a line: time, level, the event's own members, target, and the members of the span it is in. Where that one
//! is within others, such as a plugin's within its request, `spans` has them all from the outermost on.
//!
//! A span's members are written once, when it begins, as they will stand in each of its lines; a line copies them.

use std::fmt::{self, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::{LookupSpan, SpanRef},
};

/// Writes a line.
pub(super) struct JsonLine;

/// Writes members: `"name":value,…`.
pub(super) struct JsonFields;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        out.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut out)?;
        write!(out, "\",\"level\":\"{}\"", metadata.level())?;
        let mut members = Members {
            out: out.by_ref(),
            first: false,
            target: None,
            result: Ok(()),
        };
        event.record(&mut members);
        let (target, result) = (members.target, members.result);
        result?;
        out.write_str(",\"target\":")?;
        string(&mut out, target.as_deref().unwrap_or(metadata.target()))?;
        if let Some(span) = context.parent_span() {
            out.write_str(",\"span\":")?;
            member_span::<S, N>(&mut out, &span)?;
            if span.parent().is_some() {
                let mut before = ",\"spans\":[";
                for span in span.scope().from_root() {
                    out.write_str(before)?;
                    member_span::<S, N>(&mut out, &span)?;
                    before = ",";
                }
                out.write_char(']')?;
            }
        }
        out.write_str("}\n")
    }
}

fn member_span<S, N>(out: &mut Writer<'_>, span: &SpanRef<'_, S>) -> fmt::Result
where
    S: for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    out.write_char('{')?;
    if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
        && !fields.is_empty()
    {
        out.write_str(fields)?;
        out.write_char(',')?;
    }
    out.write_str("\"name\":")?;
    string(out, span.name())?;
    out.write_char('}')
}

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, out: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members {
            out,
            first: true,
            target: None,
            result: Ok(()),
        };
        fields.record(&mut members);
        members.result
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &tracing::span::Record<'_>) -> fmt::Result {
        if !current.fields.is_empty() {
            current.fields.push(',');
        }
        self.format_fields(current.as_writer(), fields)
    }
}

struct Members<'w> {
    out: Writer<'w>,
    /// No comma before the next member.
    first: bool,
    /// Of a line that came from the `log` crate.
    target: Option<String>,
    result: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        // What the `log` crate adds about its source file.
        if self.result.is_err() || field.name().starts_with("log.") {
            return;
        }
        let comma = if std::mem::take(&mut self.first) {
            Ok(())
        } else {
            self.out.write_char(',')
        };
        self.result = comma
            .and_then(|()| string(&mut self.out, field.name()))
            .and_then(|()| self.out.write_char(':'))
            .and_then(|()| value(&mut self.out));
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.member(field, |out| string(out, value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |out| match value.is_finite() {
            true => write!(out, "{value}"),
            false => out.write_str("null"),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |out| write!(out, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |out| write!(out, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |out| write!(out, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |out| {
            out.write_char('"')?;
            write!(Escaped(out), "{value:?}")?;
            out.write_char('"')
        });
    }
}

/// A JSON string.
fn string(out: &mut Writer<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    Escaped(out).write_str(text)?;
    out.write_char('"')
}

/// Text as it stands within a JSON string.
struct Escaped<'e, 'w>(&'e mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.write_str(&text[plain..at])?;
            match byte {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
            plain = at + 1;
        }
        self.0.write_str(&text[plain..])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::{Layer, fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(kept.clone())
            .event_format(JsonLine)
            .fmt_fields(JsonFields)
            .boxed();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_with_every_kind_of_value() {
        let nasty = "a \"quote\", a \\, a\nbreak, \u{1}, ü, 🦀";
        let mut lines = lines(|| {
            let error = std::io::Error::other("broken \"pipe\"");
            tracing::warn!(
                target: "here", nasty, count = 3, negative = -4_i64, share = 0.5, none = f64::NAN, good = true,
                debug = ?Some("x"), %error, "said {}", nasty
            );
        });
        let mut line = lines.remove(0);
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
        assert_eq!(
            line,
            json!({
                "level": "WARN", "target": "here", "nasty": nasty, "count": 3, "negative": -4, "share": 0.5, "none": null,
                "good": true, "debug": "Some(\"x\")", "error": "broken \"pipe\"", "message": format!("said {nasty}")
            })
        );
    }

    #[test]
    fn a_line_names_its_span() {
        let lines = lines(|| {
            let span = tracing::info_span!("request", id = "a\"b", late = tracing::field::Empty);
            span.record("late", 7);
            span.in_scope(|| tracing::info!("inside"));
            tracing::info_span!("bare").in_scope(|| tracing::info!("inside"));
        });
        assert_eq!(lines[0]["span"], json!({ "name": "request", "id": "a\"b", "late": 7 }));
        assert_eq!(lines[1]["span"], json!({ "name": "bare" }));
        assert_eq!(lines[1]["spans"], Value::Null);
    }

    #[test]
    fn a_line_in_nested_spans_names_them_all() {
        let lines = lines(|| {
            let outer = tracing::info_span!("request", id = 1);
            let inner = tracing::info_span!(parent: &outer, "plugin", at = 2);
            tracing::info!(parent: &inner, "nobody has entered it");
        });
        assert_eq!(lines[0]["span"], json!({ "name": "plugin", "at": 2 }));
        assert_eq!(
            lines[0]["spans"],
            json!([{ "name": "request", "id": 1 }, { "name": "plugin", "at": 2 }])
        );
    }
}
