//! The command line as people and scripts meet it: what is printed, and the exit codes 0, 1, 2 and 78.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// An empty directory, removed when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_jackfield"))
            .args(arguments)
            .current_dir(&self.0)
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Said::of(&output)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Exit code and both streams.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// For snapshots: trailing blanks of table cells do not count.
    fn text(&self) -> String {
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        format!(
            "exit {:?}\n--- out\n{}\n--- err\n{}",
            self.code,
            trimmed(&self.out),
            trimmed(&self.err)
        )
    }
}

/// A configuration with one mistake of each kind.
const WRONG: &str = "[plugins.github]\nenabeld = true\n\n[plugins.github.config]\napi_ulr = \"https://api.github.com\"\n\n[plugins.githbu]\n";

#[test]
fn an_empty_directory() {
    let place = Place::new("empty");
    insta::assert_snapshot!("check", place.run(&["check"]).text());
    insta::assert_snapshot!("plugins_list", place.run(&["plugins", "list"]).text());
    insta::assert_snapshot!("deliveries_list", place.run(&["deliveries", "list"]).text());
    insta::assert_snapshot!("migrate_status", place.run(&["migrate", "status"]).text());
    insta::assert_snapshot!("routes", place.run(&["routes"]).text());
    insta::assert_snapshot!("send_list", place.run(&["deliveries", "send", "--list"]).text());
    insta::assert_snapshot!("send_off", place.run(&["deliveries", "send", "github/ping"]).text());
    assert_eq!(
        fs::read_dir(&place.0).unwrap().count(),
        0,
        "looking leaves nothing behind"
    );
}

#[test]
fn each_mistake_is_told_alone_with_its_line() {
    let place = Place::new("wrong").with("plugins.toml", WRONG);
    insta::assert_snapshot!("check_wrong", place.run(&["check"]).text());
    for command in [
        &["serve"][..],
        &["config", "show"],
        &["deliveries", "send", "github/ping"],
    ] {
        let said = place.run(command);
        assert_ne!(said.code, Some(0), "{command:?}");
    }
    assert_eq!(place.run(&["check"]).code, Some(78));
    let json: serde_json::Value = serde_json::from_str(&place.run(&["check", "--json"]).out).unwrap();
    assert_eq!(json["ok"], false);
    assert!(
        json["problems"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["fix"].is_string())
    );
}

#[test]
fn listings_are_json_for_programs() {
    let place = Place::new("json");
    assert_eq!(place.run(&["migrate", "up"]).code, Some(0));
    for command in [
        &["plugins", "list", "--json"][..],
        &["deliveries", "list", "--json"],
        &["migrate", "status", "--json"],
        &["migrate", "plan", "--json"],
        &["config", "show", "--json"],
        &["deliveries", "send", "--list", "--json"],
    ] {
        let said = place.run(command);
        let rows: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert!(rows.is_array() && said.code == Some(0), "{command:?}: {}", said.text());
    }
    let empty = place.run(&["deliveries", "list"]);
    assert_eq!(
        (empty.code, empty.out.as_str(), empty.err.as_str()),
        (Some(0), "", "no deliveries match\n")
    );
    let unknown = place.run(&["deliveries", "show", "00000000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("there is no delivery"), "{}", unknown.err);
}

#[test]
fn wrong_usage_is_2_and_says_what_is_right() {
    let place = Place::new("usage");
    for (command, says) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["deliveries", "replay"], "--state"),
        (&["deliveries", "list", "--state", "asleep"], "use pending, running"),
        (&["deliveries", "list", "--since", "yesterday"], "2026-11-01T00:00:00Z"),
        (&["deliveries", "send", "-", "--header", "X-A"], "NAME=VALUE"),
        (&["deliveries", "send"], "FIXTURE"),
        (&["plugin", "new", "My_Plugin"], "how about `my-plugin`?"),
        (&["plugin", "new", "github"], "choose another"),
    ] {
        let said = place.run(command);
        assert!(
            said.code == Some(2) && said.err.contains(says),
            "{command:?}: {}",
            said.text()
        );
    }
}

#[test]
fn a_plugin_is_made_once() {
    let place = Place::new("new");
    insta::assert_snapshot!("plugin_new", place.run(&["plugin", "new", "front-desk"]).text());
    insta::assert_snapshot!("plugin_new_again", place.run(&["plugin", "new", "front-desk"]).text());
    assert!(place.0.join("front-desk/vendor/jackfield/sdk/src/lib.rs").exists());
}

#[test]
fn secrets_are_not_shown() {
    let place = Place::new("secrets");
    let canary = "canary-that-nobody-may-see-0123456789";
    let variables = [
        ("JACKFIELD_OPERATOR_KEY", canary),
        ("GITHUB_APP_WEBHOOK_SECRET", canary),
        ("JACKFIELD_DATABASE_URL", "postgres://me:canary-password@127.0.0.1:1/x"),
    ];
    for command in [
        &["config", "show", "--sources"][..],
        &["config", "show", "--json"],
        &["check", "--json"],
        &["deliveries", "list"],
        &["migrate", "status"],
    ] {
        let said = place.run_with(command, &variables);
        assert!(!said.text().contains("canary"), "{command:?}: {}", said.text());
    }
    let shown = place.run_with(&["config", "show", "--sources"], &variables);
    assert!(shown.out.contains("operator_key = [redacted]  # "), "{}", shown.out);
}

#[test]
fn shells_and_man_get_their_texts() {
    let place = Place::new("texts").with("plugins.toml", WRONG);
    let completions = place.run(&["completions", "bash"]);
    assert!(completions.code == Some(0) && completions.out.contains("_jackfield"));
    let man = place.run(&["man"]);
    assert!(man.code == Some(0) && man.out.contains(".TH jackfield"));
}
