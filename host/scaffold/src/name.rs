//! Names that a plugin may have.

use std::str::FromStr;

/// Longest id.
const LONGEST: usize = 40;

/// What a host uses itself, as plugin, path or directory, and what the SDK's prelude calls a type.
const RESERVED: [&str; 49] = [
    "admin",
    "alive",
    "api",
    "arrival",
    "attempt",
    "bitbucket",
    "config",
    "death",
    "delivery",
    "docs",
    "error",
    "expr",
    "github",
    "gitlab",
    "greeting",
    "health",
    "host",
    "integration",
    "jackfield",
    "jira",
    "jira-dc",
    "job-options",
    "job-queue",
    "jobs",
    "kv",
    "linear",
    "livez",
    "metrics",
    "no-content",
    "oauth",
    "openapi",
    "outcome",
    "plugin",
    "principal",
    "problem",
    "readyz",
    "reconfigured",
    "result",
    "retry",
    "routes",
    "run",
    "secret",
    "signing-secrets",
    "slack",
    "startupz",
    "this",
    "vendor",
    "verify",
    "webhooks",
];

/// Names that Rust does not take for a crate.
const RUST: [&str; 60] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "yield",
];

/// A lower-case kebab name that is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginName(String);

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is not in kebab case.
    #[error(
        "`{given}` is no plugin name; write at most {LONGEST} lower-case letters and digits in words joined by `-`, beginning with a letter{}",
        suggested(.suggestion.as_deref())
    )]
    Shape {
        /// What was given.
        given: String,
        /// What would do.
        suggestion: Option<String>,
    },
    /// The host uses it.
    #[error("`{0}` is a name that the host and its SDK use themselves; choose another, such as `my-{0}`")]
    Reserved(String),
    /// Rust uses it.
    #[error("`{0}` is a word that Rust and cargo use themselves; choose another, such as `my-{0}`")]
    Keyword(String),
    /// A crate that the plugin links has it.
    #[error("`{0}` is the name of a crate that the plugin would link; choose another, such as `my-{0}`")]
    Taken(String),
}

fn suggested(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; how about `{name}`?"))
}

impl PluginName {
    /// As given: plugin id, package and directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `jira-dc` as `jira_dc`.
    pub(crate) fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `jira-dc` as `JIRA_DC`.
    pub(crate) fn upper(&self) -> String {
        self.snake().to_ascii_uppercase()
    }

    /// `jira-dc` as `JiraDc`.
    pub(crate) fn pascal(&self) -> String {
        let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        self.0.split('-').map(word).collect()
    }
}

impl FromStr for PluginName {
    type Err = BadName;

    fn from_str(given: &str) -> Result<Self, BadName> {
        if !kebab(given) {
            return Err(BadName::Shape {
                given: given.to_owned(),
                suggestion: Some(as_kebab(given)).filter(|name| kebab(name)),
            });
        }
        if RESERVED.contains(&given) || given.starts_with("jackfield-") {
            return Err(BadName::Reserved(given.to_owned()));
        }
        if RUST.contains(&given) {
            return Err(BadName::Keyword(given.to_owned()));
        }
        if linked(given) {
            return Err(BadName::Taken(given.to_owned()));
        }
        Ok(Self(given.to_owned()))
    }
}

/// The rule of `#[plugin(id = …)]`.
fn kebab(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= LONGEST && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.split('-').all(word)
}

/// What the name was probably meant to be.
fn as_kebab(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            let begins = character.is_ascii_uppercase()
                && out.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit());
            if begins {
                out.push('-');
            }
            out.push(character.to_ascii_lowercase());
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_matches('-').to_owned()
}

/// Whether the packed lock file names a crate so.
fn linked(name: &str) -> bool {
    let lock = crate::pack::files()
        .ok()
        .and_then(|files| files.into_iter().find(|(path, _)| path == "Cargo.lock"))
        .map(|(_, bytes)| bytes);
    let snake = name.replace('-', "_");
    lock.is_some_and(|lock| {
        String::from_utf8_lossy(&lock)
            .lines()
            .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .any(|found| found.replace('-', "_") == snake)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn forms() {
        let name: PluginName = "jira-dc2".parse().unwrap();
        assert_eq!(
            (name.as_str(), name.snake(), name.upper(), name.pascal()),
            (
                "jira-dc2",
                "jira_dc2".to_owned(),
                "JIRA_DC2".to_owned(),
                "JiraDc2".to_owned()
            )
        );
    }

    #[test]
    fn refusals_say_what_would_do() {
        for (given, says) in [
            ("MyPager", "how about `my-pager`?"),
            ("my_pager", "how about `my-pager`?"),
            ("my--pager", "how about `my-pager`?"),
            ("../pager", "how about `pager`?"),
            ("9lives", "beginning with a letter"),
            ("", "is no plugin name"),
            ("päger", "is no plugin name"),
            ("github", "the host and its SDK"),
            ("jackfield-x", "the host and its SDK"),
            ("type", "such as `my-type`"),
            ("proc-macro", "Rust and cargo"),
            ("serde", "would link"),
            ("serde-json", "would link"),
        ] {
            let error = given.parse::<PluginName>().unwrap_err().to_string();
            assert!(error.contains(says), "{given}: {error}");
        }
        let long = "a".repeat(LONGEST + 1);
        assert!(long.parse::<PluginName>().is_err() && long[1..].parse::<PluginName>().is_ok());
    }
}
