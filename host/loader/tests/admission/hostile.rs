//! Files made to mislead: whatever stands in them, the answer comes soon, and nothing panics.

use std::{
    cell::Cell,
    fs,
    time::{Duration, Instant},
};

use jackfield_loader::{Code, Requirements, verify};
use proptest::prelude::*;

use super::{
    cases::dynamic_entry,
    fixture::{Directory, Plugin, rust},
};

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
    survives(&fs::read(Plugin::good().build(&directory)).unwrap(), 3000);
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

/// A file in which a table has been moved to a page of its own at the end.
fn with_table(tag: u64, table: &[u8]) -> Vec<u8> {
    let directory = Directory::new();
    let mut content = fs::read(Plugin::good().option("-Wl,-z,noseparate-code").build(&directory)).unwrap();
    let entry = dynamic_entry(&content, tag);
    // The first segment begins at address 0 and offset 0; it is made to reach to the end, so address and offset agree.
    let segments = u64::from_le_bytes(content[32..40].try_into().unwrap()) as usize;
    let first = (segments..)
        .step_by(56)
        .find(|at| content[*at..*at + 4] == [1, 0, 0, 0])
        .unwrap();
    let end = (content.len() + table.len()) as u64;
    content[first + 32..first + 40].copy_from_slice(&end.to_le_bytes());
    let place = content.len() as u64;
    content[entry + 8..entry + 16].copy_from_slice(&place.to_le_bytes());
    content.extend_from_slice(table);
    content
}

fn answers_soon(name: &str, content: &[u8]) -> Code {
    let directory = Directory::new();
    let file = directory.file("libhostile.so", content);
    let started = Instant::now();
    let report = verify(&file, &Requirements::default());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{name} took {:?}",
        started.elapsed()
    );
    report.refusals.first().expect(name).code()
}

#[test]
fn tables_that_multiply_are_bounded() {
    // A million records of versions, each with 65,535 versions that are all the same one.
    let mut record = Vec::new();
    record.extend_from_slice(&[1, 0, 0xff, 0xff]); // vn_version, vn_cnt
    record.extend_from_slice(&[0; 4]); // vn_file
    record.extend_from_slice(&16_u32.to_le_bytes()); // vn_aux: the next record's bytes
    record.extend_from_slice(&16_u32.to_le_bytes()); // vn_next
    let mut table = record.repeat(1 << 20);
    // vna_next is the fourth word of what stands at vn_aux; zero keeps it in place.
    for record in table.chunks_exact_mut(16).skip(1).step_by(2) {
        record[12..].fill(0);
    }
    assert_eq!(
        answers_soon("versions", &with_table(0x6fff_fffe, &table)),
        Code::Malformed
    );
}

#[test]
fn names_without_an_end_are_bounded() {
    // 32 MB of text without an end, under every name in the file.
    let mut table = b"jackfield_manifest_".repeat(1 << 21);
    table.truncate(32 << 20);
    let mut content = with_table(5, &table); // DT_STRTAB
    let size = dynamic_entry(&content, 10); // DT_STRSZ
    content[size + 8..size + 16].copy_from_slice(&(32_u64 << 20).to_le_bytes());
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
