//! Directories and ports that belong to one test.

use std::{
    net::TcpListener,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

/// A scratch directory, removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A fresh one.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jackfield-{name}-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// First port that is handed out.
const FIRST: u32 = 11_000;
/// How many there are: all of them below the range that the system takes for outgoing connections, of which these suites make
/// thousands; a port from that range could be gone before the host binds it, or while the host restarts.
const COUNT: u32 = 20_000;

/// A port on 127.0.0.1 that nobody listens on, and that this process hands out once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Suites may run beside each other: each process begins elsewhere.
    let offset = std::process::id().wrapping_mul(7_919);
    for _ in 0..COUNT {
        let at = NEXT.fetch_add(1, Ordering::SeqCst).wrapping_add(offset) % COUNT;
        let port = u16::try_from(FIRST + at).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT);
}

/// `127.0.0.1` with a [`free_port`].
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}
