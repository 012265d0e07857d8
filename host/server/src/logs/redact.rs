//! Secrets that a line must not show: the values of every secret setting that this process has read. A plugin that writes one
//! into its log harms nobody. What it derives from a secret, or gets from elsewhere, is not known here.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use arc_swap::ArcSwapOption;

/// Shorter values are words that lines need.
const SHORTEST: usize = 8;
/// A secret of several lines, such as a key, is looked for line by line: that finds it whole, too, in a tenth of the memory.
const SHORTEST_LINE: usize = 16;
const INSTEAD: &[u8] = b"[redacted]";

/// What is looked for.
#[derive(Default)]
pub(super) struct Redactor {
    /// Values that were replaced stay: a generation that still ends may write them.
    known: Mutex<BTreeSet<String>>,
    search: ArcSwapOption<AhoCorasick>,
}

impl Redactor {
    pub(super) const fn new() -> Self {
        Self {
            known: Mutex::new(BTreeSet::new()),
            search: ArcSwapOption::const_empty(),
        }
    }

    /// From now on these are hidden, too.
    pub(super) fn hide(&self, values: impl IntoIterator<Item = String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        for value in values {
            let value = value.trim();
            let lines: Vec<&str> = value.lines().map(str::trim).collect();
            let mut parts: Vec<&str> = lines.into_iter().filter(|line| line.len() >= SHORTEST_LINE).collect();
            if !value.contains('\n') || parts.is_empty() {
                parts = vec![value];
            }
            parts.retain(|part| part.len() >= SHORTEST);
            for part in parts {
                // As it stands, as a JSON string, and as a JSON string within one, which is how a plugin's fields come.
                let once = escaped(part);
                known.insert(escaped(&once));
                known.insert(once);
                known.insert(part.to_owned());
            }
        }
        if known.len() == before {
            return;
        }
        let search = AhoCorasick::builder()
            // A full automaton for a private key takes 100 ms and 8 MB.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::LeftmostLongest)
            .build(known.iter());
        match search {
            Ok(search) => self.search.store(Some(search.into())),
            Err(error) => tracing::error!(%error, "secrets cannot be hidden in the log"),
        }
    }

    /// The line without them.
    pub(super) fn clean<'l>(&self, line: &'l [u8]) -> Cow<'l, [u8]> {
        let search = self.search.load();
        let Some(search) = search.as_ref().filter(|search| search.is_match(line)) else {
            return Cow::Borrowed(line);
        };
        let mut clean = Vec::with_capacity(line.len());
        search.replace_all_with_bytes(line, &mut clean, |_, _, out| {
            out.extend_from_slice(INSTEAD);
            true
        });
        Cow::Owned(clean)
    }
}

fn escaped(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(redactor: &Redactor, line: &str) -> String {
        String::from_utf8_lossy(&redactor.clean(line.as_bytes())).into_owned()
    }

    #[test]
    fn secrets_are_hidden_however_they_are_written() {
        let redactor = Redactor::new();
        redactor.hide([r#"a "quoted" secret"#.to_owned(), "short".to_owned()]);
        assert_eq!(
            cleaned(&redactor, r#"say a "quoted" secret, short"#),
            "say [redacted], short"
        );
        let once = serde_json::json!({ "token": r#"a "quoted" secret"# }).to_string();
        assert_eq!(cleaned(&redactor, &once), r#"{"token":"[redacted]"}"#);
        let twice = serde_json::json!({ "fields": once }).to_string();
        assert_eq!(cleaned(&redactor, &twice), r#"{"fields":"{\"token\":\"[redacted]\"}"}"#);
    }

    #[test]
    fn a_longer_secret_is_hidden_as_a_whole_and_old_ones_stay_hidden() {
        let redactor = Redactor::new();
        redactor.hide(["password".to_owned()]);
        redactor.hide(["password-of-today".to_owned()]);
        assert_eq!(
            cleaned(&redactor, "password password-of-today"),
            "[redacted] [redacted]"
        );
    }

    #[test]
    fn a_key_is_hidden_line_by_line() {
        let redactor = Redactor::new();
        redactor.hide(["-----BEGIN-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END-----\n".to_owned()]);
        assert_eq!(
            cleaned(&redactor, "read MIIEvQIBADANBgkqhkiG9w0 from"),
            "read [redacted] from"
        );
        assert_eq!(
            cleaned(
                &redactor,
                "{\"key\":\"-----BEGIN-----\\nMIIEvQIBADANBgkqhkiG9w0\\n-----END-----\\n\"}"
            ),
            "{\"key\":\"-----BEGIN-----\\n[redacted]\\n-----END-----\\n\"}",
            "the key as JSON has it"
        );
        redactor.hide(["two\nshort lines".to_owned()]);
        assert_eq!(cleaned(&redactor, "two\nshort lines"), "[redacted]");
    }
}
