//! Changes from outside while the host runs: `plugins.toml`, SIGHUP. Any event and a 2 s poll re-read the file and compare
//! content, because editors rename and Kubernetes swaps directories; a file that does not parse must stay so for 1 s
//! before it is reported, because writers are not atomic.

use std::{path::PathBuf, sync::Arc, time::Duration};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::serve::Running;

const POLL: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_millis(300);
const BROKEN: Duration = Duration::from_secs(1);

/// Watches until the drain begins.
pub(crate) async fn keep_watching(running: Arc<Running>) {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let file = crate::plan::plugins_file(&running.loaded.settings);
    let _watcher = file.as_ref().and_then(|path| watch_parent(path, tell.clone()));
    let mut hangup = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGHUP");
            return;
        }
    };
    let mut seen = content(file.as_ref());
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
        let now = content(crate::plan::plugins_file(&running.loaded.settings).as_ref());
        if now == seen && !asked {
            continue;
        }
        let own = now.as_ref().is_some_and(|bytes| running.is_own_edit(bytes));
        seen.clone_from(&now);
        if own && !asked {
            continue;
        }
        if running.replan().await.is_ok() {
            tracing::info!("configuration applied");
            continue;
        }
        tokio::time::sleep(BROKEN).await;
        seen = content(file.as_ref());
        if let Err(error) = running.replan().await {
            metrics::counter!("jackfield_config_reload_total", "result" => "refused").increment(1);
            tracing::error!(%error, "the new configuration is not valid; the old one stays");
        }
    }
}

fn content(file: Option<&PathBuf>) -> Option<Vec<u8>> {
    std::fs::read(file?).ok()
}

fn watch_parent(path: &std::path::Path, tell: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(std::path::Path::new("."));
    let watcher = notify::recommended_watcher(move |_| {
        // A full channel means that somebody is about to look anyway.
        let _ = tell.try_send(());
    });
    match watcher.and_then(|mut watcher| watcher.watch(parent, RecursiveMode::NonRecursive).map(|()| watcher)) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "cannot watch `{}`; it is read every 2 s", parent.display());
            None
        }
    }
}
