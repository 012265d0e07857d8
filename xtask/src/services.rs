//! PostgreSQL and Redis for the test suites: free ports on 127.0.0.1, scratch directories, stopped by the pid we started. Keycloak is
//! only made ready: a suite that needs one starts its own.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{install, keycloak, must};

/// Running services; dropped means stopped and removed.
pub(crate) struct Services {
    children: Vec<Child>,
    scratch: PathBuf,
    /// Variables the suites read.
    pub(crate) variables: Vec<(String, String)>,
}

/// Starts both.
pub(crate) fn start() -> Result<Services> {
    let bin = install::postgres()?;
    install::redis()?;
    let scratch = std::env::temp_dir().join(format!("jackfield-services-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let mut services = Services {
        children: Vec::new(),
        scratch,
        variables: Vec::new(),
    };
    services.start_postgres(&bin)?;
    services.start_redis()?;
    Ok(services)
}

/// Starts both, and makes Keycloak ready.
pub(crate) fn start_all() -> Result<Services> {
    // First: it may take minutes, and needs neither.
    let keycloak = keycloak::variables()?;
    let mut services = start()?;
    services.variables.extend(keycloak);
    Ok(services)
}

/// `cargo xtask services`.
pub(crate) fn hold() -> Result<()> {
    let services = start_all()?;
    for (name, value) in &services.variables {
        println!("export {name}={value}");
    }
    let (tell, told) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || {
        // A second signal finds the channel closed; the first is being acted on.
        let _ = tell.send(());
    })?;
    told.recv()?;
    Ok(())
}

impl Services {
    fn start_postgres(&mut self, bin: &Path) -> Result<()> {
        let (data, port) = (self.scratch.join("postgres"), free_port()?);
        std::fs::create_dir_all(&data)?;
        // PostgreSQL refuses to run as root; Debian's package brings the user `postgres`.
        let as_root = Command::new("id").arg("-u").output()?.stdout == b"0\n";
        let command = |program: &str| {
            if as_root {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                    .arg(bin.join(program));
                command
            } else {
                Command::new(bin.join(program))
            }
        };
        if as_root {
            must(
                Command::new("chown")
                    .arg("postgres:postgres")
                    .arg(&data)
                    .arg(&self.scratch),
            )?;
        }
        let log = std::fs::File::create(self.scratch.join("postgres.log"))?;
        let made = command("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .current_dir(&self.scratch)
            .stdout(Stdio::null())
            .status()?;
        if !made.success() {
            bail!("initdb failed with {made}");
        }
        let child = command("postgres")
            .arg("-D")
            .arg(&data)
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args([
                "-c",
                "max_connections=200",
                "-c",
                "shared_buffers=256MB",
                "-c",
                "max_wal_size=2GB",
            ])
            .current_dir(&self.scratch)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start PostgreSQL")?;
        let pid = child.id();
        self.children.push(child);
        await_port(port, "PostgreSQL")?;
        let mut set = |name: &str, value: String| self.variables.push((name.to_owned(), value));
        set(
            "JACKFIELD_TEST_POSTGRES_URL",
            format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        );
        set("JACKFIELD_TEST_PG_BIN", bin.display().to_string());
        set("JACKFIELD_TEST_POSTGRES_PID", pid.to_string());
        Ok(())
    }

    fn start_redis(&mut self) -> Result<()> {
        let port = free_port()?;
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .current_dir(&self.scratch)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start Redis")?;
        self.children.push(child);
        await_port(port, "Redis")?;
        self.variables.push((
            "JACKFIELD_TEST_REDIS_URL".to_owned(),
            format!("redis://127.0.0.1:{port}"),
        ));
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for child in &mut self.children {
            // SIGINT is PostgreSQL's fast shutdown and Redis's normal one.
            let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let begun = Instant::now();
            while asked.is_ok() && begun.elapsed() < Duration::from_secs(10) {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            // Already gone is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Err(error) = std::fs::remove_dir_all(&self.scratch) {
            eprintln!("xtask: `{}` is left behind: {error}", self.scratch.display());
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn await_port(port: u16, what: &str) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{what} does not listen on port {port} after 30 s")
}
