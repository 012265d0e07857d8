//! One host per data directory: two SQLite writers in two processes would each believe to be the only one.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Held for as long as the host runs; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why the directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another host runs on it.
    #[error("another host (pid {pid}) runs on the data directory `{}`; stop it, or set JACKFIELD_DATA_DIR", directory.display())]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Its process id, as it wrote it.
        pid: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock `{}`: {source}; the directory must be writable", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl DirectoryLock {
    /// Creates `directory` when it is missing, and locks it.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("jackfield.lock");
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut missing = std::fs::DirBuilder::new();
        missing.recursive(true).mode(0o700).create(directory).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(io)?;
                return Err(LockError::Held {
                    directory: directory.to_owned(),
                    pid: pid.trim().to_owned(),
                });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_second_lock_names_the_first_ones_pid() {
        let directory = std::env::temp_dir().join(format!("jackfield-lock-{}", std::process::id()));
        let first = DirectoryLock::acquire(&directory).unwrap();
        let error = DirectoryLock::acquire(&directory).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        DirectoryLock::acquire(&directory).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }
}
