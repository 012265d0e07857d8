//! A file's content, once, in memory: what is checked is what is stored, whatever happens to the file meanwhile.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use super::refusal::Reason;

/// The largest file that is read. A plugin with debug information has some tens of megabytes.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// Reads all of a regular file.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>, Reason> {
    // Asked before it is opened, because opening a device may do something, and again after, because a name can change.
    regular(&std::fs::metadata(path).map_err(unreadable)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    let size = regular(&file.metadata().map_err(unreadable)?)?;
    content(file, size)
}

fn content(file: File, size: u64) -> Result<Vec<u8>, Reason> {
    let too_large = |size| Reason::TooLarge { size, limit: MAX_BYTES };
    if size > MAX_BYTES {
        return Err(too_large(size));
    }
    let mut content = Vec::with_capacity(size as usize);
    // It may have grown since.
    file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(too_large(content.len() as u64));
    }
    Ok(content)
}

fn regular(metadata: &Metadata) -> Result<u64, Reason> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(metadata.len());
    }
    Err(Reason::NotAFile(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

fn unreadable(error: std::io::Error) -> Reason {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::Missing,
        _ => Reason::Unreadable(error),
    }
}
