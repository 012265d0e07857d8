//! Plugins without the SDK, against the boundary alone: one in Rust, built with the oldest compiler that the boundary promises, and
//! one in C against the generated header.

use std::{path::Path, process::Command};

use jackfield_tests::host::binary;
use serde_json::Value;

use super::{SOON, built, change, deliver, get, place, repository, row, setup, until};

/// A compiler's work in `directory`.
fn compile(program: &Path, directory: &Path, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments);
    built(command, directory);
}

/// As `examples/bell-abi/README.md` says.
pub(crate) fn in_rust(to: &Path) {
    let rustc = std::env::var_os("JACKFIELD_TEST_OLDEST_RUSTC").unwrap_or_else(|| {
        println!("rustc 1.63 is not there; bell-abi is built with the rustc that is");
        "rustc".into()
    });
    let sources = repository();
    let rustc = |arguments: &[&str], source: &str| {
        let source = sources.join(source);
        let all = [&["--edition", "2021", "-O"], arguments, &[source.to_str().unwrap()]].concat();
        compile(Path::new(&rustc), to, &all);
    };
    rustc(
        &["--crate-type", "rlib", "--crate-name", "jackfield_abi"],
        "sdk/abi/src/lib.rs",
    );
    let with = "jackfield_abi=libjackfield_abi.rlib";
    rustc(
        &["--crate-type", "cdylib", "--crate-name", "bell_abi", "--extern", with],
        "examples/bell-abi/src/lib.rs",
    );
}

/// As `examples/bell-c/README.md` says, with no warning left.
pub(crate) fn in_c(to: &Path) {
    let sources = repository();
    let (include, source) = (sources.join("sdk/abi/include"), sources.join("examples/bell-c/bell.c"));
    let arguments = [
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-I",
        include.to_str().unwrap(),
        "-o",
        "libbell_c.so",
        source.to_str().unwrap(),
    ];
    compile(Path::new("cc"), to, &arguments);
}

/// Loads `lib{id}.so` of `place` and goes through all it does.
async fn rings(name: &str, id: &str, file: &str, make: fn(&Path)) {
    let directory = place(name);
    make(&directory);
    let secret = format!("a secret of {id}");
    let table = format!(
        "[plugins.{id}]\ncarrier = \"dylib\"\npath = \"{file}\"\n[plugins.{id}.config]\nsecrets = \"{secret}\"\n"
    );
    std::fs::write(directory.join("plugins.toml"), table).unwrap();
    let setup = setup(directory);
    let (code, out, _) = setup.run(&["plugins", "verify", file]);
    assert_eq!(code, 0, "{out}");
    let (code, out, error) = setup.run(&["check"]);
    assert_eq!(code, 0, "{out}{error}");
    let host = setup.start().await;
    assert_eq!(row(&host, id).await["state"], "active");

    let (page, hook, signature) = (format!("/{id}"), format!("/{id}/ring"), "x-bell-signature");
    assert_eq!(get(&host, &page).await, (200, "rung 0 times\n".to_owned()));
    assert_eq!(deliver(&host, &hook, signature, "another secret", "forged").await, 401);
    assert_eq!(deliver(&host, &hook, signature, &secret, "\"Ada\"").await, 202);
    let done = host.settle(&["done"], SOON).await;
    assert_eq!(done[0]["outcome"], "rung with 5 bytes, 1 times by now");
    assert_eq!(get(&host, &page).await, (200, "rung 1 times\n".to_owned()));
    assert!(host.log().contains("the bell was rung"), "{}", host.log_end());
    let health = host.admin("/plugins").await;
    assert!(health.to_string().contains("\"healthy\""), "{health}");

    // A large body, and headers of every length: what the file reads by itself.
    assert_eq!(
        deliver(&host, &hook, signature, &secret, &"x".repeat(60_000)).await,
        202
    );
    let done = host.settle(&["done"], SOON).await;
    assert!(
        done.iter()
            .any(|row| row["outcome"] == "rung with 60000 bytes, 2 times by now"),
        "{done:?}"
    );

    // A new generation knows nothing of the old one, whose state was its own.
    change(&host, "reload", id).await;
    let now = row(&host, id).await;
    assert_eq!(
        (&now["state"], &now["generation"]),
        (&Value::from("active"), &Value::from(2))
    );
    assert_eq!(get(&host, &page).await, (200, "rung 0 times\n".to_owned()));
    assert_eq!(deliver(&host, &hook, signature, &secret, "again").await, 202);
    host.settle(&["done"], SOON).await;
    until(&host, &page, "rung 1 times").await;
    change(&host, "disable", id).await;
    assert!(!get(&host, &page).await.1.contains("rung"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bell_without_the_sdk_rings() {
    let Some(_) = binary() else { return };
    rings("thirdparty-bell-abi", "bell-abi", "libbell_abi.so", in_rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bell_in_c_rings() {
    let Some(_) = binary() else { return };
    rings("thirdparty-bell-c", "bell-c", "libbell_c.so", in_c).await;
}
