//! The copies that are loaded, by content: `{data_dir}/plugins/cache/{sha256}.so`.
//!
//! A loaded library is a mapping of its file: were the file cut or written over, the process would die. So the file that
//! people replace is never the one that is loaded. What this guarantees:
//!
//! - A copy appears under its name complete, or not at all; it is written elsewhere, flushed and renamed.
//! - A copy is never written to again, and only its owner may read it. When one turns out to be damaged, a new file takes
//!   its *name*; whoever has mapped the old one keeps it.
//! - A copy that is there is read and compared before it is used again.
//! - Copies are removed only before anything is loaded ([`ColdCache`]), so that a way back to one that ran is not lost
//!   while the host runs.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{
    admission::{Admitted, Manifest, Reason, Refusal},
    sha256::Sha256,
};

const EXTENSION: &str = "so";
const UNFINISHED: &str = "unfinished";

/// A cache from which nothing has been loaded yet.
#[derive(Debug)]
pub struct ColdCache {
    directory: PathBuf,
}

/// A cache in use.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    /// Two plugins may be the same file; the copy is made once.
    writing: Mutex<()>,
}

/// A plugin with the copy to load.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The copy: what is loaded. Absolute.
    pub path: PathBuf,
    /// Its content's name: one image is loaded once.
    pub sha256: Sha256,
    /// The original, for messages.
    pub file: PathBuf,
    /// What the plugin says about itself.
    pub manifest: Manifest,
    /// How the copy came about.
    pub origin: Origin,
}

/// How a copy came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was written.
    Written,
    /// It was there.
    Reused,
    /// One was there with other content, and was replaced. Worth a warning: something else writes there.
    Repaired,
}

/// The cache's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the plugin cache {}: {error}; make the data directory readable and writable for the host's user", .path.display())]
pub struct CacheError {
    /// What could not be used.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

impl ColdCache {
    /// Opens the cache of a data directory and makes it when it is not there.
    pub fn open(data_dir: &Path) -> Result<Self, CacheError> {
        let wanted = data_dir.join("plugins").join("cache");
        // Nobody else may put a file where the host loads code from.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&wanted);
        let directory = made.and_then(|()| wanted.canonicalize()).and_then(|directory| {
            if fs::metadata(&directory)?.permissions().mode() & 0o777 != 0o700 {
                fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
            }
            Ok(directory)
        });
        match directory {
            Ok(directory) => Ok(Self { directory }),
            Err(error) => Err(CacheError { path: wanted, error }),
        }
    }

    /// Removes the copies that no configuration names, and what an interrupted write left. Gives what was removed.
    pub fn sweep(&self, named: &BTreeSet<Sha256>) -> Result<Vec<PathBuf>, CacheError> {
        let failed = |path: &Path, error| CacheError {
            path: path.to_owned(),
            error,
        };
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|error| failed(&self.directory, error))? {
            let path = entry.map_err(|error| failed(&self.directory, error))?.path();
            if is_superfluous(&path, named) {
                fs::remove_file(&path).map_err(|error| failed(&path, error))?;
                removed.push(path);
            }
        }
        removed.sort();
        Ok(removed)
    }

    /// From here on copies are loaded, and stay.
    pub fn warm(self) -> Cache {
        Cache {
            directory: self.directory,
            writing: Mutex::new(()),
        }
    }
}

impl Cache {
    /// Makes the copy of an admitted file, from the content that was admitted, or finds it.
    pub fn store(&self, admitted: Admitted) -> Result<Stored, Refusal> {
        let path = self
            .directory
            .join(format!("{}.{EXTENSION}", admitted.candidate().sha256()));
        let origin = match self.keep(&path, admitted.content()) {
            Ok(origin) => origin,
            Err(error) => return Err(admitted.refusal(Reason::NotStored { path, error })),
        };
        let (file, sha256, manifest) = admitted.into_parts();
        Ok(Stored {
            path,
            sha256,
            file,
            manifest,
            origin,
        })
    }

    fn keep(&self, path: &Path, content: &[u8]) -> io::Result<Origin> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = match holds(path, content) {
            Ok(true) => return Ok(Origin::Reused),
            Ok(false) => Origin::Repaired,
            Err(error) if error.kind() == ErrorKind::NotFound => Origin::Written,
            // Whatever has the name and cannot be read (a link, a file of someone else) is not what we wrote.
            Err(_) => Origin::Repaired,
        };
        // Another process may be at it as well, on another machine with the same process id.
        let mut chance = [0; 8];
        aws_lc_rs::rand::fill(&mut chance).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let unfinished = path.with_extension(format!("{}.{UNFINISHED}", hex::encode(chance)));
        let written = write(&unfinished, content).and_then(|()| fs::rename(&unfinished, path));
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(origin)
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(0o500))?;
    file.sync_all()
}

/// Whether a regular file holds `content`, and may be read but not written.
fn holds(path: &Path, content: &[u8]) -> io::Result<bool> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != content.len() as u64 {
        return Ok(false);
    }
    let mut rest = content;
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 if rest.is_empty() => break,
            0 => return Ok(false),
            read => match rest.strip_prefix(&chunk[..read]) {
                Some(after) => rest = after,
                None => return Ok(false),
            },
        }
    }
    if metadata.permissions().mode() & 0o777 != 0o500 {
        file.set_permissions(Permissions::from_mode(0o500))?;
    }
    Ok(true)
}

/// Only names that this cache gives are touched.
fn is_superfluous(path: &Path, named: &BTreeSet<Sha256>) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let Some((stem, extension)) = name.split_once('.') else {
        return false;
    };
    let Ok(sha256) = stem.parse::<Sha256>() else {
        return false;
    };
    match extension {
        EXTENSION => !named.contains(&sha256),
        other => other
            .strip_suffix(UNFINISHED)
            .is_some_and(|process| process.ends_with('.')),
    }
}
