//! Builds small libraries with the system's C compiler and with rustc.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

/// A directory of one test, empty at first.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loader-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A library in C.
pub(crate) struct Plugin {
    pub(crate) manifest: String,
    id: String,
    options: Vec<String>,
}

impl Plugin {
    /// One that is admitted: `pager`.
    pub(crate) fn good() -> Self {
        Self::with(manifest("pager"))
    }

    pub(crate) fn with(manifest: Value) -> Self {
        Self::of_text(manifest.to_string())
    }

    pub(crate) fn of_text(manifest: String) -> Self {
        Self {
            manifest,
            id: "pager".to_owned(),
            options: Vec::new(),
        }
    }

    /// One with a member of the manifest changed; without it for null.
    pub(crate) fn changed(member: &str, value: Value) -> Self {
        let mut manifest = manifest("pager");
        if value.is_null() {
            manifest.as_object_mut().unwrap().remove(member);
        } else {
            manifest[member] = value;
        }
        Self::with(manifest)
    }

    pub(crate) fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// `-D…`, or another option of the compiler.
    pub(crate) fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// With an entry whose descriptor answers a status and a text.
    pub(crate) fn answering(self, status: u32, text: &str) -> Self {
        let text = serde_json::to_string(text).unwrap();
        self.option(format!("-DSTATUS={status}"))
            .option(format!("-DDESCRIPTOR={text}"))
    }

    /// The library.
    pub(crate) fn build(self, directory: &Directory) -> PathBuf {
        self.build_as(directory, "libpager.so", &["-shared", "-fPIC"])
    }

    pub(crate) fn build_as(self, directory: &Directory, name: &str, kind: &[&str]) -> PathBuf {
        let (output, symbol) = (directory.join(name), self.id.replace('-', "_"));
        // A JSON string in ASCII is a C string as well.
        let text = serde_json::to_string(&self.manifest).unwrap();
        cc(Command::new("cc")
            .args(kind)
            .args(["-O1", "-Wl,--no-as-needed"])
            .arg(format!("-DMANIFEST={text}"))
            .arg(format!("-DMANIFEST_SYMBOL=jackfield_manifest_{symbol}"))
            .arg(format!("-DENTRY_SYMBOL=jackfield_entry_{symbol}"))
            .arg(source("plugin.c"))
            .arg("-o")
            .arg(&output)
            .args(&self.options));
        output
    }
}

/// A manifest that fits this host.
pub(crate) fn manifest(id: &str) -> Value {
    json!({
        "manifest": 1,
        "id": id,
        "version": "0.1.0",
        "description": "Rings a pager",
        "abi": [1, 0],
        "target": jackfield_loader::Platform::current().target,
        "panic": "unwind",
        "sdk": "0.1.0",
        "config_schema": { "type": "object" },
        "capabilities": ["kv", "http:{api}"],
        "migrations": [{ "number": 1, "name": "pages", "sqlite": "-- s", "postgres": "-- p", "min_reader": 0 }],
    })
}

/// The library that no plugin may bring, and the options that bring it.
pub(crate) fn foreign(directory: &Directory) -> [String; 3] {
    let library = directory.join("libforeign.so");
    cc(Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,-soname,libforeign.so.1"])
        .arg(source("foreign.c"))
        .arg("-o")
        .arg(&library));
    [
        "-DFOREIGN".to_owned(),
        format!("-L{}", directory.path().display()),
        "-lforeign".to_owned(),
    ]
}

/// A static archive of one object.
pub(crate) fn archive(directory: &Directory) -> PathBuf {
    let object = Plugin::good().build_as(directory, "pager.o", &["-c"]);
    let archive = directory.join("libpager.a");
    cc(Command::new("ar").arg("rcs").arg(&archive).arg(object));
    archive
}

/// A `cdylib` by rustc: `rusty`.
pub(crate) fn rust(directory: &Directory) -> PathBuf {
    let (text, output) = (
        directory.file("manifest.json", manifest("rusty").to_string()),
        directory.join("librusty.so"),
    );
    cc(
        Command::new(env::var_os("RUSTC").as_deref().unwrap_or(OsStr::new("rustc")))
            .args([
                "--edition=2024",
                "--crate-type=cdylib",
                "-Anon_upper_case_globals",
                "-Cstrip=debuginfo",
            ])
            .env("FIXTURE_MANIFEST", text)
            .arg(source("plugin.rs"))
            .arg("-o")
            .arg(&output),
    );
    output
}

/// A file with every `from` in it replaced by `to`, of the same length.
pub(crate) fn patched(file: &Path, from: &[u8], to: &[u8]) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut content = fs::read(file).unwrap();
    let mut found = 0;
    for at in 0..content.len() - from.len() {
        if content[at..].starts_with(from) {
            content[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "there is nothing to replace");
    fs::write(file, content).unwrap();
    file.to_owned()
}

/// A file with one byte changed.
pub(crate) fn poked(file: &Path, at: usize, value: u8) -> PathBuf {
    let mut content = fs::read(file).unwrap();
    content[at] = value;
    fs::write(file, content).unwrap();
    file.to_owned()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn cc(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
