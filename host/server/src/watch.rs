//! Changes from outside while the host runs: `plugins.toml`, `jackfield.toml`, files that `NAME_FILE` variables name, SIGHUP.
//! Any event and a 2 s poll re-read the files and compare content, because editors rename and Kubernetes swaps
//! directories; a file that does not parse must stay so for 1 s before it is reported, because writers are not atomic.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::{plan, serve::Running};

const POLL: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_millis(300);
const BROKEN: Duration = Duration::from_secs(1);

/// Content by file; none where it cannot be read.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Watches until the drain begins.
pub(crate) async fn keep_watching(running: Arc<Running>) {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let mut seen = contents(&running);
    let _watcher = watch_parents(seen.keys(), tell);
    let mut hangup = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGHUP");
            return;
        }
    };
    let mut poll = tokio::time::interval(POLL);
    loop {
        let asked = tokio::select! {
            () = running.draining.cancelled() => return,
            _ = hangup.recv() => true,
            _ = told.recv() => {
                tokio::time::sleep(SETTLE).await;
                false
            }
            _ = poll.tick() => false,
        };
        let now = contents(&running);
        let changed: Vec<&PathBuf> = now
            .iter()
            .filter(|(path, content)| seen.get(*path) != Some(*content))
            .map(|(path, _)| path)
            .collect();
        if changed.is_empty() && !asked {
            continue;
        }
        let own = changed.len() == 1
            && now[changed[0]]
                .as_ref()
                .is_some_and(|content| running.is_own_edit(content));
        seen = now;
        if own && !asked {
            continue;
        }
        if running.reload().await.is_ok() {
            tracing::info!("configuration applied");
            continue;
        }
        tokio::time::sleep(BROKEN).await;
        seen = contents(&running);
        match running.reload().await {
            Ok(()) => tracing::info!("configuration applied"),
            Err(error) => {
                metrics::counter!("jackfield_config_reload_total", "result" => "refused").increment(1);
                tracing::error!(%error, "the new configuration is not valid; the old one stays");
            }
        }
    }
}

fn contents(running: &Running) -> Contents {
    let read = |path: PathBuf| {
        let content = std::fs::read(&path).ok();
        (path, content)
    };
    plan::sources(running.flags(), &running.loaded().settings)
        .into_iter()
        .map(read)
        .collect()
}

fn watch_parents<'p>(
    paths: impl Iterator<Item = &'p PathBuf>,
    tell: mpsc::Sender<()>,
) -> Option<notify::RecommendedWatcher> {
    let parent = |path: &'p PathBuf| {
        path.parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    };
    let parents: BTreeSet<&Path> = paths.map(parent).filter(|parent| parent.is_dir()).collect();
    let watcher = notify::recommended_watcher(move |_| {
        // A full channel means that somebody is about to look anyway.
        let _ = tell.try_send(());
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "cannot watch files; they are read every 2 s");
            return None;
        }
    };
    for parent in parents {
        if let Err(error) = watcher.watch(parent, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, "cannot watch `{}`; it is read every 2 s", parent.display());
        }
    }
    Some(watcher)
}
