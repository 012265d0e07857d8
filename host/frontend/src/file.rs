//! A file of the app with everything that its answers need, made once.

use std::{sync::OnceLock, time::SystemTime};

use bytes::Bytes;
use http::HeaderValue;
use sha2::{Digest, Sha256};

use crate::{
    Embedded,
    accept::Accepted,
    compress::{self, Effort},
    encoding::{self, Encoding},
    inline,
};

/// One file.
pub(crate) struct File {
    /// `Content-Type`.
    pub(crate) kind: HeaderValue,
    /// `Content-Security-Policy`, of HTML.
    pub(crate) policy: Option<HeaderValue>,
    /// `Last-Modified`, and the same in whole seconds; unknown of what is compiled in.
    pub(crate) modified: Option<(HeaderValue, SystemTime)>,
    /// Whether its form depends on `Accept-Encoding`.
    pub(crate) varies: bool,
    digest: Box<str>,
    plain: Form,
    /// The smallest first. Not there until a folder's file was compressed.
    packed: OnceLock<Vec<Form>>,
}

/// A file's bytes in one coding: a representation with a strong tag of its own (RFC 9110 §8.8.3.3).
pub(crate) struct Form {
    pub(crate) encoding: Option<Encoding>,
    pub(crate) tag: HeaderValue,
    pub(crate) length: HeaderValue,
    pub(crate) bytes: Bytes,
}

impl Form {
    fn new(digest: &str, encoding: Option<Encoding>, bytes: Bytes) -> Self {
        let digest = &digest[..digest.len().min(32)];
        let tag = match encoding {
            None => format!("\"{digest}\""),
            Some(encoding) => format!("\"{digest}-{}\"", encoding.token()),
        };
        Self {
            encoding,
            // Of hex digits, letters and a line: always a header.
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
            length: HeaderValue::from(bytes.len()),
            bytes,
        }
    }
}

impl File {
    pub(crate) fn embedded(file: &Embedded, sources: &[&str]) -> Self {
        let packed = file.packed.iter();
        let packed = packed.map(|(encoding, bytes)| Form::new(file.digest, Some(*encoding), Bytes::from_static(bytes)));
        let made = Self::with_digest(
            file.path,
            file.digest.into(),
            Bytes::from_static(file.plain),
            None,
            sources,
        );
        Self {
            packed: OnceLock::from(packed.collect::<Vec<_>>()),
            ..made
        }
    }

    /// A file that was read just now, with the compressed forms that lay beside it.
    pub(crate) fn read(
        path: &str,
        bytes: Bytes,
        beside: Vec<(Encoding, Bytes)>,
        modified: Option<SystemTime>,
        sources: &[&str],
    ) -> Self {
        let digest = hex::encode(Sha256::digest(&bytes));
        let packed = beside.into_iter();
        let packed = packed.map(|(encoding, bytes)| Form::new(&digest, Some(encoding), bytes));
        let mut packed: Vec<Form> = packed.collect();
        packed.sort_by_key(|form| form.bytes.len());
        let mut file = Self::with_digest(path, digest.into(), bytes, modified, sources);
        if !packed.is_empty() {
            file.varies = true;
            file.packed = OnceLock::from(packed);
        }
        file
    }

    fn with_digest(path: &str, digest: Box<str>, bytes: Bytes, modified: Option<SystemTime>, sources: &[&str]) -> Self {
        let kind = kind(path);
        let html = kind.as_bytes().starts_with(b"text/html");
        Self {
            policy: html.then(|| inline::policy(&bytes, sources)),
            modified: modified.and_then(|time| {
                let text = httpdate::fmt_http_date(time);
                // Back from its text: the header has whole seconds, and is compared with such.
                Some((
                    HeaderValue::from_str(&text).ok()?,
                    httpdate::parse_http_date(&text).ok()?,
                ))
            }),
            varies: encoding::is_worth_it(path),
            kind,
            plain: Form::new(&digest, None, bytes),
            digest,
            packed: OnceLock::new(),
        }
    }

    /// The form that suits the client best: what it likes most, then the smallest.
    pub(crate) fn form(&self, accepted: Accepted) -> &Form {
        let packed = self.packed.get().map_or(&[][..], Vec::as_slice);
        let mut best = (&self.plain, 0);
        for form in packed {
            let weight = form.encoding.map_or(0, |encoding| accepted.weight(encoding));
            if weight > best.1 {
                best = (form, weight);
            }
        }
        best.0
    }

    /// Makes the compressed forms, unless they are there.
    pub(crate) fn compress(&self) -> std::io::Result<()> {
        if self.packed.get().is_some() {
            return Ok(());
        }
        let packed = compress::all(&self.plain.bytes, Effort::Quick)?.into_iter();
        let packed = packed.map(|(encoding, bytes)| Form::new(&self.digest, Some(encoding), bytes.into()));
        // Two at once make the same.
        let _ = self.packed.set(packed.collect());
        Ok(())
    }
}

/// By the ending of the name; text is UTF-8.
fn kind(path: &str) -> HeaderValue {
    let kind = match path.rsplit_once('.') {
        Some((_, "webmanifest")) => "application/manifest+json".to_owned(),
        Some((_, "map")) => "application/json".to_owned(),
        _ => {
            let kind = mime_guess::from_path(path).first_or_octet_stream();
            let text = kind.type_() == "text" || kind.subtype() == "javascript";
            format!("{}{}", kind.essence_str(), if text { "; charset=utf-8" } else { "" })
        }
    };
    HeaderValue::from_str(&kind).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}
