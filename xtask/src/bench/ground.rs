//! What the rows stand on: builds as we ship them, a scratch directory, PostgreSQL, the peers' packages.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{load::Loaded, payload, psql::Psql, requests::ID};
use crate::{cargo, install, must, plugins::Profile, services, services::Services};

/// Server side of a row whose peer is single-threaded.
pub(super) const SERVER_CORE: Option<u32> = Some(0);
/// Load side of such a row.
pub(super) const LOAD_CORE: Option<u32> = Some(1);

/// How requests are sent, and which answers are right.
pub(super) struct Load<'l> {
    pub(super) connections: usize,
    pub(super) core: Option<u32>,
    /// Seconds before it counts.
    pub(super) warm: f64,
    /// Seconds in which it counts.
    pub(super) seconds: f64,
    /// What stands in the request at [`EACH`](super::requests::EACH), and the bodies of the right answers.
    pub(super) in_turn: Option<&'l Path>,
    /// Any 2xx when none.
    pub(super) status: Option<u16>,
    /// Bytes of the answer's body.
    pub(super) length: Option<usize>,
}

/// What is measured, and what measures.
pub(super) const PACKAGES: [&str; 4] = ["jackfield-server", "bench-host", "bench-plugin", "xtask"];

/// See the module text. Removed when dropped.
pub(super) struct Ground {
    pub(super) scratch: PathBuf,
    pub(super) rounds: usize,
    services: OnceCell<Services>,
    private_key: OnceCell<String>,
}

impl Ground {
    /// Builds what is measured.
    pub(super) fn prepare(rounds: usize) -> Result<Self> {
        let mut arguments = vec!["build", "--quiet", "--profile", Profile::Dist.name()];
        arguments.extend(PACKAGES.iter().flat_map(|package| ["--package", package]));
        must(&mut cargo(&arguments))?;
        install::peers()?;
        let scratch = std::env::temp_dir().join(format!("jackfield-bench-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)?;
        let ground = Self {
            scratch,
            rounds,
            services: OnceCell::new(),
            private_key: OnceCell::new(),
        };
        std::fs::write(ground.body(), payload::push())?;
        Ok(ground)
    }

    /// The 14 KB push event.
    pub(super) fn body(&self) -> PathBuf {
        self.scratch.join("push.json")
    }

    /// A fresh, empty directory.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Address of the PostgreSQL server, without a database name.
    pub(super) fn postgres(&self) -> Result<String> {
        let url = self.service("JACKFIELD_TEST_POSTGRES_URL")?;
        Ok(url.trim_end_matches("/postgres").to_owned())
    }

    /// Address of Redis.
    pub(super) fn redis(&self) -> Result<String> {
        self.service("JACKFIELD_TEST_REDIS_URL")
    }

    /// What the services say of themselves. They are started when they are first asked for.
    fn service(&self, name: &str) -> Result<String> {
        if self.services.get().is_none() {
            // Only this call fills it.
            let _ = self.services.set(services::start()?);
        }
        let variables = self
            .services
            .get()
            .map(|services| services.variables.as_slice())
            .unwrap_or_default();
        let (_, url) = variables
            .iter()
            .find(|(one, _)| one == name)
            .with_context(|| format!("the services do not give {name}"))?;
        Ok(url.clone())
    }

    /// A fresh database on a server that has just written its checkpoint.
    pub(super) fn database(&self, name: &str) -> Result<String> {
        let server = self.postgres()?;
        let mut psql = Psql::open(&format!("{server}/postgres"))?;
        psql.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        psql.run(&format!("CREATE DATABASE {name}"))?;
        psql.run("CHECKPOINT")?;
        Ok(format!("{server}/{name}"))
    }

    /// Removes a database, so that the next row does not pay for its autovacuum.
    pub(super) fn drop_database(&self, name: &str) -> Result<()> {
        let mut psql = Psql::open(&format!("{}/postgres", self.postgres()?))?;
        psql.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    }

    /// Version and durability settings of the server, as it reports them.
    pub(super) fn postgres_settings(&self) -> Result<String> {
        let mut psql = Psql::open(&format!("{}/postgres", self.postgres()?))?;
        let mut settings = vec![format!("PostgreSQL {}", psql.value("SHOW server_version")?)];
        for name in [
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "shared_buffers",
            "max_wal_size",
        ] {
            settings.push(format!("{name}={}", psql.value(&format!("SHOW {name}"))?));
        }
        Ok(settings.join(" "))
    }

    /// A key for the GitHub App; nobody knows it.
    pub(super) fn private_key(&self) -> Result<String> {
        if self.private_key.get().is_none() {
            let made = Command::new("openssl")
                .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
                .stderr(Stdio::null())
                .output()
                .context("cannot start `openssl`; install it")?;
            if !made.status.success() {
                bail!("`openssl genpkey` failed with {}", made.status);
            }
            // Only this call fills it.
            let _ = self.private_key.set(String::from_utf8(made.stdout)?);
        }
        self.private_key.get().cloned().context("no private key was made")
    }

    /// Sends a prepared request over `connections` for as long as it is measured.
    pub(super) fn load(
        &self,
        port: u16,
        request: &[u8],
        connections: usize,
        core: Option<u32>,
        seconds: f64,
    ) -> Result<Loaded> {
        let load = Load {
            connections,
            core,
            warm: 1.0,
            seconds,
            in_turn: None,
            status: None,
            length: None,
        };
        self.send(port, request, &load)
    }

    /// The same, told in full.
    pub(super) fn send(&self, port: u16, request: &[u8], load: &Load) -> Result<Loaded> {
        let file = self.scratch.join("request");
        std::fs::write(&file, request)?;
        let mut command = on_core(load.core, &shipped("xtask"));
        command.arg("load").arg(port.to_string()).arg(&file).args([
            "--connections",
            &load.connections.to_string(),
            "--warm",
            &load.warm.to_string(),
            "--seconds",
            &load.seconds.to_string(),
        ]);
        if let Some(lines) = load.in_turn {
            command.arg("--in-turn").arg(lines);
        }
        if let Some(status) = load.status {
            command.args(["--status", &status.to_string()]);
        }
        if let Some(length) = load.length {
            command.args(["--length", &length.to_string()]);
        }
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("the load generator failed with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("the load generator printed something else")
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.scratch) {
            eprintln!("xtask: `{}` is left behind: {error}", self.scratch.display());
        }
    }
}

/// A program, built as we ship it.
pub(super) fn shipped(name: &str) -> PathBuf {
    Profile::Dist.folder().join(name)
}

/// A program, kept on one core when one is given.
pub(super) fn on_core(core: Option<u32>, program: &Path) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &core.to_string()]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A signed delivery as GitHub sends it.
pub(super) fn delivery(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /integration/github/events HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/d4b5e0f\r\n\
         Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-GitHub-Delivery: {ID}\r\n\
         X-GitHub-Event: push\r\nX-GitHub-Hook-ID: 490231842\r\nX-GitHub-Hook-Installation-Target-ID: 881244\r\n\
         X-GitHub-Hook-Installation-Target-Type: integration\r\nX-Hub-Signature-256: {}\r\n\r\n",
        body.len(),
        payload::signature(body)
    );
    [head.as_bytes(), body].concat()
}
