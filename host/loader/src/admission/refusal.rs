//! Why a file is refused. [`Code`] is what the author guide is indexed by, [`Reason`] is what happened this time,
//! [`Refusal`] adds which plugin and which file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::manifest::Abi;
use crate::sha256::Sha256;

/// The most characters of a text from a file that are printed.
pub(super) const MAX_TEXT: usize = 200;

/// One row a code: its number, its name here, what it means and what to do. Numbers are never reused.
macro_rules! codes {
    ($($number:literal $name:ident: $means:literal, $fix:literal;)+) => {
        /// The stable number of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $means] $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As it is printed: `JF-P001`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $number),+ }
            }

            /// What it means.
            pub const fn means(self) -> &'static str {
                match self { $(Self::$name => $means),+ }
            }

            /// What to do.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix),+ }
            }
        }
    };
}

codes! {
    "JF-P001" Missing: "There is no such file.",
        "correct `path` under `[plugins.ID]` in plugins.toml, or put the file there; a relative path starts where the host was started";
    "JF-P002" Unreadable: "The file cannot be read.",
        "let the user that the host runs as read the file and enter its directories";
    "JF-P003" NotAFile: "The path names a directory, a device, a pipe or a socket.",
        "name the shared library itself, such as plugins/libpager.so";
    "JF-P004" TooLarge: "The file is larger than a plugin may be.",
        "build with `--release` and strip debug information (`strip = \"debuginfo\"` in the profile)";
    "JF-P005" NotElf: "The file is not an ELF file.",
        "name the shared library that the build made, such as target/release/libpager.so";
    "JF-P006" Truncated: "The file ends before its content does; most often its copy was cut off or is still going on.",
        "copy it again, to another name in the same directory, and rename it when the copy is complete";
    "JF-P007" Malformed: "The file contradicts itself.",
        "build it again; if it was changed after the build (strip, patchelf, a packer), leave that step out";
    "JF-P008" NotSharedObject: "The file is a program, an object file or an archive, not a shared library.",
        "build a shared library: `crate-type = [\"cdylib\"]` under `[lib]` in Cargo.toml, or `cc -shared -fPIC`";
    "JF-P009" WrongTarget: "The file was built for another machine or system than the host's.",
        "build for the host's target: `cargo build --release --target TARGET`";
    "JF-P010" NoManifest: "The file is a shared library without a plugin in it.",
        "put `#[plugin(id = \"…\")]` on the plugin and build a `cdylib`; without the SDK, export the constant `jackfield_manifest_ID`";
    "JF-P011" TwoManifests: "The file holds more than one plugin.",
        "build one `cdylib` for each plugin; a plugin crate that another one depends on is exported with it";
    "JF-P012" InvalidManifest: "The manifest cannot be read, or lacks something.",
        "build with an unchanged `jackfield-sdk`; without the SDK, correct what is named: the manifest is a constant array of JSON text";
    "JF-P013" ManifestFormat: "The manifest has a format that this host does not know.",
        "update the host, or build the plugin with an older `jackfield-sdk`";
    "JF-P014" NoEntry: "The file does not export the plugin's entry.",
        "build with an unchanged `jackfield-sdk` and without a version script that hides symbols; without the SDK, export the function `jackfield_entry_ID`";
    "JF-P015" AbiTooOld: "The plugin was built for an interface that this host no longer has.",
        "build the plugin again with a current `jackfield-sdk`";
    "JF-P016" AbiTooNew: "The plugin was built for an interface that this host does not have yet.",
        "update the host, or build the plugin with an older `jackfield-sdk`";
    "JF-P017" PanicAbort: "The plugin was built so that a panic ends the process, and with it the host.",
        "remove `panic = \"abort\"` from the profile in Cargo.toml (and from RUSTFLAGS) and build again";
    "JF-P018" DeniedCompiler: "The plugin was built by a compiler that is known to produce broken code.",
        "build again with another compiler: `rustup update`, or a newer toolchain in rust-toolchain.toml";
    "JF-P019" NewerGlibc: "The plugin needs a newer GLIBC than the host runs on.",
        "build on a system with the host's GLIBC or an older one, such as a container of the host's distribution; or run the host on a newer system";
    "JF-P020" UnexpectedLibrary: "The plugin needs a dynamic library that a plugin may not bring into the host.",
        "link it statically (for many crates a feature such as `vendored` or `bundled`), or use a crate in Rust instead";
    "JF-P021" Sha256Mismatch: "The file is not the one that plugins.toml pins.",
        "put the pinned file back; if the change was meant, check where the file is from, then update `sha256` under `[plugins.ID]`";
    "JF-P022" OtherId: "The file holds another plugin than the one that plugins.toml names.",
        "correct `path`, or name the table in plugins.toml after the plugin: `[plugins.ID]`";
    "JF-P023" DuplicateId: "Another plugin already has this id.",
        "keep one of them; to replace a built-in plugin, set `carrier = \"dylib\"` on its own table";
    "JF-P024" UnknownCapability: "The plugin asks for a capability that this host does not know.",
        "write one of `http:{field}`, `routes:/prefix/*`, `database`, `kv`, `pubsub`, `jobs`, `vault`, `identity:users`, `identity:accounts`, `identity:sessions`, `identity:keys`, `identity:tokens`, `conversations`, `mail`, `audit`; if it is one of a newer host, update the host";
    "JF-P025" NotStored: "The copy that is loaded could not be written.",
        "make the data directory writable for the user that the host runs as, and leave room on its disk";
    "JF-P026" NotLoaded: "The file was admitted and the system's loader refused it.",
        "build it again on a clean checkout; if it needs a symbol that nobody brings, link what defines it statically";
    "JF-P027" BrokenDeclarations: "The plugin's declarations (routes, webhooks, jobs) panic, or cannot be read.",
        "run the plugin's own tests: `assert_plugin_contract` makes the same call";
    "JF-P028" TooManyImages: "The process already keeps as many images of this plugin as it may; a replaced image stays in memory until the host restarts.",
        "restart the host, or put a file back that it has loaded before; `jackfield plugins reload ID --force` loads one more all the same";
    "JF-P029" OutsidePrefix: "The plugin declares a path outside `/{id}/`.",
        "move the route below `/{id}/`, or grant the path: `capabilities = [\"routes:/prefix/*\"]` under `[plugins.ID]` in plugins.toml";
}

impl Code {
    /// Every code with its meaning and its fix, as a Markdown table.
    pub fn table() -> String {
        let rows = Self::ALL
            .iter()
            .map(|code| format!("| `{code}` | {} | {} |\n", code.means(), code.fix()));
        std::iter::once("| code | what it means | what to do |\n|---|---|---|\n".to_owned())
            .chain(rows)
            .collect()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is wrong with a file. Its text says what was found, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// See [`Code::Missing`].
    #[error("there is no such file")]
    Missing,
    /// See [`Code::Unreadable`].
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// See [`Code::NotAFile`].
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// See [`Code::TooLarge`].
    #[error("it has {size} bytes or more; a plugin has at most {limit}")]
    TooLarge {
        /// Bytes seen.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// See [`Code::NotElf`].
    #[error("it is not an ELF file: it begins with {0}")]
    NotElf(String),
    /// See [`Code::Truncated`].
    #[error("it ends after {size} bytes, in the middle of {within}")]
    Truncated {
        /// Bytes there are.
        size: u64,
        /// What is cut.
        within: &'static str,
    },
    /// See [`Code::Malformed`].
    #[error("it is damaged: {0}")]
    Malformed(&'static str),
    /// See [`Code::NotSharedObject`].
    #[error("it is {0}, not a shared library")]
    NotSharedObject(&'static str),
    /// See [`Code::WrongTarget`].
    #[error("it was built for {found}; this host is {host}")]
    WrongTarget {
        /// The file's.
        found: String,
        /// The host's.
        host: String,
    },
    /// See [`Code::NoManifest`].
    #[error("it exports no symbol that begins with `jackfield_manifest_`")]
    NoManifest,
    /// See [`Code::TwoManifests`].
    #[error("it holds more than one plugin: {}", .0.join(", "))]
    TwoManifests(Vec<String>),
    /// See [`Code::InvalidManifest`].
    #[error("its manifest is invalid: {0}")]
    InvalidManifest(String),
    /// See [`Code::ManifestFormat`].
    #[error("its manifest has format {found}; this host reads format {known}")]
    ManifestFormat {
        /// The manifest's.
        found: u64,
        /// The host's.
        known: u64,
    },
    /// See [`Code::NoEntry`].
    #[error("it does not export the function `{0}`")]
    NoEntry(String),
    /// See [`Code::AbiTooOld`].
    #[error("it was built for ABI {found}; the oldest that this host supports is {oldest}")]
    AbiTooOld {
        /// The plugin's.
        found: Abi,
        /// The oldest supported.
        oldest: Abi,
    },
    /// See [`Code::AbiTooNew`].
    #[error("it was built for ABI {found}; the newest that this host supports is {newest}")]
    AbiTooNew {
        /// The plugin's.
        found: Abi,
        /// The newest supported.
        newest: Abi,
    },
    /// See [`Code::PanicAbort`].
    #[error("it was built with panic = \"abort\"")]
    PanicAbort,
    /// See [`Code::DeniedCompiler`].
    #[error("it was built by {compiler}, which {why}")]
    DeniedCompiler {
        /// As the file names it.
        compiler: String,
        /// What that compiler did.
        why: &'static str,
    },
    /// See [`Code::NewerGlibc`].
    #[error("it needs {needed} of {library}; {host}")]
    NewerGlibc {
        /// The version: `GLIBC_2.39`.
        needed: String,
        /// The library that should have it.
        library: String,
        /// What the host runs on.
        host: String,
    },
    /// See [`Code::UnexpectedLibrary`].
    #[error("it needs the dynamic library {0}")]
    UnexpectedLibrary(String),
    /// See [`Code::Sha256Mismatch`].
    #[error("its SHA-256 is {found}; plugins.toml pins {pinned}")]
    Sha256Mismatch {
        /// The file's.
        found: Sha256,
        /// The pin.
        pinned: Sha256,
    },
    /// See [`Code::OtherId`].
    #[error("it holds the plugin `{found}`; plugins.toml expects `{expected}`")]
    OtherId {
        /// The plugin's.
        found: String,
        /// What the table is called.
        expected: String,
    },
    /// See [`Code::DuplicateId`].
    #[error("the id `{id}` is taken by {by}")]
    DuplicateId {
        /// The plugin's.
        id: String,
        /// Who has it.
        by: String,
    },
    /// See [`Code::UnknownCapability`].
    #[error("it asks for `{0}`, which is no capability of this host")]
    UnknownCapability(String),
    /// See [`Code::NotStored`].
    #[error("the copy that would be loaded, {}, cannot be written: {error}", .path.display())]
    NotStored {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// See [`Code::NotLoaded`].
    #[error("it cannot be loaded: {0}")]
    NotLoaded(String),
    /// See [`Code::BrokenDeclarations`].
    #[error("{0}")]
    BrokenDeclarations(String),
    /// See [`Code::TooManyImages`].
    #[error("this process keeps {kept} images of it")]
    TooManyImages {
        /// Images kept.
        kept: usize,
    },
    /// See [`Code::OutsidePrefix`].
    #[error("it declares `{path}`, which is neither below `/{id}/` nor granted")]
    OutsidePrefix {
        /// Its id.
        id: String,
        /// The path.
        path: String,
    },
}

impl Reason {
    /// Its number.
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing => Code::Missing,
            Self::Unreadable(_) => Code::Unreadable,
            Self::NotAFile(_) => Code::NotAFile,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::NotElf(_) => Code::NotElf,
            Self::Truncated { .. } => Code::Truncated,
            Self::Malformed(_) => Code::Malformed,
            Self::NotSharedObject(_) => Code::NotSharedObject,
            Self::WrongTarget { .. } => Code::WrongTarget,
            Self::NoManifest => Code::NoManifest,
            Self::TwoManifests(_) => Code::TwoManifests,
            Self::InvalidManifest(_) => Code::InvalidManifest,
            Self::ManifestFormat { .. } => Code::ManifestFormat,
            Self::NoEntry(_) => Code::NoEntry,
            Self::AbiTooOld { .. } => Code::AbiTooOld,
            Self::AbiTooNew { .. } => Code::AbiTooNew,
            Self::PanicAbort => Code::PanicAbort,
            Self::DeniedCompiler { .. } => Code::DeniedCompiler,
            Self::NewerGlibc { .. } => Code::NewerGlibc,
            Self::UnexpectedLibrary(_) => Code::UnexpectedLibrary,
            Self::Sha256Mismatch { .. } => Code::Sha256Mismatch,
            Self::OtherId { .. } => Code::OtherId,
            Self::DuplicateId { .. } => Code::DuplicateId,
            Self::UnknownCapability(_) => Code::UnknownCapability,
            Self::NotStored { .. } => Code::NotStored,
            Self::NotLoaded(_) => Code::NotLoaded,
            Self::BrokenDeclarations(_) => Code::BrokenDeclarations,
            Self::TooManyImages { .. } => Code::TooManyImages,
            Self::OutsidePrefix { .. } => Code::OutsidePrefix,
        }
    }
}

/// A file that is not loaded. As JSON: `{code, plugin, file, cause, fix}`, with `plugin` null when it is not known.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {}: {reason}\n  fix: {}", .file.display(), named(.plugin.as_deref()), .reason.code(), .reason.code().fix())]
pub struct Refusal {
    /// Its id, when it is known.
    pub plugin: Option<String>,
    /// The file, as it was named.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub reason: Reason,
}

impl Refusal {
    pub(crate) fn new(plugin: Option<&str>, file: &Path, reason: Reason) -> Self {
        Self {
            plugin: plugin.map(str::to_owned),
            file: file.to_owned(),
            reason,
        }
    }

    /// Names the plugin that the file was expected to hold, when the file itself did not tell.
    pub fn expected(mut self, id: &str) -> Self {
        self.plugin.get_or_insert_with(|| id.to_owned());
        self
    }

    /// Its number.
    pub const fn code(&self) -> Code {
        self.reason.code()
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut refusal = serializer.serialize_struct("Refusal", 5)?;
        refusal.serialize_field("code", &self.code())?;
        refusal.serialize_field("plugin", &self.plugin)?;
        refusal.serialize_field("file", &self.file.to_string_lossy())?;
        refusal.serialize_field("cause", &self.reason.to_string())?;
        refusal.serialize_field("fix", self.code().fix())?;
        refusal.end()
    }
}

/// A text from a file as it may be printed: on one line, of moderate length, without control characters.
pub(crate) fn plain(text: &str) -> String {
    let cut = text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(at, _)| at);
    let mut plain: String = text[..cut]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if cut < text.len() {
        plain.push('…');
    }
    plain
}

fn named(plugin: Option<&str>) -> String {
    plugin.map_or_else(String::new, |id| format!(" (plugin {id})"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_unique_and_in_order() {
        let numbers: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let sorted: Vec<&str> = numbers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(numbers, sorted);
    }

    #[test]
    fn documented_table_is_the_one_in_the_code() {
        assert_eq!(
            include_str!("codes.md"),
            Code::table(),
            "write the right-hand side into host/loader/src/admission/codes.md"
        );
    }
}
