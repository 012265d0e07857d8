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
        let text =
            std::fs::read_to_string(&sqlite).map_err(|error| fail(format!("cannot read `{sqlite}`: {error}")))?;
        let min_reader: u32 = match text.lines().next().and_then(|line| line.strip_prefix("-- min_reader:")) {
            Some(number) => number
                .trim()
                .parse()
                .map_err(|_| fail(format!("`{name}`: min_reader is a number")))?,
            None => 0,
        };
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
