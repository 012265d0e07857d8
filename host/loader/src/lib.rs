//! Plugins in shared libraries: what a file is, whether it may be loaded, and the copy that is loaded.
//!
//! - [`inspect`] reads a file without running any of it; [`admit`] decides. It is the same decision at start-up, for the
//!   file watcher, on the command line ([`verify`]) and in the console.
//! - [`ColdCache`] and [`Cache`] keep the copies that are loaded, by content, so that nothing that happens to the
//!   original file reaches a loaded plugin.
//!
//! - [`Images`] loads the copies and keeps them for ever.
//!
//! Everything here blocks on files: call it where blocking is allowed.

pub mod admission;
pub mod cache;
mod image;
mod prefix;
mod sha256;

pub use crate::{
    admission::{
        Abi, AbiRange, Admitted, Binary, Candidate, Code, DeniedCompiler, Manifest, Migration, Panic, Platform, Reason,
        Refusal, Report, Requirements, admit, inspect, verify,
    },
    cache::{Cache, CacheError, ColdCache, Origin, Stored},
    image::{Images, MAX_IMAGES},
    sha256::{NotSha256, Sha256},
};
