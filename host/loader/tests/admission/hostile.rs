//! Files made to mislead: whatever stands in them, the answer comes soon, and nothing panics.

use std::{
    cell::Cell,
    fs,
    time::{Duration, Instant},
};

use jackfield_loader::{Code, Requirements, verify};
use proptest::prelude::*;
use serde_json::json;

use super::{
    cases::dynamic_entry,
    fixture::{Directory, Plugin, manifest, patched, rust},
};

const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_VERNEED: u64 = 0x6fff_fffe;

/// A change of a file.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    /// Eight bytes: an address, an offset, a length.
    Word(usize, u64),
    Cut(usize),
    /// A piece of the file over another one.
    Move(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    // Most of a file is code; what is read stands mostly in its first pages and in its last.
    let place = || {
        prop_oneof![
            0_usize..4096,
            any::<prop::sample::Index>().prop_map(|index| index.index(1 << 30))
        ]
    };
    let word = prop_oneof![
        any::<u64>(),
        0_u64..65_536,
        Just(u64::MAX),
        Just(u64::MAX / 2),
        Just(0x8000_0000),
        Just(0xffff_ffff)
    ];
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, value)| Change::Byte(at, value)),
        4 => (place(), word).prop_map(|(at, value)| Change::Word(at & !7, value)),
        1 => place().prop_map(Change::Cut),
        1 => (place(), place(), 0_usize..512).prop_map(|(from, to, size)| Change::Move(from, to, size)),
    ]
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    let size = content.len();
    if size < 1024 {
        return;
    }
    match *change {
        Change::Byte(at, value) => content[at % size] = value,
        Change::Word(at, value) => {
            let at = at % (size - 8);
            content[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        Change::Cut(at) => content.truncate(at % size),
        Change::Move(from, to, length) => {
            let (from, to) = (from % (size - 512), to % (size - 512));
            content.copy_within(from..from + length, to);
        }
    }
}

fn survives(original: &[u8], cases: u32) {
    let directory = Directory::new();
    let file = directory.join("libmutant.so");
    let requirements = Requirements::default();
    let slowest = Cell::new(Duration::ZERO);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(changes in prop::collection::vec(change(), 1..6))| {
        let mut content = original.to_vec();
        changes.iter().for_each(|change| apply(&mut content, change));
        fs::write(&file, &content).unwrap();
        let started = Instant::now();
        let report = verify(&file, &requirements);
        slowest.set(slowest.get().max(started.elapsed()));
        // It is printed as well: nothing in a file breaks its report.
        prop_assert!(report.to_string().contains("libmutant.so"));
        prop_assert!(serde_json::to_string(&report).is_ok());
    });
    assert!(slowest.get() < Duration::from_secs(2), "one took {:?}", slowest.get());
}

#[test]
fn a_changed_plugin_in_c_never_panics() {
    let directory = Directory::new();
    survives(&fs::read(Plugin::good().build(&directory)).unwrap(), 1000);
}

#[test]
fn a_changed_plugin_in_rust_never_panics() {
    let directory = Directory::new();
    survives(&fs::read(rust(&directory)).unwrap(), 150);
}

#[test]
fn every_cut_is_refused() {
    let directory = Directory::new();
    let content = fs::read(Plugin::good().build(&directory)).unwrap();
    let file = directory.join("libcut.so");
    for size in (0..content.len()).step_by(61).chain([content.len() - 1]) {
        fs::write(&file, &content[..size]).unwrap();
        let report = verify(&file, &Requirements::default());
        assert_eq!(
            report.refusals.first().map(jackfield_loader::Refusal::code),
            Some(Code::Truncated),
            "at {size}: {report}"
        );
    }
}

/// A plugin of which tests replace tables, with one segment that holds all of them.
fn plain() -> Vec<u8> {
    let directory = Directory::new();
    fs::read(Plugin::good().option("-Wl,-z,noseparate-code").build(&directory)).unwrap()
}

/// Puts `table` at the end of a file and has `.dynamic` point to it.
fn replace(content: &mut Vec<u8>, tag: u64, table: &[u8]) {
    let entry = dynamic_entry(content, tag);
    let (place, end) = (content.len() as u64, (content.len() + table.len()) as u64);
    // The first segment begins at address 0 and offset 0; when it reaches to the end, addresses there are offsets.
    let segments = u64::from_le_bytes(content[32..40].try_into().unwrap()) as usize;
    let first = (segments..)
        .step_by(56)
        .find(|at| content[*at..*at + 4] == [1, 0, 0, 0])
        .unwrap();
    content[first + 32..first + 40].copy_from_slice(&end.to_le_bytes());
    content[entry + 8..entry + 16].copy_from_slice(&place.to_le_bytes());
    content.extend_from_slice(table);
}

/// What asks for `each` versions `libraries` times. All the versions of one library are the same record.
fn versions(libraries: usize, each: u16) -> Vec<u8> {
    let mut pair = vec![1, 0];
    pair.extend_from_slice(&each.to_le_bytes());
    for word in [0_u32, 16, 32] {
        pair.extend_from_slice(&word.to_le_bytes()); // vn_file, vn_aux, vn_next
    }
    pair.extend_from_slice(&[0; 16]); // vna_name and vna_next are zero: it follows itself
    let mut table = pair.repeat(libraries);
    let last = table.len() - 32 + 12;
    table[last..last + 4].fill(0);
    table
}

fn verdict(content: &[u8]) -> Option<Code> {
    let directory = Directory::new();
    let file = directory.file("libhostile.so", content);
    let report = verify(&file, &Requirements::default());
    report.refusals.first().map(jackfield_loader::Refusal::code)
}

fn answers_soon(name: &str, content: &[u8]) -> Code {
    let started = Instant::now();
    let code = verdict(content).expect(name);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{name} took {:?}",
        started.elapsed()
    );
    code
}

#[test]
fn tables_that_multiply_are_bounded() {
    for (libraries, each) in [(1 << 19, u16::MAX), (1 << 19, 0), (1, u16::MAX)] {
        let mut content = plain();
        replace(&mut content, DT_VERNEED, &versions(libraries, each));
        assert_eq!(
            answers_soon("versions", &content),
            Code::Malformed,
            "{libraries} times {each}"
        );
    }
    let mut content = plain();
    replace(&mut content, DT_VERNEED, &versions(8, 8));
    assert_eq!(verdict(&content), None, "the table itself is well formed");
}

#[test]
fn names_that_are_long_are_bounded() {
    let mut content = plain();
    let mut strings = vec![b'a'; 256 << 10];
    strings.push(0);
    replace(&mut content, DT_STRTAB, &strings);
    replace(&mut content, DT_VERNEED, &versions(64, 60));
    let size = dynamic_entry(&content, DT_STRSZ);
    content[size + 8..size + 16].copy_from_slice(&(strings.len() as u64).to_le_bytes());
    assert_eq!(answers_soon("names", &content), Code::Malformed);
}

#[test]
fn a_manifest_that_nests_or_swells_is_refused() {
    let directory = Directory::new();
    let deep = Plugin::of_text("[".repeat(60_000)).build(&directory);
    let wide = Plugin::of_text(format!("{{\"manifest\":{}}}", "0".repeat(90_000))).build(&directory);
    for file in [deep, wide] {
        assert_eq!(
            answers_soon("manifest", &fs::read(file).unwrap()),
            Code::InvalidManifest
        );
    }
}

#[test]
fn nothing_in_a_file_can_rewrite_a_terminal_or_a_log() {
    let directory = Directory::new();
    let evil = "x\u{1b}[2J\nJF-P000: admitted\r";
    let mut described = manifest("pager");
    described["description"] = json!(evil.repeat(100));
    let library = Plugin::good()
        .option("-DRUSTC=\"1.95.0 \\033[2J (x)\"")
        .build(&directory);
    let mut files = vec![
        fs::read(Plugin::with(described).build(&directory)).unwrap(),
        fs::read(&library).unwrap(),
        fs::read(patched(&library, b"libc.so.6", b"lib\x1b[2J.6")).unwrap(),
    ];
    for member in ["id", "version", "target", "panic", "sdk", "capabilities"] {
        let value = if member == "capabilities" {
            json!([evil])
        } else {
            json!(evil)
        };
        files.push(fs::read(Plugin::changed(member, value).build(&directory)).unwrap());
    }
    let many = json!(vec!["other"; 1000]);
    files.push(fs::read(Plugin::changed("capabilities", many).build(&directory)).unwrap());
    for (number, content) in files.iter().enumerate() {
        let report = verify(&directory.file("libevil.so", content), &Requirements::default());
        let mut texts: Vec<String> = report.refusals.iter().map(ToString::to_string).collect();
        texts.push(report.to_string());
        for text in texts {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{number}: {text:?}");
            assert!(!text.contains("\nJF-P000"), "{number}: {text:?}");
            assert!(text.len() < 3000, "{number}: {text:?}");
        }
    }
}
