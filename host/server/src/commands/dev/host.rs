//! The host that `plugin dev` starts.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use http::Method;
use jackfield_config::{Flags, Loaded};
use jackfield_loader::Manifest;
use serde_json::Value;
use tokio::process::{Child, ChildStdin, Command};

use super::{Crate, Failure, say};
use crate::{cli::DevOptions, control, control::ControlError, plan};

/// Longest time until a started host answers.
const START: Duration = Duration::from_secs(60);
/// Longest time of its drain.
const END: Duration = Duration::from_secs(40);

/// Which plugins file the host reads.
pub(super) struct Settings {
    file: PathBuf,
}

impl Settings {
    /// The author's `plugins.toml` when it names the file that was built; otherwise one that is made from it.
    pub(super) fn for_file(
        loaded: &Loaded,
        plugin: &Crate,
        manifest: &Manifest,
        built: &Path,
    ) -> Result<Self, Failure> {
        let own = plan::plugins_file(&loaded.settings).unwrap_or_else(|| PathBuf::from("plugins.toml"));
        let named = plan::plugins(&loaded.settings)
            .ok()
            .and_then(|file| file.entries.get(&manifest.id)?.path.clone());
        if named.is_some_and(|named| same_file(&named, built)) {
            return Ok(Self { file: own });
        }
        let absolute = std::path::absolute(&own)?;
        let beside = absolute.parent().unwrap_or(&plugin.directory);
        let text = std::fs::read_to_string(&own).unwrap_or_default();
        let made = jackfield_config::with_file(&text, beside, &manifest.id, built, &manifest.capabilities)
            .map_err(|error| format!("{}: {error}", own.display()))?;
        let folder = plugin.target.join("jackfield-dev").join(plugin.name());
        let file = folder.join("plugins.toml");
        std::fs::create_dir_all(&folder)?;
        if std::fs::read_to_string(&file).ok().as_deref() != Some(made.as_str()) {
            std::fs::write(&file, made)?;
            say(format_args!(
                "plugins.toml does not name {}; the host reads {}, which does",
                built.display(),
                file.display()
            ));
        }
        Ok(Self { file })
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A running host.
pub(super) struct DevHost {
    child: Child,
    /// Held beside the child, because waiting for one closes what it holds itself.
    stdin: Option<ChildStdin>,
    data_dir: PathBuf,
}

impl DevHost {
    /// Starts it and waits until it answers; none when it ends before that, and it has said why.
    pub(super) async fn start(
        loaded: &Loaded,
        flags: &Flags,
        options: &DevOptions,
        settings: &Settings,
        id: &str,
    ) -> Result<Option<Self>, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("serve")
            .arg("--until-stdin-closes")
            .arg("--plugins")
            .arg(&settings.file);
        for (flag, value) in [("--listen", &options.listen), ("--admin-listen", &options.admin_listen)] {
            if let Some(value) = value {
                command.args([flag, value]);
            }
        }
        if let Some(config) = &flags.config {
            command.arg("--config").arg(config);
        }
        // A group of its own: Ctrl-C is for this command, which then lets the host drain.
        let mut child = command
            .stdin(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let mut host = Self {
            stdin: child.stdin.take(),
            child,
            data_dir: loaded.settings.data_dir.clone(),
        };
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < START {
            if let Some(status) = host.child.try_wait()? {
                say(format_args!(
                    "the host {}; save a source to start it again",
                    ended(status)
                ));
                return Ok(None);
            }
            if let Ok(row) = host.row(id).await {
                say(format_args!("{id} is {}", state(&row)));
                return Ok(Some(host));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the host does not answer".into())
    }

    /// Has it load the file again, and says what came of it.
    pub(super) async fn reload(&mut self, id: &str) {
        let path = format!("/api/admin/v1/plugins/{id}/reload");
        match control::call(&self.data_dir, Method::POST, &path, None).await {
            Ok(row) if row["state"] == "active" => say(format_args!("{id} is reloaded, {}", state(&row))),
            // Its `create` failed, or an operator has paused it.
            Ok(row) => say(format_args!("{id} is {}", state(&row))),
            // One that is off has nothing to reload; its reason says how to switch it on.
            Err(error) => match self.row(id).await {
                Ok(row) if row["state"] == "disabled" => say(format_args!("{id} is {}", state(&row))),
                _ => say(format_args!("{error}; the generation before goes on serving")),
            },
        }
    }

    /// Waits for the end of a host that is there.
    pub(super) async fn ended(host: &mut Option<Self>) -> String {
        match host {
            Some(host) => match host.child.wait().await {
                Ok(status) => ended(status),
                Err(error) => format!("cannot be waited for: {error}"),
            },
            None => std::future::pending().await,
        }
    }

    /// Lets it drain.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            say("the host does not end; it is killed");
            let _ = self.child.kill().await;
        }
    }

    async fn row(&self, id: &str) -> Result<Value, ControlError> {
        let rows = control::call(&self.data_dir, Method::GET, "/api/admin/v1/plugins", None).await?;
        let row = rows.as_array().into_iter().flatten().find(|row| row["id"] == id);
        row.cloned()
            .ok_or_else(|| ControlError::Broken(format!("it does not know `{id}`")))
    }
}

fn ended(status: ExitStatus) -> String {
    format!("has ended with {status}")
}

fn state(row: &Value) -> String {
    let text = |member: &str| row[member].as_str().unwrap_or_default();
    match text("state") {
        "active" => format!("active (generation {})", row["generation"]),
        other => format!("{other} ({})", text("reason")),
    }
}
