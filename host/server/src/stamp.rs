//! What tells a plugin's file from another one without reading it: such files have tens of megabytes.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Two writes within a tick of the file system leave the same times.
const YOUNG: Duration = Duration::from_secs(2);

/// Device, inode and length, and the times of the last write and change in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    place: [u64; 2],
    length: u64,
    times: [i128; 2],
}

impl Stamp {
    /// Of the file that is there now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let of = std::fs::metadata(path)?;
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Ok(Self {
            place: [of.dev(), of.ino()],
            length: of.size(),
            times: [nanos(of.mtime(), of.mtime_nsec()), nanos(of.ctime(), of.ctime_nsec())],
        })
    }

    /// Whether another content would have another stamp from now on.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled_at(SystemTime::now())
    }

    fn is_settled_at(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = now.saturating_sub(YOUNG).as_nanos();
        self.times
            .iter()
            .all(|time| u128::try_from(*time).is_ok_and(|time| time < old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_written_is_not_settled_and_every_write_shows() {
        let path = std::env::temp_dir().join(format!("jackfield-stamp-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, "one").unwrap();
        let first = Stamp::of(&path).unwrap();
        assert!(!first.is_settled());
        let later = SystemTime::now() + 2 * YOUNG;
        assert!(first.is_settled_at(later));
        assert_eq!(Stamp::of(&path).unwrap(), first);
        // Of the same length, under the same name, its time of writing set back.
        let beside = path.with_extension("new");
        std::fs::write(&beside, "two").unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::File::options()
            .write(true)
            .open(&beside)
            .unwrap()
            .set_modified(written)
            .unwrap();
        std::fs::rename(&beside, &path).unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), first);
        std::fs::remove_file(&path).unwrap();
        assert!(Stamp::of(&path).is_err());
    }
}
