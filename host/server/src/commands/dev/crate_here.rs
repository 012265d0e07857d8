//! The crate in this directory, and its build.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::Value;
use tokio::process::Command;

use super::Failure;

/// A plugin's crate.
pub(super) struct Crate {
    /// Its directory.
    pub(super) directory: PathBuf,
    /// Where cargo builds.
    pub(super) target: PathBuf,
    name: String,
    release: bool,
}

/// How a build ended.
pub(super) enum Built {
    /// The shared library.
    File(PathBuf),
    /// The compiler has said why.
    Failed,
}

impl Crate {
    pub(super) async fn here(release: bool) -> Result<Self, Failure> {
        let manifest = Path::new("Cargo.toml").canonicalize().map_err(|_| {
            "there is no Cargo.toml here; run this in a plugin's directory, which `jackfield plugin new NAME --dylib` makes"
        })?;
        let mut command = cargo(&["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
        let output = read(command.arg(&manifest)).await?;
        if !output.status.success() {
            return Err("cargo cannot read Cargo.toml".into());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = |package: &&Value| package["manifest_path"].as_str().map(Path::new) == Some(manifest.as_path());
        let name = packages.iter().find(ours).and_then(|package| package["name"].as_str());
        let directory = manifest.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self {
            name: name.ok_or("Cargo.toml describes no package")?.to_owned(),
            target: metadata["target_directory"]
                .as_str()
                .map_or_else(|| directory.join("target"), PathBuf::from),
            directory,
            release,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Builds the shared library, whichever kinds of library the crate asks for. What the compiler says goes to the terminal.
    pub(super) async fn build(&self) -> Result<Built, Failure> {
        let mut command = cargo(&["rustc", "--lib", "--crate-type", "cdylib"]);
        command
            .args(["--message-format", "json-render-diagnostics", "--package", &self.name])
            .args(self.release.then_some("--release"))
            .current_dir(&self.directory);
        let output = read(&mut command).await?;
        if !output.status.success() {
            return Ok(Built::Failed);
        }
        let messages = output.stdout.split(|byte| *byte == b'\n');
        let file = messages
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .filter(|message| message["reason"] == "compiler-artifact" && self.is_ours(message))
            .filter_map(|message| shared_library(&message))
            .next_back();
        Ok(Built::File(file.ok_or("cargo built no shared library")?))
    }

    fn is_ours(&self, message: &Value) -> bool {
        message["manifest_path"].as_str().map(Path::new) == Some(self.directory.join("Cargo.toml").as_path())
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What it writes for programs; what it writes for people goes to the terminal.
async fn read(command: &mut Command) -> Result<Output, Failure> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let child = child.map_err(|error| format!("cannot run cargo: {error}; install Rust, or name cargo in CARGO"))?;
    Ok(child.wait_with_output().await?)
}

fn shared_library(message: &Value) -> Option<PathBuf> {
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    let mut found = files.map(PathBuf::from).filter(|file| {
        file.extension()
            .is_some_and(|kind| kind == std::env::consts::DLL_EXTENSION)
    });
    found.next()
}
