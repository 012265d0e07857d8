//! What can be read about a plugin without running it.

use std::sync::Arc;

use crate::{descriptor::Descriptor, host::Host, instance::Instance, plugin::Plugin, service::BoxFuture};

/// Static facts of a plugin, the same for every instance and every carrier.
#[derive(Debug, Clone, Copy)]
pub struct Manifest {
    /// Lower-case kebab id, unique in a host: `github`, `jira-dc`.
    pub id: &'static str,
    /// The plugin's own version.
    pub version: &'static str,
    /// One line for people: the first line of the plugin type's doc comment.
    pub description: &'static str,
    /// JSON Schema (2020-12) of the configuration, one text without relocations.
    pub config_schema: &'static str,
    /// What the plugin asks for: `http:{api_url}`, `database`, …
    pub capabilities: &'static [&'static str],
    /// SQL migrations in order.
    pub migrations: &'static [Migration],
}

/// One migration step of a plugin's own database, as [`migrations!`](crate::migrations) embeds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Position, from the file name's `NNN`.
    pub number: u32,
    /// The rest of the file name.
    pub name: &'static str,
    /// Text for SQLite.
    pub sqlite: &'static str,
    /// Text for PostgreSQL.
    pub postgres: &'static str,
    /// The oldest migration number a plugin file may know and still work on the result.
    pub min_reader: u32,
}

/// A compiled-in plugin. `#[plugin]` submits one; the host collects them all.
pub struct Builtin {
    /// Facts.
    pub manifest: &'static Manifest,
    /// Declarations: routes, webhooks, jobs.
    pub descriptor: fn() -> Descriptor,
    /// Checks a configuration without side effects.
    pub validate: fn(serde_json::Value) -> Result<(), String>,
    /// Makes an instance from a configuration that passed the schema.
    pub create: fn(serde_json::Value, Host) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>>,
}

inventory::collect!(Builtin);

/// A plugin type with its manifest. `#[plugin]` implements it.
pub trait Described: Plugin {
    /// The manifest.
    const MANIFEST: &'static Manifest;
}

impl Builtin {
    /// The compiled-in plugin of a type.
    pub const fn of<P: Described>() -> Self {
        Self {
            manifest: P::MANIFEST,
            descriptor: crate::instance::descriptor::<P>,
            validate: crate::instance::validate::<P>,
            create: crate::instance::create::<P>,
        }
    }
}

/// Every plugin that was compiled into this program, by id.
pub fn builtins() -> Vec<&'static Builtin> {
    let mut all: Vec<&'static Builtin> = inventory::iter::<Builtin>.into_iter().collect();
    all.sort_by_key(|plugin| plugin.manifest.id);
    all
}
