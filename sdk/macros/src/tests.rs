//! What `migrations!` says to a directory that is not right. The other macros' sentences are pinned in `sdk/tests/misuse`.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use proc_macro2::Span;
use syn::LitStr;

use crate::migrations::expand;

/// A directory with these empty files, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, files: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("jackfield-macros-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for file in files {
            fs::write(path.join(file), "").unwrap();
        }
        Self(path)
    }

    fn expand(&self) -> Result<String, String> {
        let directory = LitStr::new(&self.0.to_string_lossy(), Span::call_site());
        expand(&directory)
            .map(|tokens| tokens.to_string())
            .map_err(|error| error.to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_mistake_is_named() {
    let cases: [(&str, &[&str], &str); 6] = [
        (
            "gap",
            &[
                "001_a.sqlite.sql",
                "001_a.postgres.sql",
                "003_c.sqlite.sql",
                "003_c.postgres.sql",
            ],
            "migration 002 is missing",
        ),
        ("dialect", &["001_a.sqlite.sql"], "`001_a.postgres.sql` is missing"),
        ("ending", &["001_a.mysql.sql"], "is not named NNN_name.sqlite.sql"),
        ("number", &["first_a.sqlite.sql"], "does not begin with a number"),
        ("twins", &["001_a.sqlite.sql", "001_b.postgres.sql"], "has two names"),
        (
            "late",
            &["002_a.sqlite.sql", "002_a.postgres.sql"],
            "migration 001 is missing",
        ),
    ];
    for (name, files, says) in cases {
        let error = Scratch::new(name, files).expand().unwrap_err();
        assert!(error.contains(says), "{name}: {error}");
    }
    let gone = Scratch::new("gone", &[]);
    fs::remove_dir(&gone.0).unwrap();
    let error = gone.expand().unwrap_err();
    assert!(error.contains("the directory stands beside Cargo.toml"), "{error}");
}

#[test]
fn both_dialects_and_no_gap_is_right() {
    let right = Scratch::new("right", &["001_a.sqlite.sql", "001_a.postgres.sql"]);
    assert!(right.expand().unwrap().contains("include_str"));
}
