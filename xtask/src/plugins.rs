//! Plugins as shared libraries: the same crates that are compiled in, which are `cdylib`s as well.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{cargo, must, root};

/// A plugin crate and the name its library gets.
pub(crate) struct Library {
    pub(crate) package: &'static str,
    /// What cargo calls the library it makes.
    pub(crate) file: &'static str,
    /// Features, as `package/feature`.
    pub(crate) features: &'static str,
    pub(crate) name: &'static str,
}

/// Of the plugins that one build replaces another of.
const SECOND: &str = "jackfield-turnstile/second,jackfield-example-misbehaving/next";

/// What the end-to-end suites load. Two builds of some, so that one can replace the other.
pub(crate) const TESTED: [Library; 5] = [
    Library {
        package: "jackfield-plugin-github",
        file: "libjackfield_plugin_github.so",
        features: "",
        name: "github",
    },
    Library {
        package: "jackfield-turnstile",
        file: "libturnstile.so",
        features: SECOND,
        name: "turnstile-second",
    },
    Library {
        package: "jackfield-example-misbehaving",
        file: "libjackfield_example_misbehaving.so",
        features: SECOND,
        name: "misbehaving-next",
    },
    Library {
        package: "jackfield-example-misbehaving",
        file: "libjackfield_example_misbehaving.so",
        features: "",
        name: "misbehaving",
    },
    Library {
        package: "jackfield-turnstile",
        file: "libturnstile.so",
        features: "",
        name: "turnstile",
    },
];

/// How the host and its plugins are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// In a few minutes, with overflow checks and debug assertions.
    Dev,
    /// As they are shipped.
    Dist,
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Dist => "dist",
        }
    }

    /// Where cargo puts what it builds.
    pub(crate) fn folder(self) -> PathBuf {
        root().join("target").join(match self {
            Self::Dev => "debug",
            Self::Dist => "dist",
        })
    }
}

/// Builds them into one folder, which it gives. Cargo builds `beside` with them, so that what both are made of is built once.
pub(crate) fn build(libraries: &[Library], beside: &[&str], profile: Profile) -> Result<PathBuf> {
    let target = profile.folder();
    let folder = target.join("plugins");
    std::fs::create_dir_all(&folder)?;
    let mut features: Vec<&str> = libraries.iter().map(|library| library.features).collect();
    features.sort_unstable();
    features.dedup();
    for features in features.into_iter().rev() {
        let mut command = cargo(&["build", "--quiet", "--profile", profile.name(), "--features", features]);
        packages(&mut command, libraries, beside);
        must(&mut command)?;
        for library in libraries.iter().filter(|library| library.features == features) {
            put(&target.join(library.file), &folder.join(format!("{}.so", library.name)))?;
        }
    }
    Ok(folder)
}

/// Builds the example that brings versions of its own, where its suite looks for it: a build beside the suites would take the
/// processor away from them.
pub(crate) fn build_apart() -> Result<()> {
    must(
        cargo(&[
            "build",
            "--quiet",
            "--locked",
            "--manifest-path",
            "examples/parcels/Cargo.toml",
        ])
        .env("CARGO_TARGET_DIR", root().join("target/foreign")),
    )
}

fn packages(command: &mut Command, libraries: &[Library], beside: &[&str]) {
    let mut packages: Vec<&str> = libraries
        .iter()
        .map(|library| library.package)
        .chain(beside.iter().copied())
        .collect();
    packages.sort_unstable();
    packages.dedup();
    for package in packages {
        command.args(["--package", package]);
    }
}

/// A copy under its own name: the next build of the same crate takes cargo's.
fn put(built: &Path, at: &Path) -> Result<()> {
    let beside = at.with_extension("new");
    std::fs::copy(built, &beside).with_context(|| format!("`{}` was not built", built.display()))?;
    std::fs::rename(&beside, at)?;
    Ok(())
}
