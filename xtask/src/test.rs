//! `cargo xtask test`.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    boundary, cargo,
    follow::{Limits, follow},
    frontend, install, keycloak,
    plugins::{self, Profile},
    services::{self, Services},
    summary::Summary,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only crates, with their doctests
    #[arg(long)]
    rust: bool,
    /// Only the web app: types, lint, unit tests, build, size of the first load, pages in a browser on a real host
    #[arg(long)]
    frontend: bool,
    /// Only end-to-end suites
    #[arg(long)]
    e2e: bool,
    /// Heavy suites in full size, end-to-end suites against the host as it is shipped
    #[arg(long)]
    long: bool,
    /// End-to-end suites alone, on hosts that reload a random plugin every second
    #[arg(long)]
    chaos: bool,
}

/// Runs everything, or the named parts, and closes with one line: `N passed, N failed`.
pub(crate) fn test(options: &Options) -> ExitCode {
    let all = !options.rust && !options.e2e && !options.chaos && !options.frontend;
    let mut summary = Summary::default();
    // Its tests know no filter; the host that the suites start embeds what is built here.
    let app = options.frontend || (all && options.filter.is_none());
    if app && let Err(error) = frontend::test(&mut summary) {
        summary.fail(format!("{error:#}"));
    }
    if options.frontend && !options.rust && !options.e2e && !options.chaos {
        // No page needs PostgreSQL or Redis.
        if let Err(error) = keycloak::variables().and_then(|keycloak| pages(options, &keycloak, &mut summary)) {
            summary.fail(format!("{error:#}"));
        }
        return close(&summary);
    }
    match services::start_all() {
        Ok(services) => {
            if (all || options.rust)
                && let Err(error) = crates(options, &services, &mut summary)
            {
                summary.fail(format!("{error:#}"));
            }
            if (all || options.e2e || options.chaos)
                && let Err(error) = end_to_end(options, &services, &mut summary)
            {
                summary.fail(format!("{error:#}"));
            }
            // Here, because the suites before have built the host.
            if app && let Err(error) = pages(options, &services.variables, &mut summary) {
                summary.fail(format!("{error:#}"));
            }
            if options.long
                && (all || options.rust)
                && let Err(error) = boundary::boundary(&Limits::of(true), &mut summary)
            {
                summary.fail(format!("{error:#}"));
            }
        }
        Err(error) => summary.fail(format!("{error:#}")),
    }
    if let Some(filter) = options.filter.as_ref().filter(|_| summary.passed + summary.failed == 0) {
        summary.fail(format!("no test has `{filter}` in its name"));
    }
    close(&summary)
}

/// The closing line, and what it means.
fn close(summary: &Summary) -> ExitCode {
    for problem in &summary.problems {
        eprintln!("xtask: {problem}");
    }
    println!("{} passed, {} failed", summary.passed, summary.failed);
    if summary.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Unit and integration tests of every crate, and the examples in its documentation.
fn crates(options: &Options, services: &Services, summary: &mut Summary) -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--exclude", "jackfield-tests", "--no-fail-fast"]);
    prepare(&mut command, options, services);
    follow(command, &Limits::of(options.long), summary)
}

/// The suites that start the host's binary.
fn end_to_end(options: &Options, services: &Services, summary: &mut Summary) -> Result<()> {
    install::node_modules()?;
    let (host, libraries) = host(options)?;
    if options.filter.is_none() {
        plugins::build_apart()?;
    }
    let mut command = cargo(&["test", "--package", "jackfield-tests", "--no-fail-fast"]);
    prepare(&mut command, options, services);
    command
        .env("JACKFIELD_TEST_HOST_BIN", host)
        .env("JACKFIELD_TEST_PLUGINS", libraries);
    if let Some(library) = install::faketime() {
        command.env("JACKFIELD_TEST_FAKETIME", library);
    }
    if options.chaos {
        command.env("JACKFIELD_TEST_CHAOS_RELOAD_MS", "1000");
    }
    if let Some(rustc) = install::oldest_rustc() {
        command.env("JACKFIELD_TEST_OLDEST_RUSTC", rustc);
    }
    follow(command, &Limits::of(options.long), summary)
}

/// The app's pages in a browser, on the same host.
fn pages(options: &Options, variables: &[(String, String)], summary: &mut Summary) -> Result<()> {
    let (host, _) = host(options)?;
    frontend::pages(&host, variables, summary)
}

/// The host and the libraries that are loaded into it, built together, so that a second build finds all of it done.
fn host(options: &Options) -> Result<(PathBuf, PathBuf)> {
    frontend::build()?;
    // The optimised build takes as long as all else that a run does, and checks less: overflow and debug assertions.
    let profile = if options.long { Profile::Dist } else { Profile::Dev };
    let libraries = plugins::build(&plugins::TESTED, &["jackfield-server"], profile)?;
    let host = profile.folder().join("jackfield");
    if !host.exists() {
        bail!("`{}` was not built; is CARGO_TARGET_DIR set?", host.display());
    }
    Ok((host, libraries))
}

fn prepare(command: &mut Command, options: &Options, services: &Services) {
    command
        .args(&options.filter)
        .envs(services.variables.iter().map(|(name, value)| (name, value)));
    if options.long {
        command.env("JACKFIELD_TEST_LONG", "1");
    }
}
