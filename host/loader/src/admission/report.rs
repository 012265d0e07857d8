//! What admission would decide on a file, and why: `jackfield plugins verify FILE`.

use std::{fmt, path::Path, path::PathBuf};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    Abi, Binary, Manifest, Panic, Refusal, Requirements, Seen, look,
    platform::{Glibc, Platform},
    requirements::AbiRange,
};
use crate::sha256::Sha256;

/// What was found in a file, and all that is wrong with it. Printed for people, serialised for scripts.
///
/// As JSON: `file, decision` (`admitted` or `refused`), `refusals`, `size, sha256`, and as far as the file got: `id,
/// version, description, abi, target, panic, sdk, compilers, glibc, libraries, capabilities, migrations`.
#[derive(Debug)]
pub struct Report {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its content's name.
    pub sha256: Option<Sha256>,
    /// What was built.
    pub binary: Option<Binary>,
    /// What the plugin says about itself.
    pub manifest: Option<Manifest>,
    /// Why it is refused, what counts first; empty when it is admitted. [`admit`](super::admit) answers with the first.
    pub refusals: Vec<Refusal>,
    abi: AbiRange,
    platform: Platform,
}

/// Decides on a file without storing or loading it, and keeps looking after the first fault.
pub fn verify(path: &Path, requirements: &Requirements) -> Report {
    let mut seen = Seen::default();
    let refusals = match look(path, &mut seen) {
        Ok(candidate) => {
            let unmet = requirements.unmet(&candidate);
            unmet.into_iter().map(|reason| candidate.refusal(reason)).collect()
        }
        Err(reason) => vec![match &requirements.id {
            Some(id) => seen.refusal(path, reason).expected(id),
            None => seen.refusal(path, reason),
        }],
    };
    Report {
        file: path.to_owned(),
        size: seen.size,
        sha256: seen.sha256,
        binary: seen.binary,
        manifest: seen.manifest,
        refusals,
        abi: requirements.abi,
        platform: requirements.platform.clone(),
    }
}

impl Report {
    /// Whether the host would load it.
    pub const fn is_admitted(&self) -> bool {
        self.refusals.is_empty()
    }

    const fn decision(&self) -> &'static str {
        if self.is_admitted() { "admitted" } else { "refused" }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.file.display(), self.decision())?;
        let mut fact = |name: &str, value: &str| writeln!(f, "  {name:<13}{value}");
        if let Some(manifest) = &self.manifest {
            fact("plugin", &format!("{} {}", manifest.id, manifest.version))?;
            if !manifest.description.is_empty() {
                fact("description", &manifest.description)?;
            }
            fact("abi", &format!("{} (this host: {})", manifest.abi, range(self.abi)))?;
            fact("target", &manifest.target)?;
            fact("panic", panic_name(manifest.panic))?;
            fact("sdk", manifest.sdk.as_deref().unwrap_or("none"))?;
        }
        if let Some(binary) = &self.binary {
            fact("compilers", &listed(&binary.compilers))?;
            let here = self
                .platform
                .glibc
                .as_ref()
                .map_or_else(|| "none".to_owned(), Glibc::version);
            let needed = binary.glibc.as_deref().unwrap_or("none");
            fact("glibc", &format!("{needed} (this host: {here})"))?;
            fact("libraries", &listed(&binary.libraries))?;
        }
        if let Some(manifest) = &self.manifest {
            fact("capabilities", &listed(&manifest.capabilities))?;
            fact("migrations", &manifest.migrations.len().to_string())?;
        }
        if let Some(sha256) = self.sha256 {
            fact("sha256", &sha256.to_string())?;
        }
        if let Some(size) = self.size {
            fact("size", &format!("{size} bytes"))?;
        }
        for refusal in &self.refusals {
            writeln!(
                f,
                "{}: {}\n  fix: {}",
                refusal.code(),
                refusal.reason,
                refusal.code().fix()
            )?;
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_map(None)?;
        report.serialize_entry("file", &self.file.to_string_lossy())?;
        report.serialize_entry("decision", self.decision())?;
        report.serialize_entry("refusals", &self.refusals)?;
        report.serialize_entry("size", &self.size)?;
        report.serialize_entry("sha256", &self.sha256)?;
        if let Some(binary) = &self.binary {
            report.serialize_entry("compilers", &binary.compilers)?;
            report.serialize_entry("glibc", &binary.glibc)?;
            report.serialize_entry("libraries", &binary.libraries)?;
        }
        if let Some(manifest) = &self.manifest {
            report.serialize_entry("id", &manifest.id)?;
            report.serialize_entry("version", &manifest.version)?;
            report.serialize_entry("description", &manifest.description)?;
            report.serialize_entry("abi", &manifest.abi)?;
            report.serialize_entry("target", &manifest.target)?;
            report.serialize_entry("panic", &manifest.panic)?;
            report.serialize_entry("sdk", &manifest.sdk)?;
            report.serialize_entry("capabilities", &manifest.capabilities)?;
            report.serialize_entry("migrations", &manifest.migrations.len())?;
        }
        report.end()
    }
}

fn range(AbiRange { oldest, newest }: AbiRange) -> String {
    let text = |abi: Abi| abi.to_string();
    if oldest == newest {
        text(newest)
    } else {
        format!("{oldest} to {newest}")
    }
}

const fn panic_name(panic: Panic) -> &'static str {
    match panic {
        Panic::Unwind => "unwind",
        Panic::Abort => "abort",
    }
}

fn listed(items: &[String]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
