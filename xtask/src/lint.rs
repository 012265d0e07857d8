//! `cargo xtask lint`: format, clippy, dependencies, spelling, the generated header, and rules of this repository.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{cargo, header, install, must, root};

/// Longest Rust file.
const MAX_LINES: usize = 500;

/// Crates outside the workspace, which no command for the workspace sees.
const APART: [&str; 2] = ["examples/bell-abi/Cargo.toml", "examples/parcels/Cargo.toml"];

/// Runs all of it; stops at the first that fails.
pub(crate) fn lint() -> Result<()> {
    repository()?;
    header::check()?;
    must(&mut cargo(&["fmt", "--all", "--check"]))?;
    for apart in APART {
        must(&mut cargo(&["fmt", "--manifest-path", apart, "--check"]))?;
    }
    spelling()?;
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
    println!("lint: clean");
    Ok(())
}

/// `deny.toml`. Advisories are left to a scheduled job: they need a download, and they change without a commit of ours.
fn dependencies() -> Result<()> {
    let deny = install::cargo_deny()?;
    must(
        Command::new(deny)
            .args([
                "--log-level",
                "warn",
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(root()),
    )
}

/// `typos.toml`.
fn spelling() -> Result<()> {
    match install::typos()? {
        Some(typos) => must(Command::new(typos).args(["--format", "brief"]).current_dir(root())),
        None => {
            println!("lint: spelling is not checked: python3 with pip is missing");
            Ok(())
        }
    }
}

/// What clippy cannot see.
fn repository() -> Result<()> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output()?;
    let mut problems = Vec::new();
    for file in String::from_utf8(listed.stdout)?.lines() {
        // What is no text, or deleted but not yet committed, has no rules.
        if let Ok(text) = std::fs::read_to_string(root().join(file)) {
            problems.extend(judge(file, &text));
        }
    }
    if !problems.is_empty() {
        bail!("repository rules:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

/// The rules that one file breaks.
fn judge(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let rust = Path::new(file).extension().is_some_and(|kind| kind == "rs");
    if rust && text.lines().count() > MAX_LINES {
        problems.push(format!(
            "{file} has more than {MAX_LINES} lines; give its second concern a file of its own"
        ));
    }
    if text.contains(&format!("{}!(", "todo")) {
        problems.push(format!("{file} holds an unfinished mark"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_unfinished_files_are_named() {
        let long = "\n".repeat(MAX_LINES + 1);
        assert_eq!(judge("a.rs", &long).len(), 1);
        assert_eq!(judge("a.md", &long).len(), 0);
        assert_eq!(judge("a.rs", &long[1..]).len(), 0);
        let unfinished = judge("b.rs", &format!("fn b() {{ {}!() }}", "todo"));
        assert_eq!(unfinished, ["b.rs holds an unfinished mark"]);
    }
}
