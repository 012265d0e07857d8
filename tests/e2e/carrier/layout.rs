//! A plugin that was built for the first version of the boundary runs in every later host.

use std::{path::Path, process::Command};

use jackfield_tests::{host::Setup, scratch::Scratch};

use super::{Plugin, SOON, ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_with_the_first_layout_runs_and_goes_without_what_came_later() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new("carrier-layout");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/loader/tests/fixtures/old.c");
    // As the manifest names it, without quotes: `linux` is a macro of the compiler.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-std=c11"])
        .arg(format!("-DTARGET={target}"))
        .arg(source)
        .arg("-o")
        .arg(scratch.0.join("old.so"))
        .status()
        .unwrap();
    assert!(built.success());
    std::fs::write(
        scratch.0.join("plugins.toml"),
        "[plugins.old]\nenabled = true\ncarrier = \"dylib\"\npath = \"old.so\"\n",
    )
    .unwrap();
    let setup = Setup::plain(scratch.0.clone()).without("JACKFIELD_TEST_CHAOS_RELOAD_MS");
    let host = Plugin(setup.start().await);
    assert_eq!(host.plugin_state("old").await, "active", "{}", host.log_end());
    let answer = host.client.get(host.url("/old/hello")).send().await.unwrap();
    assert_eq!(answer.headers()["x-layout"], "1.0");
    assert_eq!(answer.text().await.unwrap(), "as in the first version");
    host.until_logged("created as in the first version").await;
    host.until_metric("jackfield_plugin_old_served 1").await;
    // The host asks each second for what this one does not have.
    host.until("it is asked how it is", async || {
        host.row_of("old").await["health"]["status"] == "healthy"
    })
    .await;
    assert!(
        !host
            .metrics()
            .await
            .contains(r#"jackfield_plugin_own_tasks{plugin="old"}"#)
    );
    let (code, _, error) = host.setup.run_aside(&["plugins", "reload", "old"]).await;
    assert_eq!(code, 0, "{error}");
    host.until_metric(r#"jackfield_plugin_generations{plugin="old"} 1"#)
        .await;
    host.await_plugin("old", "active", SOON).await;
}

/// Debian 12's compiler, which authors of plugins without the SDK may have.
#[test]
fn the_boundary_builds_with_rustc_1_63() {
    let rustc = Path::new("/usr/bin/rustc");
    let version = Command::new(rustc).arg("--version").output();
    if !version.is_ok_and(|output| output.stdout.starts_with(b"rustc 1.63.")) {
        println!("skipped: {} is not 1.63", rustc.display());
        return;
    }
    let scratch = Scratch::new("carrier-1-63");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/abi/src/lib.rs");
    let built = Command::new(rustc)
        .args([
            "--edition=2021",
            "--crate-type=rlib",
            "--crate-name=jackfield_abi",
            "-Dwarnings",
        ])
        .arg(source)
        .arg("-o")
        .arg(scratch.0.join("libjackfield_abi.rlib"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}
