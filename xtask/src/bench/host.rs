//! Our side of a row: a host built and set up as we ship it, on free ports and a fresh directory.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{ground, payload, wire};

/// Operator key.
const OPERATOR: &str = "operator-key-of-the-bench-0123456789abcdef";
/// Longest wait for readiness.
const READY: Duration = Duration::from_secs(60);

/// How to start a host.
#[derive(Default)]
pub(super) struct Setup<'s> {
    pub(super) binary: &'s str,
    pub(super) directory: PathBuf,
    pub(super) core: Option<u32>,
    /// SQLite in its directory when none.
    pub(super) database: Option<String>,
    /// The GitHub plugin is on when there is one.
    pub(super) private_key: Option<String>,
    /// More settings, as variables.
    pub(super) settings: Vec<(&'static str, String)>,
}

/// A running host; stopped when dropped.
pub(super) struct Host {
    child: Child,
    pub(super) directory: PathBuf,
    pub(super) port: u16,
    pub(super) admin: u16,
    /// From spawn to the first 200 of `/readyz`.
    pub(super) ready: Duration,
}

impl Host {
    /// The host whose plugin is measured, on the server's core.
    pub(super) fn of_plugins(directory: PathBuf) -> Result<Self> {
        Self::start(Setup {
            binary: "bench-host",
            directory,
            core: ground::SERVER_CORE,
            ..Setup::default()
        })
    }

    pub(super) fn start(setup: Setup) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let log = File::create(setup.directory.join("host.log"))?;
        let mut command = ground::on_core(setup.core, &ground::shipped(setup.binary));
        command
            .arg("serve")
            .current_dir(&setup.directory)
            .env_clear()
            .env("JACKFIELD_LISTEN", format!("127.0.0.1:{port}"))
            .env("JACKFIELD_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
            .env("JACKFIELD_OPERATOR_KEY", OPERATOR)
            .envs(setup.settings)
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(url) = &setup.database {
            command.env("JACKFIELD_DATABASE_URL", url);
        }
        if let Some(key) = &setup.private_key {
            command
                .env("GITHUB_APP_CLIENT_ID", "Iv1.bench")
                .env("GITHUB_APP_PRIVATE_KEY", key)
                .env("GITHUB_APP_WEBHOOK_SECRET", payload::SECRET)
                // Nothing listens there: no row calls GitHub.
                .env("GITHUB_API_URL", "http://127.0.0.1:9");
        }
        let begun = Instant::now();
        let child = command.spawn().context("cannot start the host")?;
        let mut host = Self {
            child,
            directory: setup.directory,
            port,
            admin,
            ready: Duration::ZERO,
        };
        while wire::ask(admin, "GET", "/readyz", None).is_err() {
            if begun.elapsed() > READY || host.child.try_wait()?.is_some() {
                bail!("the host does not become ready: {}", host.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        host.ready = begun.elapsed();
        Ok(host)
    }

    /// Pauses or resumes a plugin.
    pub(super) fn plugin(&self, id: &str, action: &str) -> Result<()> {
        let path = format!("/api/admin/v1/plugins/{id}/{action}");
        wire::ask(self.port, "POST", &path, Some(OPERATOR)).map(|_| ())
    }

    /// A new API key of a new person.
    pub(super) fn api_key(&self) -> Result<String> {
        let new = r#"{"email":"caller@bench.example","name":"bench"}"#;
        let made = wire::tell(self.port, "POST", "/api/admin/v1/keys", Some(OPERATOR), new)?;
        let made: serde_json::Value = serde_json::from_str(&made)?;
        let key = made["key"].as_str().context("the host made no API key")?;
        Ok(key.to_owned())
    }

    /// Ends one session of a person.
    pub(super) fn end_session(&self, person: &str, session: &str) -> Result<()> {
        let path = format!("/api/admin/v1/users/{person}/sessions/{session}");
        let ended = wire::ask(self.port, "DELETE", &path, Some(OPERATOR))?;
        if ended != r#"{"ended":1}"# {
            bail!("the host was to end one session and says {ended}");
        }
        Ok(())
    }

    /// Requests that ended with this status, by its metrics; `other` is the route of what no route took.
    pub(super) fn requests(&self, route: &str, status: &str) -> Result<u64> {
        let metrics = wire::ask(self.admin, "GET", "/metrics", None)?;
        Ok(counter(
            &metrics,
            "jackfield_http_requests_total",
            &[("route", route), ("status", status)],
        ))
    }

    /// Whether a line of its log holds this text.
    pub(super) fn has_logged(&self, text: &str) -> Result<bool> {
        for line in BufReader::new(File::open(self.directory.join("host.log"))?).lines() {
            if line?.contains(text) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Attempts that ended well, by its metrics.
    pub(super) fn attempts_done(&self, plugin: &str) -> Result<u64> {
        let metrics = wire::ask(self.admin, "GET", "/metrics", None)?;
        Ok(counter(
            &metrics,
            "jackfield_job_attempts_total",
            &[("plugin", plugin), ("result", "done")],
        ))
    }

    /// Resident memory in MB.
    pub(super) fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().next())
            .context("the kernel does not tell the resident memory")?
            .parse()?;
        Ok(kib / 1024.0)
    }

    /// Seconds of CPU time so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("host.log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// SIGTERM, and after ten seconds SIGKILL.
pub(super) fn stop(child: &mut Child) {
    let asked = std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    let begun = Instant::now();
    while asked.is_ok() && begun.elapsed() < Duration::from_secs(10) {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Seconds of CPU time that a process has used.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    // The name, in parentheses, may hold spaces; what follows has fixed places.
    let (_, rest) = stat.rsplit_once(')').context("the kernel's line has another form")?;
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    // The kernel counts hundredths here on every Linux we run on.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// The sum of a counter's series that have these labels.
pub(super) fn counter(metrics: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    metrics
        .lines()
        .filter(|line| line.starts_with(name))
        .filter(|line| {
            labels
                .iter()
                .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_label() {
        let metrics = "# TYPE a_total counter\na_total{plugin=\"p\",result=\"done\"} 41\na_total{plugin=\"p\",result=\"failed\"} 7\n\
            a_total{plugin=\"q\",result=\"done\"} 1\n";
        assert_eq!(counter(metrics, "a_total", &[("plugin", "p"), ("result", "done")]), 41);
        assert_eq!(counter(metrics, "a_total", &[("result", "done")]), 42);
        assert_eq!(counter(metrics, "b_total", &[]), 0);
    }

    #[test]
    fn our_own_cpu_time() {
        assert!(cpu_seconds(std::process::id()).is_ok_and(|seconds| (0.0..3600.0).contains(&seconds)));
    }
}
