//! Images: loaded copies of plugin files. An image is loaded once for each content and stays until the process ends, because
//! nothing can prove that none of its code is still referenced; instances come and go. The count of images is a metric,
//! and a plugin that brought [`MAX_IMAGES`] is refused another one.
#![allow(unsafe_code)]

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_abi::EntryFn;
use jackfield_plugins::Code;
use jackfield_sdk::{
    descriptor::Descriptor, ffi::host::Foreign, host::Host, instance::Instance, manifest::Manifest, service::BoxFuture,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde_json::Value;

use crate::{
    admission::{Reason, Refusal, plain},
    cache::Stored,
    prefix::outside,
    sha256::Sha256,
};

/// Images of one plugin that a process keeps.
pub const MAX_IMAGES: usize = 50;

/// Every image of this process.
#[derive(Default)]
pub struct Images(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    images: HashMap<Sha256, Arc<Image>>,
    /// How many a plugin may have where an operator has allowed more than [`MAX_IMAGES`].
    allowed: HashMap<String, usize>,
}

impl Kept {
    fn count(&self, id: &str) -> usize {
        self.images.values().filter(|image| image.manifest.id == id).count()
    }
}

impl Images {
    /// An operator has decided that a plugin may bring one image more than it has, whatever the limit says.
    pub fn allow_one_more(&self, id: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = kept.count(id);
        kept.allowed.insert(id.to_owned(), count + 1);
    }

    /// The code of a stored file; the same content is loaded once. What it declares must lie below its own prefix, or
    /// under a `routes:` capability of `granted`.
    pub fn load(&self, stored: &Stored, granted: &[String]) -> Result<Arc<dyn Code>, Refusal> {
        let image = self.image(stored)?;
        match outside(image.manifest.id, &image.descriptor, granted) {
            Some(path) => Err(refused(
                stored,
                Reason::OutsidePrefix {
                    id: image.manifest.id.to_owned(),
                    path: plain(path),
                },
            )),
            None => Ok(image),
        }
    }

    fn image(&self, stored: &Stored) -> Result<Arc<Image>, Refusal> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = kept.images.get(&stored.sha256) {
            return Ok(Arc::clone(image));
        }
        let id = &stored.manifest.id;
        let count = kept.count(id);
        let allowed = kept.allowed.get(id).copied().unwrap_or(0).max(MAX_IMAGES);
        if count >= allowed {
            return Err(refused(stored, Reason::TooManyImages { kept: count }));
        }
        let image = Arc::new(Image::open(stored)?);
        kept.images.insert(stored.sha256, Arc::clone(&image));
        metrics::gauge!("jackfield_plugin_images", "plugin" => id.clone()).set((count + 1) as f64);
        Ok(image)
    }
}

fn refused(stored: &Stored, reason: Reason) -> Refusal {
    Refusal {
        plugin: Some(stored.manifest.id.clone()),
        file: stored.file.clone(),
        reason,
    }
}

/// A loaded file.
struct Image {
    manifest: &'static Manifest,
    descriptor: Descriptor,
    foreign: Foreign,
    identity: String,
}

impl Image {
    fn open(stored: &Stored) -> Result<Self, Refusal> {
        let failed = |text: String| refused(stored, Reason::NotLoaded(text));
        let told = |error: &libloading::Error| told(error, &stored.path);
        // SAFETY: loading runs the file's constructors. It was admitted: its content, its libraries and its compiler are
        // known; that it does no harm is what whoever named it in plugins.toml has decided.
        let library = unsafe { Library::open(Some(&stored.path), RTLD_NOW | RTLD_LOCAL) };
        // An image is never unloaded.
        let library: &'static Library = Box::leak(Box::new(library.map_err(|error| failed(told(&error)))?));
        let symbol = stored.manifest.entry_symbol();
        // SAFETY: admission found the symbol; that it has this type is the rule of `jackfield-abi`, whose version the
        // manifest states.
        let entry = unsafe { library.get::<EntryFn>(symbol.as_bytes()) }.map_err(|error| failed(told(&error)))?;
        // SAFETY: as above; the answer is static.
        let foreign = unsafe { Foreign::of(entry()) }.map_err(|error| failed(error.to_string()))?;
        let descriptor = foreign
            .descriptor()
            .map_err(|text| refused(stored, Reason::BrokenDeclarations(plain(&text))))?;
        Ok(Self {
            manifest: stored.manifest.lasting(),
            descriptor,
            foreign,
            identity: format!("dylib:{}", stored.sha256),
        })
    }
}

/// What the system's loader says: the error's own text only names the call. It begins with the copy's path, which people
/// did not choose and which may be longer than a text may be.
fn told(error: &libloading::Error, path: &Path) -> String {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let without = text.strip_prefix(&*path.to_string_lossy());
    plain(without.map_or(&*text, |rest| rest.trim_start_matches([':', ' '])))
}

impl Code for Image {
    fn manifest(&self) -> &'static Manifest {
        self.manifest
    }
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn carrier(&self) -> &'static str {
        "dylib"
    }
    fn identity(&self) -> &str {
        &self.identity
    }
    fn validate(&self, config: Value) -> Result<(), String> {
        self.foreign.validate(&config)
    }
    fn create(&self, config: Value, host: Host) -> BoxFuture<'static, Result<Arc<dyn Instance>, String>> {
        let foreign = self.foreign;
        // Made in the async block, because it must be made inside the host's runtime.
        Box::pin(async move { foreign.create(&config, host).await })
    }
}
