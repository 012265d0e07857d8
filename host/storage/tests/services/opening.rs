//! Opening databases: what goes wrong is said with its fix and without the password; TLS of PostgreSQL is checked as asked.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use jackfield_storage::{Database, OpenOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::places::Scratch;

/// A certificate authority of the test's own, and a server's certificate by it: `ca.pem`, `server.pem`, `server.key`, and
/// `other.pem`, an authority that signed nothing.
pub(crate) struct Authority {
    pub(crate) directory: Scratch,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = Scratch::new();
        let write = |name: &str, text: String| std::fs::write(directory.0.join(name), text).unwrap();
        let authority = || {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap();
            (certificate.pem(), Issuer::new(params, key))
        };
        let (pem, issuer) = authority();
        write("ca.pem", pem);
        write("other.pem", authority().0);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        write("server.pem", params.signed_by(&key, &issuer).unwrap().pem());
        write("server.key", key.serialize_pem());
        Self { directory }
    }
}

/// A PostgreSQL with TLS and a password.
struct TlsPostgres {
    port: u16,
    child: Child,
    authority: Authority,
}

impl TlsPostgres {
    async fn start() -> Option<Self> {
        let Ok(bin) = std::env::var("JACKFIELD_TEST_PG_BIN").map(PathBuf::from) else {
            println!("skipped: JACKFIELD_TEST_PG_BIN is not set; `cargo xtask services` prints it");
            return None;
        };
        let authority = Authority::new();
        let directory = authority.directory.0.clone();
        std::fs::write(directory.join("password"), "s3cret").unwrap();
        std::fs::create_dir(directory.join("data")).unwrap();
        let run = |command: &mut Command| assert!(command.stdout(Stdio::null()).status().unwrap().success());
        // PostgreSQL refuses to run as root; Debian's package brings the user `postgres`.
        let as_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&directory).unwrap()) == 0;
        let command = |program: &str| {
            let mut command = Command::new(bin.join(program));
            if as_root {
                command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                    .arg(bin.join(program));
            }
            command.current_dir(&directory);
            command
        };
        if as_root {
            run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&directory));
        }
        run(Command::new("chmod").arg("600").arg(directory.join("server.key")));
        run(command("initdb").args([
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile=password",
            "-D",
            "data",
        ]));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let setting = |name: &str, value: &str| ["-c".to_owned(), format!("{name}={value}")];
        let child = command("postgres")
            .args(["-D", "data", "-p", &port.to_string()])
            .args(setting("listen_addresses", "127.0.0.1"))
            .args(setting("unix_socket_directories", ""))
            .args(setting("ssl", "on"))
            .args(setting(
                "ssl_cert_file",
                &directory.join("server.pem").display().to_string(),
            ))
            .args(setting(
                "ssl_key_file",
                &directory.join("server.key").display().to_string(),
            ))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, child, authority };
        for _ in 0..300 {
            if server.open("postgres", "s3cret", "localhost", "require").await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }

    async fn open(&self, user: &str, password: &str, host: &str, ssl: &str) -> Result<Database, String> {
        let directory = self.authority.directory.0.display();
        let url = format!(
            "postgres://{user}:{password}@{host}:{}/postgres?sslmode={}",
            self.port,
            ssl.replace("DIR", &directory.to_string())
        );
        Database::open(&url, &OpenOptions::default())
            .await
            .map_err(|error| error.to_string())
    }
}

impl Drop for TlsPostgres {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn postgres_with_tls_is_verified_as_the_address_asks() {
    let Some(server) = TlsPostgres::start().await else {
        return;
    };
    let open = |host: &'static str, ssl: &'static str| server.open("postgres", "s3cret", host, ssl);
    for (host, ssl) in [
        ("localhost", "require"),
        ("localhost", "verify-full&sslrootcert=DIR/ca.pem"),
        ("127.0.0.1", "verify-ca&sslrootcert=DIR/ca.pem"),
    ] {
        let database = open(host, ssl).await.unwrap();
        database.ping().await.unwrap();
    }
    for (host, ssl) in [
        ("localhost", "verify-full&sslrootcert=DIR/other.pem"),
        ("localhost", "verify-full"),
        ("127.0.0.1", "verify-full&sslrootcert=DIR/ca.pem"),
    ] {
        let error = open(host, ssl).await.err().unwrap();
        assert!(
            error.contains("sslrootcert") && !error.contains("s3cret"),
            "{ssl}: {error}"
        );
    }
    let wrong = server
        .open("postgres", "canary", "localhost", "require")
        .await
        .err()
        .unwrap();
    assert!(
        wrong.contains("check user and password") && wrong.contains("localhost"),
        "{wrong}"
    );
    assert!(!wrong.contains("canary"), "{wrong}");
}

#[tokio::test]
async fn what_cannot_be_opened_says_where_and_what_to_do() {
    let scratch = Scratch::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = scratch.0.join("text.db");
    std::fs::write(
        &file,
        "this is no database, it is a text that is long enough to be read as a header of one",
    )
    .unwrap();
    let options = OpenOptions {
        acquire: Duration::from_secs(1),
        ..OpenOptions::default()
    };
    for (url, words) in [
        (
            "postgres://u:canary@nowhere.invalid/n".to_owned(),
            ["nowhere.invalid", "check host and port"],
        ),
        (
            format!("postgres://u:canary@127.0.0.1:{free}/n"),
            ["127.0.0.1", "check host and port"],
        ),
        ("mysql://u:canary@h/n".to_owned(), ["neither", "JACKFIELD_DATABASE_URL"]),
        ("u:canary@h/n".to_owned(), ["neither", "JACKFIELD_DATABASE_URL"]),
        (
            "sqlite:///proc/nowhere/x.db".to_owned(),
            ["/proc/nowhere/x.db", "JACKFIELD_DATABASE_URL"],
        ),
        (format!("sqlite://{}", file.display()), ["text.db", "restore a backup"]),
    ] {
        let error = Database::open(&url, &options).await.err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{url}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
    if let Ok(server) = std::env::var("JACKFIELD_TEST_POSTGRES_URL") {
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path("nothing_of_that_name");
        let error = Database::open(url.as_str(), &options).await.err().unwrap().to_string();
        assert!(error.contains("CREATE DATABASE"), "{error}");
    }
}
