//! `cargo xtask run`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{cargo, frontend, must, root};

/// Builds the web app and the host and starts it in the foreground; Ctrl-C reaches it through the terminal.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    frontend::build_if_possible()?;
    must(&mut cargo(&[
        "build",
        "--package",
        "jackfield-server",
        "--bin",
        "jackfield",
    ]))?;
    // The host drains on the signal that the terminal sends to both of us; we wait for it.
    ctrlc::set_handler(|| {})?;
    let mut host = Command::new(root().join("target/debug/jackfield"));
    let status = host.arg("serve").args(arguments).current_dir(root()).status()?;
    if !status.success() {
        bail!("the host ended with {status}");
    }
    Ok(())
}
