//! `cargo xtask lint`: format, clippy, dependencies, and rules of this repository.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, must, root};

/// Crates of which the build may hold one version.
const ONE_VERSION: [&str; 9] = [
    "axum",
    "hyper",
    "jsonwebtoken",
    "reqwest",
    "rustls",
    "sea-orm",
    "sqlx",
    "tokio",
    "tower-http",
];
/// Crates that must not be there, with the reason.
const BANNED: [(&str, &str); 3] = [
    ("ring", "aws-lc-rs is the one crypto provider"),
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
];
/// Licences that may be linked.
const LICENCES: [&str; 15] = [
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "MPL-2.0",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "OpenSSL",
    "CDLA-Permissive-2.0",
    "MIT-0",
];
/// Longest Rust file.
const MAX_LINES: usize = 500;

/// Runs all of it; stops at the first that fails.
pub(crate) fn lint() -> Result<()> {
    must(&mut cargo(&["fmt", "--all", "--check"]))?;
    must(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    dependencies()?;
    sources()?;
    println!("lint: clean");
    Ok(())
}

/// The rules that `deny.toml` states, from cargo's own metadata, so that nothing needs to be installed; with `cargo-deny` on the
/// machine it runs too.
fn dependencies() -> Result<()> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let problems = judge(
        metadata["packages"]
            .as_array()
            .context("no packages in cargo's metadata")?,
    );
    if !problems.is_empty() {
        bail!("dependencies:\n  {}", problems.join("\n  "));
    }
    if Command::new("cargo-deny")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        must(&mut cargo(&["deny", "check"]))?;
    } else {
        println!("lint: cargo-deny is not installed; bans, versions and licences were checked from cargo's metadata");
    }
    Ok(())
}

fn judge(packages: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let text = |member: &str| package[member].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        versions.entry(name).or_default().push(version);
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            problems.push(format!("{name} {version} is banned: {reason}"));
        }
        if !allowed(text("license")) {
            problems.push(format!(
                "{name} {version} has the licence `{}`, which is not on the list",
                text("license")
            ));
        }
        let source = text("source");
        if !source.is_empty() && !source.starts_with("registry+") {
            problems.push(format!("{name} {version} comes from {source}, not from the registry"));
        }
    }
    for name in ONE_VERSION {
        if let Some(all) = versions.get(name).filter(|all| all.len() > 1) {
            problems.push(format!("{name} is there in versions {}", all.join(" and ")));
        }
    }
    problems
}

/// An SPDX expression: every `AND` part needs one `OR` part on the list.
fn allowed(expression: &str) -> bool {
    let plain = expression
        .replace(['(', ')'], " ")
        .replace('/', " OR ")
        .replace("WITH LLVM-exception", "");
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

/// What clippy cannot see.
fn sources() -> Result<()> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output()?;
    let mut problems = Vec::new();
    for file in String::from_utf8(listed.stdout)?.lines() {
        let path: PathBuf = root().join(file);
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if path.extension().is_some_and(|kind| kind == "rs") && text.lines().count() > MAX_LINES {
            problems.push(format!(
                "{file} has more than {MAX_LINES} lines; give its second concern a file of its own"
            ));
        }
        if text.contains(&format!("{}!()", "todo")) {
            problems.push(format!("{file} holds an unfinished mark"));
        }
    }
    if !problems.is_empty() {
        bail!("repository rules:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn licence_expressions() {
        assert!(
            allowed("MIT OR Apache-2.0") && allowed("MIT/Apache-2.0") && allowed("(MIT OR GPL-3.0) AND Unicode-3.0")
        );
        assert!(!allowed("GPL-3.0") && !allowed("MIT AND GPL-3.0") && !allowed(""));
    }

    #[test]
    fn bans_and_versions() {
        let package =
            |name: &str, version: &str| json!({ "name": name, "version": version, "license": "MIT", "source": null });
        let problems = judge(&[
            package("ring", "1.0.0"),
            package("tokio", "1.0.0"),
            package("tokio", "2.0.0"),
        ]);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
