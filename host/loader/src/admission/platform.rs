//! What this host is, as far as a plugin must match it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use object::elf;

use super::{elf::Image, read};

/// The target triple that the host was built for.
pub(super) const TARGET: &str = env!("JACKFIELD_TARGET");
/// `e_ident[EI_CLASS]` of the host.
pub(super) const CLASS: u8 = if cfg!(target_pointer_width = "64") { 2 } else { 1 };
/// `e_ident[EI_DATA]` of the host.
pub(super) const DATA: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
/// `e_machine` of the host.
pub(super) const MACHINE: elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "riscv64") {
    elf::EM_RISCV
} else if cfg!(target_arch = "loongarch64") {
    elf::EM_LOONGARCH
} else if cfg!(target_arch = "powerpc64") {
    elf::EM_PPC64
} else if cfg!(target_arch = "s390x") {
    elf::EM_S390
} else {
    // No plugin has it: on any other machine the dylib carrier is untried, and refuses.
    elf::EM_NONE
};

/// What this host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Target triple.
    pub target: String,
    /// The C library it runs on; none when that is not GLIBC, or cannot be read.
    pub glibc: Option<Glibc>,
}

/// A GLIBC, by the versions of symbols it defines: they are what the dynamic loader checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glibc {
    defined: BTreeSet<String>,
    newest: Vec<u32>,
}

impl Platform {
    /// This host. Found out once, best at start-up: an upgrade of the system takes the C library's file away.
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<Platform> = OnceLock::new();
        CURRENT.get_or_init(|| Self {
            target: TARGET.to_owned(),
            glibc: Glibc::running(),
        })
    }
}

impl Glibc {
    /// The one that is mapped into this process. Its file is read, because asking it (`gnu_get_libc_version`) takes a
    /// call that cannot be checked. None as well when that file was replaced since the process started.
    fn running() -> Option<Self> {
        let libc = read::whole(&mapped_libc()?).ok()?;
        Self::new(Image::parse(&libc).ok()?.versions_defined().ok()?)
    }

    /// From the names of symbol versions, such as `GLIBC_2.36`; none when there is no such name.
    pub fn new(versions: impl IntoIterator<Item = String>) -> Option<Self> {
        let defined: BTreeSet<String> = versions.into_iter().collect();
        let newest = defined.iter().filter_map(|name| numbers(name)).max()?;
        Some(Self { defined, newest })
    }

    /// Whether it has a version of a symbol. `libm` and the others define their own, with the numbers of their release.
    pub fn has(&self, version: &str) -> bool {
        self.defined.contains(version) || numbers(version).is_some_and(|numbers| numbers <= self.newest)
    }

    /// Its version: `2.36`.
    pub fn version(&self) -> String {
        dotted(&self.newest)
    }
}

/// The newest of the `GLIBC_…` versions: `2.34`.
pub(super) fn newest<'v>(versions: impl Iterator<Item = &'v str>) -> Option<String> {
    versions.filter_map(numbers).max().map(|numbers| dotted(&numbers))
}

fn dotted(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// `GLIBC_2.2.5` as 2, 2, 5. Names such as `GLIBC_PRIVATE` or `GLIBC_ABI_DT_RELR` have no numbers.
pub(super) fn numbers(version: &str) -> Option<Vec<u32>> {
    let numbers = version.strip_prefix("GLIBC_")?.split('.');
    numbers.map(|number| number.parse().ok()).collect()
}

fn mapped_libc() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let path = Path::new(line.get(line.find('/')?..)?);
        let name = path.file_name()?.to_str()?;
        (name.starts_with("libc.so.6") || name.starts_with("libc-2.")).then(|| path.to_owned())
    })
}

/// What a class and a byte order are called.
pub(super) fn layout_name(class: u8, data: u8) -> String {
    let bits = match class {
        1 => "32-bit",
        2 => "64-bit",
        _ => "unknown word size",
    };
    let order = match data {
        1 => "little-endian",
        2 => "big-endian",
        _ => "unknown byte order",
    };
    format!("another machine ({bits}, {order})")
}

/// What a machine is called in target triples.
pub(super) fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_RISCV => "riscv64".to_owned(),
        elf::EM_LOONGARCH => "loongarch64".to_owned(),
        elf::EM_PPC64 => "powerpc64".to_owned(),
        elf::EM_S390 => "s390x".to_owned(),
        other => format!("another machine (ELF machine {})", other.0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let glibc =
            Glibc::new(["GLIBC_2.2.5", "GLIBC_2.36", "GLIBC_2.9", "GLIBC_ABI_DT_RELR"].map(str::to_owned)).unwrap();
        assert_eq!(glibc.version(), "2.36");
        for (version, expected) in [
            ("GLIBC_2.36", true),
            ("GLIBC_2.4", true),
            ("GLIBC_2.36.1", false),
            ("GLIBC_2.100", false),
            ("GLIBC_ABI_DT_RELR", true),
            ("GLIBC_ABI_GNU_TLS", false),
            ("GLIBC_2.x", false),
        ] {
            assert_eq!(glibc.has(version), expected, "{version}");
        }
        assert_eq!(Glibc::new(["libc.so.6".to_owned()]), None);
    }

    #[test]
    fn this_host_is_known() {
        let here = Platform::current();
        assert!(here.target.contains(std::env::consts::ARCH), "{}", here.target);
        if cfg!(target_env = "gnu") {
            // What the system's own tool says, where it is installed.
            let Ok(said) = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output() else {
                return;
            };
            let said = String::from_utf8(said.stdout).unwrap();
            assert_eq!(said.trim(), format!("glibc {}", here.glibc.as_ref().unwrap().version()));
        }
    }
}
