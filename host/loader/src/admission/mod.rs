//! Whether a file may be loaded as a plugin, decided without running any of it.
//!
//! The file is read once, into memory. Manifest, entry, compilers, needed libraries and symbol versions are found the way
//! the dynamic loader would find them; nothing is mapped, because a library's constructors run when it is loaded.
//!
//! Admission finds what does not fit. It is no defence against a library that means harm: that one runs with the host's
//! rights once it is loaded, so where a file comes from is decided by its `sha256` pin.
//!
//! # Refusals
//!
#![doc = include_str!("codes.md")]
#![forbid(unsafe_code)]

mod binary;
mod elf;
mod manifest;
mod platform;
mod read;
mod refusal;
mod report;
mod requirements;

use std::path::{Path, PathBuf};

pub(crate) use self::refusal::plain;
pub use self::{
    binary::Binary,
    manifest::{Abi, Manifest, Migration, Panic},
    platform::{Glibc, Platform},
    refusal::{Code, Reason, Refusal},
    report::{Report, verify},
    requirements::{AbiRange, CAPABILITIES, DENIED_COMPILERS, DeniedCompiler, LIBRARIES, Requirements},
};
use crate::sha256::Sha256;

/// A file that holds a plugin; whether this host takes it is not decided yet. Holds the file's content.
#[derive(Debug)]
pub struct Candidate {
    file: PathBuf,
    content: Vec<u8>,
    sha256: Sha256,
    binary: Binary,
    manifest: Manifest,
}

/// A plugin that this host takes. Holds the file's content, so that what was checked is what is stored.
#[derive(Debug)]
pub struct Admitted(Candidate);

/// What was found before it was decided, or before it ended.
#[derive(Debug, Default)]
struct Seen {
    size: Option<u64>,
    sha256: Option<Sha256>,
    binary: Option<Binary>,
    manifest: Option<Manifest>,
}

/// Reads a file. Refuses what is no plugin for any host on this machine.
pub fn inspect(path: &Path) -> Result<Candidate, Refusal> {
    let mut seen = Seen::default();
    look(path, &mut seen).map_err(|reason| seen.refusal(path, reason))
}

/// Decides. What is wrong first is the answer; [`verify`] tells all of it.
pub fn admit(candidate: Candidate, requirements: &Requirements) -> Result<Admitted, Refusal> {
    match requirements.unmet(&candidate).into_iter().next() {
        None => Ok(Admitted(candidate)),
        Some(reason) => Err(candidate.refusal(reason)),
    }
}

impl Candidate {
    /// The file, as it was named.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its content's name.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its size in bytes.
    pub const fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// What was built, and by what.
    pub const fn binary(&self) -> &Binary {
        &self.binary
    }

    /// What the plugin says about itself.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn refusal(&self, reason: Reason) -> Refusal {
        Refusal::new(Some(&self.manifest.id), &self.file, reason)
    }
}

impl Admitted {
    /// What is known about it.
    pub const fn candidate(&self) -> &Candidate {
        &self.0
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.0.content
    }

    pub(crate) fn refusal(&self, reason: Reason) -> Refusal {
        self.0.refusal(reason)
    }

    pub(crate) fn into_parts(self) -> (PathBuf, Sha256, Manifest) {
        (self.0.file, self.0.sha256, self.0.manifest)
    }
}

impl Seen {
    fn refusal(&self, file: &Path, reason: Reason) -> Refusal {
        Refusal::new(
            self.manifest.as_ref().map(|manifest| manifest.id.as_str()),
            file,
            reason,
        )
    }
}

fn look(path: &Path, seen: &mut Seen) -> Result<Candidate, Reason> {
    let content = read::whole(path)?;
    seen.size = Some(content.len() as u64);
    let sha256 = Sha256::of(&content);
    seen.sha256 = Some(sha256);
    let image = elf::Image::parse(&content)?;
    let binary = Binary::of(&image)?;
    seen.binary = Some(binary.clone());
    let manifest = Manifest::of(&image)?;
    seen.manifest = Some(manifest.clone());
    let entry = manifest.entry_symbol();
    let exported = image.exported(&entry)?;
    if !exported.iter().any(|symbol| symbol.is_function && symbol.name == entry) {
        return Err(Reason::NoEntry(entry));
    }
    Ok(Candidate {
        file: path.to_owned(),
        content,
        sha256,
        binary,
        manifest,
    })
}
