//! A new plugin, as its author meets it: made, tested, started, called, and sent a signed delivery.
//!
//! Everything is built offline, from the packed sources and what this workspace has downloaded, into this workspace's target
//! directory, so that no crate of the registry is built twice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use jackfield_scaffold::{Kind, PluginName, ScaffoldError, Sdk, create};

/// Below the target directory, always at the same place.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    place
}

fn name() -> PluginName {
    "front-desk".parse().unwrap()
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

fn cargo(plugin: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(plugin)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("FRONT_DESK_SECRET")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The host of the new plugin, with its commands.
struct Host {
    plugin: PathBuf,
    listen: String,
    admin: String,
    child: Option<Child>,
}

impl Host {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(target().join("debug/front-desk-host"));
        command
            .args(arguments)
            .current_dir(&self.plugin)
            .env_clear()
            .env("JACKFIELD_LISTEN", &self.listen)
            .env("JACKFIELD_ADMIN_LISTEN", &self.admin)
            .env("FRONT_DESK_SECRET", "a secret of the scaffold's test");
        command
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.listen).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Asks until the answer holds `text`.
    fn await_text(&self, path: &str, text: &str) {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < Duration::from_secs(60) {
            last = self.get(path);
            if last.as_ref().is_some_and(|answer| answer.contains(text)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{path} does not answer {text:?} but {last:?}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[test]
fn a_new_plugin_is_tested_started_called_and_sent_a_delivery() {
    let plugin = create(&name(), Kind::Builtin, &place("scaffold-packed"), &Sdk::Packed).unwrap();

    let tested = cargo(&plugin, &["test", "--offline"]);
    let report = String::from_utf8_lossy(&tested.stdout);
    assert!(report.contains("test result: ok. 6 passed; 0 failed"), "{report}");
    let built = String::from_utf8_lossy(&tested.stderr);
    assert!(
        !built.contains("jackfield-server"),
        "`cargo test` builds a whole host\n{built}"
    );

    // `cargo run` finds the host by itself; without a secret the plugin says why it is off.
    let checked = cargo(&plugin, &["run", "--offline", "--", "check"]);
    let plan = String::from_utf8_lossy(&checked.stdout);
    assert!(
        plan.contains("front-desk") && plan.contains("FRONT_DESK_SECRET"),
        "{plan}"
    );

    let mut host = Host {
        plugin,
        listen: free_address(),
        admin: free_address(),
        child: None,
    };
    host.child = Some(
        host.command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    host.await_text("/front-desk/hello", "Hello, world!");

    let mut sending = host
        .command(&["deliveries", "send", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sending.stdin.take().unwrap().write_all(br#"{"who":"Ada"}"#).unwrap();
    let sent = sending.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&sent.stdout);
    assert!(sent.status.success() && said.contains("stored as"), "{said}");
    host.await_text("/front-desk/hello", "Hello, Ada!");

    let forged = host
        .command(&[
            "deliveries",
            "send",
            "Cargo.toml",
            "--header",
            "X-Signature-256=sha256=00",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&forged.stderr);
    assert!(
        forged.status.code() == Some(1) && said.contains("refused the signature"),
        "{said}"
    );

    a_new_plugin_in_a_file_is_tested_built_and_admitted(&host);
}

/// The other kind, on the sources that were unpacked for the first, so that they are built once. The end-to-end suites load one.
fn a_new_plugin_in_a_file_is_tested_built_and_admitted(host: &Host) {
    let (sources, name) = (host.plugin.join("vendor/jackfield"), "side-door".parse().unwrap());
    let plugin = create(&name, Kind::Dylib, &place("scaffold-dylib"), &Sdk::Checkout(sources)).unwrap();
    // Its plugins.toml names the file where an author's cargo puts it.
    std::os::unix::fs::symlink(target(), plugin.join("target")).unwrap();

    let tested = cargo(&plugin, &["test", "--offline"]);
    let report = String::from_utf8_lossy(&tested.stdout);
    assert!(report.contains("test result: ok. 6 passed; 0 failed"), "{report}");

    cargo(&plugin, &["build", "--offline"]);
    let command = |arguments: &[&str]| {
        let output = host.command(arguments).current_dir(&plugin).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code(), said)
    };
    let (code, said) = command(&["plugins", "verify", "target/debug/libside_door.so"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = command(&["check"]);
    assert!(
        code == Some(0) && said.contains("SIDE_DOOR_SECRET is not set"),
        "{said}"
    );
}

#[test]
fn a_new_plugin_in_a_file_brings_the_sources_too() {
    let plugin = create(&name(), Kind::Dylib, &place("scaffold-dylib-packed"), &Sdk::Packed).unwrap();
    assert!(!plugin.join("host").exists());
    cargo(
        &plugin,
        &[
            "metadata",
            "--offline",
            "--locked",
            "--no-deps",
            "--format-version",
            "1",
        ],
    );
    cargo(&plugin, &["tree", "--offline", "--edges", "normal,dev"]);
}

#[test]
fn a_checkout_takes_the_place_of_the_pack() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let plugin = create(
        &name(),
        Kind::Builtin,
        &place("scaffold-checkout"),
        &Sdk::Checkout(checkout.clone()),
    )
    .unwrap();
    assert!(!plugin.join("vendor").exists());
    let resolved = cargo(&plugin, &["metadata", "--offline", "--format-version", "1"]);
    let found = String::from_utf8_lossy(&resolved.stdout);
    let server = checkout.canonicalize().unwrap().join("host/server/Cargo.toml");
    assert!(found.contains(&server.display().to_string()));

    let nowhere = Sdk::Checkout(PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let refused = create(&name(), Kind::Builtin, &place("scaffold-nowhere"), &nowhere).unwrap_err();
    assert!(matches!(refused, ScaffoldError::NoCheckout { .. }), "{refused}");
    assert!(
        !Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("scaffold-nowhere/front-desk")
            .exists()
    );
}

#[test]
fn what_exists_is_not_touched() {
    let parent = place("scaffold-twice");
    fs::create_dir(parent.join("front-desk")).unwrap();
    fs::write(parent.join("front-desk/mine"), "mine").unwrap();
    let refused = create(&name(), Kind::Builtin, &parent, &Sdk::Packed).unwrap_err();
    assert!(
        matches!(refused, ScaffoldError::Exists(_)) && refused.to_string().contains("exists already"),
        "{refused}"
    );
    assert_eq!(fs::read_dir(parent.join("front-desk")).unwrap().count(), 1);
}
