//! Configuration of a plugin: `#[derive(Config)]` makes a JSON Schema that stands in the manifest as one constant text,
//! so the host checks `plugins.toml` without running the plugin.
//!
//! Field attributes: `#[config(default = …, env = "NAME", egress, enables, secret)]`. A doc comment per field is required.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// A configuration type. Derived, never written by hand.
pub trait Config: Sized + Send + Sync + 'static {
    /// JSON Schema (2020-12) of the whole object.
    const SCHEMA: &'static str;

    /// Reads a value that the host has already checked against [`Self::SCHEMA`], defaults filled in.
    fn from_value(value: serde_json::Value) -> Result<Self, String>;

    /// Counts every field as used: the host reads some by name, such as signing secrets.
    #[doc(hidden)]
    fn host_reads(&self) {}
}

/// A type that can stand in a configuration field.
pub trait ConfigField: Sized {
    /// Members of the field's JSON Schema, without braces: `"type":"string"`.
    const SCHEMA: &'static str;
    /// Whether the field may be left out.
    const OPTIONAL: bool = false;
}

macro_rules! field {
    ($($ty:ty => $schema:literal),* $(,)?) => { $( impl ConfigField for $ty { const SCHEMA: &'static str = $schema; } )* };
}

field! {
    String => r#""type":"string""#,
    bool => r#""type":"boolean""#,
    u16 => r#""type":"integer","minimum":0,"maximum":65535"#,
    u32 => r#""type":"integer","minimum":0,"maximum":4294967295"#,
    u64 => r#""type":"integer","minimum":0"#,
    i64 => r#""type":"integer""#,
    f64 => r#""type":"number""#,
    Url => r#""type":"string","format":"uri""#,
    Vec<String> => r#""type":"array","items":{"type":"string"}"#,
    Vec<Url> => r#""type":"array","items":{"type":"string","format":"uri"}"#,
    Seconds => r#""type":"number","minimum":0,"x-unit":"seconds""#,
    Secret => r#""type":"string","x-secret":true"#,
    SigningSecrets => r#""x-secret":true,"oneOf":[{"type":"string"},{"type":"array","items":{"oneOf":[{"type":"string"},{"type":"object","additionalProperties":false,"required":["value"],"properties":{"value":{"type":"string"},"not_after":{"type":"string","format":"date-time"}}}]}}]"#,
}

impl<T: ConfigField> ConfigField for Option<T> {
    const SCHEMA: &'static str = T::SCHEMA;
    const OPTIONAL: bool = true;
}

/// A length of time, written in seconds.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Seconds(f64);

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Duration::try_from_secs_f64(seconds.0).unwrap_or(Duration::MAX)
    }
}

/// A secret text. It cannot be formatted; [`Secret::expose`] is the one way to it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: only to sign or to send it where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Serialises as `[redacted]`, so that a log or an answer cannot carry it.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

/// Secrets a sender signs with: one text, or a list of `{ value, not_after }` while they rotate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SigningSecrets(pub Vec<SigningSecret>);

/// One signing secret and its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningSecret {
    /// The secret.
    pub value: Secret,
    /// From this instant (RFC 3339) on it is no longer accepted.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_after: Option<time::OffsetDateTime>,
}

impl SigningSecrets {
    /// One secret without an end.
    pub fn one(value: impl Into<String>) -> Self {
        Self(vec![SigningSecret {
            value: Secret::new(value),
            not_after: None,
        }])
    }

    /// The secrets that are accepted at `now`; empty ones never are.
    pub fn active(&self, now: time::OffsetDateTime) -> impl Iterator<Item = &Secret> {
        self.0
            .iter()
            .filter(move |secret| secret.not_after.is_none_or(|end| now < end))
            .map(|secret| &secret.value)
            .filter(|value| !value.expose().is_empty())
    }
}

impl<'de> Deserialize<'de> for SigningSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum One {
            Text(Secret),
            Full(SigningSecret),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(Secret),
            List(Vec<One>),
        }
        let plain = |value| SigningSecret { value, not_after: None };
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Text(value) => vec![plain(value)],
            Written::List(list) => list
                .into_iter()
                .map(|one| match one {
                    One::Text(value) => plain(value),
                    One::Full(full) => full,
                })
                .collect(),
        }))
    }
}

/// Joins texts in a constant: what the derive builds its schema with.
#[doc(hidden)]
pub const fn joined_len(parts: &[&str]) -> usize {
    let mut sum = 0;
    let mut at = 0;
    while at < parts.len() {
        sum += parts[at].len();
        at += 1;
    }
    sum
}

/// See [`joined_len`].
#[doc(hidden)]
pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut out = [0; N];
    let mut written = 0;
    let mut part = 0;
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            out[written] = bytes[at];
            written += 1;
            at += 1;
        }
        part += 1;
    }
    out
}

/// See [`joined_len`].
#[doc(hidden)]
pub const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("joined texts are UTF-8"),
    }
}

/// Length of [`required`].
#[doc(hidden)]
pub const fn required_len(fields: &[(&str, bool)]) -> usize {
    let (mut sum, mut at, mut any) = (0, 0, false);
    while at < fields.len() {
        if !fields[at].1 {
            sum += fields[at].0.len() + any as usize;
            any = true;
        }
        at += 1;
    }
    sum
}

/// The quoted names of the fields that are not optional, joined by commas.
#[doc(hidden)]
pub const fn required<const N: usize>(fields: &[(&str, bool)]) -> [u8; N] {
    let mut out = [b','; N];
    let (mut written, mut field, mut any) = (0, 0, false);
    while field < fields.len() {
        if !fields[field].1 {
            written += any as usize;
            any = true;
            let bytes = fields[field].0.as_bytes();
            let mut at = 0;
            while at < bytes.len() {
                out[written] = bytes[at];
                written += 1;
                at += 1;
            }
        }
        field += 1;
    }
    out
}

/// Whether a default's JSON type (`string`, `integer`, …) is the field's; asked while the crate is built.
#[doc(hidden)]
pub const fn default_fits(schema: &str, kind: &str) -> bool {
    const HEAD: &[u8] = b"\"type\":\"";
    let (schema, kind) = (schema.as_bytes(), kind.as_bytes());
    // A schema that does not begin with its type says more than one; what fits it is seen when it is read.
    if !begins(schema, HEAD, 0) {
        return true;
    }
    let whole_for_any_number = begins(kind, b"integer", 0) && begins(schema, b"number", HEAD.len());
    whole_for_any_number || begins(schema, kind, HEAD.len())
}

const fn begins(text: &[u8], with: &[u8], at: usize) -> bool {
    let mut next = 0;
    while next < with.len() {
        if at + next >= text.len() || text[at + next] != with[next] {
            return false;
        }
        next += 1;
    }
    true
}

/// The members of a configuration; one that is not a field is an error.
#[doc(hidden)]
pub fn members(
    value: serde_json::Value,
    fields: &[&str],
) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    let serde_json::Value::Object(members) = value else {
        return Err("the configuration is not a table".to_owned());
    };
    match members.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(unknown) => Err(format!(
            "there is no setting `{unknown}`; there are {}",
            fields.join(", ")
        )),
        None => Ok(members),
    }
}

/// One field. An error names the field, and for a secret nothing else.
#[doc(hidden)]
pub fn read_field<T: ConfigField + serde::de::DeserializeOwned>(
    members: &mut serde_json::Map<String, serde_json::Value>,
    name: &str,
    default: Option<&str>,
) -> Result<T, String> {
    let secret = T::SCHEMA.contains("\"x-secret\":true");
    let value = match members.remove(name).filter(|value| !value.is_null()) {
        Some(value) => value,
        None => match default {
            Some(json) => serde_json::from_str(json).map_err(|error| format!("`{name}`: {error}"))?,
            None if T::OPTIONAL => serde_json::Value::Null,
            None => return Err(format!("`{name}` is not set")),
        },
    };
    serde_json::from_value(value).map_err(|error| {
        if secret {
            format!("`{name}` has the wrong type")
        } else {
            format!("`{name}`: {error}")
        }
    })
}

/// A plugin that needs no settings.
impl Config for () {
    const SCHEMA: &'static str = r#"{"type":"object","additionalProperties":false,"properties":{},"required":[]}"#;

    fn from_value(_: serde_json::Value) -> Result<Self, String> {
        Ok(())
    }
}
