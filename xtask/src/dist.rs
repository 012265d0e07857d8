//! `cargo xtask dist`: binary, plugins.toml, licences, SBOM, completions, manual page.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{cargo, frontend, must, plugins::Profile, root};

/// Makes target/dist/jackfield-VERSION.tar.gz.
pub(crate) fn dist() -> Result<()> {
    // Compiled in; a release without it would be another product.
    frontend::build()?;
    must(&mut cargo(&[
        "build",
        "--profile",
        Profile::Dist.name(),
        "--package",
        "jackfield-server",
        "--bin",
        "jackfield",
    ]))?;
    let name = format!(
        "jackfield-{}-{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let dist = Profile::Dist.folder();
    let folder = dist.join(&name);
    std::fs::create_dir_all(folder.join("completions"))?;
    let binary = folder.join("jackfield");
    std::fs::copy(dist.join("jackfield"), &binary)?;
    for file in [
        "plugins.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "CHANGELOG.md",
    ] {
        std::fs::copy(root().join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    for shell in ["bash", "zsh", "fish"] {
        capture(
            &binary,
            &["completions", shell],
            &folder.join("completions").join(format!("jackfield.{shell}")),
        )?;
    }
    capture(&binary, &["man"], &folder.join("jackfield.1"))?;
    bill_of_materials(&folder)?;
    must(
        Command::new("tar")
            .arg("-C")
            .arg(&dist)
            .arg("-czf")
            .arg(dist.join(format!("{name}.tar.gz")))
            .arg(&name),
    )?;
    println!("target/dist/{name}.tar.gz");
    Ok(())
}

fn capture(binary: &Path, arguments: &[&str], to: &Path) -> Result<()> {
    let output = Command::new(binary).args(arguments).output()?;
    if !output.status.success() {
        bail!("jackfield {} failed", arguments.join(" "));
    }
    Ok(std::fs::write(to, output.stdout)?)
}

/// CycloneDX 1.5 and a plain list of licences, from the crates that the host links and the packages that the web app is made of.
fn bill_of_materials(folder: &Path) -> Result<()> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut lines = Vec::new();
    let mut components = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| !package["source"].is_null())
    {
        let text = |member: &str| package[member].as_str().unwrap_or_default();
        lines.push(format!("{} {}: {}", text("name"), text("version"), text("license")));
        components.push(json!({
            "type": "library", "name": text("name"), "version": text("version"),
            "purl": format!("pkg:cargo/{}@{}", text("name"), text("version")),
            "licenses": [{ "expression": text("license").replace('/', " OR ") }],
        }));
    }
    let lock: Value = serde_json::from_slice(&std::fs::read(root().join("frontend/package-lock.json"))?)?;
    for (place, package) in lock["packages"].as_object().into_iter().flatten() {
        // The last part of `node_modules/a/node_modules/@b/c`; the app itself has no such path.
        let Some((_, name)) = place.rsplit_once("node_modules/") else {
            continue;
        };
        if package["dev"] == true || package["optional"] == true {
            continue;
        }
        let text = |member: &str| package[member].as_str().unwrap_or_default();
        lines.push(format!("{name} {}: {}", text("version"), text("license")));
        components.push(json!({
            "type": "library", "name": name, "version": text("version"),
            "purl": format!("pkg:npm/{}@{}", name.replace('@', "%40"), text("version")),
            "licenses": [{ "expression": text("license") }],
        }));
    }
    let sbom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": { "type": "application", "name": "jackfield", "version": env!("CARGO_PKG_VERSION") } },
        "components": components,
    });
    std::fs::write(folder.join("sbom.cdx.json"), serde_json::to_vec_pretty(&sbom)?)?;
    Ok(std::fs::write(
        folder.join("LICENSES-DEPENDENCIES.txt"),
        lines.join("\n"),
    )?)
}
