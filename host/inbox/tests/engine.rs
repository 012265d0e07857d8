//! The engine in virtual time: the memory store, a clock moved by hand, a real plugin instance.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// Handlers are `async` methods, also those that only fail.
#![allow(clippy::unused_async)]

mod engine {
    mod attempts;
    mod crashes;
    mod lanes;
    mod plugins;
    pub(crate) mod world;
}
