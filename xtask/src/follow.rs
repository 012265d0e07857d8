//! Running `cargo test` under a watch: its output goes on as it comes and is added up, and a suite that hangs is ended, named
//! and counted, so that the ones after it still run.

use std::{
    io::{BufRead, BufReader, pipe},
    process::Command,
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::summary::Summary;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Building everything that is tested.
    build: Duration,
    /// One test binary, or the doctests of one crate.
    suite: Duration,
}

impl Limits {
    /// In full size, or as in CI.
    pub(crate) fn of(long: bool) -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            build: minutes(30),
            suite: minutes(if long { 180 } else { 20 }),
        }
    }
}

/// Runs `cargo test …` and adds it up.
pub(crate) fn follow(mut command: Command, limits: &Limits, summary: &mut Summary) -> Result<()> {
    // One pipe for both, so that a suite's name and its result come in order.
    let (output, input) = pipe().context("cannot make a pipe")?;
    command
        .env("CARGO_TERM_COLOR", "never")
        .stdout(input.try_clone()?)
        .stderr(input);
    let mut child = command.spawn().context("cannot start cargo")?;
    // Its ends of the pipe close with it.
    drop(command);
    let (tell, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            if !line.is_ok_and(|line| tell.send(String::from_utf8_lossy(&line).into_owned()).is_ok()) {
                break;
            }
        }
    });
    let mut limit = limits.build;
    let mut deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                if summary.read(&line) {
                    limit = limits.suite;
                    deadline = Instant::now() + limit;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let what = summary.suite().unwrap_or("the build").to_owned();
                println!("xtask: {what} did not end within {} s and is stopped", limit.as_secs());
                let below = descendants(child.id());
                if below.is_empty() {
                    child.kill()?;
                    bail!("cargo does not end after {what}");
                }
                below.iter().for_each(|pid| stop(*pid));
                deadline = Instant::now() + Duration::from_secs(60);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let success = child.wait()?.success();
    summary.end(success);
    if reader.join().is_err() {
        bail!("the output of cargo could not be read to its end");
    }
    Ok(())
}

/// Every process below one, the deepest last.
fn descendants(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut next = vec![pid];
    while let Some(parent) = next.pop() {
        let Ok(listed) = Command::new("pgrep").args(["-P", &parent.to_string()]).output() else {
            continue;
        };
        let children = String::from_utf8_lossy(&listed.stdout);
        for child in children.lines().filter_map(|line| line.trim().parse().ok()) {
            all.push(child);
            next.push(child);
        }
    }
    all
}

fn stop(pid: u32) {
    // One that has just ended is no failure.
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn limits(suite_ms: u64) -> Limits {
        Limits {
            build: Duration::from_secs(20),
            suite: Duration::from_millis(suite_ms),
        }
    }

    #[test]
    fn a_suite_that_hangs_is_one_failure_and_the_next_one_still_runs() {
        let script = "echo '     Running tests/a.rs (target/debug/deps/a-1)' >&2; sh -c 'sleep 600; true'; \
                      echo '     Running tests/b.rs (target/debug/deps/b-1)' >&2; \
                      echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101";
        let begun = Instant::now();
        let mut summary = Summary::default();
        assert!(follow(shell(script), &limits(300), &mut summary).is_ok());
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!((summary.passed, summary.failed), (2, 1));
        assert!(summary.problems[0].contains("tests/a.rs"), "{:?}", summary.problems);
    }

    #[test]
    fn a_build_that_fails_is_one_failure() {
        let mut summary = Summary::default();
        assert!(
            follow(
                shell("echo 'error: could not compile' >&2; exit 101"),
                &limits(10_000),
                &mut summary
            )
            .is_ok()
        );
        assert_eq!((summary.passed, summary.failed), (0, 1));
    }
}
