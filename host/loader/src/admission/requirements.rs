//! What this host asks of a plugin.

use std::collections::BTreeMap;

use super::{
    Candidate,
    manifest::{Abi, Panic},
    platform::{Platform, numbers},
    refusal::Reason,
};
use crate::sha256::Sha256;

/// Every capability there is. Those that end with `:` carry a value.
pub const CAPABILITIES: &[&str] = &[
    "http:",
    "routes:",
    "database",
    "kv",
    "pubsub",
    "jobs",
    "vault",
    "identity:users",
    "identity:accounts",
    "identity:sessions",
    "identity:keys",
    "identity:tokens",
    "conversations",
    "mail",
    "audit",
];

/// Libraries that a plugin may bring: the C library's parts, and what unwinds. The process has them already, so none of
/// them can add a second allocator, a second TLS library or a second logger.
pub const LIBRARIES: &[&str] = &[
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "libpthread.so",
    "libdl.so",
    "librt.so",
    "ld-linux.so",
    "ld-linux-x86-64.so",
    "ld-linux-aarch64.so",
    "ld-linux-riscv64-lp64d.so",
    "ld64.so",
    "linux-vdso.so",
];

/// Compilers whose plugins are refused.
pub const DENIED_COMPILERS: &[DeniedCompiler] = &[DeniedCompiler {
    rustc: "1.98.0",
    why: "left slots of vtables empty",
}];

/// The interfaces this host supports, oldest first.
const OLDEST_MINOR: u32 = 0;

/// A compiler that is known to produce broken code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeniedCompiler {
    /// Version of rustc; its nightlies and betas (`1.98.0-nightly`) are meant too.
    pub rustc: &'static str,
    /// What it did, after "which".
    pub why: &'static str,
}

/// A range of interfaces of one major version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbiRange {
    /// The oldest.
    pub oldest: Abi,
    /// The newest, of the same major version.
    pub newest: Abi,
}

/// What this host asks of one file.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// The id that plugins.toml expects.
    pub id: Option<String>,
    /// The content that plugins.toml pins.
    pub sha256: Option<Sha256>,
    /// Ids that are taken, and by what: `"a built-in plugin"`, `"plugins/libpager.so"`.
    pub taken: BTreeMap<String, String>,
    /// Interfaces that are supported.
    pub abi: AbiRange,
    /// Compilers that are refused.
    pub denied_compilers: Vec<DeniedCompiler>,
    /// What this host is.
    pub platform: Platform,
}

impl Default for Requirements {
    /// What this host asks of every file.
    fn default() -> Self {
        Self {
            id: None,
            sha256: None,
            taken: BTreeMap::new(),
            abi: AbiRange::SUPPORTED,
            denied_compilers: DENIED_COMPILERS.to_vec(),
            platform: Platform::current().clone(),
        }
    }
}

impl AbiRange {
    /// What this host supports.
    pub const SUPPORTED: Self = Self {
        oldest: Abi {
            major: jackfield_abi::MAJOR,
            minor: OLDEST_MINOR,
        },
        newest: Abi {
            major: jackfield_abi::MAJOR,
            minor: jackfield_abi::MINOR,
        },
    };
}

impl Requirements {
    /// All that is wrong, the most fundamental first: another file, another world, broken code, then its wishes.
    pub(super) fn unmet(&self, candidate: &Candidate) -> Vec<Reason> {
        let mut unmet = Vec::new();
        unmet.extend(self.other_content(candidate));
        unmet.extend(self.other_world(candidate));
        unmet.extend(self.broken_code(candidate));
        unmet.extend(self.other_libraries(candidate));
        unmet.extend(self.other_id(candidate));
        let unknown = candidate
            .manifest
            .capabilities
            .iter()
            .filter(|name| !is_capability(name));
        unmet.extend(unknown.cloned().map(Reason::UnknownCapability));
        unmet
    }

    fn other_content(&self, candidate: &Candidate) -> Option<Reason> {
        let pinned = self.sha256.filter(|pinned| *pinned != candidate.sha256)?;
        Some(Reason::Sha256Mismatch {
            found: candidate.sha256,
            pinned,
        })
    }

    fn other_world(&self, candidate: &Candidate) -> Vec<Reason> {
        let manifest = &candidate.manifest;
        let mut unmet = Vec::new();
        if manifest.abi < self.abi.oldest {
            unmet.push(Reason::AbiTooOld {
                found: manifest.abi,
                oldest: self.abi.oldest,
            });
        }
        if manifest.abi > self.abi.newest {
            unmet.push(Reason::AbiTooNew {
                found: manifest.abi,
                newest: self.abi.newest,
            });
        }
        if manifest.target != self.platform.target {
            unmet.push(Reason::WrongTarget {
                found: manifest.target.clone(),
                host: self.platform.target.clone(),
            });
        }
        unmet
    }

    fn broken_code(&self, candidate: &Candidate) -> Vec<Reason> {
        let mut unmet = Vec::new();
        if candidate.manifest.panic == Panic::Abort {
            unmet.push(Reason::PanicAbort);
        }
        for (compiler, version) in candidate.binary.rustc() {
            let release = version.split('-').next();
            let denied = self
                .denied_compilers
                .iter()
                .find(|denied| release == Some(denied.rustc));
            unmet.extend(denied.map(|denied| Reason::DeniedCompiler {
                compiler: compiler.to_owned(),
                why: denied.why,
            }));
        }
        unmet
    }

    fn other_libraries(&self, candidate: &Candidate) -> Vec<Reason> {
        let has = |version: &str| self.platform.glibc.as_ref().is_some_and(|glibc| glibc.has(version));
        let missing = candidate
            .binary
            .glibc_versions
            .iter()
            .filter(|(_, version)| !has(version))
            .max_by_key(|(_, version)| numbers(version));
        let newer = missing.map(|(library, version)| Reason::NewerGlibc {
            needed: version.clone(),
            library: library.clone(),
            host: self.platform.glibc.as_ref().map_or_else(
                || "this host runs on no GLIBC that can be read".to_owned(),
                |glibc| format!("this host runs on GLIBC {}", glibc.version()),
            ),
        });
        let unexpected = candidate.binary.libraries.iter().filter(|name| !is_expected(name));
        newer
            .into_iter()
            .chain(unexpected.cloned().map(Reason::UnexpectedLibrary))
            .collect()
    }

    fn other_id(&self, candidate: &Candidate) -> Vec<Reason> {
        let id = &candidate.manifest.id;
        let other = self
            .id
            .as_ref()
            .filter(|expected| *expected != id)
            .map(|expected| Reason::OtherId {
                found: id.clone(),
                expected: expected.clone(),
            });
        let taken = self.taken.get(id).map(|by| Reason::DuplicateId {
            id: id.clone(),
            by: by.clone(),
        });
        other.into_iter().chain(taken).collect()
    }
}

fn is_capability(name: &str) -> bool {
    CAPABILITIES.iter().any(|known| {
        if known.ends_with(':') {
            name.len() > known.len() && name.starts_with(known)
        } else {
            name == *known
        }
    })
}

/// `libc.so.6` is `libc.so` in some version; a path never is.
fn is_expected(name: &str) -> bool {
    let version = |rest: &str| rest.is_empty() || rest.starts_with('.') && !rest.contains('/');
    LIBRARIES
        .iter()
        .any(|known| name.strip_prefix(known).is_some_and(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_name_and_not_by_path() {
        for (name, expected) in [
            ("libc.so.6", true),
            ("ld-linux-x86-64.so.2", true),
            ("libc.so", true),
            ("libc.so.6/../evil.so", false),
            ("./libc.so.6", false),
            ("libc.soup", false),
            ("libcrypto.so.3", false),
            ("", false),
        ] {
            assert_eq!(is_expected(name), expected, "{name}");
        }
    }

    #[test]
    fn capabilities_are_a_closed_list() {
        for (name, expected) in [
            ("kv", true),
            ("http:{api}", true),
            ("routes:/x/*", true),
            ("identity:users", true),
            ("http:", false),
            ("http", false),
            ("identity:admin", false),
            ("kv2", false),
        ] {
            assert_eq!(is_capability(name), expected, "{name}");
        }
    }

    #[test]
    fn the_list_is_the_macros_and_the_one_that_is_printed() {
        // The macro's crate exports macros only, so its list is compared as text.
        let source = include_str!("../../../../sdk/macros/src/plugin.rs");
        let list = source
            .split_once("const CAPABILITIES: [&str; 15] = [")
            .and_then(|(_, rest)| rest.split_once("];"))
            .map(|(list, _)| list.split('"').skip(1).step_by(2).collect::<Vec<_>>());
        assert_eq!(list.as_deref(), Some(CAPABILITIES));
        let fix = crate::Code::UnknownCapability.fix();
        for known in CAPABILITIES {
            assert!(fix.contains(&format!("`{known}")), "{known} is not in: {fix}");
        }
    }
}
