//! `migrations!`.

use std::{collections::BTreeMap, path::Path};

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, LitStr, Result};

pub(crate) fn expand(directory: &LitStr) -> Result<TokenStream> {
    let fail = |message: String| Error::new(directory.span(), message);
    let root = std::env::var("CARGO_MANIFEST_DIR").map_err(|_| fail("migrations! needs cargo".to_owned()))?;
    let path = Path::new(&root).join(directory.value());
    let entries = std::fs::read_dir(&path).map_err(|error| {
        fail(format!(
            "cannot read `{}`: {error}; the directory stands beside Cargo.toml",
            directory.value()
        ))
    })?;
    let mut found: BTreeMap<u32, (String, Vec<&'static str>)> = BTreeMap::new();
    for entry in entries {
        let file = entry
            .map_err(|error| fail(error.to_string()))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let Some((stem, dialect)) = split(&file) else {
            return Err(fail(format!(
                "`{file}` is not named NNN_name.sqlite.sql or NNN_name.postgres.sql"
            )));
        };
        let Some((number, name)) = stem
            .split_once('_')
            .and_then(|(number, name)| Some((number.parse().ok()?, name)))
        else {
            return Err(fail(format!("`{file}` does not begin with a number such as 001_")));
        };
        let slot = found.entry(number).or_insert_with(|| (name.to_owned(), Vec::new()));
        if slot.0 != name {
            return Err(fail(format!(
                "migration {number} has two names, `{}` and `{name}`; give both files one",
                slot.0
            )));
        }
        slot.1.push(dialect);
    }
    let mut rows = Vec::new();
    for (expected, (number, (name, dialects))) in (1..).zip(found) {
        if number != expected {
            return Err(fail(format!(
                "migration {expected:03} is missing; numbers run from 001 without gaps"
            )));
        }
        for dialect in ["sqlite", "postgres"] {
            if !dialects.contains(&dialect) {
                return Err(fail(format!(
                    "`{number:03}_{name}.{dialect}.sql` is missing; each migration has both files"
                )));
            }
        }
        let file = |dialect: &str| {
            path.join(format!("{number:03}_{name}.{dialect}.sql"))
                .to_string_lossy()
                .into_owned()
        };
        let (sqlite, postgres) = (file("sqlite"), file("postgres"));
        let least = min_reader(&sqlite).map_err(fail)?;
        if min_reader(&postgres)
            .map_err(fail)?
            .is_some_and(|other| Some(other) != least)
        {
            return Err(fail(format!(
                "both files of `{number:03}_{name}` say the same min_reader, or only the SQLite one does"
            )));
        }
        let min_reader = least.unwrap_or(0);
        if min_reader > number {
            return Err(fail(format!(
                "`{number:03}_{name}` asks for a plugin that knows migration {min_reader}; min_reader is at most {number}"
            )));
        }
        rows.push(quote! {
            ::jackfield_sdk::manifest::Migration {
                number: #number,
                name: #name,
                sqlite: include_str!(#sqlite),
                postgres: include_str!(#postgres),
                min_reader: #min_reader,
            }
        });
    }
    Ok(quote!(&[#(#rows),*]))
}

fn split(file: &str) -> Option<(&str, &'static str)> {
    ["sqlite", "postgres"]
        .into_iter()
        .find_map(|dialect| Some((file.strip_suffix(&format!(".{dialect}.sql"))?, dialect)))
}

/// What the first line of a file says.
fn min_reader(file: &str) -> std::result::Result<Option<u32>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read `{file}`: {error}"))?;
    let said = text.lines().next().and_then(|line| line.strip_prefix("-- min_reader:"));
    let number = said.map(|number| number.trim().parse());
    number
        .transpose()
        .map_err(|_| format!("`{file}`: min_reader is a number, as in `-- min_reader: 1`"))
}
