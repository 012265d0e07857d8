//! The arrows between crates, read from cargo: a first-party plugin depends on the SDK and the ecosystem, never on the host;
//! the SDK depends on no host crate; host concerns do not depend on what assembles them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::Duration,
};

use jackfield_tests::{
    host::{Setup, binary},
    process,
    scratch::Scratch,
};
use serde_json::Value;

/// A crate of the repository.
struct Package {
    /// Its directory below the repository, such as `host/edge`.
    place: String,
    /// Our crates that it depends on: directory and kind (`normal`, `dev`, `build`).
    needs: Vec<(String, String)>,
}

fn packages() -> BTreeMap<String, Package> {
    let root = std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .current_dir(&root);
    let (code, out, error) = process::run(command, Duration::from_secs(60));
    assert_eq!(code, 0, "{error}");
    let metadata: Value = serde_json::from_str(&out).unwrap();
    let below = |path: &str| {
        let path = Path::new(path).strip_prefix(&root).unwrap_or_else(|_| panic!("{path}"));
        path.to_str().unwrap().to_owned()
    };
    let package = |package: &Value| {
        let needs = package["dependencies"].as_array().unwrap().iter().filter_map(|one| {
            let kind = one["kind"].as_str().unwrap_or("normal").to_owned();
            Some((below(one["path"].as_str()?), kind))
        });
        let manifest = below(package["manifest_path"].as_str().unwrap());
        let place = manifest.strip_suffix("/Cargo.toml").unwrap_or(&manifest).to_owned();
        (
            package["name"].as_str().unwrap().to_owned(),
            Package {
                place,
                needs: needs.collect(),
            },
        )
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

/// Whether a crate of `from` may name one of `to`, and how.
fn allowed(from: &str, to: &str, kind: &str) -> bool {
    let area = |place: &str| place.split('/').next().unwrap().to_owned();
    match (area(from).as_str(), area(to).as_str()) {
        // The test kit runs plugins on the real engine; that is its purpose, and nobody ships it.
        ("sdk", "host") => from == "sdk/testing",
        // A plugin is tested with the kit, and knows nothing else of ours. An embedded example may show two.
        ("plugins", "sdk") => to != "sdk/testing" || kind == "dev",
        ("plugins", _) => false,
        // Assembly knows the concerns and the first-party plugins; a concern knows neither.
        ("host", "host") => to != "host/server",
        ("host", "plugins") => from == "host/server",
        ("host", "sdk") => to != "sdk/testing" || kind == "dev",
        ("sdk", "sdk") => to != "sdk/testing" || kind == "dev",
        // Examples are third parties: the SDK, its kit, and for a custom host the host itself.
        // The bench's host also measures calls past the server.
        ("examples", "host") => to == "host/server" || from == "examples/bench-host",
        ("examples", "examples" | "sdk") => true,
        ("tests" | "xtask" | "bench", _) => true,
        _ => false,
    }
}

#[test]
fn the_arrows_between_crates() {
    let packages = packages();
    assert!(packages.len() > 12, "cargo knows {} crates", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .flat_map(|(name, package)| package.needs.iter().map(move |need| (name, package, need)))
        .filter(|(_, package, (to, kind))| !allowed(&package.place, to, kind))
        .map(|(name, package, (to, kind))| format!("{name} in {} depends on {to} ({kind})", package.place))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same over any number of steps: no host crate reaches a plugin through another crate of ours.
#[test]
fn nothing_of_the_host_is_below_a_plugin() {
    let packages = packages();
    let by_place: BTreeMap<&str, &Package> = packages.values().map(|one| (one.place.as_str(), one)).collect();
    for package in packages
        .values()
        .filter(|one| one.place.starts_with("plugins/") || one.place == "sdk")
    {
        let (mut seen, mut next) = (BTreeSet::new(), vec![package.place.as_str()]);
        while let Some(place) = next.pop() {
            let Some(package) = by_place.get(place) else { continue };
            for (to, kind) in &package.needs {
                if kind != "dev" && seen.insert(to.as_str()) {
                    next.push(to);
                }
            }
        }
        let host: Vec<_> = seen.iter().filter(|place| place.starts_with("host/")).collect();
        assert!(host.is_empty(), "{} ships with {host:?}", package.place);
    }
}

#[test]
fn the_rule_itself_refuses() {
    for (from, to, kind) in [
        ("plugins/github", "host/inbox", "normal"),
        ("plugins/github", "host/inbox", "dev"),
        ("plugins/github", "sdk/testing", "normal"),
        ("plugins/github", "plugins/slack", "normal"),
        ("sdk", "host/config", "normal"),
        ("sdk/macros", "host/config", "normal"),
        ("host/inbox", "host/server", "normal"),
        ("host/inbox", "plugins/github", "normal"),
    ] {
        assert!(!allowed(from, to, kind), "{from} may depend on {to} ({kind})");
    }
    assert!(allowed("plugins/github", "sdk/testing", "dev") && allowed("host/server", "plugins/github", "normal"));
}

/// `inventory` loses what no crate refers to, so the set is counted.
#[test]
fn the_shipped_binary_holds_every_plugin_of_the_repository() {
    let Some(_) = binary() else { return };
    let there: BTreeSet<String> = packages()
        .values()
        .filter_map(|package| package.place.strip_prefix("plugins/").map(str::to_owned))
        .collect();
    assert!(there.contains("github") && there.contains("email"));
    let scratch = Scratch::new("count");
    let setup = Setup::new(scratch.0.clone(), "http://127.0.0.1:9", "");
    let (_, out, error) = setup.run(&["plugins", "list", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
    let found: BTreeSet<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, there);
}
