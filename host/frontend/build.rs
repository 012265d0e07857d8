//! Compiles `frontend/dist` in, when it is there: each file, its digest, and what it is compressed to.
//!
//! `cargo build` needs no Node: without a built app the table is empty, and `/` says so.

#[path = "src/compress.rs"]
mod compress;
#[path = "src/encoding.rs"]
mod encoding;

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use compress::Effort;
use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")));
    let dist = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../../frontend/dist");
    let out = PathBuf::from(variable("OUT_DIR")?);
    for source in ["build.rs", "src/compress.rs", "src/encoding.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    // A path that is not there would count as changed at every build. The repository has the folder, empty; a packed SDK has not.
    if dist.is_dir() {
        println!("cargo::rerun-if-changed=../../frontend/dist");
    }
    let mut table = String::from("&[\n");
    if dist.join("index.html").is_file() {
        let entries = walkdir::WalkDir::new(&dist).sort_by_file_name().into_iter();
        // The folder's own name may begin with a point, for all we know; what begins with one in it is no part of the app.
        let entries = entries.filter_entry(|entry| entry.depth() == 0 || !encoding::is_hidden(entry.file_name()));
        for (at, entry) in entries.enumerate() {
            let entry = entry?;
            if entry.file_type().is_file() {
                add(&mut table, &dist, entry.path(), &out, at)?;
            }
        }
    }
    table.push(']');
    fs::write(out.join("embedded.rs"), table)
}

/// One row of the table; the bytes lie beside it.
fn add(table: &mut String, dist: &Path, file: &Path, out: &Path, at: usize) -> io::Result<()> {
    let bytes = fs::read(file)?;
    let path = file.strip_prefix(dist).map_err(io::Error::other)?;
    let path = path
        .to_str()
        .ok_or_else(|| io::Error::other("a file's name is not UTF-8"))?;
    let digest = hex::encode(Sha256::digest(&bytes));
    let put = |ending: &str, bytes: &[u8]| {
        let name = format!("{at}.{ending}");
        fs::write(out.join(&name), bytes)?;
        Ok::<_, io::Error>(format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\"))"))
    };
    let plain = put("plain", &bytes)?;
    write!(
        table,
        "Embedded {{ path: {path:?}, digest: {digest:?}, plain: {plain}, packed: &["
    )
    .map_err(io::Error::other)?;
    if encoding::is_worth_it(path) {
        for (encoding, packed) in compress::all(&bytes, Effort::Best)? {
            let packed = put(encoding.token(), &packed)?;
            write!(table, "(Encoding::{encoding:?}, {packed}),").map_err(io::Error::other)?;
        }
    }
    table.push_str("] },\n");
    Ok(())
}
