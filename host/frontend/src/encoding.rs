//! Content codings, and which files are worth them. Also part of `build.rs`.

use std::{ffi::OsStr, path::Path};

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// What begins with a point is no part of an app: editors' files, and the links that Kubernetes makes in a mounted folder.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a file of this name is text, which compresses; pictures and fonts are compressed already.
pub(crate) fn is_worth_it(path: &str) -> bool {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let (kind, sub) = (kind.type_().as_str(), kind.subtype().as_str());
    let ending = Path::new(path).extension().and_then(OsStr::to_str);
    kind == "text"
        || matches!(
            sub,
            "javascript" | "json" | "xml" | "wasm" | "x-icon" | "vnd.ms-fontobject"
        )
        || matches!(ending, Some("webmanifest" | "map" | "svg"))
}
