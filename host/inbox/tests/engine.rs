//! The engine in virtual time: the memory store, a clock moved by hand, a real plugin instance.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod engine {
    mod attempts;
    mod begin;
    mod crashes;
    mod lanes;
    mod limits;
    mod plugins;
    pub(crate) mod world;
}
