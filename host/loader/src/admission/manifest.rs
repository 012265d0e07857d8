//! The manifest: JSON text in a constant that is found and read without loading the file.
//!
//! Format 1. Members that are not known are ignored, so that a newer SDK can add some.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    elf::{Image, Symbol},
    refusal::{MAX_TEXT, Reason, plain},
};

/// The format that is read.
const FORMAT: u64 = 1;
/// Migrations stand in it, so it may be long; without a limit a hostile one would grow many times over when parsed.
const MAX_BYTES: usize = 4 << 20;
/// More than there are capabilities to ask for.
const MAX_CAPABILITIES: usize = 64;
/// A pointer, or Rust's pointer and length: what the symbol holds when its author exported a reference to the text.
const POINTERS: [usize; 2] = [size_of::<usize>(), 2 * size_of::<usize>()];

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lower-case kebab id.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// The boundary it was built for.
    pub abi: Abi,
    /// Target triple it was built for.
    pub target: String,
    /// What a panic does.
    pub panic: Panic,
    /// Version of the SDK, when it was built with it.
    #[serde(default)]
    pub sdk: Option<String>,
    /// JSON Schema (2020-12) of its configuration.
    pub config_schema: Map<String, Value>,
    /// What it asks for.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// SQL migrations in order.
    #[serde(default)]
    pub migrations: Vec<Migration>,
}

/// Version of the boundary, `[major, minor]` in JSON. It is not the product's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct Abi {
    /// Incompatible changes.
    pub major: u32,
    /// Compatible additions.
    pub minor: u32,
}

/// What a panic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Panic {
    /// It can be caught.
    Unwind,
    /// It ends the process.
    Abort,
}

/// One migration step of the plugin's own database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Position.
    pub number: u32,
    /// What it does, in a word.
    pub name: String,
    /// Text for SQLite.
    pub sqlite: String,
    /// Text for PostgreSQL.
    pub postgres: String,
    /// The oldest migration number a plugin file may know and still work on the result.
    #[serde(default)]
    pub min_reader: u32,
}

impl Manifest {
    /// As the SDK has it. It lasts for ever, as an image does, so it is made once for each image or command.
    pub fn lasting(&self) -> &'static jackfield_sdk::manifest::Manifest {
        let text = |text: &str| -> &'static str { text.to_owned().leak() };
        let migration = |migration: &Migration| jackfield_sdk::manifest::Migration {
            number: migration.number,
            name: text(&migration.name),
            sqlite: text(&migration.sqlite),
            postgres: text(&migration.postgres),
            min_reader: migration.min_reader,
        };
        let migrations: Vec<_> = self.migrations.iter().map(migration).collect();
        let capabilities: Vec<&'static str> = self.capabilities.iter().map(|one| text(one)).collect();
        Box::leak(Box::new(jackfield_sdk::manifest::Manifest {
            id: text(&self.id),
            version: text(&self.version),
            description: text(&self.description),
            config_schema: text(&Value::Object(self.config_schema.clone()).to_string()),
            capabilities: capabilities.leak(),
            migrations: migrations.leak(),
        }))
    }

    /// Finds the only manifest of `image` and reads it.
    pub(super) fn of(image: &Image<'_>) -> Result<Self, Reason> {
        let mut symbols = image.exported(jackfield_abi::MANIFEST_PREFIX)?;
        let symbol = match symbols.len() {
            0 => return Err(Reason::NoManifest),
            1 => symbols.remove(0),
            _ => {
                return Err(Reason::TwoManifests(
                    symbols.into_iter().map(|symbol| symbol.name).collect(),
                ));
            }
        };
        let manifest = Self::parse(text(image, &symbol)?)?;
        if symbol.name != format!("{}{}", jackfield_abi::MANIFEST_PREFIX, manifest.symbol_id()) {
            return invalid(format!("it says `{}` in the symbol `{}`", manifest.id, symbol.name));
        }
        Ok(manifest)
    }

    fn parse(text: &str) -> Result<Self, Reason> {
        let value: Value = serde_json::from_str(text).or_else(|error| invalid(format!("not JSON: {error}")))?;
        let Value::Object(mut members) = value else {
            return invalid("not a JSON object".to_owned());
        };
        match members.remove("manifest").as_ref().map(Value::as_u64) {
            Some(Some(FORMAT)) => {}
            Some(Some(found)) => return Err(Reason::ManifestFormat { found, known: FORMAT }),
            Some(None) => return invalid("`manifest`, its format, is not a number".to_owned()),
            None => return invalid("missing field `manifest`, its format".to_owned()),
        }
        let mut manifest: Self =
            serde_json::from_value(Value::Object(members)).or_else(|error| invalid(error.to_string()))?;
        if !is_id(&manifest.id) {
            return invalid(format!(
                "`{}` is no plugin id: write at most 40 lower-case letters and digits in words joined by `-`",
                plain(&manifest.id)
            ));
        }
        manifest.description = plain(&manifest.description);
        let Self {
            version, target, sdk, ..
        } = &manifest;
        check_text("version", version)?;
        check_text("target", target)?;
        sdk.iter().try_for_each(|sdk| check_text("sdk", sdk))?;
        if manifest.capabilities.len() > MAX_CAPABILITIES {
            return invalid(format!("`capabilities` holds more than {MAX_CAPABILITIES}"));
        }
        manifest
            .capabilities
            .iter()
            .try_for_each(|capability| check_text("capabilities", capability))?;
        Ok(manifest)
    }

    /// The symbol of its entry.
    pub fn entry_symbol(&self) -> String {
        format!("{}{}", jackfield_abi::ENTRY_PREFIX, self.symbol_id())
    }

    fn symbol_id(&self) -> String {
        self.id.replace('-', "_")
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl From<[u32; 2]> for Abi {
    fn from([major, minor]: [u32; 2]) -> Self {
        Self { major, minor }
    }
}

impl From<Abi> for [u32; 2] {
    fn from(abi: Abi) -> Self {
        [abi.major, abi.minor]
    }
}

fn invalid<T>(what: String) -> Result<T, Reason> {
    Err(Reason::InvalidManifest(plain(&what)))
}

/// What is printed is a short text on one line.
fn check_text(member: &str, text: &str) -> Result<(), Reason> {
    if text.is_empty() {
        return invalid(format!("`{member}` is empty"));
    }
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return invalid(format!(
            "`{member}` is longer than {MAX_TEXT} bytes, or holds control characters"
        ));
    }
    Ok(())
}

fn text<'d>(image: &Image<'d>, symbol: &Symbol) -> Result<&'d str, Reason> {
    let name = &symbol.name;
    if symbol.size > MAX_BYTES as u64 {
        return invalid(format!(
            "`{name}` has {} bytes; at most {MAX_BYTES} are read",
            symbol.size
        ));
    }
    let Some(bytes) = image.content(symbol) else {
        return invalid(format!("`{name}` has no content in the file: it must be a constant"));
    };
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if POINTERS.contains(&bytes.len()) && bytes.first() != Some(&b'{') {
        return invalid(format!(
            "`{name}` holds a pointer: export the text itself, as an array of bytes"
        ));
    }
    if end == 0 {
        return invalid(format!("`{name}` is empty"));
    }
    std::str::from_utf8(&bytes[..end]).or_else(|_| invalid(format!("`{name}` is not UTF-8")))
}

fn is_id(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= 40 && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.split('-').all(word)
}
