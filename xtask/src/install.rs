//! Installing what the test suites need and the machine lacks.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{must, root};

/// The directory with `initdb` and `postgres`.
pub(crate) fn postgres() -> Result<PathBuf> {
    if let Some(found) = find_postgres() {
        return Ok(found);
    }
    apt("postgresql")?;
    find_postgres().context("`apt-get install postgresql` brought no `initdb`; install PostgreSQL 14 or newer")
}

fn find_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path);
    found
        .into_iter()
        .rev()
        .chain(on_path)
        .find(|directory| directory.join("initdb").exists())
}

/// `redis-server`.
pub(crate) fn redis() -> Result<()> {
    if !present("redis-server") {
        apt("redis-server")?;
    }
    Ok(())
}

/// The senders that are not ours: `tests/node/node_modules`.
pub(crate) fn node_modules() -> Result<()> {
    let directory = root().join("tests/node");
    if directory.join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    if !present("npm") {
        bail!("the end-to-end suites need Node 20 or newer with npm; install them");
    }
    must(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(directory),
    )
}

fn apt(package: &str) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("`{package}` is missing and this system has no apt-get; install it");
    }
    let root_user = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    let command = |arguments: &[&str]| {
        let mut command = if root_user {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "apt-get"]);
            sudo
        };
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        command
    };
    println!("installing {package}");
    must(&mut command(&["update", "-qq"]))?;
    must(&mut command(&["install", "-y", "-qq", package])).with_context(|| format!("install `{package}` by hand"))
}

fn present(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).exists()))
}
