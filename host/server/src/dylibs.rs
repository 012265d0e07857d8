//! Plugin files that `plugins.toml` names: admitted, copied by content, loaded. `check` stops after admission: nothing of
//! a file runs then.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_config::PluginEntry;
use jackfield_loader::{
    Admitted, Cache, CacheError, ColdCache, Images, Manifest, Refusal, Requirements, admit, inspect,
};
use jackfield_plugins::Code;

use crate::stamp::Stamp;

/// The files that this process has loaded.
pub(crate) struct Dylibs {
    cache: Cache,
    images: Images,
    /// What became of each entry's file, by plugin id, so that a change of one does not read those of all others.
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    looked_at: LookedAt,
    loaded: LoadedFile,
}

/// All that decides about a file.
#[derive(PartialEq, Eq)]
pub(crate) struct LookedAt {
    path: Option<PathBuf>,
    sha256: Option<String>,
    capabilities: Vec<String>,
    stamp: Stamp,
}

/// A file that is loaded.
#[derive(Clone)]
pub(crate) struct LoadedFile {
    pub(crate) manifest: Manifest,
    pub(crate) code: Arc<dyn Code>,
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
            known: Mutex::default(),
        })
    }

    /// What an entry's file was loaded as, when nothing that decides about it has changed.
    pub(crate) fn known(&self, id: &str, looked_at: &LookedAt) -> Option<LoadedFile> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(id).filter(|known| known.looked_at == *looked_at)?;
        Some(known.loaded.clone())
    }

    /// Keeps it, when `looked_at` was seen before the file was read.
    pub(crate) fn remember(&self, id: &str, looked_at: LookedAt, loaded: LoadedFile) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id.to_owned(), Known { looked_at, loaded });
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

/// What decides about an entry's file now; none when it may change without a trace.
pub(crate) fn look_at(entry: &PluginEntry) -> Option<LookedAt> {
    let stamp = Stamp::of(entry.path.as_deref()?).ok().filter(Stamp::is_settled)?;
    Some(LookedAt {
        path: entry.path.clone(),
        sha256: entry.sha256.as_ref().map(|(sum, _)| sum.clone()),
        capabilities: entry.capabilities.clone().unwrap_or_default(),
        stamp,
    })
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
