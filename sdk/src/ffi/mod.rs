//! The C boundary, both sides of it: [`plugin`] exports a plugin, [`host`] runs one. Authors never call it; `#[plugin]` does.
//!
//! What holds everywhere:
//! - no panic crosses: every entry that may run the other's code, or drop its values, runs under [`guard`] or [`quiet`];
//! - every entry into a side runs inside that side's own tokio runtime ([`future::Context`]), so timers and sockets work in
//!   any poll, on any thread;
//! - owned bytes are freed by who made them; a plugin's image is never unloaded, so they may outlive its instance.
#![allow(unsafe_code)]

mod buffer;
mod fields;
mod future;
pub mod host;
pub mod manifest;
mod message;
mod object;
pub mod plugin;
mod sized;
mod spans;
#[cfg(test)]
mod tests;
mod trace;
mod waker;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use jackfield_abi::Entry;

use crate::instance::panic_text;

/// Runs code that may panic; the panic's text.
fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(panic_text)
}

/// Runs code whose panic nobody can be told of, such as a drop.
fn quiet(work: impl FnOnce()) {
    if let Err(text) = guard(work) {
        // Whoever writes lines is code of that side, too.
        let told = guard(|| tracing::error!(panic = text, "a drop panicked at the plugin boundary"));
        drop(told);
    }
}
