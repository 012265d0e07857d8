//! Reading an app from a folder.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use walkdir::WalkDir;

use crate::{
    encoding::{self, Encoding},
    file::File,
};

/// Most bytes of a folder: it is held in memory.
const MOST_BYTES: u64 = 256 << 20;

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something in it cannot be read, or it is not there.
    #[error("cannot read the web app at `{}`: {source}; see JACKFIELD_FRONTEND_DIR", path.display())]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no app.
    #[error("`{}` holds no index.html, so it is no web app; JACKFIELD_FRONTEND_DIR must name the folder that a build has made", .0.display())]
    NoIndex(PathBuf),
    /// It does not fit in memory.
    #[error("`{}` holds more than {} MiB, which is most that is served as the web app; see JACKFIELD_FRONTEND_DIR", .0.display(), MOST_BYTES >> 20)]
    TooLarge(PathBuf),
}

/// Every file of the folder, by its path in it. Links are followed; what is hidden is left out.
pub(crate) fn read(folder: &Path, sources: &[&str]) -> Result<HashMap<Box<str>, File>, FolderError> {
    let cannot = |path: &Path, source| FolderError::Read {
        path: path.to_owned(),
        source,
    };
    let mut found: HashMap<String, (Bytes, PathBuf)> = HashMap::new();
    let mut total = 0;
    let entries = WalkDir::new(folder).follow_links(true).into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !encoding::is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            cannot(&path, error.into())
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        // A name that is not UTF-8 is in no URL.
        let Some(path) = entry.path().strip_prefix(folder).ok().and_then(Path::to_str) else {
            continue;
        };
        total += entry.metadata().map_or(0, |meta| meta.len());
        if total > MOST_BYTES {
            return Err(FolderError::TooLarge(folder.to_owned()));
        }
        let bytes = std::fs::read(entry.path()).map_err(|error| cannot(entry.path(), error))?;
        found.insert(path.to_owned(), (bytes.into(), entry.path().to_owned()));
    }
    if !found.contains_key("index.html") {
        return Err(FolderError::NoIndex(folder.to_owned()));
    }
    let files = found.iter().map(|(path, (bytes, at))| {
        let modified = std::fs::metadata(at).and_then(|meta| meta.modified()).ok();
        let file = File::read(path, bytes.clone(), beside(&found, path), modified, sources);
        (path.as_str().into(), file)
    });
    Ok(files.collect())
}

/// The compressed forms that a build has put beside a file.
fn beside(found: &HashMap<String, (Bytes, PathBuf)>, path: &str) -> Vec<(Encoding, Bytes)> {
    let endings = [
        (Encoding::Brotli, "br"),
        (Encoding::Zstd, "zst"),
        (Encoding::Gzip, "gz"),
    ];
    let forms = endings.iter().filter_map(|(encoding, ending)| {
        let (bytes, _) = found.get(&format!("{path}.{ending}"))?;
        Some((*encoding, bytes.clone()))
    });
    forms.collect()
}
