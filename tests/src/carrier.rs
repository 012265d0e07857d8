//! How the plugin under test is carried, and the shared libraries that `cargo xtask test` has built for the suites.

use std::path::{Path, PathBuf};

use crate::host::long;

/// How a plugin is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Compiled in.
    Builtin,
    /// In a shared library.
    Dylib,
}

impl Carrier {
    /// Whether a suite can run on it; the reason why not is printed.
    pub fn ready(self) -> bool {
        self == Self::Builtin || library("github").is_some()
    }

    /// The same for a suite that is dear: in a shared library only in full size.
    pub fn ready_when_long(self) -> bool {
        if self == Self::Dylib && !long() {
            println!("skipped: on this carrier in full size only (`cargo xtask test --long`)");
            return false;
        }
        self.ready()
    }

    /// `full`, or with a shared library in CI only `small`: what differs between the carriers shows in a few as well.
    pub fn of(self, full: usize, small: usize) -> usize {
        if self == Self::Dylib && !long() { small } else { full }
    }
}

/// A shared library by the name that `xtask` gave it: `github`, `turnstile`, `turnstile-second`.
pub fn library(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("JACKFIELD_TEST_PLUGINS").map(PathBuf::from) else {
        println!("skipped: JACKFIELD_TEST_PLUGINS is not set; `cargo xtask test` sets it");
        return None;
    };
    let file = folder.join(format!("{name}.so"));
    assert!(file.exists(), "`{}` was not built", file.display());
    Some(std::fs::canonicalize(file).unwrap())
}

/// `[plugins.ID]` with its file and what it may use.
pub fn entry(id: &str, file: &Path, capabilities: &[&str]) -> String {
    format!(
        "[plugins.{id}]\nenabled = true\ncarrier = \"dylib\"\npath = {:?}\ncapabilities = {capabilities:?}\n",
        file.display().to_string(),
    )
}

/// The entry of the GitHub plugin.
pub fn github() -> String {
    let file = library("github").expect("`Carrier::ready` was asked");
    entry(
        "github",
        &file,
        &["http:{api_url}", "kv", "routes:/integration/github/*"],
    )
}

/// Another file of the same plugin: `number` stands behind its last byte, where nothing reads it. Appears under its name at
/// once.
pub fn variant(of: &Path, at: &Path, number: usize) {
    let mut content = std::fs::read(of).unwrap();
    content.extend_from_slice(format!("variant {number}").as_bytes());
    place(&content, at);
}

/// Puts content under a name at once, as an installer does it.
pub fn place(content: &[u8], at: &Path) {
    let beside = at.with_extension("new");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(&beside, at).unwrap();
}

/// Runs a suite's functions, which take a [`Carrier`], once for each carrier.
#[macro_export]
macro_rules! on_each_carrier {
    ($($name:ident),+ $(,)?) => {
        mod builtin {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(jackfield_tests::carrier::Carrier::Builtin).await;
                }
            )+
        }
        mod dylib {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(jackfield_tests::carrier::Carrier::Dylib).await;
                }
            )+
        }
    };
}
