//! A PostgreSQL that a test may kill: its own data directory and port, `fsync` on, ended with its whole process group.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    process,
    scratch::{Scratch, free_port},
};

/// A server; killed and removed when dropped.
pub struct Postgres {
    scratch: Scratch,
    bin: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// Makes a cluster and starts it. None, with the reason printed, without `JACKFIELD_TEST_PG_BIN`.
    pub async fn start(name: &str) -> Option<Self> {
        let Some(bin) = std::env::var_os("JACKFIELD_TEST_PG_BIN").map(PathBuf::from) else {
            println!("skipped: JACKFIELD_TEST_PG_BIN is not set; `cargo xtask test` sets it");
            return None;
        };
        let mut server = Self {
            scratch: Scratch::new(name),
            bin,
            port: free_port(),
            child: None,
        };
        let data = server.data();
        std::fs::create_dir_all(&data).unwrap();
        if process::as_root() {
            let mut own = Command::new("chown");
            own.arg("postgres:postgres").arg(&server.scratch.0).arg(&data);
            assert!(own.status().unwrap().success(), "cannot give {} away", data.display());
        }
        let mut make = server.program("initdb");
        make.args([
            "--no-sync",
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(&data);
        let (code, _, error) = process::run(make, Duration::from_secs(60));
        assert_eq!(code, 0, "initdb: {error}");
        server.resume().await;
        Some(server)
    }

    /// Its address, with a database that is there.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// `kill -9` of the postmaster and of everything it started. Left alone its children notice by themselves and end, but
    /// one that is recovering may hang on to the shared memory, and then nothing can start on the data again.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        let started = children(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        for pid in started {
            kill_now(&pid);
        }
    }

    /// `kill -9` of one backend: the postmaster throws all others out and recovers by itself.
    pub fn kill_backend(&self) {
        let backend = children(self.child.as_ref().unwrap().id()).into_iter().find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|text| text.contains("127.0.0.1("))
        });
        if let Some(pid) = backend {
            kill_now(&pid);
        }
    }

    /// An orderly, fast shutdown.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        process::signal(child.id(), "INT");
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "PostgreSQL does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it on its data, again and again while what is left of a killed one is still ending.
    pub async fn resume(&mut self) {
        let begun = Instant::now();
        let mut next = None;
        loop {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not answer: {}",
                std::fs::read_to_string(self.scratch.0.join("log")).unwrap_or_default()
            );
            let child = next.get_or_insert_with(|| self.spawn());
            if child.try_wait().unwrap().is_some() {
                next = None;
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            if self.answers().await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.child = next;
    }

    async fn answers(&self) -> bool {
        use sqlx::Connection;
        let asked = tokio::time::timeout(Duration::from_secs(2), sqlx::PgConnection::connect(&self.url())).await;
        matches!(asked, Ok(Ok(_)))
    }

    fn data(&self) -> PathBuf {
        self.scratch.0.join("data")
    }

    /// PostgreSQL refuses to run as root; Debian's package brings the user `postgres`.
    fn program(&self, name: &str) -> Command {
        let path = self.bin.join(name);
        let mut command = if process::as_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(&self.scratch.0);
        command
    }

    fn spawn(&self) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.scratch.0.join("log"))
            .unwrap();
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data());
        let port = self.port.to_string();
        command.args(["-p", &port]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=100",
            "shared_buffers=32MB",
        ] {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGQUIT ends the backends too; SIGKILL alone would leave them to find out.
            let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(10) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A database of its own on the suite's PostgreSQL. None, with the reason printed, when there is none.
pub async fn database() -> Option<String> {
    use sqlx::Connection;
    let Ok(url) = std::env::var("JACKFIELD_TEST_POSTGRES_URL") else {
        println!("skipped: JACKFIELD_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return None;
    };
    let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}

/// Ids of the processes that `parent` started.
fn children(parent: u32) -> Vec<String> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    listed.split_whitespace().map(str::to_owned).collect()
}

/// `kill -9`, of a process that may be gone already.
fn kill_now(pid: &str) {
    let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
}
