//! `plugins.toml`: which plugins run, on which carrier, with which settings and capabilities.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;
use toml_edit::{Document, Item};

use crate::problem::{Problem, line_of, nearest};

/// The file, read.
#[derive(Debug, Clone, Default)]
pub struct PluginsFile {
    /// Its name for messages.
    pub file: String,
    /// By plugin id.
    pub entries: BTreeMap<String, PluginEntry>,
}

/// `[plugins.ID]`.
#[derive(Debug, Clone, Default)]
pub struct PluginEntry {
    /// Whether it runs.
    pub enabled: Enabled,
    /// How it is carried.
    pub carrier: Carrier,
    /// Its file, for [`Carrier::Dylib`]; relative to `plugins.toml`.
    pub path: Option<PathBuf>,
    /// The content that `path` must have: 64 hexadecimal digits, and the line they stand in.
    pub sha256: Option<(String, usize)>,
    /// What it may use; its own defaults when not given.
    pub capabilities: Option<Vec<String>>,
    /// `[plugins.ID.config]` with the line of each member.
    pub config: BTreeMap<String, (Value, usize)>,
    /// Line of the table.
    pub line: usize,
}

/// `enabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Enabled {
    /// When its required settings are there.
    #[default]
    Auto,
    /// Missing settings are errors.
    On,
    /// Never.
    Off,
}

/// `carrier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Compiled in.
    #[default]
    Builtin,
    /// A shared library.
    Dylib,
}

const KEYS: [&str; 6] = ["enabled", "carrier", "path", "sha256", "capabilities", "config"];

impl PluginsFile {
    /// Reads `path`. `known` are the ids this program has.
    pub fn read(path: &Path, known: &[&str]) -> Result<Self, Vec<Problem>> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Problem {
                file: file.clone(),
                line: None,
                key: "--plugins".to_owned(),
                what: format!("cannot be read: {error}"),
                fix: "name a readable file, or leave the flag out to run every built-in plugin on `auto`".to_owned(),
                suggestion: None,
            }]
        })?;
        Self::parse(&file, &text, known)
    }

    /// Reads `text`.
    pub fn parse(file: &str, text: &str, known: &[&str]) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader {
            file,
            text,
            problems: Vec::new(),
        };
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                reader.report(error.span(), "(syntax)", error.message(), "write valid TOML");
                return Err(reader.problems);
            }
        };
        let mut entries = BTreeMap::new();
        for (key, item) in document.as_table() {
            if key != "plugins" {
                reader.unknown(
                    document.as_table().key(key).and_then(toml_edit::Key::span),
                    key,
                    key,
                    &["plugins"],
                );
                continue;
            }
            let Some(plugins) = item.as_table_like() else {
                reader.report(item.span(), key, "is not a table", "write [plugins.ID] tables");
                continue;
            };
            for (id, item) in plugins.iter() {
                let span = plugins.key(id).and_then(toml_edit::Key::span).or_else(|| item.span());
                let entry = reader.entry(id, item, span.clone());
                if entry.carrier == Carrier::Builtin && !known.contains(&id) {
                    reader.unknown(span, &format!("plugins.{id}"), id, known);
                    continue;
                }
                entries.insert(id.to_owned(), entry);
            }
        }
        if reader.problems.is_empty() {
            Ok(Self {
                file: file.to_owned(),
                entries,
            })
        } else {
            Err(reader.problems)
        }
    }
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, span: Option<Range<usize>>) -> Option<usize> {
        span.map(|span| line_of(self.text, span.start))
    }

    fn report(&mut self, span: Option<Range<usize>>, key: &str, what: &str, fix: &str) {
        let line = self.line(span);
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            key: key.to_owned(),
            what: what.to_owned(),
            fix: fix.to_owned(),
            suggestion: None,
        });
    }

    fn unknown(&mut self, span: Option<Range<usize>>, key: &str, name: &str, known: &[&str]) {
        let fix = format!("use one of {}", known.join(", "));
        self.report(span, key, "there is no such name", &fix);
        if let Some(last) = self.problems.last_mut() {
            last.suggestion = nearest(name, known.iter().copied());
        }
    }

    fn entry(&mut self, id: &str, item: &Item, span: Option<Range<usize>>) -> PluginEntry {
        let mut entry = PluginEntry {
            line: self.line(span.clone()).unwrap_or(1),
            ..PluginEntry::default()
        };
        let Some(table) = item.as_table_like() else {
            self.report(
                span,
                &format!("plugins.{id}"),
                "is not a table",
                "write [plugins.ID] and its keys below",
            );
            return entry;
        };
        for (key, item) in table.iter() {
            let (path, span) = (format!("plugins.{id}.{key}"), item.span());
            match key {
                "enabled" => match (item.as_bool(), item.as_str()) {
                    (Some(true), _) => entry.enabled = Enabled::On,
                    (Some(false), _) => entry.enabled = Enabled::Off,
                    (_, Some("auto")) => entry.enabled = Enabled::Auto,
                    _ => self.report(span, &path, "is none of true, false, \"auto\"", "write one of them"),
                },
                "carrier" => match item.as_str() {
                    Some("builtin") => {}
                    Some("dylib") => entry.carrier = Carrier::Dylib,
                    Some(other) => {
                        let what = format!("carrier \"{other}\" is not supported by this build");
                        self.report(span, &path, &what, "write \"builtin\" or \"dylib\", or leave it out");
                    }
                    None => self.report(span, &path, "is not a text", "write \"builtin\" or \"dylib\""),
                },
                "path" => match item.as_str() {
                    Some(file) => entry.path = Some(self.beside(file)),
                    None => self.report(span, &path, "is not a text", "write the shared library's file name"),
                },
                "sha256" => match item.as_str() {
                    Some(sum) => entry.sha256 = Some((sum.to_owned(), self.line(span).unwrap_or(entry.line))),
                    None => self.report(span, &path, "is not a text", "write 64 hexadecimal digits"),
                },
                "capabilities" => match texts(item) {
                    Some(list) => entry.capabilities = Some(list),
                    None => self.report(
                        span,
                        &path,
                        "is not a list of texts",
                        "write [\"kv\", \"http:{field}\"]",
                    ),
                },
                "config" => match item.as_table_like() {
                    Some(config) => {
                        for (name, value) in config.iter() {
                            let span = config.key(name).and_then(toml_edit::Key::span).or_else(|| value.span());
                            let line = self.line(span).unwrap_or(entry.line);
                            entry.config.insert(name.to_owned(), (json_of(value), line));
                        }
                    }
                    None => self.report(span, &path, "is not a table", "write [plugins.ID.config]"),
                },
                _ => self.unknown(table.key(key).and_then(toml_edit::Key::span), &path, key, &KEYS),
            }
        }
        let key = format!("plugins.{id}");
        match (entry.carrier, &entry.path) {
            (Carrier::Dylib, None) => self.report(
                span,
                &key,
                "has no `path`",
                "name the plugin's file: path = \"FILE.so\"",
            ),
            (Carrier::Builtin, Some(_)) => self.report(
                span,
                &key,
                "has a `path`, but is compiled in",
                "write carrier = \"dylib\", or remove `path`",
            ),
            _ => {}
        }
        entry
    }

    /// Paths are relative to the file that names them.
    fn beside(&self, path: &str) -> PathBuf {
        Path::new(self.file).parent().unwrap_or(Path::new("")).join(path)
    }
}

fn texts(item: &Item) -> Option<Vec<String>> {
    item.as_array()?
        .iter()
        .map(|one| one.as_str().map(str::to_owned))
        .collect()
}

/// A TOML value as JSON; times as their text.
pub(crate) fn json_of(item: &Item) -> Value {
    use toml_edit::Value as Toml;
    fn value(toml: &Toml) -> Value {
        match toml {
            Toml::String(text) => text.value().as_str().into(),
            Toml::Integer(number) => (*number.value()).into(),
            Toml::Float(number) => (*number.value()).into(),
            Toml::Boolean(flag) => (*flag.value()).into(),
            Toml::Datetime(time) => time.value().to_string().into(),
            Toml::Array(items) => items.iter().map(value).collect(),
            Toml::InlineTable(table) => {
                Value::Object(table.iter().map(|(key, item)| (key.to_owned(), value(item))).collect())
            }
        }
    }
    match item {
        Item::Value(toml) => value(toml),
        Item::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, item)| (key.to_owned(), json_of(item)))
                .collect(),
        ),
        Item::ArrayOfTables(tables) => tables
            .iter()
            .map(|table| {
                Value::Object(
                    table
                        .iter()
                        .map(|(key, item)| (key.to_owned(), json_of(item)))
                        .collect(),
                )
            })
            .collect(),
        Item::None => Value::Null,
    }
}

/// Leaves of a document by dotted key; a table that is itself a known key is a leaf.
pub(crate) fn leaves<'d>(
    prefix: &str,
    item: &'d Item,
    found: &mut Vec<(String, &'d Item, Option<Range<usize>>)>,
    known: &dyn Fn(&str) -> bool,
) {
    let Some(table) = item.as_table_like().filter(|_| prefix.is_empty() || !known(prefix)) else {
        found.push((prefix.to_owned(), item, item.span()));
        return;
    };
    for (name, item) in table.iter() {
        let key = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}.{name}")
        };
        leaves(&key, item, found, known);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 2] = ["github", "pager"];

    fn problems(text: &str) -> Vec<(Option<usize>, String, Option<String>)> {
        let problems = PluginsFile::parse("plugins.toml", text, &KNOWN).unwrap_err();
        problems
            .into_iter()
            .map(|problem| (problem.line, problem.key, problem.suggestion))
            .collect()
    }

    #[test]
    fn reads_an_entry() {
        let text = "# mine\n[plugins.github]\nenabled = true\ncapabilities = [\"kv\"]\n[plugins.github.config]\n\
                    secrets = [{ value = \"x\", not_after = 2027-01-01T00:00:00Z }]\n";
        let file = PluginsFile::parse("plugins.toml", text, &KNOWN).unwrap();
        let entry = &file.entries["github"];
        assert_eq!(
            (entry.enabled, entry.capabilities.clone()),
            (Enabled::On, Some(vec!["kv".to_owned()]))
        );
        let (value, line) = &entry.config["secrets"];
        assert_eq!(
            (value[0]["not_after"].as_str(), *line),
            (Some("2027-01-01T00:00:00Z"), 6)
        );
    }

    #[test]
    fn a_shared_library_is_named_beside_the_file() {
        let text = "[plugins.other]\ncarrier = \"dylib\"\npath = \"lib/x.so\"\nsha256 = \"ab\"\n";
        let file = PluginsFile::parse("etc/plugins.toml", text, &KNOWN).unwrap();
        let entry = &file.entries["other"];
        assert_eq!(entry.carrier, Carrier::Dylib);
        assert_eq!(entry.path.as_deref(), Some(Path::new("etc/lib/x.so")));
        assert_eq!(entry.sha256, Some(("ab".to_owned(), 4)));
    }

    #[test]
    fn names_file_line_key_and_suggestion() {
        assert_eq!(
            problems("\n[plugins.gihub]\n"),
            [(Some(2), "plugins.gihub".to_owned(), Some("github".to_owned()))]
        );
        assert_eq!(
            problems("[plugins.github]\nenabeld = true\n"),
            [(Some(2), "plugins.github.enabeld".to_owned(), Some("enabled".to_owned()))]
        );
        assert_eq!(problems("[plugins.github]\nenabled = 3\n")[0].0, Some(2));
        assert_eq!(
            problems("[plugins.github]\ncarrier = \"process\"\n")[0].1,
            "plugins.github.carrier"
        );
        assert_eq!(problems("[plugins.other]\ncarrier = \"dylib\"\n")[0].0, Some(1));
        assert_eq!(problems("[plugins.github]\npath = \"x.so\"\n")[0].1, "plugins.github");
        assert_eq!(problems("[plugin]\n")[0].2.as_deref(), Some("plugins"));
        assert_eq!(problems("[plugins.github\n")[0].1, "(syntax)");
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "\\PC*") {
            let _ = PluginsFile::parse("plugins.toml", &text, &KNOWN);
        }
    }
}
