//! A real Keycloak for the suites: fetched once through Maven into `target/tools` with its checksum pinned, built once, and booted
//! once to make the database that every test server then starts from in seconds.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{install, must, root, services::free_port};

/// Pinned: the realm, the waits and the wire forms in the suites were read off this version.
const VERSION: &str = "26.7.3";
const SHA256: &str = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47";
/// Pinned as well: what it prints and how it names a file changed between versions.
const MAVEN_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";
/// What is fixed at build time; a start with `--optimized` must not change it.
const BUILD: [&str; 3] = ["build", "--db=dev-file", "--health-enabled=true"];
/// Small, and quick to start rather than quick for hours.
const JAVA_OPTS: &str = "-Xms64m -Xmx320m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:MaxMetaspaceSize=256m \
                         -Djava.security.egd=file:/dev/urandom";
/// Realms beside the first that the database has, one for each test that changes its realm: Keycloak takes seconds to make one.
const REALMS: usize = 8;
/// Oldest Java that this Keycloak starts on.
const JAVA: u32 = 17;
/// Longest first boot, which makes the tables and imports the realm; it takes 20 to 40 s on two idle cores.
const BOOT: Duration = Duration::from_secs(300);

/// Fetches, builds and prepares what is not there yet. The variables for the suites; none, with the reason printed, when it is not
/// to be had and this is not CI.
pub(crate) fn variables() -> Result<Vec<(String, String)>> {
    match prepare() {
        Ok((home, template)) => Ok(vec![
            ("JACKFIELD_TEST_KEYCLOAK_HOME".to_owned(), home.display().to_string()),
            (
                "JACKFIELD_TEST_KEYCLOAK_TEMPLATE".to_owned(),
                template.display().to_string(),
            ),
        ]),
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("xtask: the Keycloak suites are skipped: {error:#}");
            Ok(Vec::new())
        }
        Err(error) => Err(error.context("CI runs the Keycloak suites too")),
    }
}

fn prepare() -> Result<(PathBuf, PathBuf)> {
    let tools = root().join("target/tools");
    let home = tools.join(format!("keycloak-{VERSION}"));
    let template = tools.join("keycloak-template");
    java()?;
    if !holds(&home.join("complete"), SHA256) {
        build(&tools, &home)?;
    }
    let realm = root().join("tests/keycloak/realm.json");
    let realm = fs::read_to_string(&realm).with_context(|| format!("`{}` cannot be read", realm.display()))?;
    // A change of the realm, or of Keycloak, makes another template.
    let stamp = format!("{VERSION} {REALMS} {}", hex::encode(Sha256::digest(&realm)));
    if !holds(&template.join("complete"), &stamp) {
        import(&home, &template, &realm, &stamp)?;
    }
    Ok((home, template))
}

/// Whether an earlier run finished exactly this.
fn holds(file: &Path, wanted: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text == wanted)
}

/// Java that is new enough: the one that Keycloak's script takes, else Debian's.
fn java() -> Result<()> {
    let there = || {
        let program =
            std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"));
        let asked = Command::new(program).arg("-version").output();
        asked
            .ok()
            .and_then(|output| major(&String::from_utf8_lossy(&output.stderr)))
    };
    if there().is_some_and(|version| version >= JAVA) {
        return Ok(());
    }
    install::apt_first(&[
        "openjdk-17-jre-headless",
        "openjdk-21-jre-headless",
        "openjdk-25-jre-headless",
    ])?;
    match there() {
        Some(version) if version >= JAVA => Ok(()),
        Some(version) => bail!(
            "Keycloak needs Java {JAVA} or newer and `java` is {version}; put a newer one first on the path or in JAVA_HOME"
        ),
        None => bail!("there is no `java` on the path; install Java {JAVA} or newer"),
    }
}

/// `17` of `openjdk version "17.0.15" 2025-04-15`, `8` of `"1.8.0_392"`.
fn major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().ok());
    match parts.next()?? {
        1 => parts.next()?,
        major => Some(major),
    }
}

/// Fetches and builds. The built server holds paths, so it is made where it stays; `complete` is written last.
fn build(tools: &Path, home: &Path) -> Result<()> {
    let begun = Instant::now();
    clear(home)?;
    fs::create_dir_all(home)?;
    let archive = fetch(tools)?;
    must(
        Command::new("tar")
            .args(["-xzf"])
            .arg(&archive)
            .args(["--strip-components=1", "-C"])
            .arg(home),
    )?;
    // What it was unpacked from has no further use, and Maven keeps its own copy.
    fs::remove_file(&archive)?;
    eprintln!("building Keycloak {VERSION}");
    let made = script(home)
        .args(BUILD)
        .output()
        .context("cannot start Keycloak's `bin/kc.sh`")?;
    if !made.status.success() {
        bail!(
            "`kc.sh build` failed with {}: {}{}",
            made.status,
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
    }
    fs::write(home.join("complete"), SHA256)?;
    report("Keycloak is built", home, begun);
    Ok(())
}

/// The archive, from the registry that Maven's settings name; without settings that is Maven Central.
fn fetch(tools: &Path) -> Result<PathBuf> {
    if !install::present("mvn") {
        install::apt("maven")?;
    }
    eprintln!("fetching Keycloak {VERSION} (176 MB) through Maven");
    let archive = tools.join(format!("keycloak-quarkus-dist-{VERSION}.tar.gz"));
    let got = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--no-transfer-progress", MAVEN_PLUGIN])
        .arg(format!(
            "-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"
        ))
        .arg(format!("-DoutputDirectory={}", tools.display()))
        // Away from any project's `pom.xml`.
        .current_dir(tools)
        .stdin(Stdio::null())
        .output()
        .context("cannot start `mvn`")?;
    if !got.status.success() {
        let said = String::from_utf8_lossy(&got.stdout);
        let line = said
            .lines()
            .find(|line| line.contains("ERROR"))
            .unwrap_or("it says nothing");
        bail!(
            "Maven cannot fetch org.keycloak:keycloak-quarkus-dist:{VERSION}: {line}; check its settings and the network"
        );
    }
    let mut hash = Sha256::new();
    let mut file = fs::File::open(&archive).with_context(|| format!("Maven left no `{}`", archive.display()))?;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => hash.update(&block[..read]),
        }
    }
    let found = hex::encode(hash.finalize());
    if found != SHA256 {
        fs::remove_file(&archive)?;
        bail!(
            "Keycloak {VERSION} has SHA-256 {found} and not {SHA256}; the registry serves another file under this version"
        );
    }
    Ok(archive)
}

/// Boots it once on an empty database, which imports the realm, and keeps the database.
fn import(home: &Path, template: &Path, realm: &str, stamp: &str) -> Result<()> {
    let begun = Instant::now();
    eprintln!("preparing Keycloak's database");
    clear(template)?;
    fs::create_dir_all(template)?;
    let inbox = home.join("data/import");
    clear(&inbox)?;
    fs::create_dir_all(&inbox)?;
    fs::write(inbox.join("allhands-realm.json"), realm)?;
    for n in 1..=REALMS {
        fs::write(inbox.join(format!("allhands-{n}-realm.json")), renamed(realm, n)?)?;
    }
    let (http, management) = (free_port()?, free_port()?);
    let log = template.join("import.log");
    let output = fs::File::create(&log)?;
    let child = script(home)
        .args(["start", "--optimized", "--import-realm", "--cache=local"])
        .args([
            "--http-enabled=true",
            "--hostname-strict=false",
            "--http-host=127.0.0.1",
        ])
        .arg(format!("--http-port={http}"))
        .arg(format!("--http-management-port={management}"))
        .arg(format!(
            "--db-url=jdbc:h2:file:{}/keycloakdb;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE",
            template.display()
        ))
        // The suites' administrator: of a server on the loopback interface that lives as long as a suite.
        .env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin")
        .env("KC_BOOTSTRAP_ADMIN_PASSWORD", "admin")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start Keycloak")?;
    let mut server = Server(child);
    while !ready(management) {
        if let Some(status) = server.0.try_wait()? {
            bail!(
                "Keycloak ended with {status} before it was ready; see `{}`",
                log.display()
            );
        }
        if begun.elapsed() > BOOT {
            bail!("Keycloak is not ready after {BOOT:?}; see `{}`", log.display());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    server.stop()?;
    if !template.join("keycloakdb.mv.db").exists() {
        bail!("Keycloak left no database in `{}`", template.display());
    }
    fs::write(template.join("realms"), REALMS.to_string())?;
    fs::write(template.join("complete"), stamp)?;
    report("Keycloak's database is prepared", template, begun);
    Ok(())
}

/// The realm `allhands` as `allhands-N`. Its client keeps its name, its default role has the realm's.
fn renamed(realm: &str, n: usize) -> Result<String> {
    let role = "default-roles-allhands";
    let mut realm: serde_json::Value =
        serde_json::from_str(&realm.replace(role, &format!("{role}-{n}"))).context("tests/keycloak/realm.json")?;
    realm["realm"] = format!("allhands-{n}").into();
    Ok(realm.to_string())
}

/// `bin/kc.sh` with the environment that all runs share.
fn script(home: &Path) -> Command {
    let mut command = Command::new(home.join("bin/kc.sh"));
    command.env("JAVA_OPTS", JAVA_OPTS).current_dir(home);
    command
}

/// The script, which passes what ends it on to the Java that it starts. They stay in our process group, so that Ctrl-C ends them too.
struct Server(Child);

impl Server {
    /// Orderly, so that the database is whole.
    fn stop(&mut self) -> Result<()> {
        must(Command::new("kill").args(["-TERM", &self.0.id().to_string()]))?;
        let begun = Instant::now();
        while self.0.try_wait()?.is_none() {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("Keycloak does not stop; end process {} by hand", self.0.id());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None))
            && let Err(error) = self.stop()
        {
            eprintln!("xtask: {error:#}");
        }
    }
}

/// Whether the management port says that it is up. Its port opens long before.
fn ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn clear(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", directory.display()))
        }
        _ => Ok(()),
    }
}

fn report(what: &str, directory: &Path, begun: Instant) {
    let kilobytes = size(directory) / 1000;
    eprintln!("{what}: {kilobytes} kB in {:.0} s", begun.elapsed().as_secs_f64());
}

/// Bytes in all files below.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some(if meta.is_dir() { size(&entry.path()) } else { meta.len() })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_realm_has_its_own_name_and_role_and_the_same_client() {
        let realm = r#"{"realm":"allhands","clients":[{"clientId":"allhands"}],"defaultRole":{"name":"default-roles-allhands"}}"#;
        let renamed: serde_json::Value = serde_json::from_str(&renamed(realm, 3).unwrap()).unwrap();
        assert_eq!(renamed["realm"], "allhands-3");
        assert_eq!(renamed["clients"][0]["clientId"], "allhands");
        assert_eq!(renamed["defaultRole"]["name"], "default-roles-allhands-3");
    }

    #[test]
    fn the_version_of_java_is_read() {
        for (text, wanted) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("java version \"1.8.0_392\"", Some(8)),
            ("openjdk version \"25-ea\" 2025-09-16", Some(25)),
            ("sh: java: not found", None),
        ] {
            assert_eq!(major(text), wanted, "{text}");
        }
    }
}
