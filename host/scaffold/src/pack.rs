//! The packed sources; `build.rs` writes them.

use std::io::{self, Read};

use flate2::read::DeflateDecoder;

static PACK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sdk.pack"));

/// Every file with its path below the root.
pub(crate) fn files() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    DeflateDecoder::new(PACK).read_to_end(&mut bytes)?;
    let mut rest = bytes.as_slice();
    let mut files = Vec::new();
    while !rest.is_empty() {
        let path = text(&mut rest)?;
        let length: usize = text(&mut rest)?.parse().map_err(io::Error::other)?;
        let (file, after) = rest
            .split_at_checked(length)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        files.push((path, file.to_vec()));
        rest = after;
    }
    Ok(files)
}

/// Up to the next NUL.
fn text(rest: &mut &[u8]) -> io::Result<String> {
    let end = rest.iter().position(|byte| *byte == 0);
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let text = String::from_utf8(rest[..end].to_vec()).map_err(io::Error::other)?;
    *rest = &rest[end + 1..];
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_pack_holds_the_kit_and_the_host_and_stays_small() {
        let files = files().unwrap();
        let find = |path: &str| {
            let (_, bytes) = files.iter().find(|(found, _)| found == path).unwrap();
            String::from_utf8(bytes.clone()).unwrap()
        };
        for path in [
            "sdk/src/lib.rs",
            "sdk/macros/src/lib.rs",
            "sdk/testing/src/lib.rs",
            "host/inbox/src/lib.rs",
            "Cargo.lock",
        ] {
            assert!(!find(path).is_empty());
        }
        let server = find("host/server/Cargo.toml");
        assert!(
            !server.contains("jackfield-plugin-") && !server.contains("[[bin]]"),
            "{server}"
        );
        assert!(!find("Cargo.toml").contains("\"xtask\""));
        assert!(
            files
                .iter()
                .all(|(path, _)| !path.starts_with("plugins/") && !path.contains(".."))
        );
        assert!(PACK.len() < 600_000, "the pack has grown to {} bytes", PACK.len());
    }
}
