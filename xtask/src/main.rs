//! Build and test logic of the repository: `cargo xtask run | test | bench | lint | header | dist | services`.

mod bench;
mod boundary;
mod dist;
mod follow;
mod frontend;
mod header;
mod install;
mod keycloak;
mod lint;
mod plugins;
mod run;
mod services;
mod summary;
mod test;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the web app and the host and start it; arguments after `--` go to `serve`
    Run {
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Everything, or the parts that are named
    Test(test::Options),
    /// Measure us beside our peers: the rows that are named, or all
    Bench(bench::Options),
    /// What `bench` sends requests with; started by it, built as we ship
    #[command(hide = true)]
    Load(bench::LoadOptions),
    /// Format, spelling, clippy, dependencies, repository rules
    Lint,
    /// Make the header for plugins in C from the boundary's source
    Header,
    /// Release archive in target/dist
    Dist,
    /// Start PostgreSQL and Redis, make Keycloak ready, print their variables, wait for Ctrl-C
    Services,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Task::Run { arguments } => run::run(&arguments),
        Task::Test(options) => return test::test(&options),
        Task::Bench(options) => bench::bench(&options),
        Task::Load(options) => bench::load(&options),
        Task::Lint => lint::lint(),
        Task::Header => header::write(),
        Task::Dist => dist::dist(),
        Task::Services => services::hold(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default()
}

/// `cargo`, in the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs to its end; a failure names the command.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("{command:?} failed with {status}");
    }
    Ok(())
}
