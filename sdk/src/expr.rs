//! Where to find a value in a delivery: [`header`], [`json`], [`form`], [`first`], [`concat()`].
//!
//! Expressions are data, so the host evaluates them without the plugin and in one pass over the bytes. A miss is never
//! an error: no delivery id means a digest of the body, no lane means a lane of its own.

use serde::{Deserialize, Serialize};

/// An expression over headers and body of a delivery; yields a text or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// The first value of a header, by lower-case name.
    Header(String),
    /// The scalar at an RFC 6901 pointer of a JSON body; numbers keep their text.
    Json(String),
    /// A field of an `application/x-www-form-urlencoded` body.
    Form(String),
    /// The scalar at `pointer` of the JSON text that a form field holds.
    FormJson {
        /// Form field.
        field: String,
        /// RFC 6901 pointer.
        pointer: String,
    },
    /// The first that yields something.
    First(Vec<Expr>),
    /// All of them one after the other; nothing when one is missing.
    Concat(Vec<Expr>),
    /// A fixed text.
    Text(String),
}

/// The first value of the header `name`.
pub fn header(name: &str) -> Expr {
    Expr::Header(name.to_ascii_lowercase())
}

/// The scalar at `pointer` (RFC 6901) of a JSON body.
pub fn json(pointer: &str) -> Expr {
    Expr::Json(pointer.to_owned())
}

/// A field of a form body; `.json("/pointer")` looks inside a field that holds JSON.
pub fn form(field: &str) -> Expr {
    Expr::Form(field.to_owned())
}

/// A fixed text.
pub fn text(text: &str) -> Expr {
    Expr::Text(text.to_owned())
}

/// The first of `all` that yields something.
pub fn first<const N: usize>(all: [Expr; N]) -> Expr {
    Expr::First(all.into())
}

/// All of `all`, one after the other; nothing when one is missing.
pub fn concat<const N: usize>(all: [Expr; N]) -> Expr {
    Expr::Concat(all.into())
}

impl Expr {
    /// The scalar at `pointer` of the JSON text in this form field; other expressions stay as they are.
    pub fn json(self, pointer: &str) -> Self {
        match self {
            Self::Form(field) => Self::FormJson {
                field,
                pointer: pointer.to_owned(),
            },
            other => other,
        }
    }
}
