//! Lines on their way to standard error.
//!
//! - A line costs its writer a copy, not a call into the kernel; a thread writes what has gathered every few milliseconds.
//! - Order is kept. Nothing is dropped: at [`MOST`] bytes the writer of the next line writes them all itself.
//! - What is gathered is lost when the process is killed; [`flush`] writes it before an orderly end.

use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// Bytes that may gather.
const MOST: usize = 1 << 20;
/// How long lines gather.
const GATHER: Duration = Duration::from_millis(2);

/// Lines that are not written yet. `sink` is held while they are, and taken before `gathered`.
#[derive(Default)]
struct Gathering {
    gathered: Mutex<Vec<u8>>,
    some: Condvar,
    sink: Mutex<Vec<u8>>,
}

static LINES: OnceLock<&'static Gathering> = OnceLock::new();

/// Where the log's lines go.
pub(super) struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Cleaned before the others are made to wait.
        let clean = super::SECRETS.clean(line);
        gathering().push(&clean, &mut io::stderr())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what is gathered.
pub(super) fn flush() {
    if let Some(lines) = LINES.get() {
        // Standard error is gone: there is nobody to tell.
        let _ = lines.write_out(&mut io::stderr());
    }
}

fn gathering() -> &'static Gathering {
    LINES.get_or_init(|| {
        let lines: &'static Gathering = Box::leak(Box::default());
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                lines.wait();
                std::thread::sleep(GATHER);
                // As above; the next lines are tried again.
                let _ = lines.write_out(&mut io::stderr());
            }
        });
        if let Err(error) = thread {
            eprintln!("jackfield: no thread for the log, lines come late: {error}");
        }
        lines
    })
}

impl Gathering {
    fn push(&self, line: &[u8], out: &mut impl Write) -> io::Result<()> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.is_empty() {
            self.some.notify_one();
        }
        gathered.extend_from_slice(line);
        if gathered.len() < MOST {
            return Ok(());
        }
        drop(gathered);
        self.write_out(out)
    }

    fn wait(&self) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        while gathered.is_empty() {
            gathered = self.some.wait(gathered).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write_out(&self, out: &mut impl Write) -> io::Result<()> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.clear();
        std::mem::swap(
            &mut *sink,
            &mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner),
        );
        out.write_all(&sink)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_gather_and_keep_their_order() {
        let (lines, mut out) = (Gathering::default(), Vec::new());
        lines.push(b"one\n", &mut out).unwrap();
        lines.push(b"two\n", &mut out).unwrap();
        assert!(out.is_empty());
        lines.write_out(&mut out).unwrap();
        lines.write_out(&mut out).unwrap();
        assert_eq!(out, b"one\ntwo\n");
    }

    #[test]
    fn too_many_are_written_at_once() {
        let (lines, mut out) = (Gathering::default(), Vec::new());
        let line = vec![b'x'; MOST / 2];
        lines.push(&line, &mut out).unwrap();
        assert!(out.is_empty());
        lines.push(&line, &mut out).unwrap();
        assert_eq!(out.len(), MOST);
        assert!(lines.gathered.lock().unwrap().is_empty());
    }
}
