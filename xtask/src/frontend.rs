//! The web app: installing what it is built with, building it, its checks.

use std::{
    io::{BufRead, BufReader, pipe},
    path::Path,
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result};

use crate::{install, must, root, summary::Summary};

/// Builds `frontend/dist` unless it is newer than everything that it is made of. Without Node nothing is built, and the host has
/// no app embedded, unless one was built before.
pub(crate) fn build_if_possible() -> Result<()> {
    if !install::has_node() {
        println!("the web app is not built: this needs Node 20.19 or newer with npm");
        return Ok(());
    }
    build()
}

/// The same where it must be there.
pub(crate) fn build() -> Result<()> {
    install::frontend_modules()?;
    let folder = root().join("frontend");
    let built = changed(&folder.join("dist/index.html"));
    let parts = ["src", "public", "index.html", "vite.config.ts", "package-lock.json"];
    let newest = parts.iter().map(|part| newest(&folder.join(part))).max();
    if built.is_some() && built >= newest.flatten() {
        return Ok(());
    }
    must(&mut npm("build"))
}

/// Types, lint, unit tests, build, size of the first load. Each is run, whatever failed before.
pub(crate) fn test(summary: &mut Summary) -> Result<()> {
    install::frontend_modules()?;
    for script in ["check", "lint", "test", "build", "size"] {
        step(script, &mut npm(script), summary)?;
    }
    Ok(())
}

/// The pages that were built, in a browser: on recorded answers, on `host`, and on `host` with the Keycloak that `variables` name.
pub(crate) fn pages(host: &Path, variables: &[(String, String)], summary: &mut Summary) -> Result<()> {
    install::frontend_modules()?;
    install::chromium()?;
    let mut command = npm("pages");
    command
        .env("JACKFIELD_TEST_HOST_BIN", host)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    step("pages", &mut command, summary)
}

/// Its typed client is in step with `openapi.json`, its types hold, its lint is clean.
pub(crate) fn lint() -> Result<()> {
    if !install::has_node() {
        println!("lint: the web app is not checked: Node 20.19 or newer with npm is missing");
        return Ok(());
    }
    install::frontend_modules()?;
    must(&mut npm("check"))?;
    must(&mut npm("lint"))
}

/// Runs one and counts it: its tests if it tells how many there were, else as one.
fn step(name: &str, command: &mut Command, summary: &mut Summary) -> Result<()> {
    let (output, input) = pipe().context("cannot make a pipe")?;
    command.env("NO_COLOR", "1").stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn().context("cannot start npm")?;
    // Its ends of the pipe close with it.
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut counted = Counted::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        counted.read(&line);
    }
    let good = child.wait()?.success();
    summary.passed += counted.passed;
    summary.failed += counted.failed;
    match (good, counted) {
        (true, Counted { passed: 0, failed: 0 }) => summary.passed += 1,
        (false, Counted { failed: 0, .. }) => summary.fail(format!("the web app: `npm run {name}` failed")),
        _ => {}
    }
    Ok(())
}

/// What a test runner says at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    passed: u64,
    failed: u64,
}

impl Counted {
    /// Vitest's `Tests  1 failed | 75 passed (76)`, and `# pass 97` of Node's runner.
    fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("Tests ") {
            for part in counts.split(['|', '(']) {
                let mut words = part.split_whitespace();
                match (words.next().and_then(|count| count.parse::<u64>().ok()), words.next()) {
                    (Some(count), Some("passed")) => self.passed += count,
                    (Some(count), Some("failed")) => self.failed += count,
                    _ => {}
                }
            }
        }
        let number = |word: &str| {
            line.strip_prefix(word)
                .and_then(|count| count.trim().parse::<u64>().ok())
        };
        self.passed += number("# pass ").unwrap_or(0);
        self.failed += number("# fail ").unwrap_or(0);
    }
}

fn npm(script: &str) -> Command {
    let mut command = Command::new("npm");
    command
        .args(["run", "--silent", script])
        .current_dir(root().join("frontend"));
    command
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

/// When a file, or the latest of what is in a folder, changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    // A folder's own time counts too: it changes when something in it is removed.
    below
        .map(|entry| newest(&entry.path()))
        .max()
        .flatten()
        .max(changed(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_are_counted() {
        let mut counted = Counted::default();
        for line in [
            " Test Files  1 failed | 7 passed (8)",
            "      Tests  1 failed | 75 passed (76)",
            "# tests 84",
            "# pass 83",
            "# fail 1",
            "# passing by",
        ] {
            counted.read(line);
        }
        assert_eq!(counted, Counted { passed: 158, failed: 2 });
    }
}
