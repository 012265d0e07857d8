//! Admission, cache and loading on real files: built by the system's C compiler and by rustc, then cut and patched.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cache;
mod cases;
mod fixture;
mod good;
mod hostile;
mod loading;
