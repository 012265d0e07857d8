//! One JSON object a line: time, level, the event's own members, target, and the members of the span it is in. Where that one
//! is within others, such as a plugin's within its request, `spans` has them all from the outermost on.
//!
//! A span's members are written once, when it begins, as they will stand in each of its lines; a line copies them.

use std::{
    cell::RefCell,
    fmt::{self, Write},
    time::SystemTime,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
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
        gathered(|line| {
            line.push_str("{\"timestamp\":\"");
            timestamp(line);
            line.push_str("\",\"level\":\"");
            line.push_str(metadata.level().as_str());
            line.push('"');
            let mut members = Members {
                out: line,
                first: false,
                target: None,
            };
            event.record(&mut members);
            let target = members.target;
            line.push_str(",\"target\":");
            string(line, target.as_deref().unwrap_or(metadata.target()));
            if let Some(span) = context.parent_span() {
                line.push_str(",\"span\":");
                member_span::<S, N>(line, &span);
                if span.parent().is_some() {
                    let mut before = ",\"spans\":[";
                    for span in span.scope().from_root() {
                        line.push_str(before);
                        member_span::<S, N>(line, &span);
                        before = ",";
                    }
                    line.push(']');
                }
            }
            line.push_str("}\n");
            out.write_str(line)
        })
    }
}

/// Gives a buffer to write to, which the thread keeps: what is written piece by piece reaches the layer's writer, whose every
/// piece is a call through a pointer, in one.
fn gathered<T>(write: impl FnOnce(&mut String) -> T) -> T {
    thread_local!(static LINE: RefCell<String> = const { RefCell::new(String::new()) });
    LINE.with(|line| match line.try_borrow_mut() {
        Ok(mut line) => {
            line.clear();
            write(&mut line)
        }
        // A value that logs while it is written.
        Err(_) => write(&mut String::new()),
    })
}

/// The time of a line: RFC 3339 in UTC, with microseconds. All but those are written anew once a second.
fn timestamp(out: &mut String) {
    thread_local!(static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) });
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() {
            *second = since.as_secs();
            *text = i64::try_from(*second)
                .ok()
                .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok())
                .and_then(|time| time.format(&Rfc3339).ok())
                .unwrap_or_default();
        }
        out.push_str(text.trim_end_matches('Z'));
    });
    let mut rest = since.subsec_micros();
    let mut digits = *b".000000Z";
    for digit in digits[1..7].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend(digits.map(char::from));
}

fn member_span<S, N>(out: &mut String, span: &SpanRef<'_, S>)
where
    S: for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    out.push('{');
    if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
        && !fields.is_empty()
    {
        out.push_str(fields);
        out.push(',');
    }
    out.push_str("\"name\":");
    string(out, span.name());
    out.push('}');
}

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'w>, fields: R) -> fmt::Result {
        gathered(|text| {
            fields.record(&mut Members {
                out: text,
                first: true,
                target: None,
            });
            out.write_str(text)
        })
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &tracing::span::Record<'_>) -> fmt::Result {
        if !current.fields.is_empty() {
            current.fields.push(',');
        }
        self.format_fields(current.as_writer(), fields)
    }
}

struct Members<'w> {
    out: &'w mut String,
    /// No comma before the next member.
    first: bool,
    /// Of a line that came from the `log` crate.
    target: Option<String>,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut String)) {
        // What the `log` crate adds about its source file.
        if field.name().starts_with("log.") {
            return;
        }
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        string(self.out, field.name());
        self.out.push(':');
        value(self.out);
    }

    fn number(&mut self, field: &Field, value: impl itoa::Integer) {
        self.member(field, |out| out.push_str(itoa::Buffer::new().format(value)));
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
            true => out.push_str(zmij::Buffer::new().format_finite(value)),
            false => out.push_str("null"),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |out| out.push_str(if value { "true" } else { "false" }));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |out| {
            out.push('"');
            // A value that cannot be written stands as far as it could.
            let _ = write!(Escaped(out), "{value:?}");
            out.push('"');
        });
    }
}

/// A JSON string.
fn string(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

fn escape(out: &mut String, text: &str) {
    let needs = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Without a branch, so that it is looked through many bytes at a time; hardly any text needs more.
    if !text.bytes().fold(false, |found, byte| found | needs(byte)) {
        return out.push_str(text);
    }
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| needs(*byte)) {
        out.push_str(&text[plain..at]);
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            _ => out.push_str(&format!("\\u{byte:04x}")),
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
}

/// Text as it stands within a JSON string.
struct Escaped<'s>(&'s mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
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
        let time = time.as_str().unwrap();
        assert!(
            time.len() == "2026-11-27T00:15:19.000001Z".len() && time.ends_with('Z'),
            "{time}"
        );
        let age = OffsetDateTime::now_utc() - OffsetDateTime::parse(time, &Rfc3339).unwrap();
        assert!((0.0..60.0).contains(&age.as_seconds_f64()), "{time}");
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
