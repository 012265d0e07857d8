//! `cargo xtask test`.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{cargo, install, must, root, services, summary::Summary};

#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only crates
    #[arg(long)]
    rust: bool,
    /// Only end-to-end suites
    #[arg(long)]
    e2e: bool,
    /// Heavy suites in full size
    #[arg(long)]
    long: bool,
}

/// Runs everything, or the named parts, and closes with one line.
pub(crate) fn test(options: &Options) -> Result<()> {
    let all = !options.rust && !options.e2e;
    let services = services::start()?;
    let mut summary = Summary::default();
    let prepare = |command: &mut Command| {
        command.envs(services.variables.iter().map(|(name, value)| (name, value)));
        if options.long {
            command.env("JACKFIELD_TEST_LONG", "1");
        }
    };
    if all || options.rust {
        let mut command = cargo(&["test", "--workspace", "--exclude", "jackfield-tests", "--no-fail-fast"]);
        command.args(&options.filter);
        prepare(&mut command);
        follow(&mut command, &mut summary)?;
    }
    if all || options.e2e {
        // A fast local loop may use the dev host: JACKFIELD_TEST_DEV_HOST=1.
        let dev = std::env::var_os("JACKFIELD_TEST_DEV_HOST").is_some();
        let ready = install::node_modules().and_then(|()| {
            let mut build = cargo(&["build", "--package", "jackfield-server", "--bin", "jackfield"]);
            must(if dev { &mut build } else { build.arg("--release") })
        });
        match ready {
            Ok(()) => {
                let mut command = cargo(&["test", "--package", "jackfield-tests", "--no-fail-fast"]);
                command.args(&options.filter);
                prepare(&mut command);
                let profile = if dev { "debug" } else { "release" };
                command.env(
                    "JACKFIELD_TEST_HOST_BIN",
                    root().join("target").join(profile).join("jackfield"),
                );
                follow(&mut command, &mut summary)?;
            }
            Err(error) => {
                eprintln!("xtask: {error:#}");
                summary.failed += 1;
            }
        }
    }
    drop(services);
    println!("{} passed, {} failed", summary.passed, summary.failed);
    if summary.failed > 0 {
        bail!("{} failed", summary.failed);
    }
    Ok(())
}

/// Runs a suite, shows its output as it comes, and adds it up.
fn follow(command: &mut Command, summary: &mut Summary) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let before = summary.failed;
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        summary.read(&line);
    }
    summary.end(child.wait()?.success(), before);
    Ok(())
}
