//! The repository's documents name files that exist.

use std::path::{Path, PathBuf};

/// Relative link targets, and code spans that look like a file of this repository.
fn named(text: &str) -> Vec<String> {
    let links = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.starts_with('#') && !target.contains("://"))
        .map(|target| target.split('#').next().unwrap_or_default());
    let roots = ["docs/", "examples/", "host/", "plugins/", "sdk/", "tests/", "xtask/"];
    let spans = text.split('`').skip(1).step_by(2).filter(|span| {
        let plain = span
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
        plain && roots.iter().any(|root| span.starts_with(root))
    });
    links.chain(spans).map(str::to_owned).collect()
}

#[test]
fn every_file_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "sdk/README.md",
    ];
    let (mut checked, mut missing) = (0, Vec::new());
    for document in documents {
        let path: PathBuf = root.join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        for name in named(&text) {
            checked += 1;
            if !folder.join(&name).exists() && !root.join(&name).exists() {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(checked > 50, "only {checked} names were found: the search is broken");
}
