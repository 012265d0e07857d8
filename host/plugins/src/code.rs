//! A plugin's code, whatever carries it.

use std::{panic::AssertUnwindSafe, sync::Arc};

use jackfield_sdk::{
    descriptor::Descriptor,
    host::Host,
    instance::Instance,
    manifest::{Builtin, Manifest, builtins},
    service::BoxFuture,
};
use serde_json::Value;

/// Code that instances are made from. One value per image: it is loaded once and never unloaded.
pub trait Code: Send + Sync + 'static {
    /// What can be read without running it.
    fn manifest(&self) -> &'static Manifest;
    /// Its declarations.
    fn descriptor(&self) -> &Descriptor;
    /// `builtin` or `dylib`.
    fn carrier(&self) -> &'static str;
    /// Differs when the code does: another content hash, another build.
    fn identity(&self) -> &str;
    /// Checks a configuration without side effects.
    fn validate(&self, config: Value) -> Result<(), String>;
    /// Makes an instance.
    fn create(&self, config: Value, host: Host) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>>;
}

/// Code that was compiled in.
pub struct BuiltinCode {
    builtin: &'static Builtin,
    descriptor: Descriptor,
    identity: String,
}

impl BuiltinCode {
    /// The code of `builtin`. Declarations that panic are an error: they run before anything is served.
    pub fn new(builtin: &'static Builtin) -> Result<Self, String> {
        let id = builtin.manifest.id;
        let descriptor = std::panic::catch_unwind(AssertUnwindSafe(builtin.descriptor))
            .map_err(|_| format!("the declarations of the compiled-in plugin `{id}` panic; its log line says where"))?;
        Ok(Self {
            builtin,
            descriptor,
            identity: format!("builtin:{id}:{}", builtin.manifest.version),
        })
    }

    /// Every plugin that was compiled into this program, by id.
    pub fn all() -> Result<Vec<Arc<dyn Code>>, String> {
        let make = |builtin| Self::new(builtin).map(|code| Arc::new(code) as Arc<dyn Code>);
        builtins().into_iter().map(make).collect()
    }
}

impl Code for BuiltinCode {
    fn manifest(&self) -> &'static Manifest {
        self.builtin.manifest
    }
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn carrier(&self) -> &'static str {
        "builtin"
    }
    fn identity(&self) -> &str {
        &self.identity
    }
    fn validate(&self, config: Value) -> Result<(), String> {
        (self.builtin.validate)(config)
    }
    fn create(&self, config: Value, host: Host) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>> {
        (self.builtin.create)(config, host)
    }
}
