//! Changes from outside while the host runs: `plugins.toml`, `jackfield.toml`, files that `NAME_FILE` variables name, the
//! plugins' own files, SIGHUP.
//!
//! Any event and a 2 s poll look at the files again and compare, because editors rename and Kubernetes swaps directories.
//! Writers are not atomic: a file that does not parse must stay so for 1 s before it is reported, and a plugin's file is
//! read when it has stood still for 300 ms.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jackfield_plugins::{PluginRow, PluginState};
use notify::{
    Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::mpsc;

use crate::{plan, serve::Running, stamp::Stamp};

const POLL: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_millis(300);
const BROKEN: Duration = Duration::from_secs(1);
/// Looks at a plugin's file that is being written, before it is read as it is.
const LOOKS: usize = 30;

/// What tells whether a file changed.
#[derive(PartialEq, Eq)]
enum Mark {
    /// It is not there, or cannot be read.
    Nothing,
    /// Of text: all of it.
    Text(Vec<u8>),
    /// Of a plugin's file, which is large.
    Stamp(Stamp),
}

/// By file.
type Marks = BTreeMap<PathBuf, Mark>;

/// Watches until the drain begins.
pub(crate) async fn keep_watching(running: Arc<Running>) {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let mut seen = marks(&running);
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
        let now = still(&running, &seen).await;
        let changed: Vec<&Mark> = differing(&seen, &now).collect();
        if changed.is_empty() && !asked {
            continue;
        }
        let own = matches!(changed[..], [Mark::Text(content)] if running.is_own_edit(content));
        seen = now;
        if own && !asked {
            continue;
        }
        if running.reload().await.is_ok() {
            applied(&running);
            continue;
        }
        tokio::time::sleep(BROKEN).await;
        seen = marks(&running);
        match running.reload().await {
            Ok(()) => applied(&running),
            Err(error) => {
                metrics::counter!("jackfield_config_reload_total", "result" => "refused").increment(1);
                tracing::error!(%error, "the new configuration is not valid; the old one stays");
            }
        }
    }
}

/// Says so, and of which plugins it is not true.
fn applied(running: &Running) {
    let not = |row: &PluginRow| matches!(row.state, PluginState::Refused | PluginState::Failed);
    let except: Vec<String> = running
        .plugins
        .list()
        .into_iter()
        .filter(not)
        .map(|row| row.id)
        .collect();
    if except.is_empty() {
        tracing::info!("configuration applied");
    } else {
        tracing::warn!(
            except = except.join(", "),
            "configuration applied, except to plugins that cannot be run with it"
        );
    }
}

/// What there is now; a plugin's file that changed is given time to be complete.
async fn still(running: &Running, seen: &Marks) -> Marks {
    let mut now = marks(running);
    for _ in 0..LOOKS {
        let writing = |mark: &Mark| matches!(mark, Mark::Stamp(_));
        if !differing(seen, &now).any(writing) {
            break;
        }
        tokio::time::sleep(SETTLE).await;
        let again = marks(running);
        let moved = differing(&now, &again).next().is_some();
        now = again;
        if !moved {
            break;
        }
    }
    now
}

/// What of `now` was not so before.
fn differing<'m>(before: &'m Marks, now: &'m Marks) -> impl Iterator<Item = &'m Mark> {
    now.iter()
        .filter(|(path, mark)| before.get(*path) != Some(*mark))
        .map(|(_, mark)| mark)
}

fn marks(running: &Running) -> Marks {
    let settings = &running.loaded().settings;
    let texts = plan::sources(running.flags(), settings, &running.plugins.codes());
    let texts = texts.into_iter().map(|path| {
        let mark = std::fs::read(&path).map_or(Mark::Nothing, Mark::Text);
        (path, mark)
    });
    let files = plan::plugin_files(settings).into_iter().map(|path| {
        let mark = Stamp::of(&path).map_or(Mark::Nothing, Mark::Stamp);
        (path, mark)
    });
    texts.chain(files).collect()
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
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Our own looks open files, which is an event as well; only what may have written counts.
        let written = AccessKind::Close(AccessMode::Write);
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(kind) if kind != written)) {
            // A full channel means that somebody is about to look anyway.
            let _ = tell.try_send(());
        }
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
