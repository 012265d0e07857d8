//! Packs what an author needs beside a new plugin: the SDK, the test kit, the host crates below them, and the lock file.
//!
//! The pack is `path NUL length NUL bytes`, again and again, deflated. It holds the same directories as this repository, so
//! that a host built from the pack can pack itself again.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::DeflateEncoder};

/// What an author's manifests name; everything below comes along.
const WANTED: [&str; 3] = ["jackfield-sdk", "jackfield-testing", "jackfield-server"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let workspace = read(&root, "Cargo.toml")?;
    let crates = closure(&root, &workspace)?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for directory in &crates {
        println!("cargo::rerun-if-changed=../../{directory}");
        // A crate below another one brings its own files.
        collect(&root, Path::new(directory), &crates, &mut files)?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed=../../{file}");
    }
    files.insert(
        "Cargo.toml".to_owned(),
        workspace_manifest(&workspace, &crates).into_bytes(),
    );
    files.insert("Cargo.lock".to_owned(), fs::read(root.join("Cargo.lock"))?);
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files.insert(licence.to_owned(), fs::read(root.join(licence))?);
    }
    let server = files
        .get_mut("host/server/Cargo.toml")
        .ok_or_else(|| io::Error::other("host/server has no manifest"))?;
    *server = library_only(&String::from_utf8_lossy(server)).into_bytes();
    files.retain(|path, _| !path.starts_with("host/server/src/bin/"));

    let to = PathBuf::from(variable("OUT_DIR")?).join("sdk.pack");
    let mut pack = DeflateEncoder::new(fs::File::create(to)?, Compression::default());
    for (path, bytes) in files {
        write!(pack, "{path}\0{}\0", bytes.len())?;
        pack.write_all(&bytes)?;
    }
    pack.finish()?;
    Ok(())
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn read(root: &Path, file: &str) -> io::Result<String> {
    fs::read_to_string(root.join(file)).map_err(|error| io::Error::other(format!("cannot read {file}: {error}")))
}

/// Directories of [`WANTED`] and of every crate of ours that they build with.
fn closure(root: &Path, workspace: &str) -> io::Result<BTreeSet<String>> {
    let places: BTreeMap<&str, &str> = workspace.lines().filter_map(place).collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = WANTED.map(str::to_owned).to_vec();
    while let Some(name) = open.pop() {
        let directory = places
            .get(name.as_str())
            .ok_or_else(|| io::Error::other(format!("the workspace names no path for {name}")))?;
        if !found.insert((*directory).to_owned()) {
            continue;
        }
        let manifest = read(root, &format!("{directory}/Cargo.toml"))?;
        open.extend(dependencies(&manifest));
    }
    Ok(found)
}

/// `jackfield-sdk = { path = "sdk", … }`
fn place(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(" = {")?;
    let (_, path) = rest.split_once("path = \"")?;
    Some((name.trim(), path.split_once('"')?.0))
}

/// The crates of ours in `[dependencies]`, except for first-party plugins: only the shipped binary names those.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut counts = false;
    let mut all = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            counts = line.ends_with("dependencies]") && !line.starts_with("[dev-");
        } else if counts && line.starts_with("jackfield-") && !line.starts_with("jackfield-plugin-") {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            all.push(line[..end].to_owned());
        }
    }
    all
}

fn collect(
    root: &Path,
    directory: &Path,
    crates: &BTreeSet<String>,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        let text = path.to_string_lossy().replace('\\', "/");
        let name = entry.file_name().to_string_lossy().into_owned();
        // Tests need what is not packed; a nested crate is packed, or not, by itself.
        let left_out = name.starts_with('.') || matches!(name.as_str(), "target" | "tests" | "snapshots");
        if entry.file_type()?.is_dir() {
            if !left_out && !crates.contains(&text) && !entry.path().join("Cargo.toml").exists() {
                collect(root, &path, crates, files)?;
            }
        } else if !left_out {
            files.insert(text, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Our workspace's manifest with the packed members only.
fn workspace_manifest(workspace: &str, crates: &BTreeSet<String>) -> String {
    let members: Vec<String> = crates
        .iter()
        .map(|directory| format!("    \"{directory}\",\n"))
        .collect();
    let rest = workspace.find("[workspace.package]").map_or("", |at| &workspace[at..]);
    // Profiles count in the author's own workspace only; their comments go with them.
    let rest = match rest.find("[profile.") {
        Some(at) => rest[..at].rfind("\n\n").map_or(rest, |end| &rest[..end]),
        None => rest,
    };
    let kept = rest
        .lines()
        .filter(|line| place(line).is_none_or(|(_, path)| crates.contains(path)));
    format!(
        "# The sources of Jackfield's SDK and host, as `jackfield plugin new` unpacked them.\n[workspace]\nresolver = \"3\"\nmembers = [\n{}]\n\n{}\n",
        members.concat(),
        kept.collect::<Vec<_>>().join("\n")
    )
}

/// `jackfield-server` without the shipped binary and what only that one links.
fn library_only(manifest: &str) -> String {
    let mut kept = String::new();
    let mut binary = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            binary = line == "[[bin]]";
        }
        if !binary && !line.starts_with("jackfield-plugin-") && !line.starts_with("mimalloc") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}
