//! `jackfield backup`: an embedded installation in one archive, made beside a running host or without one.
//!
//! The host's database is copied before those of plugins: what a plugin has written and the host does not know of is done again,
//! as after a crash; the other way round it would be missing.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use jackfield_config::Loaded;
use jackfield_storage::snapshot;
use serde_json::json;

use super::{Failure, output};

/// The key ring in a data directory.
const KEYRING: &str = "keyring";

pub(super) async fn backup(loaded: &Loaded, file: &Path, as_json: bool) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let url = settings.database();
    let Some(database) = url.strip_prefix("sqlite://").map(Path::new) else {
        let what = "the database is PostgreSQL: back it up with its own tools (pg_dump, or a copy of the server), and `keyring` \
                    in the data directory, or JACKFIELD_KEYRING, apart from it";
        return Err(what.into());
    };
    if !super::database_exists(loaded) {
        return Err(super::no_database(loaded));
    }
    let scratch = Scratch::beside(file)?;
    let mut names = vec!["jackfield.db".to_owned()];
    snapshot(database, &scratch.0.join("jackfield.db")).await?;
    let plugins = settings.data_dir.join("plugins");
    DirBuilder::new().mode(0o700).create(scratch.0.join("plugins"))?;
    for name in databases(&plugins)? {
        let name = format!("plugins/{name}");
        snapshot(&settings.data_dir.join(&name), &scratch.0.join(&name)).await?;
        names.push(name);
    }
    let ring = settings.data_dir.join(KEYRING);
    let has_ring = settings.keyring.is_none() && ring.exists();
    if has_ring {
        std::fs::copy(&ring, scratch.0.join(KEYRING))
            .map_err(|error| format!("cannot copy the key ring {}: {error}", ring.display()))?;
        names.push(KEYRING.to_owned());
    }
    let bytes =
        pack(&scratch.0, &names, file).map_err(|error| format!("cannot write `{}`: {error}", file.display()))?;
    if as_json {
        output::json(&json!({ "file": file, "bytes": bytes, "holds": names }));
    } else {
        output::line(format_args!("{}: {bytes} bytes", file.display()));
        for name in &names {
            output::line(format_args!("  {name}"));
        }
        if !has_ring {
            eprintln!("the key ring is not in it: JACKFIELD_KEYRING holds it; without it no stored secret can be read");
        }
    }
    Ok(())
}

/// Names of the plugins' databases, in order.
fn databases(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|ending| ending == "db") {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Writes the archive under a name of its own first, so that a file of this name is whole. Gives its bytes.
fn pack(folder: &Path, names: &[String], file: &Path) -> io::Result<u64> {
    let unfinished = folder.join("archive");
    let archive = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut archive = tar::Builder::new(GzEncoder::new(archive, Compression::fast()));
    for name in names {
        let mut content = File::open(folder.join(name))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.metadata()?.len());
        header.set_mode(0o600);
        header.set_mtime(now);
        archive.append_data(&mut header, name, &mut content)?;
    }
    let archive = archive.into_inner()?.finish()?;
    archive.sync_all()?;
    // Nothing that is there is written over, whoever made it meanwhile.
    std::fs::hard_link(&unfinished, file)?;
    Ok(archive.metadata()?.len())
}

/// A folder on the archive's disk, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(file: &Path) -> Result<Self, Failure> {
        if file.exists() {
            return Err(format!("`{}` is there already; name a file that is not", file.display()).into());
        }
        let mut name = file.file_name().ok_or("name a file for the archive")?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = file.with_file_name(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("cannot write beside `{}`: {error}", file.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
