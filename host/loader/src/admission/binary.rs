//! What can be told about a library apart from its manifest.

use serde::Serialize;

use super::{elf::Image, platform, refusal::Reason};

/// What was built, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binary {
    /// What the compilers and linkers left of their names: `rustc version 1.95.0 (…)`, `GCC: (Debian 12.2.0-14) 12.2.0`.
    /// Empty when they were stripped.
    pub compilers: Vec<String>,
    /// Dynamic libraries that are loaded with it.
    pub libraries: Vec<String>,
    /// The newest GLIBC it needs: `2.34`.
    pub glibc: Option<String>,
    /// Every GLIBC version it needs, with the library that should have it.
    #[serde(skip)]
    pub glibc_versions: Vec<(String, String)>,
}

impl Binary {
    pub(super) fn of(image: &Image<'_>) -> Result<Self, Reason> {
        let mut glibc_versions = image.versions_needed()?;
        glibc_versions.retain(|(_, version)| version.starts_with("GLIBC_"));
        Ok(Self {
            compilers: image.comments(),
            libraries: image.libraries()?,
            glibc: platform::newest(glibc_versions.iter().map(|(_, version)| version.as_str())),
            glibc_versions,
        })
    }

    /// The compilers that are a rustc, as the file names them, with their version: `1.95.0`, `1.98.0-nightly`.
    pub fn rustc(&self) -> impl Iterator<Item = (&str, &str)> {
        self.compilers.iter().filter_map(|text| {
            let version = text.strip_prefix("rustc version ")?.split(' ').next()?;
            Some((text.as_str(), version))
        })
    }
}
