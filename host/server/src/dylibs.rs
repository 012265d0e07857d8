//! Plugin files that `plugins.toml` names: admitted, copied by content, loaded. `check` stops after admission: nothing of
//! a file runs then.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use jackfield_config::PluginEntry;
use jackfield_loader::{
    Admitted, Cache, CacheError, ColdCache, Images, Manifest, Refusal, Requirements, admit, inspect,
};
use jackfield_plugins::Code;

/// The files that this process has loaded.
pub(crate) struct Dylibs {
    cache: Cache,
    images: Images,
}

impl Dylibs {
    /// Opens the cache in `data_dir`; copies that no file of `named` needs are removed, because nothing is loaded yet.
    pub(crate) fn open<'p>(data_dir: &Path, named: impl Iterator<Item = &'p Path>) -> Result<Self, CacheError> {
        let cache = ColdCache::open(data_dir)?;
        let kept: BTreeSet<_> = named
            .filter_map(|path| inspect(path).ok())
            .map(|candidate| candidate.sha256())
            .collect();
        for removed in cache.sweep(&kept)? {
            tracing::info!(file = %removed.display(), "removed a copy that no plugin needs");
        }
        Ok(Self {
            cache: cache.warm(),
            images: Images::default(),
        })
    }

    /// Loads an admitted file. What it declares must lie below its own prefix, or be granted.
    pub(crate) fn load(&self, admitted: Admitted, capabilities: &[String]) -> Result<Arc<dyn Code>, Refusal> {
        let stored = self.cache.store(admitted)?;
        self.images.load(&stored, capabilities)
    }

    /// An operator lets a plugin bring one image more than it has.
    pub(crate) fn allow_one_more(&self, id: &str) {
        self.images.allow_one_more(id);
    }
}

/// Decides on the file of an entry.
pub(crate) fn admitted(id: &str, entry: &PluginEntry) -> Result<Admitted, Refusal> {
    let file = entry.path.as_deref().unwrap_or(Path::new(""));
    let requirements = Requirements {
        id: Some(id.to_owned()),
        // One that does not parse is a problem of plugins.toml, which was reported.
        sha256: entry.sha256.as_ref().and_then(|(sum, _)| sum.parse().ok()),
        ..Requirements::default()
    };
    inspect(file)
        .and_then(|candidate| admit(candidate, &requirements))
        .map_err(|refusal| refusal.expected(id))
}

/// The schema of an admitted file.
pub(crate) fn schema(manifest: &Manifest) -> String {
    serde_json::Value::Object(manifest.config_schema.clone()).to_string()
}
