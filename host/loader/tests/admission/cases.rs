//! One row a fault: a file that has it, what was asked of it, and what the answer must say.

use std::{collections::BTreeSet, fs, path::PathBuf};

use jackfield_loader::{Abi, Admitted, Code, Refusal, Requirements, Sha256, admit, inspect, verify};
use serde_json::json;

use super::fixture::{Directory, Plugin, archive, foreign, patched, poked};

type Asked = Requirements;

struct Case {
    name: &'static str,
    code: Code,
    /// What its cause must say.
    says: &'static str,
    file: fn(&Directory) -> PathBuf,
    asked: fn(&mut Asked),
}

const fn case(name: &'static str, code: Code, says: &'static str, file: fn(&Directory) -> PathBuf) -> Case {
    asked(name, code, says, file, |_| {})
}

const fn asked(
    name: &'static str,
    code: Code,
    says: &'static str,
    file: fn(&Directory) -> PathBuf,
    asked: fn(&mut Asked),
) -> Case {
    Case {
        name,
        code,
        says,
        file,
        asked,
    }
}

fn good(directory: &Directory) -> PathBuf {
    Plugin::good().build(directory)
}

const CASES: &[Case] = &[
    case("missing", Code::Missing, "no such file", |directory| {
        directory.join("none.so")
    }),
    case("below a file", Code::Missing, "no such file", |directory| {
        directory.file("plain", "").join("libpager.so")
    }),
    // Its mode says that it may be read, and reading it fails, for root as well.
    case("read error", Code::Unreadable, "cannot be read: ", |_| {
        "/proc/self/mem".into()
    }),
    case("directory", Code::NotAFile, "a directory", |directory| {
        directory.path().to_owned()
    }),
    case("device", Code::NotAFile, "a device", |_| "/dev/zero".into()),
    case("socket", Code::NotAFile, "a socket", |directory| {
        let path = directory.join("s");
        // The file stays when the socket is closed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        path
    }),
    case("too large", Code::TooLarge, "has 268435457 bytes", |directory| {
        let path = directory.file("large.so", "\x7fELF");
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len((256 << 20) + 1)
            .unwrap();
        path
    }),
    case(
        "script",
        Code::NotElf,
        "begins with \"#!/bin/sh\\necho h\"",
        |directory| directory.file("libpager.so", "#!/bin/sh\necho hello\n"),
    ),
    case("empty", Code::Truncated, "ends after 0 bytes", |directory| {
        directory.file("libpager.so", "")
    }),
    case("half a header", Code::Truncated, "ends after 40 bytes", |directory| {
        cut(directory, |_| 40)
    }),
    case("half a file", Code::Truncated, "in the middle of", |directory| {
        cut(directory, |size| size / 2)
    }),
    case(
        "one byte short",
        Code::Truncated,
        "its table of sections",
        |directory| cut(directory, |size| size - 1),
    ),
    case(
        "dynamic section moved away",
        Code::Malformed,
        "its dynamic section",
        |directory| {
            let file = good(directory);
            let mut content = fs::read(&file).unwrap();
            let strings = dynamic_entry(&content, 5); // DT_STRTAB
            content[strings + 8..strings + 16].fill(0xff);
            fs::write(&file, content).unwrap();
            file
        },
    ),
    case("program", Code::NotSharedObject, "a program", |directory| {
        Plugin::good().build_as(directory, "pager", &["-pie", "-fPIE", "-DPROGRAM"])
    }),
    case(
        "program at a fixed address",
        Code::NotSharedObject,
        "a program",
        |directory| Plugin::good().build_as(directory, "pager", &["-no-pie", "-DPROGRAM"]),
    ),
    case("object file", Code::NotSharedObject, "an object file", |directory| {
        Plugin::good().build_as(directory, "pager.o", &["-c"])
    }),
    case("static archive", Code::NotSharedObject, "a static archive", archive),
    case("32-bit", Code::WrongTarget, "32-bit", |directory| {
        poked(&good(directory), 4, 1)
    }),
    case("other byte order", Code::WrongTarget, "endian", |directory| {
        let file = good(directory);
        let other = 3 - fs::read(&file).unwrap()[5];
        poked(&file, 5, other)
    }),
    case(
        "other machine",
        Code::WrongTarget,
        "was built for another machine (ELF machine 40)",
        |directory| poked(&good(directory), 18, 40),
    ),
    case(
        "other system",
        Code::WrongTarget,
        "x86_64-unknown-linux-musl",
        |directory| Plugin::changed("target", json!("x86_64-unknown-linux-musl")).build(directory),
    ),
    case("no manifest", Code::NoManifest, "`jackfield_manifest_`", |directory| {
        Plugin::good().option("-DNO_MANIFEST").build(directory)
    }),
    case(
        "hidden manifest",
        Code::NoManifest,
        "`jackfield_manifest_`",
        |directory| Plugin::good().option("-fvisibility=hidden").build(directory),
    ),
    case(
        "two manifests",
        Code::TwoManifests,
        "jackfield_manifest_second",
        |directory| Plugin::good().option("-DSECOND").build(directory),
    ),
    case("manifest not JSON", Code::InvalidManifest, "not JSON: ", |directory| {
        Plugin::of_text("{'id': 'pager' and much else}".to_owned()).build(directory)
    }),
    case(
        "manifest a list",
        Code::InvalidManifest,
        "not a JSON object",
        |directory| Plugin::of_text("[\"pager\", \"and much else\"]".to_owned()).build(directory),
    ),
    case(
        "manifest a pointer",
        Code::InvalidManifest,
        "holds a pointer",
        |directory| Plugin::good().option("-DPOINTER").build(directory),
    ),
    case("manifest empty", Code::InvalidManifest, "is empty", |directory| {
        Plugin::of_text(String::new()).option("-DPADDED").build(directory)
    }),
    case(
        "manifest without a format",
        Code::InvalidManifest,
        "missing field `manifest`",
        |directory| Plugin::changed("manifest", json!(null)).build(directory),
    ),
    case(
        "manifest without a panic strategy",
        Code::InvalidManifest,
        "missing field `panic`",
        |directory| Plugin::changed("panic", json!(null)).build(directory),
    ),
    case(
        "manifest without an ABI",
        Code::InvalidManifest,
        "missing field `abi`",
        |directory| Plugin::changed("abi", json!(null)).build(directory),
    ),
    case(
        "manifest with an id that is none",
        Code::InvalidManifest,
        "`Pager!` is no plugin id",
        |directory| Plugin::changed("id", json!("Pager!")).build(directory),
    ),
    case(
        "manifest of another symbol",
        Code::InvalidManifest,
        "says `beeper` in the symbol",
        |directory| Plugin::changed("id", json!("beeper")).build(directory),
    ),
    case(
        "manifest of the future",
        Code::ManifestFormat,
        "format 2; this host reads format 1",
        |directory| Plugin::changed("manifest", json!(2)).build(directory),
    ),
    case("no entry", Code::NoEntry, "`jackfield_entry_pager`", |directory| {
        Plugin::good().option("-DNO_ENTRY").build(directory)
    }),
    case(
        "entry is no function",
        Code::NoEntry,
        "`jackfield_entry_pager`",
        |directory| Plugin::good().option("-DENTRY_IS_DATA").build(directory),
    ),
    case(
        "older ABI",
        Code::AbiTooOld,
        "ABI 0.9; the oldest that this host supports is 1.0",
        |directory| Plugin::changed("abi", json!([0, 9])).build(directory),
    ),
    asked(
        "older minor",
        Code::AbiTooOld,
        "ABI 1.0; the oldest that this host supports is 1.2",
        good,
        |asked| {
            asked.abi.oldest = Abi { major: 1, minor: 2 };
            asked.abi.newest = Abi { major: 1, minor: 3 };
        },
    ),
    case(
        "newer minor",
        Code::AbiTooNew,
        "ABI 1.7; the newest that this host supports is 1.1",
        |directory| Plugin::changed("abi", json!([1, 7])).build(directory),
    ),
    case("newer major", Code::AbiTooNew, "ABI 2.0", |directory| {
        Plugin::changed("abi", json!([2, 0])).build(directory)
    }),
    case("panic = abort", Code::PanicAbort, "panic = \"abort\"", |directory| {
        Plugin::changed("panic", json!("abort")).build(directory)
    }),
    case(
        "denied compiler",
        Code::DeniedCompiler,
        "rustc version 1.98.0 (",
        |directory| {
            Plugin::good()
                .option("-DRUSTC=\"1.98.0 (abc 2026-08-20)\"")
                .build(directory)
        },
    ),
    case(
        "nightly of a denied compiler",
        Code::DeniedCompiler,
        "1.98.0-nightly",
        |directory| {
            Plugin::good()
                .option("-DRUSTC=\"1.98.0-nightly (abc 2026-07-01)\"")
                .build(directory)
        },
    ),
    case("newer GLIBC", Code::NewerGlibc, "it needs GLIBC_9.", |directory| {
        patched(&good(directory), b"GLIBC_2.", b"GLIBC_9.")
    }),
    asked("no GLIBC", Code::NewerGlibc, "runs on no GLIBC", good, |asked| {
        asked.platform.glibc = None;
    }),
    case(
        "unexpected library",
        Code::UnexpectedLibrary,
        "libforeign.so.1",
        |directory| {
            let options = foreign(directory);
            options
                .into_iter()
                .fold(Plugin::good(), Plugin::option)
                .build(directory)
        },
    ),
    case(
        "library by its path",
        Code::UnexpectedLibrary,
        "./bc.so.6",
        |directory| patched(&good(directory), b"libc.so.6", b"./bc.so.6"),
    ),
    asked(
        "other content",
        Code::Sha256Mismatch,
        "plugins.toml pins ba7816bf",
        good,
        |asked| {
            asked.sha256 = Some(Sha256::of(b"abc"));
        },
    ),
    asked(
        "other id",
        Code::OtherId,
        "holds the plugin `pager`; plugins.toml expects `beeper`",
        good,
        |asked| {
            asked.id = Some("beeper".to_owned());
        },
    ),
    asked(
        "taken id",
        Code::DuplicateId,
        "`pager` is taken by a built-in plugin",
        good,
        |asked| {
            asked.taken.insert("pager".to_owned(), "a built-in plugin".to_owned());
        },
    ),
    case("unknown capability", Code::UnknownCapability, "`root`", |directory| {
        Plugin::changed("capabilities", json!(["kv", "root"])).build(directory)
    }),
];

/// What only storing and loading find, in `cache.rs` and `loading.rs`.
const ELSEWHERE: &[Code] = &[
    Code::NotStored,
    Code::NotLoaded,
    Code::BrokenDeclarations,
    Code::TooManyImages,
    Code::OutsidePrefix,
];

fn cut(directory: &Directory, to: fn(usize) -> usize) -> PathBuf {
    let file = good(directory);
    let mut content = fs::read(&file).unwrap();
    content.truncate(to(content.len()));
    fs::write(&file, content).unwrap();
    file
}

/// Where the entry with a tag stands in `.dynamic` of a small-endian 64-bit file.
pub(crate) fn dynamic_entry(content: &[u8], tag: u64) -> usize {
    let number = |at: usize, size: usize| {
        content[at..at + size]
            .iter()
            .rev()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (segments, count) = (number(32, 8), number(56, 2));
    let segment = (0..count)
        .map(|index| segments + index * 56)
        .find(|at| number(*at, 4) == 2)
        .unwrap();
    let (start, size) = (number(segment + 8, 8), number(segment + 32, 8));
    (start..start + size)
        .step_by(16)
        .find(|at| number(*at, 8) as u64 == tag)
        .unwrap()
}

fn decide(file: &std::path::Path, requirements: &Requirements) -> Result<Admitted, Refusal> {
    inspect(file).and_then(|candidate| admit(candidate, requirements))
}

#[test]
fn every_fault_is_refused_with_its_code_and_says_what_was_found() {
    for Case {
        name,
        code,
        says,
        file,
        asked,
    } in CASES
    {
        let directory = Directory::new();
        let file = file(&directory);
        let mut requirements = Requirements::default();
        asked(&mut requirements);
        let refusal = decide(&file, &requirements).expect_err(name);
        assert_eq!(refusal.code(), *code, "{name}: {refusal}");
        assert_eq!(refusal.file, file, "{name}");
        let text = refusal.to_string();
        assert!(text.contains(says), "{name}: {text}");
        assert_eq!(text.lines().count(), 2, "{name}: {text}");
        assert!(text.starts_with(&file.display().to_string()), "{name}: {text}");
        // The report decides the same.
        let report = verify(&file, &requirements);
        assert!(!report.is_admitted(), "{name}");
        assert_eq!(
            report.refusals[0].to_string(),
            expected(&requirements, refusal).to_string(),
            "{name}"
        );
    }
}

/// The report knows which plugin the file was expected to hold.
fn expected(requirements: &Requirements, refusal: Refusal) -> Refusal {
    match &requirements.id {
        Some(id) => refusal.expected(id),
        None => refusal,
    }
}

#[test]
fn every_code_has_a_case() {
    let cases: BTreeSet<Code> = CASES
        .iter()
        .map(|case| case.code)
        .chain(ELSEWHERE.iter().copied())
        .collect();
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !cases.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_file_that_may_not_be_read_is_unreadable() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let file = good(&directory);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let decided = decide(&file, &Requirements::default());
    // Permissions do not hold back root: then the same file is read, and that is right.
    if fs::File::open(&file).is_ok() {
        assert_eq!(decided.unwrap().candidate().manifest().id, "pager");
    } else {
        assert_eq!(decided.unwrap_err().code(), Code::Unreadable);
    }
}

#[test]
fn a_pipe_does_not_hold_the_host_up() {
    let directory = Directory::new();
    let pipe = directory.join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let refusal = inspect(&pipe).unwrap_err();
    assert_eq!(refusal.code(), Code::NotAFile);
}

#[test]
fn a_refusal_names_the_plugin_as_soon_as_it_is_known() {
    let directory = Directory::new();
    let unknown = inspect(&directory.join("none.so")).unwrap_err();
    assert_eq!(unknown.plugin, None);
    assert_eq!(unknown.expected("pager").plugin.as_deref(), Some("pager"));
    let known = inspect(&Plugin::good().option("-DNO_ENTRY").build(&directory)).unwrap_err();
    assert_eq!(known.plugin.as_deref(), Some("pager"));
    let other = known.expected("beeper");
    assert_eq!(other.plugin.as_deref(), Some("pager"));
    let json = serde_json::to_value(&other).unwrap();
    assert_eq!(
        json,
        json!({
            "code": "JF-P014",
            "plugin": "pager",
            "file": other.file.to_str().unwrap(),
            "cause": "it does not export the function `jackfield_entry_pager`",
            "fix": Code::NoEntry.fix(),
        })
    );
}
