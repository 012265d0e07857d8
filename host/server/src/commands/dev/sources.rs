//! The sources of the plugin: an event or a poll looks at them, and what counts is whether one of them changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// For file systems that tell nothing.
const POLL: Duration = Duration::from_secs(2);
/// An editor that saves many files, or one in several writes, is one change.
const SETTLE: Duration = Duration::from_millis(200);

/// What changed.
pub(super) enum Changed {
    /// Something that the build reads.
    Sources,
    /// Only the host's settings.
    PluginsToml,
}

/// Size and time of each file.
type Stamps = BTreeMap<PathBuf, (u64, SystemTime)>;

pub(super) struct Sources {
    directory: PathBuf,
    seen: Stamps,
    told: mpsc::Receiver<()>,
    /// Watches as long as it lives.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Sources {
    pub(super) fn watch(directory: &Path) -> Self {
        let (tell, told) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading, which a build does a lot, is no change; a full channel means that somebody is about to look anyway.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = tell.try_send(());
            }
        });
        let mut watcher = watcher.ok();
        for folder in folders(directory) {
            // One that cannot be watched is polled.
            let watched = watcher
                .as_mut()
                .map(|watcher| watcher.watch(&folder, RecursiveMode::NonRecursive));
            if let Some(Err(error)) = watched {
                tracing::debug!(%error, "cannot watch `{}`", folder.display());
            }
        }
        Self {
            directory: directory.to_owned(),
            seen: stamps(directory),
            told,
            _watcher: watcher,
        }
    }

    /// Waits for a change since the last one that it gave, also for one that came meanwhile.
    pub(super) async fn changed(&mut self) -> Changed {
        let mut poll = tokio::time::interval(POLL);
        loop {
            tokio::select! {
                _ = poll.tick() => {}
                _ = self.told.recv() => tokio::time::sleep(SETTLE).await,
            }
            let now = stamps(&self.directory);
            if now == self.seen {
                continue;
            }
            let settings = |path: &PathBuf| path.file_name().is_some_and(|name| name == "plugins.toml");
            let others = |stamps: &Stamps| -> Stamps {
                let kept = stamps.iter().filter(|(path, _)| !settings(path));
                kept.map(|(path, stamp)| (path.clone(), *stamp)).collect()
            };
            let only_settings = others(&now) == others(&self.seen);
            self.seen = now;
            return match only_settings {
                true => Changed::PluginsToml,
                false => Changed::Sources,
            };
        }
    }
}

/// What no build reads, such as what this command itself is made to write.
fn left_out(name: &str) -> bool {
    name.starts_with('.')
        || Path::new(name).extension().is_some_and(|kind| kind == "log")
        || matches!(name, "target" | "data" | "vendor" | "node_modules")
}

/// The directory and those below it that hold sources.
fn folders(directory: &Path) -> Vec<PathBuf> {
    let mut all = vec![directory.to_owned()];
    let mut at = 0;
    while at < all.len() {
        for entry in fs::read_dir(&all[at]).into_iter().flatten().flatten() {
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if folder && !left_out(&entry.file_name().to_string_lossy()) {
                all.push(entry.path());
            }
        }
        at += 1;
    }
    all
}

fn stamps(directory: &Path) -> Stamps {
    let folders = folders(directory);
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries
        .filter(|entry| !left_out(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            let meta = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?;
            Some((entry.path(), (meta.len(), meta.modified().ok()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_saved_source_is_a_change_and_what_a_build_writes_is_none() {
        let scratch = std::env::temp_dir().join(format!("jackfield-sources-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(scratch.join("src/deep")).unwrap();
        fs::create_dir_all(scratch.join("target/debug")).unwrap();
        fs::write(scratch.join("src/lib.rs"), "one").unwrap();
        let mut sources = Sources::watch(&scratch);

        fs::write(scratch.join("target/debug/libit.so"), "built").unwrap();
        fs::write(scratch.join("dev.log"), "said").unwrap();
        assert!(stamps(&scratch) == sources.seen);
        fs::write(scratch.join("plugins.toml"), "").unwrap();
        assert!(matches!(sources.changed().await, Changed::PluginsToml));
        // One that came while nobody waited counts.
        fs::write(scratch.join("src/deep/new.rs"), "two").unwrap();
        assert!(matches!(sources.changed().await, Changed::Sources));
        assert!(stamps(&scratch) == sources.seen);
        fs::remove_dir_all(&scratch).unwrap();
    }
}
