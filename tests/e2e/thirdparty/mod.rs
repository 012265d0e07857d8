//! The third party's way: a plugin is made, built by whatever its author builds with, loaded by the shipped host, called, sent
//! deliveries, switched and reloaded.

pub(crate) mod bells;
mod develop;
mod foreign;
mod scaffold;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use jackfield_tests::{
    host::{Host, Setup},
    process, sign,
};
use serde_json::Value;

/// Longest build: on a cold target directory and a busy machine, the whole SDK.
const BUILD: Duration = Duration::from_secs(900);
const SOON: Duration = Duration::from_secs(30);

/// The repository.
fn repository() -> PathBuf {
    std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// The build directory of this workspace, in which no crate of the registry is built twice.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// An empty directory below the build directory, always at the same place, so that crates in it are built once.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// Runs a build; what it says is the message of a failure.
fn built(mut command: Command, directory: &Path) {
    command.current_dir(directory).env("CARGO_TERM_COLOR", "never");
    let (code, out, error) = process::run(command, BUILD);
    assert_eq!(code, 0, "{out}{error}");
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).env("CARGO_TARGET_DIR", target());
    command
}

/// A host in `directory`. It reloads nothing by chance: what these suites look at is one generation's own.
fn setup(directory: PathBuf) -> Setup {
    Setup::plain(directory).without("JACKFIELD_TEST_CHAOS_RELOAD_MS")
}

/// The shipped binary makes a plugin `name` in `parent`, on the sources of this repository.
fn new_plugin(parent: &Path, name: &str) -> PathBuf {
    let sources = repository();
    let made = setup(parent.to_owned()).run(&["plugin", "new", name, "--dylib", "--sdk", sources.to_str().unwrap()]);
    assert_eq!(made.0, 0, "{made:?}");
    assert!(made.1.contains("jackfield plugin dev"), "{}", made.1);
    let plugin = parent.join(name);
    // Its plugins.toml names the file where an author's cargo puts it.
    std::os::unix::fs::symlink(target(), plugin.join("target")).unwrap();
    plugin
}

async fn get(host: &Host, path: &str) -> (u16, String) {
    let answer = host.client.get(host.url(path)).timeout(SOON).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Asks until the answer holds `text`.
async fn until(host: &Host, path: &str, text: &str) {
    let begun = Instant::now();
    loop {
        let (_, now) = get(host, path).await;
        if now.contains(text) {
            return;
        }
        assert!(begun.elapsed() < SOON, "{path} answers {now:?}: {}", host.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A delivery with its signature in the header `signature`, as `sha256=…`.
async fn deliver(host: &Host, path: &str, signature: &str, secret: &str, body: &str) -> u16 {
    let signed = sign::hub_signature(secret, body.as_bytes());
    let request = host.client.post(host.url(path)).header(signature, signed);
    request.body(body.to_owned()).send().await.unwrap().status().as_u16()
}

async fn row(host: &Host, id: &str) -> Value {
    let rows = host.admin("/plugins").await;
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == id);
    row.unwrap_or_else(|| panic!("{rows}")).clone()
}

/// A command that changes a plugin; it holds when the command returns.
async fn change(host: &Host, action: &str, id: &str) -> String {
    let (code, out, error) = host.setup.run_aside(&["plugins", action, id]).await;
    assert_eq!(code, 0, "plugins {action} {id}: {out}{error}");
    out
}
