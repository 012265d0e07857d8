//! `cargo xtask lint`: format, clippy, dependencies, spelling, the web app, the generated header, and rules of this repository.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{cargo, frontend, header, install, must, root};

/// Longest Rust file.
const MAX_LINES: usize = 500;
/// Where code may be unsafe: the boundary's types, both sides of it, and what loads a library.
const UNSAFE: [&str; 3] = ["sdk/abi/", "sdk/src/ffi/mod.rs", "host/loader/src/image.rs"];

/// Crates outside the workspace, which no command for the workspace sees.
const APART: [&str; 2] = ["examples/bell-abi/Cargo.toml", "examples/parcels/Cargo.toml"];

/// Runs all of it; stops at the first that fails.
pub(crate) fn lint() -> Result<()> {
    repository()?;
    header::check()?;
    must(&mut cargo(&["fmt", "--all", "--check"]))?;
    for apart in APART {
        must(&mut cargo(&["fmt", "--manifest-path", apart, "--check"]))?;
        // Their lock files follow what the SDK depends on; `cargo update --workspace` in the directory brings one into step.
        must(
            cargo(&[
                "metadata",
                "--quiet",
                "--locked",
                "--format-version",
                "1",
                "--manifest-path",
                apart,
            ])
            .stdout(Stdio::null()),
        )?;
    }
    spelling()?;
    frontend::lint()?;
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
    if rust && allows_unsafe(text) && !UNSAFE.iter().any(|place| file.starts_with(place)) {
        problems.push(format!(
            "{file} allows unsafe code; only {} may, because the boundary to shared libraries needs it",
            UNSAFE.join(", ")
        ));
    }
    if text.contains(&format!("{}!(", "todo")) {
        problems.push(format!("{file} holds an unfinished mark"));
    }
    problems
}

/// Whether an attribute turns the workspace's lint off, however it is written: `allow`, `expect` or `warn`, among others.
fn allows_unsafe(text: &str) -> bool {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    let lint = ["unsafe", "_code"].concat();
    code.match_indices(&lint).any(|(at, _)| {
        let before = &code[..at];
        let attribute = before.rfind("#[").max(before.rfind("#!["));
        let attribute = attribute.map_or("", |begin| &before[begin..]);
        !attribute.contains(']')
            && ["allow(", "expect(", "warn("]
                .iter()
                .any(|level| attribute.contains(level))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_allowed_at_the_boundary_only() {
        let lint = ["unsafe", "_code"].concat();
        for attribute in [
            "#![allow({})]",
            "#[allow(dead_code, {})]",
            "#[\n    expect(\n        {},\n    )]",
            "#[cfg_attr(test, warn({}))]",
        ] {
            let text = attribute.replace("{}", &lint);
            assert_eq!(judge("host/edge/src/lib.rs", &text).len(), 1, "{text}");
            assert_eq!(judge("host/loader/src/cache.rs", &text).len(), 1, "{text}");
            assert_eq!(judge("sdk/src/ffi/future.rs", &text).len(), 1, "{text}");
            for place in ["sdk/abi/src/lib.rs", "sdk/src/ffi/mod.rs", "host/loader/src/image.rs"] {
                assert_eq!(judge(place, &text), Vec::<String>::new());
            }
        }
        for text in [
            "#![forbid({})]",
            "// allow({})",
            "let name = \"{}\";",
            "#[allow(dead_code)] fn f() {} // {}",
        ] {
            assert_eq!(
                judge("a.rs", &text.replace("{}", &lint)),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

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
