//! `jackfield plugin dev`: a saved source is built and takes over; one that does not compile leaves the one before serving; Ctrl-C
//! ends both, and so does the command's own death.

use std::{
    fs::{File, read_to_string, write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jackfield_tests::{
    host::{Setup, binary, client},
    process,
};

use super::{BUILD, SOON, new_plugin, place, setup, target};

/// The command as a terminal runs it: a process group of its own, which Ctrl-C goes to.
struct Dev {
    child: Child,
    setup: Setup,
    said: PathBuf,
    client: reqwest::Client,
}

impl Dev {
    fn start(plugin: &Path, said: &str) -> Self {
        let setup = setup(plugin.to_owned()).with("NIGHT_DESK_SECRET", "a secret of the night desk");
        let said = plugin.join(said);
        let out = File::create(&said).unwrap();
        let mut command = Command::new(&setup.program);
        command
            .args([
                "plugin",
                "dev",
                "--listen",
                &setup.listen,
                "--admin-listen",
                &setup.admin,
            ])
            .current_dir(plugin)
            .env("NIGHT_DESK_SECRET", "a secret of the night desk")
            .env("CARGO_TARGET_DIR", target())
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .process_group(0);
        Self {
            child: command.spawn().unwrap(),
            setup,
            said,
            client: client(),
        }
    }

    fn said(&self) -> String {
        read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said `text` so many times.
    async fn says(&mut self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.said().matches(text).count() < times {
            assert!(begun.elapsed() < BUILD, "it does not say {text:?}: {}", self.said());
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it has ended with {status}: {}", self.said());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn hello(&self) -> Option<String> {
        let url = format!("http://{}/night-desk/hello", self.setup.listen);
        self.client.get(url).send().await.ok()?.text().await.ok()
    }

    async fn is_gone(&self) {
        let begun = Instant::now();
        while self.hello().await.is_some() {
            assert!(begun.elapsed() < SOON, "its host goes on: {}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // The host ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_source_takes_over_and_one_that_does_not_compile_does_not() {
    let Some(_) = binary() else { return };
    let plugin = new_plugin(&place("thirdparty-dev"), "night-desk");
    let source = plugin.join("src/lib.rs");
    let first = read_to_string(&source).unwrap();
    let greets = |whom: &str| first.replace("unwrap_or(\"world\")", &format!("unwrap_or(\"{whom}\")"));
    assert_ne!(greets("moon"), first);

    let mut dev = Dev::start(&plugin, "first.log");
    dev.says("dev: night-desk is active (generation 1)", 1).await;
    assert_eq!(dev.hello().await.unwrap(), r#"{"text":"Hello, world!"}"#);

    write(&source, greets("moon")).unwrap();
    dev.says("dev: night-desk is reloaded, active", 1).await;
    assert_eq!(dev.hello().await.unwrap(), r#"{"text":"Hello, moon!"}"#);

    write(&source, greets("moon").replace("format!(", "format!(no_such_name, ")).unwrap();
    dev.says("it does not build; the generation before goes on serving", 1)
        .await;
    assert!(dev.said().contains("error: "), "{}", dev.said());
    assert_eq!(dev.hello().await.unwrap(), r#"{"text":"Hello, moon!"}"#);

    write(&source, greets("sun")).unwrap();
    dev.says("dev: night-desk is reloaded, active", 2).await;
    assert_eq!(dev.hello().await.unwrap(), r#"{"text":"Hello, sun!"}"#);

    // Ctrl-C goes to the whole group.
    let group = format!("-{}", dev.child.id());
    assert!(
        Command::new("kill")
            .args(["-INT", "--", &group])
            .status()
            .unwrap()
            .success()
    );
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = dev.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < SOON, "it does not end: {}", dev.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}: {}", dev.said());
    assert!(dev.hello().await.is_none(), "its host goes on");

    // Killed, it cannot end its host, which notices by itself.
    let mut dev = Dev::start(&plugin, "second.log");
    dev.says("dev: night-desk is active (generation 1)", 1).await;
    process::signal(dev.child.id(), "KILL");
    dev.is_gone().await;
}
