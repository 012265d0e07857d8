//! The C boundary under what finds undefined behaviour; part of `cargo xtask test --long`. Miri interprets both sides of it in one
//! process (`sdk/src/ffi/tests.rs`); it cannot load a library, so valgrind runs a suite that does.

use std::process::Command;

use anyhow::Result;

use crate::{
    cargo,
    follow::{Limits, follow},
    install,
    plugins::{self, Profile},
    root,
    summary::Summary,
};

/// An error of memory is a failed suite. Leaks are not looked for: an image stays by design.
const VALGRIND: &str = "valgrind --quiet --error-exitcode=9 --leak-check=no --fair-sched=yes";
/// The suite that loads and runs a plugin in its own process.
const IN_PROCESS: &str = "carrier::in_process";

pub(crate) fn boundary(limits: &Limits, summary: &mut Summary) -> Result<()> {
    install::valgrind()?;
    let libraries = plugins::build(&plugins::TESTED, &["jackfield-server"], Profile::Dev)?;
    let mut checked = cargo(&["test", "--package", "jackfield-tests", "--test", "e2e", IN_PROCESS]);
    let runner = format!(
        "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER",
        std::env::consts::ARCH.to_uppercase()
    );
    checked.env(runner, VALGRIND).env("JACKFIELD_TEST_PLUGINS", libraries);
    follow(checked, limits, summary)?;
    if !install::miri()? {
        println!("the boundary is not run under Miri: it needs rustup and its nightly toolchain");
        return Ok(());
    }
    let mut interpreted = Command::new("rustup");
    interpreted
        .args([
            "run",
            "nightly",
            "cargo",
            "miri",
            "test",
            "--package",
            "jackfield-sdk",
            "--lib",
        ])
        .args(["--target-dir", "target/miri", "ffi::tests"])
        // Threads and channels ask the system for the time; the payload of a panic while a panic's payload is dropped is leaked,
        // because its own drop may panic as well.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(root());
    follow(interpreted, limits, summary)
}
