//! Edits of `plugins.toml` that keep comments and order.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use toml_edit::{DocumentMut, Item, Table, value};

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be written.
    #[error("`{}` cannot be written ({source}); change `plugins.{id}.enabled` where this file comes from, such as its ConfigMap", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The plugin.
        id: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("`{}` is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
}

/// SHA-256 of a file's content: own edits are known by it.
pub fn content_hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// An edit that was made, so that it can be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    path: PathBuf,
    id: String,
    before: Option<String>,
    /// SHA-256 of the content that was written.
    pub hash: String,
}

impl Edit {
    /// Writes what was there before. Gives its hash; of a file that was not there, that of nothing.
    pub fn undo(&self) -> Result<String, EditError> {
        let failed = |source| EditError::ReadOnly {
            path: self.path.clone(),
            id: self.id.clone(),
            source,
        };
        match &self.before {
            Some(text) => write(&self.path, text).map_err(failed)?,
            None => std::fs::remove_file(&self.path).map_err(failed)?,
        }
        Ok(content_hash(self.before.as_deref().unwrap_or_default().as_bytes()))
    }
}

/// Sets `plugins.ID.enabled`, in one step: a reader sees the old file or the new one.
pub fn set_enabled(path: &Path, id: &str, enabled: bool) -> Result<Edit, EditError> {
    let read_only = |source| EditError::ReadOnly {
        path: path.to_owned(),
        id: id.to_owned(),
        source,
    };
    let before = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(read_only(error)),
    };
    let text = before.as_deref().unwrap_or_default();
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let plugins = document.entry("plugins").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    if let Some(table) = plugins.as_table_like_mut() {
        let entry = table.entry(id).or_insert_with(|| Item::Table(Table::new()));
        if let Some(entry) = entry.as_table_like_mut() {
            match entry.get_mut("enabled").and_then(Item::as_value_mut) {
                Some(old) => {
                    let decor = old.decor().clone();
                    *old = enabled.into();
                    *old.decor_mut() = decor;
                }
                None => {
                    entry.insert("enabled", value(enabled));
                }
            }
        }
    }
    let content = document.to_string();
    if std::fs::metadata(path).is_ok_and(|meta| meta.permissions().readonly()) {
        return Err(read_only(std::io::ErrorKind::PermissionDenied.into()));
    }
    write(path, &content).map_err(read_only)?;
    Ok(Edit {
        path: path.to_owned(),
        id: id.to_owned(),
        before,
        hash: content_hash(content.as_bytes()),
    })
}

fn write(path: &Path, content: &str) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = parent.join(format!(".plugins.toml.{}", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(content.as_bytes())?;
        if let Ok(meta) = std::fs::metadata(path) {
            file.set_permissions(meta.permissions())?;
        }
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // The temporary file may not be there; the write's own error is what matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_comments_and_order() {
        let path = std::env::temp_dir().join(format!("jackfield-edit-{}.toml", std::process::id()));
        std::fs::write(
            &path,
            "# ours\n[plugins.b] # bee\nenabled = \"auto\" # on when set\n\n[plugins.a]\nx = 1\n",
        )
        .unwrap();
        let edit = set_enabled(&path, "b", false).unwrap();
        set_enabled(&path, "c", true).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# ours\n[plugins.b] # bee\nenabled = false # on when set\n\n[plugins.a]\nx = 1\n"),
            "{text}"
        );
        assert!(text.contains("[plugins.c]\nenabled = true"), "{text}");
        edit.undo().unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains("enabled = \"auto\" # on when set")
        );
        std::fs::remove_file(&path).unwrap();

        set_enabled(&path, "b", true).unwrap().undo().unwrap();
        assert!(!path.exists(), "a file that was not there is gone again");
    }

    #[test]
    fn a_read_only_place_is_named_with_the_fix() {
        let error = set_enabled(Path::new("/proc/plugins.toml"), "a", true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("plugins.a.enabled") && error.contains("ConfigMap"),
            "{error}"
        );
    }
}
