//! `jackfield plugin new NAME`: a plugin crate that builds, tests and serves or is loaded, in a directory of its own.
//!
//! - It needs no registry for the SDK: the sources are packed inside this crate and unpacked beside the plugin, unless a
//!   checkout is named.
//! - The lock file of this build comes along, so the versions that were tested together are the ones that are built.
//! - Nothing that exists is touched.

mod name;
mod pack;
mod template;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use name::{BadName, PluginName};

/// How the new plugin is carried. Its code is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Compiled in: a host program of its own comes along.
    Builtin,
    /// A shared library that any host loads.
    Dylib,
}

/// Where the SDK comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// Unpacked into `vendor/jackfield`.
    Packed,
    /// The checkout at this path.
    Checkout(PathBuf),
}

/// Why there is no new plugin.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Something is there.
    #[error("`{0}` exists already; choose another name, or remove it")]
    Exists(String),
    /// `--sdk` names something else.
    #[error("`{path}` is no checkout of Jackfield: {missing} is missing; give the directory that holds sdk/ and host/")]
    NoCheckout {
        /// What was given.
        path: String,
        /// What is not there.
        missing: &'static str,
    },
    /// The file system said no.
    #[error("cannot write `{path}`: {error}")]
    Io {
        /// What was to be written.
        path: String,
        /// Why it was not.
        error: io::Error,
    },
}

/// Makes the plugin `name` in `parent`; gives its directory.
pub fn create(name: &PluginName, kind: Kind, parent: &Path, sdk: &Sdk) -> Result<PathBuf, ScaffoldError> {
    let to = parent.join(name.as_str());
    let place = match sdk {
        Sdk::Packed => "vendor/jackfield".to_owned(),
        Sdk::Checkout(path) => checkout(path)?.display().to_string(),
    };
    match fs::create_dir(&to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ScaffoldError::Exists(to.display().to_string()));
        }
        made => made.map_err(|error| failed(&to, error))?,
    }
    for (path, text) in template::files(name, kind, &place) {
        write(&to.join(path), text.as_bytes())?;
    }
    let lock = match sdk {
        Sdk::Packed => {
            let vendor = to.join(&place);
            for (path, bytes) in pack::files().map_err(|error| failed(&vendor, error))? {
                write(&vendor.join(path), &bytes)?;
            }
            vendor.join("Cargo.lock")
        }
        Sdk::Checkout(_) => Path::new(&place).join("Cargo.lock"),
    };
    let copy = to.join("Cargo.lock");
    fs::copy(lock, &copy).map_err(|error| failed(&copy, error))?;
    Ok(to)
}

/// The absolute path of a checkout.
fn checkout(path: &Path) -> Result<PathBuf, ScaffoldError> {
    let no = |missing| ScaffoldError::NoCheckout {
        path: path.display().to_string(),
        missing,
    };
    let root = path.canonicalize().map_err(|_| no("the directory"))?;
    for file in [
        "sdk/Cargo.toml",
        "sdk/testing/Cargo.toml",
        "host/server/Cargo.toml",
        "Cargo.lock",
    ] {
        if !root.join(file).exists() {
            return Err(no(file));
        }
    }
    Ok(root)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ScaffoldError> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: io::Error) -> ScaffoldError {
    ScaffoldError::Io {
        path: path.display().to_string(),
        error,
    }
}
