//! What is found only when a file is loaded: what the system's loader says, and what the plugin declares.

use std::{path::Path, sync::Arc};

use jackfield_abi::{PANICKED, READY};
use jackfield_loader::{Cache, Code, Images, MAX_IMAGES, Refusal};
use jackfield_sdk::webhook::Verify;
use serde_json::json;

use super::{
    cache::{admitted, cache},
    fixture::{Directory, Plugin, patched},
};

type Loaded = Result<Arc<dyn jackfield_plugins::Code>, Refusal>;

fn load(images: &Images, cache: &Cache, file: &Path, granted: &[String]) -> Loaded {
    images.load(&cache.store(admitted(file)).unwrap(), granted)
}

fn refused(plugin: Plugin, granted: &[String]) -> Refusal {
    let directory = Directory::new();
    let (file, cache) = (plugin.build(&directory), cache(&directory));
    let refusal = load(&Images::default(), &cache, &file, granted)
        .err()
        .expect("it is refused");
    assert_eq!((refusal.plugin.as_deref(), &refusal.file), (Some("pager"), &file));
    let text = refusal.to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    refusal
}

fn declaring(routes: &[&str], webhook: Option<&str>) -> Plugin {
    let route = |path: &&str| json!({ "method": "GET", "path": path, "policy": "public" });
    let hook = |path: &str| {
        json!({
            "name": "ring", "path": path, "verify": Verify::hmac_sha256("x-signature").secrets("secret"), "retry": { "attempts": 1, "window_ms": 0 }, "max_body": 1024,
            "answer": { "status": 202, "content_type": "text/plain", "body": "" }, "timeout_ms": 1000,
        })
    };
    let routes: Vec<_> = routes.iter().map(route).collect();
    let webhooks: Vec<_> = webhook.into_iter().map(hook).collect();
    let descriptor = json!({ "routes": routes, "webhooks": webhooks });
    Plugin::good().answering(READY, &descriptor.to_string())
}

#[test]
fn a_symbol_that_nobody_brings_is_named() {
    let refusal = refused(Plugin::good().option("-DUNDEFINED"), &[]);
    assert_eq!(refusal.code(), Code::NotLoaded);
    assert!(refusal.to_string().contains("nobody_brings_this"), "{refusal}");
}

#[test]
fn a_long_path_leaves_room_for_what_the_loader_says() {
    let directory = Directory::new();
    let file = Plugin::good().option("-DUNDEFINED").build(&directory);
    let deep = directory.join(&["a-directory-with-a-long-name"; 9].join("/"));
    let cache = jackfield_loader::ColdCache::open(&deep).unwrap().warm();
    let refusal = load(&Images::default(), &cache, &file, &[])
        .err()
        .expect("it is refused");
    let text = refusal.to_string();
    assert!(
        text.contains("cannot be loaded: undefined symbol: nobody_brings_this"),
        "{text}"
    );
}

#[test]
fn an_entry_that_returns_nothing_is_not_loaded() {
    assert_eq!(refused(Plugin::good(), &[]).code(), Code::NotLoaded);
}

#[test]
fn declarations_that_cannot_be_read_are_refused() {
    for text in ["", "not JSON", "[1]", "{\"routes\": 3}"] {
        let refusal = refused(Plugin::good().answering(READY, text), &[]);
        assert_eq!(refusal.code(), Code::BrokenDeclarations, "{text}");
        assert!(
            refusal.to_string().contains("its descriptor cannot be read"),
            "{refusal}"
        );
    }
}

#[test]
fn declarations_that_panic_are_refused_on_one_line() {
    let refusal = refused(Plugin::good().answering(PANICKED, "no table\nof routes"), &[]);
    assert_eq!(refusal.code(), Code::BrokenDeclarations);
    assert!(
        refusal
            .to_string()
            .contains("its declarations panic: no table of routes"),
        "{refusal}"
    );
}

#[test]
fn a_plugin_keeps_so_many_images_and_what_is_loaded_stays_usable() {
    let directory = Directory::new();
    let (cache, images) = (cache(&directory), Images::default());
    let file = declaring(&["/pager/pages"], None).build(&directory);
    let mut before = "build 000".to_owned();
    let mut build = |number: usize| {
        let name = format!("build {number:03}");
        let file = patched(&file, before.as_bytes(), name.as_bytes());
        before = name;
        file
    };
    let first = load(&images, &cache, &build(1), &[]).unwrap();
    for number in 2..=MAX_IMAGES {
        let next = load(&images, &cache, &build(number), &[]).unwrap();
        assert_ne!(next.identity(), first.identity(), "build {number}");
    }
    let refusal = load(&images, &cache, &build(MAX_IMAGES + 1), &[])
        .err()
        .expect("one too many");
    assert_eq!(refusal.code(), Code::TooManyImages);
    assert!(refusal.to_string().contains("keeps 50 images"), "{refusal}");
    let again = load(&images, &cache, &build(1), &[]).unwrap();
    assert!(Arc::ptr_eq(&first, &again), "the same content is loaded once");
    // An operator who insists gets one, not all of them.
    images.allow_one_more("pager");
    assert!(load(&images, &cache, &build(MAX_IMAGES + 1), &[]).is_ok());
    let refusal = load(&images, &cache, &build(MAX_IMAGES + 2), &[])
        .err()
        .expect("one too many");
    assert!(refusal.to_string().contains("keeps 51 images"), "{refusal}");
    // Other plugins are not counted with it.
    let other = Plugin::with(super::fixture::manifest("beeper"))
        .id("beeper")
        .answering(READY, "{}")
        .build_as(&directory, "libbeeper.so", &["-shared", "-fPIC"]);
    assert_eq!(load(&images, &cache, &other, &[]).unwrap().manifest().id, "beeper");
}

#[test]
fn a_path_outside_the_prefix_needs_a_grant() {
    for plugin in [
        declaring(&["/pager/pages", "/integration/pager/ring"], None),
        declaring(&["/pager"], Some("/integration/pager/ring")),
    ] {
        let refusal = refused(plugin, &["routes:/integration/beeper/*".to_owned()]);
        assert_eq!(refusal.code(), Code::OutsidePrefix);
        assert!(refusal.to_string().contains("`/integration/pager/ring`"), "{refusal}");
    }
    let directory = Directory::new();
    let file = declaring(&["/pager"], Some("/integration/pager/ring")).build(&directory);
    let (cache, images) = (cache(&directory), Images::default());
    let granted = ["routes:/integration/pager/*".to_owned()];
    assert!(load(&images, &cache, &file, &granted).is_ok());
    // A grant that was taken back counts for what is already loaded too.
    let refusal = load(&images, &cache, &file, &[]).err().expect("not granted");
    assert_eq!(refusal.code(), Code::OutsidePrefix);
}
