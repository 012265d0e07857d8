//! The web app's files: compiled in when `frontend/dist` was there at build time, or read from a folder at start.
//!
//! - Everything is in memory, with its headers made beforehand; an answer copies pointers.
//! - A file is sent in the smallest coding that the client takes, under a strong `ETag` of its own.
//! - A path without a file is a page of the app: `index.html` answers. Only what begins with `/assets` must be there.
//! - An HTML file carries a content security policy with the hashes of its own inline scripts; no page needs `unsafe-inline`.

mod accept;
mod answer;
mod compress;
mod encoding;
mod file;
mod folder;
mod inline;
mod precondition;

use std::{collections::HashMap, path::Path, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use encoding::Encoding;
use file::File;

pub use folder::FolderError;

/// A web app that can be served. Cheap to clone.
#[derive(Clone)]
pub struct Frontend {
    /// By path without the first slash; `index.html` is there.
    files: Arc<HashMap<Box<str>, File>>,
}

/// A file that was compiled in.
#[allow(dead_code, reason = "a build without the app has none")]
struct Embedded {
    path: &'static str,
    /// SHA-256 in hex.
    digest: &'static str,
    plain: &'static [u8],
    /// The smallest first.
    packed: &'static [(Encoding, &'static [u8])],
}

static EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

impl Frontend {
    /// What was compiled in, if anything was. Its pages may use `sources` beside what is served here.
    pub fn embedded(sources: &[&str]) -> Option<Self> {
        let files = EMBEDDED.iter();
        let files = files.map(|file| (file.path.into(), File::embedded(file, sources)));
        let files: HashMap<Box<str>, File> = files.collect();
        (!files.is_empty()).then(|| Self { files: files.into() })
    }

    /// The files of a folder as they are now; `file.js.br`, `.zst` and `.gz` beside `file.js` are taken as its compressed forms.
    /// Its pages may use `sources` beside what is served here.
    pub fn folder(folder: &Path, sources: &[&str]) -> Result<Self, FolderError> {
        let files = folder::read(folder, sources)?;
        Ok(Self { files: files.into() })
    }

    /// Compresses what has no compressed form yet. Takes processor time; requests are answered meanwhile.
    pub fn compress(&self) {
        for (path, file) in self.files.iter().filter(|(path, _)| encoding::is_worth_it(path)) {
            if let Err(error) = file.compress() {
                tracing::warn!(path = &**path, %error, "a file of the web app is served uncompressed");
            }
        }
    }

    /// Answers a request that no route took.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        answer::answer(&self.files, request).await
    }
}
