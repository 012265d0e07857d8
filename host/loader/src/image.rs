//! Images: loaded copies of plugin files. An image is loaded once for each content and stays until the process ends, because
//! nothing can prove that none of its code is still referenced; instances come and go. The count of images is a metric,
//! and a plugin that brought [`MAX_IMAGES`] is refused another one.
#![allow(unsafe_code)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_abi::EntryFn;
use jackfield_plugins::Code;
use jackfield_sdk::{
    descriptor::Descriptor,
    ffi::host::Foreign,
    host::Host,
    instance::Instance,
    manifest::{Manifest, Migration},
    service::BoxFuture,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde_json::Value;

use crate::{
    admission::{self, Reason, Refusal, plain},
    cache::Stored,
    prefix::outside,
    sha256::Sha256,
};

/// Images of one plugin that a process keeps.
pub const MAX_IMAGES: usize = 50;

/// Every image of this process.
#[derive(Default)]
pub struct Images(Mutex<HashMap<Sha256, Arc<Image>>>);

impl Images {
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
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = images.get(&stored.sha256) {
            return Ok(Arc::clone(image));
        }
        let id = &stored.manifest.id;
        let kept = images.values().filter(|image| image.manifest.id == *id).count();
        if kept >= MAX_IMAGES {
            return Err(refused(stored, Reason::TooManyImages { kept }));
        }
        let image = Arc::new(Image::open(stored)?);
        images.insert(stored.sha256, Arc::clone(&image));
        metrics::gauge!("jackfield_plugin_images", "plugin" => id.clone()).set((kept + 1) as f64);
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
            manifest: lasting(&stored.manifest),
            descriptor,
            foreign,
            identity: format!("dylib:{}", stored.sha256),
        })
    }
}

/// What the system's loader says: the error's own text only names the call.
fn told(error: &libloading::Error) -> String {
    plain(&std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string))
}

/// A manifest lasts as long as its image: for ever.
fn lasting(manifest: &admission::Manifest) -> &'static Manifest {
    let text = |text: &str| -> &'static str { text.to_owned().leak() };
    let migrations: Vec<Migration> = manifest
        .migrations
        .iter()
        .map(|migration| Migration {
            number: migration.number,
            name: text(&migration.name),
            sqlite: text(&migration.sqlite),
            postgres: text(&migration.postgres),
            min_reader: migration.min_reader,
        })
        .collect();
    let capabilities: Vec<&'static str> = manifest.capabilities.iter().map(|one| text(one)).collect();
    Box::leak(Box::new(Manifest {
        id: text(&manifest.id),
        version: text(&manifest.version),
        description: text(&manifest.description),
        config_schema: text(&Value::Object(manifest.config_schema.clone()).to_string()),
        capabilities: capabilities.leak(),
        migrations: migrations.leak(),
    }))
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
