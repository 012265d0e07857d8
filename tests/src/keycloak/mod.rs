//! A real Keycloak on a free port, from a copy of the prepared database: ready in about 8 s on idle cores.
//!
//! [`shared`] gives the one of this test process; it ends with the process. Tests that stop it, or that fill it, start one of
//! their own. Tests that change a realm take one of their own ([`Keycloak::new_realm`]), since they run beside each other.

mod browser;
mod jar;
mod page;
mod realm;

pub use browser::{Browser, Hop, Visit};
pub use realm::{Realm, User};

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    host::client,
    process::{self, Group},
    scratch::{Scratch, free_port},
};

/// The realm that is there from the start, as `tests/keycloak/realm.json` has it.
pub const REALM: &str = "allhands";
/// Its client, in every realm.
pub const CLIENT: &str = "allhands";
/// The client's secret.
pub const CLIENT_SECRET: &str = "secret-of-the-test-realm";
/// The brokered provider, in every realm.
pub const PROVIDER: &str = "github";
/// People of every realm: name and password. Their addresses are `NAME@example.com`, verified.
pub const PEOPLE: [(&str, &str); 2] = [("ada", "password-of-ada"), ("grace", "password-of-grace")];

/// What was imported, for realms like it.
const SOURCE: &str = include_str!("../../keycloak/realm.json");
/// As the database was made: small, and quick to start rather than quick for hours.
const JAVA_OPTS: &str = "-Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:MaxMetaspaceSize=256m \
                         -Djava.security.egd=file:/dev/urandom";
/// Longest start, on cores that do much else.
const READY: Duration = Duration::from_secs(120);

/// The Keycloak of this test process. None, with the reason printed, without `JACKFIELD_TEST_KEYCLOAK_HOME`.
pub async fn shared() -> Option<&'static Keycloak> {
    static SHARED: OnceCell<Option<Keycloak>> = OnceCell::const_new();
    SHARED.get_or_init(|| Keycloak::launch("keycloak", true)).await.as_ref()
}

/// Where Keycloak is unpacked; none, with the reason printed, without `JACKFIELD_TEST_KEYCLOAK_HOME`.
pub fn home() -> Option<PathBuf> {
    let home = std::env::var_os("JACKFIELD_TEST_KEYCLOAK_HOME").map(PathBuf::from);
    if home.is_none() {
        println!("skipped: JACKFIELD_TEST_KEYCLOAK_HOME is not set; `cargo xtask test` sets it");
    }
    home
}

/// A server; killed and removed when dropped.
pub struct Keycloak {
    home: PathBuf,
    port: u16,
    management: u16,
    process: Option<Group>,
    /// Realms of their own that the database has, `allhands-1` and on.
    prepared: usize,
    /// Those that tests were given.
    given: AtomicUsize,
    /// In a `static`, so that nothing is dropped: what watches the process removes the directory.
    for_ever: bool,
    // Last: the database is removed when nobody writes it any more.
    scratch: Scratch,
}

impl Keycloak {
    /// Copies the prepared database and starts on it. None, with the reason printed, without `JACKFIELD_TEST_KEYCLOAK_HOME`.
    pub async fn start(name: &str) -> Option<Self> {
        Self::launch(name, false).await
    }

    async fn launch(name: &str, for_ever: bool) -> Option<Self> {
        let home = home()?;
        let template = std::env::var_os("JACKFIELD_TEST_KEYCLOAK_TEMPLATE").map(PathBuf::from)?;
        let scratch = Scratch::new(name);
        std::fs::copy(template.join("keycloakdb.mv.db"), scratch.0.join("keycloakdb.mv.db"))
            .unwrap_or_else(|error| panic!("no prepared database in `{}`: {error}", template.display()));
        let prepared = std::fs::read_to_string(template.join("realms")).unwrap();
        let mut server = Self {
            home,
            port: free_port(),
            management: free_port(),
            process: None,
            prepared: prepared.trim().parse().unwrap(),
            given: AtomicUsize::new(0),
            for_ever,
            scratch,
        };
        server.resume().await;
        Some(server)
    }

    /// Its address. Browser and host must use this one: tokens carry it as their issuer.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The realm that is there from the start.
    pub fn realm(&self) -> Realm {
        Realm::named(&self.url(), REALM)
    }

    /// A realm that is like it in everything but its name, and that nobody else has. The prepared database has some of them, because
    /// Keycloak takes seconds to make one; when they are used up it makes more.
    pub async fn new_realm(&self) -> Realm {
        let n = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        let name = format!("{REALM}-{n}");
        if n <= self.prepared {
            return Realm::named(&self.url(), &name);
        }
        let source = SOURCE.replace(&format!("default-roles-{REALM}"), &format!("default-roles-{name}"));
        let mut source: Value = serde_json::from_str(&source).unwrap();
        source["realm"] = name.clone().into();
        Realm::create(&self.url(), &name, &source).await
    }

    /// An orderly stop, as an operator's; the data stays.
    pub async fn stop(&mut self) {
        let mut group = self.process.take().expect("Keycloak runs");
        // The script passes it on to Java, and ends after it.
        process::signal(group.child.id(), "TERM");
        let begun = Instant::now();
        while group.child.try_wait().unwrap().is_none() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "Keycloak does not stop: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9` of all of it; the data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and data.
    pub async fn resume(&mut self) {
        assert!(self.process.is_none(), "Keycloak runs already");
        let mut group = self.spawn();
        let begun = Instant::now();
        let health = format!("http://127.0.0.1:{}/health/ready", self.management);
        let client = client();
        // Its ports open long before it is ready, and answer 503.
        while !client
            .get(&health)
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            if let Some(status) = group.child.try_wait().unwrap() {
                panic!("Keycloak ended with {status} before it was ready: {}", self.log());
            }
            assert!(
                begun.elapsed() < READY,
                "Keycloak is not ready after {READY:?}: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.process = Some(group);
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.0.join("log")).unwrap_or_default()
    }

    fn spawn(&self) -> Group {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.scratch.0.join("log"))
            .unwrap();
        let mut command = Command::new(self.home.join("bin/kc.sh"));
        command
            .args(["start", "--optimized", "--cache=local"])
            .args([
                "--http-enabled=true",
                "--hostname-strict=false",
                "--http-host=127.0.0.1",
            ])
            .arg(format!("--http-port={}", self.port))
            .arg(format!("--http-management-port={}", self.management))
            .arg(format!(
                "--db-url=jdbc:h2:file:{}/keycloakdb;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE",
                self.scratch.0.display()
            ))
            .env("JAVA_OPTS", JAVA_OPTS)
            .current_dir(&self.scratch.0)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Group::spawn(&mut command, self.for_ever.then_some(self.scratch.0.as_path()))
    }
}
