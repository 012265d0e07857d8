//! Wrong configuration ends with 78 and names file, line, key, fix and what was probably meant; right configuration says
//! where each value came from.

use jackfield_tests::{
    github::GitHub,
    host::{OPERATOR, SECRET, Setup, binary},
    scratch::Scratch,
};
use serde_json::Value;

/// One mistake and what must be said about it.
struct Case {
    /// File name and content; none when the mistake is in the environment.
    file: Option<(&'static str, &'static str)>,
    variable: Option<(&'static str, &'static str)>,
    line: Option<u64>,
    key: &'static str,
    suggestion: Option<&'static str>,
}

fn in_file(
    name: &'static str,
    text: &'static str,
    line: u64,
    key: &'static str,
    suggestion: Option<&'static str>,
) -> Case {
    Case {
        file: Some((name, text)),
        variable: None,
        line: Some(line),
        key,
        suggestion,
    }
}

fn in_environment(
    name: &'static str,
    value: &'static str,
    key: &'static str,
    suggestion: Option<&'static str>,
) -> Case {
    Case {
        file: None,
        variable: Some((name, value)),
        line: None,
        key,
        suggestion,
    }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    vec![
        in_file("plugins.toml", "[plugins.github]\nenabeld = true\n", 2, "plugins.github.enabeld", Some("enabled")),
        in_file("plugins.toml", "\n[plugins.gihub]\nenabled = true\n", 2, "plugins.gihub", Some("github")),
        in_file("plugins.toml", "[plugins.github]\nenabled = \"perhaps\"\n", 2, "plugins.github.enabled", None),
        in_file("plugins.toml", "[plugins.github.config]\napi_ulr = \"https://x\"\n", 2, "plugins.github.config.api_ulr", Some("api_url")),
        in_file("plugins.toml", "[plugins.github.config]\n\nlabel = 5\n", 3, "plugins.github.config.label", None),
        in_file("plugins.toml", "[plugins.github\n", 1, "(syntax)", None),
        in_file("jackfield.toml", "listne = \"127.0.0.1:1\"\n", 1, "listne", Some("listen")),
        in_file("jackfield.toml", "[limits]\nconcurrency = 10\nconnectoins = 5\n", 3, "limits.connectoins", Some("limits.connections")),
        in_file("jackfield.toml", "[limits]\nconcurrency = \"many\"\n", 2, "limits.concurrency", None),
        in_file("jackfield.toml", "log_format = \"xml\"\n", 1, "log_format", None),
        in_file("jackfield.toml", "public_url = \"not an address\"\n", 1, "public_url", None),
        in_file("jackfield.toml", "= 1\n", 1, "(syntax)", None),
        in_environment("JACKFIELD_LISTN", "x", "JACKFIELD_LISTN", Some("JACKFIELD_LISTEN")),
        in_environment("JACKFIELD_LIMITS__CONCURENCY", "9", "JACKFIELD_LIMITS__CONCURENCY", Some("JACKFIELD_LIMITS__CONCURRENCY")),
        in_environment("JACKFIELD_LIMITS__CONCURRENCY", "many", "limits.concurrency", None),
        in_environment("JACKFIELD_OPERATOR_KEY", "short", "operator_key", None),
        in_environment("GITHUB_API_URL", "not an address", "GITHUB_API_URL", None),
        in_environment("GITHUB_WEBHOOKS_ENABLED", "perhaps", "GITHUB_WEBHOOKS_ENABLED", None),
        in_environment("JACKFIELD_DATABASE_URL_FILE", "/nowhere/at/all", "JACKFIELD_DATABASE_URL", None),
    ]
}

#[test]
fn wrong_configuration_exits_78_and_names_place_and_fix() {
    let Some(_) = binary() else { return };
    let github = GitHub::start();
    for case in cases() {
        let scratch = Scratch::new("config");
        let mut setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
        if let Some((name, text)) = case.file {
            std::fs::write(scratch.0.join(name), text).unwrap();
        }
        if let Some((name, value)) = case.variable {
            setup = setup.without(name).with(name, value);
        }
        let what = format!("{:?} {:?}", case.file, case.variable);
        let (code, out, error) = setup.run(&["check", "--json"]);
        assert_eq!(code, 78, "{what}: {out}{error}");
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{what}: {out}{error}"));
        assert_eq!(report["ok"], false, "{what}");
        let problems = report["problems"].as_array().unwrap();
        let problem = problems
            .iter()
            .find(|problem| problem["key"] == case.key)
            .unwrap_or_else(|| panic!("{what}: nothing about `{}` in {problems:?}", case.key));
        assert_eq!(problem["line"].as_u64(), case.line, "{what}: {problem}");
        assert_eq!(problem["suggestion"].as_str(), case.suggestion, "{what}: {problem}");
        let place = case.file.map_or("environment", |(name, _)| name);
        assert!(problem["file"].as_str().unwrap().contains(place), "{what}: {problem}");
        assert!(!problem["what"].as_str().unwrap().is_empty() && !problem["fix"].as_str().unwrap().is_empty());
        // The host itself says the same, for people, and does not start.
        let (code, _, error) = setup.run(&["serve"]);
        assert_eq!(code, 78, "{what}: {error}");
        for part in [case.key].into_iter().chain(case.suggestion) {
            assert!(error.contains(part), "{what}: no `{part}` in {error}");
        }
        assert!(
            !error.contains(SECRET) && !out.contains(SECRET),
            "{what}: a secret is shown"
        );
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("mistakes"), GitHub::start());
    std::fs::write(
        scratch.0.join("jackfield.toml"),
        "listne = \"x\"\n[limits]\nconcurrency = \"many\"\nidel = 4\n",
    )
    .unwrap();
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    let (code, out, _) = setup.run(&["check", "--json"]);
    assert_eq!(code, 78);
    let report: Value = serde_json::from_str(&out).unwrap();
    let lines: Vec<u64> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|problem| problem["line"].as_u64())
        .collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!([1, 3, 4].iter().all(|line| lines.contains(line)), "{out}");
}

#[test]
fn each_value_says_where_it_came_from() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("sources"), GitHub::start());
    std::fs::write(
        scratch.0.join("jackfield.toml"),
        "[limits]\nconcurrency = 7\nidle = 9\n",
    )
    .unwrap();
    std::fs::write(
        scratch.0.join("plugins.toml"),
        "[plugins.github.config]\nlabel = \"robot\"\n",
    )
    .unwrap();
    let secret_file = scratch.0.join("secret");
    std::fs::write(&secret_file, format!("{SECRET}\n")).unwrap();
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .without("GITHUB_APP_WEBHOOK_SECRET")
        .with("GITHUB_APP_WEBHOOK_SECRET_FILE", secret_file.to_str().unwrap())
        .with("JACKFIELD_LIMITS__IDLE", "11")
        .with(
            "JACKFIELD_DATABASE_URL",
            "postgres://somebody:canary-password@127.0.0.1:1/x",
        );
    let (code, out, error) = setup.run(&["config", "show", "--sources", "--json"]);
    assert_eq!(code, 0, "{error}");
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    let row = |key: &str| {
        let row = rows.iter().find(|row| row["key"] == key);
        let row = row.unwrap_or_else(|| panic!("no {key} in {out}"));
        (
            row["value"].as_str().unwrap().to_owned(),
            row["source"].as_str().unwrap().to_owned(),
        )
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(row("limits.concurrency"), pair("7", "jackfield.toml:2"));
    assert_eq!(
        row("limits.idle").1,
        "environment JACKFIELD_LIMITS__IDLE",
        "the environment wins over the file"
    );
    assert_eq!(row("log"), pair("info", "default"));
    assert_eq!(row("plugins.github.config.label"), pair("robot", "plugins.toml:2"));
    assert_eq!(
        row("plugins.github.config.webhook_secrets"),
        pair("[redacted]", "environment GITHUB_APP_WEBHOOK_SECRET_FILE")
    );
    assert_eq!(
        row("operator_key"),
        pair("[redacted]", "environment JACKFIELD_OPERATOR_KEY")
    );
    for canary in [SECRET, OPERATOR, "canary-password"] {
        assert!(!out.contains(canary), "a secret is shown");
    }
    let (code, out, _) = setup.clone().without("GITHUB_APP_CLIENT_ID").run(&["check"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("GITHUB_APP_CLIENT_ID is not set"),
        "it says why a plugin is off: {out}"
    );
}

#[test]
fn wrong_usage_exits_2_and_what_needs_a_host_says_so() {
    let Some(_) = binary() else { return };
    let scratch = Scratch::new("usage");
    let setup = Setup::new(scratch.0.clone(), "http://127.0.0.1:9", "");
    for arguments in [
        vec!["sevre"],
        vec!["deliveries", "list", "--state", "nonsense"],
        vec!["deliveries", "show", "not-a-uuid"],
        vec!["deliveries", "replay", "--again", "--from-start", "--state", "dead"],
        vec![],
    ] {
        assert_eq!(setup.run(&arguments).0, 2, "{arguments:?}");
    }
    let (code, _, error) = setup.run(&["plugins", "pause", "github"]);
    assert_eq!(code, 1);
    assert!(error.contains("jackfield serve"), "{error}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = setup.run(&["completions", shell]);
        assert!(code == 0 && out.contains("jackfield"), "{shell}");
    }
    assert!(setup.run(&["man"]).1.contains("jackfield"));
}
