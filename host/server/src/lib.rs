//! The host. [`main`] is public: a custom host names its plugins with `use my_plugin as _;` and calls it.

mod admin;
mod announce;
mod answer;
mod build;
mod change;
mod chaos;
mod cli;
mod commands;
mod control;
mod docs;
mod dylibs;
mod fixtures;
mod logs;
mod plan;
mod probes;
mod serve;
mod show;
mod signals;
mod since;
mod stamp;
mod watch;
mod web;
mod web_app;

use std::process::ExitCode;

/// Runs the command line. Exit codes: 0 good, 1 failed, 2 wrong usage, 78 bad configuration.
pub fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("jackfield: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(commands::run());
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    logs::flush();
    ExitCode::from(code)
}
