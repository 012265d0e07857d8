//! Compressing one file in every coding. Also part of `build.rs`.

use std::io::{self, Write};

use crate::encoding::Encoding;

/// How long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As small as it gets: done once, when the app is compiled in.
    Best,
    /// A fraction of a second for a whole app: done at every start with a folder.
    #[allow(dead_code, reason = "build.rs is the other user of this file and never in a hurry")]
    Quick,
}

/// What is saved at least, of sixteen parts; less is not worth the variant.
const SAVED_OF_SIXTEEN: usize = 1;

/// The file in each coding that makes it smaller, the smallest first.
pub(crate) fn all(bytes: &[u8], effort: Effort) -> io::Result<Vec<(Encoding, Vec<u8>)>> {
    let most = bytes.len() - bytes.len() * SAVED_OF_SIXTEEN / 16;
    let mut packed = Vec::new();
    for encoding in Encoding::ALL {
        let made = one(bytes, encoding, effort)?;
        if made.len() < most {
            packed.push((encoding, made));
        }
    }
    packed.sort_by_key(|(_, made)| made.len());
    Ok(packed)
}

fn one(bytes: &[u8], encoding: Encoding, effort: Effort) -> io::Result<Vec<u8>> {
    let best = effort == Effort::Best;
    match encoding {
        Encoding::Brotli => {
            let mut made = Vec::new();
            let (quality, window) = (if best { 11 } else { 5 }, 22);
            brotli::CompressorWriter::new(&mut made, 1 << 16, quality, window).write_all(bytes)?;
            Ok(made)
        }
        // Level 19 is the last whose window every browser takes (8 MiB, RFC 9659).
        Encoding::Zstd => zstd::bulk::compress(bytes, if best { 19 } else { 3 }),
        Encoding::Gzip => {
            let level = flate2::Compression::new(if best { 9 } else { 6 });
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(bytes)?;
            writer.finish()
        }
    }
}
