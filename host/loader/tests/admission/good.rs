//! Files that are admitted, and what the report says of them.

use std::fs;

use jackfield_loader::{Code, Requirements, admit, inspect, verify};
use serde_json::json;

use super::fixture::{Directory, Plugin, manifest, rust};

#[test]
fn a_plugin_in_c_is_admitted_with_all_that_it_says() {
    let directory = Directory::new();
    let file = Plugin::good().option("-DPADDED").build(&directory);
    let requirements = Requirements {
        id: Some("pager".to_owned()),
        sha256: Some(inspect(&file).unwrap().sha256()),
        ..Requirements::default()
    };
    let admitted = admit(inspect(&file).unwrap(), &requirements).unwrap();
    let (candidate, manifest) = (admitted.candidate(), admitted.candidate().manifest());
    assert_eq!(
        (candidate.file(), candidate.size()),
        (file.as_path(), fs::metadata(&file).unwrap().len())
    );
    assert_eq!((manifest.id.as_str(), manifest.version.as_str()), ("pager", "0.1.0"));
    assert_eq!(manifest.entry_symbol(), "jackfield_entry_pager");
    assert_eq!(manifest.capabilities, ["kv", "http:{api}"]);
    assert_eq!(
        (manifest.migrations[0].number, manifest.migrations[0].name.as_str()),
        (1, "pages")
    );
    assert_eq!(manifest.config_schema["type"], "object");
    assert_eq!(candidate.binary().libraries, ["libc.so.6"]);
    assert!(candidate.binary().glibc.is_some());
    assert!(
        candidate
            .binary()
            .compilers
            .iter()
            .any(|name| name.contains("GCC") || name.contains("clang"))
    );
}

#[test]
fn a_plugin_in_rust_names_its_compiler() {
    let directory = Directory::new();
    let admitted = admit(inspect(&rust(&directory)).unwrap(), &Requirements::default()).unwrap();
    let candidate = admitted.candidate();
    assert_eq!(candidate.manifest().id, "rusty");
    let versions: Vec<_> = candidate.binary().rustc().map(|(_, version)| version).collect();
    assert_eq!(versions.len(), 1, "{:?}", candidate.binary().compilers);
    assert!(
        candidate.binary().libraries.iter().any(|name| name == "libgcc_s.so.1"),
        "{:?}",
        candidate.binary()
    );
    // Another of the same release is denied by name.
    let mut requirements = Requirements::default();
    let release = versions[0].split('-').next().unwrap().to_owned();
    requirements.denied_compilers[0].rustc = release.leak();
    let refusal = admit(inspect(candidate.file()).unwrap(), &requirements).unwrap_err();
    assert_eq!(refusal.code(), Code::DeniedCompiler);
}

#[test]
fn unknown_members_and_missing_optional_ones_are_fine() {
    let directory = Directory::new();
    let mut text = manifest("jira-dc");
    text["later"] = json!({ "x": [1] });
    for optional in ["description", "sdk", "capabilities", "migrations"] {
        text.as_object_mut().unwrap().remove(optional);
    }
    let candidate = inspect(&Plugin::with(text).id("jira-dc").build(&directory)).unwrap();
    let manifest = candidate.manifest();
    assert_eq!((manifest.id.as_str(), manifest.sdk.as_deref()), ("jira-dc", None));
    assert!(manifest.capabilities.is_empty() && manifest.migrations.is_empty());
}

#[test]
fn a_stripped_plugin_and_one_with_the_old_hash_table_are_read_alike() {
    let directory = Directory::new();
    for option in [
        "-s",
        "-Wl,--hash-style=sysv",
        "-Wl,--hash-style=gnu",
        "-Wl,-z,noseparate-code",
    ] {
        let candidate = inspect(&Plugin::good().option(option).build(&directory)).unwrap();
        assert_eq!(candidate.manifest().id, "pager", "{option}");
    }
}

#[test]
fn a_report_tells_facts_and_decision() {
    let directory = Directory::new();
    let file = Plugin::good().option("-s").build(&directory);
    let report = verify(&file, &Requirements::default());
    assert!(report.is_admitted());
    let text = report.to_string();
    for line in [
        format!("{}: admitted", file.display()),
        "  plugin       pager 0.1.0".to_owned(),
        "  abi          1.0 (this host: 1.0 to 1.1)".to_owned(),
        "  capabilities kv, http:{api}".to_owned(),
        format!("  sha256       {}", report.sha256.unwrap()),
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} in\n{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (
            &json["decision"],
            &json["refusals"],
            &json["id"],
            &json["abi"],
            &json["migrations"]
        ),
        (
            &json!("admitted"),
            &json!([]),
            &json!("pager"),
            &json!([1, 0]),
            &json!(1)
        )
    );
    assert_eq!(json["size"], fs::metadata(&file).unwrap().len());
}

#[test]
fn a_report_names_every_fault_and_admission_the_first() {
    let directory = Directory::new();
    let mut text = manifest("pager");
    (text["panic"], text["capabilities"], text["abi"]) = (json!("abort"), json!(["root", "kv", "sudo"]), json!([1, 9]));
    let file = Plugin::with(text).build(&directory);
    let report = verify(&file, &Requirements::default());
    let codes: Vec<Code> = report.refusals.iter().map(jackfield_loader::Refusal::code).collect();
    assert_eq!(
        codes,
        [
            Code::AbiTooNew,
            Code::PanicAbort,
            Code::UnknownCapability,
            Code::UnknownCapability
        ]
    );
    let first = admit(inspect(&file).unwrap(), &Requirements::default()).unwrap_err();
    assert_eq!(first.code(), Code::AbiTooNew);
    let text = report.to_string();
    assert!(text.starts_with(&format!("{}: refused\n", file.display())), "{text}");
    assert_eq!(text.matches("\n  fix: ").count(), 4, "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (&json["decision"], &json["refusals"][1]["code"]),
        (&json!("refused"), &json!("JF-P017"))
    );
}

#[test]
fn a_report_on_what_is_no_plugin_has_what_was_seen() {
    let directory = Directory::new();
    let file = directory.file("libpager.so", "no library");
    let requirements = Requirements {
        id: Some("pager".to_owned()),
        ..Requirements::default()
    };
    let json = serde_json::to_value(verify(&file, &requirements)).unwrap();
    assert_eq!(
        (&json["size"], &json["refusals"][0]["plugin"], &json["id"]),
        (&json!(10), &json!("pager"), &json!(null))
    );
}
