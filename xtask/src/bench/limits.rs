//! B12: rate-limit checks of two replicas on one Redis, against the package `limits` in as many processes.
//!
//! Both sides check 10 a second and 100 a minute for a caller, and all callers are new in every round. The peer counts in
//! fixed windows, as the reference has it: what it allows is told, and not held against it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    ground::{Ground, shipped},
    host::stop,
    peers,
    report::{Peer, Row, Subject, Target, Tried},
    stats::{fastest, median},
};

const SECONDS: f64 = 4.0;
const REPLICAS: usize = 2;
/// Strategy and threads of the peer's processes; the fastest is what we are held to.
const PEERS: [(&str, &str); 3] = [("fixed", "1"), ("fixed", "8"), ("moving", "1")];

/// What a process prints.
#[derive(Deserialize)]
struct Checked {
    checks: u64,
    seconds: f64,
    allowed: Vec<u64>,
    #[serde(default)]
    exact: bool,
    #[serde(default)]
    version: String,
}

/// What all replicas of a side did together.
struct Side {
    rate: f64,
    /// Of each caller.
    allowed: Vec<u64>,
    /// From before the first check to after the last.
    span: f64,
    exact: bool,
    version: String,
}

/// B12 in two rows: everyone's requests are one caller's, or those of ten thousand.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let python = crate::install::python_limits()?;
    let url = ground.redis()?;
    let mut rows = Vec::new();
    for (row, what, callers) in [
        ("B12", "rate-limit check of one hot caller, exact over two replicas", 1),
        ("B12-keys", "the same of 10,000 callers in turn", 10_000),
    ] {
        let (mut ours, mut wrong, mut version) = (Vec::new(), Vec::new(), String::new());
        let (mut theirs, mut most) = (vec![Vec::new(); PEERS.len()], vec![Vec::new(); PEERS.len()]);
        for round in 1..=ground.rounds {
            let prefix = |side: &str| format!("{row}.{round}.{side}.{}", std::process::id());
            let mut command = || {
                let mut command = Command::new(shipped("bench-host"));
                command.arg("limits");
                command
            };
            let side = together(&mut command, &url, &prefix("ours"), callers, &[])?;
            wrong.extend(over(&side).map(|why| format!("round {round}: {why}")));
            if !side.exact {
                wrong.push(format!("round {round}: a replica decided without Redis"));
            }
            ours.push(side.rate);
            for (number, (strategy, threads)) in PEERS.into_iter().enumerate() {
                let mut command = || {
                    let mut command = Command::new(&python);
                    command.arg(peers::program("limits_check.py"));
                    command
                };
                let name = format!("{}.{number}", prefix("peer"));
                let side = together(&mut command, &url, &name, callers, &[strategy, threads])?;
                if side.allowed.iter().sum::<u64>() == 0 {
                    wrong.push(format!(
                        "round {round}: the peer with {strategy} windows allowed nothing"
                    ));
                }
                theirs[number].push(side.rate);
                most[number].push(side.allowed.iter().copied().max().unwrap_or_default() as f64);
                version = side.version;
            }
        }
        let best = fastest(&theirs);
        let named = |number: usize| {
            let (strategy, threads) = PEERS[number];
            format!("{strategy} windows, {threads} threads a process")
        };
        let notes = vec![format!(
            "the peer allowed one caller {:.0} requests in {SECONDS} s; 10 and 10 a second are {:.0}",
            median(&most[best]),
            10.0 + 10.0 * SECONDS
        )];
        let subject = Subject {
            row,
            what,
            unit: "1/s",
            target: Target::Ratio(5.0),
            settings: format!(
                "10 a second and 100 a minute; {REPLICAS} processes a side of one thread, ours with 32 checks at once; {SECONDS} s a round"
            ),
        };
        let tried = (0..PEERS.len()).filter(|number| *number != best).map(|number| Tried {
            configuration: named(number),
            value: median(&theirs[number]),
        });
        let peer = Peer {
            name: "limits",
            version: format!("{version}; {}", named(best)),
            tried: tried.collect(),
            values: std::mem::take(&mut theirs[best]),
        };
        rows.push(Row::of(subject, &ours, Some(peer), wrong, notes));
    }
    Ok(rows)
}

/// The caller that was allowed most, if that is more than both limits allow.
fn over(side: &Side) -> Option<String> {
    let most = (10.0 + 10.0 * side.span).min(100.0 + 100.0 / 60.0 * side.span);
    let found = side.allowed.iter().copied().max().unwrap_or_default();
    let least = side.allowed.iter().copied().min().unwrap_or_default();
    if found as f64 > most {
        return Some(format!("{found} of one caller were allowed, {most:.1} is the limit"));
    }
    (least == 0).then(|| "a caller was never allowed".to_owned())
}

/// Runs all replicas of a side at once.
fn together(
    command: &mut dyn FnMut() -> Command,
    url: &str,
    prefix: &str,
    callers: usize,
    more: &[&str],
) -> Result<Side> {
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        let mut command = command();
        command
            .args([url, prefix, &callers.to_string(), &SECONDS.to_string()])
            .args(more);
        replicas.push(Replica::start(command)?);
    }
    for replica in &mut replicas {
        let line = replica.line()?;
        if line != "ready\n" {
            bail!("a replica printed `{line}` instead of `ready`");
        }
    }
    let begun = Instant::now();
    for replica in &mut replicas {
        replica.begin()?;
    }
    let mut side = Side {
        rate: 0.0,
        allowed: vec![0; callers],
        span: 0.0,
        exact: true,
        version: String::new(),
    };
    for replica in &mut replicas {
        let line = replica.line()?;
        side.span = begun.elapsed().as_secs_f64();
        let checked: Checked = serde_json::from_str(&line).with_context(|| format!("a replica printed `{line}`"))?;
        side.rate += checked.checks as f64 / checked.seconds;
        side.exact &= checked.exact;
        side.version = checked.version;
        for (all, one) in side.allowed.iter_mut().zip(checked.allowed) {
            *all += one;
        }
    }
    Ok(side)
}

/// A process that checks. Stopped when dropped.
struct Replica {
    child: Child,
    output: BufReader<Box<dyn Read>>,
}

impl Replica {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        let output: Box<dyn Read> = match child.stdout.take() {
            Some(output) => Box::new(output),
            None => Box::new(std::io::empty()),
        };
        let output = BufReader::new(output);
        Ok(Self { child, output })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    fn begin(&mut self) -> Result<()> {
        let mut input = self.child.stdin.take().context("a replica reads nothing")?;
        Ok(input.write_all(b"\n")?)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_limit_is_found() {
        let side = |allowed: &[u64], span| Side {
            rate: 1.0,
            allowed: allowed.to_vec(),
            span,
            exact: true,
            version: String::new(),
        };
        assert_eq!(over(&side(&[20, 15], 1.0)), None);
        assert!(over(&side(&[20, 21], 1.0)).is_some_and(|why| why.starts_with("21 of one caller")));
        assert!(over(&side(&[20, 0], 1.0)).is_some_and(|why| why.contains("never")));
        assert_eq!(over(&side(&[200], 60.0)), None);
        assert!(over(&side(&[201], 60.0)).is_some());
    }
}
