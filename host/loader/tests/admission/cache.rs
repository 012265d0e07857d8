//! The copies that are loaded.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
    thread,
};

use jackfield_loader::{Admitted, Cache, Code, ColdCache, Origin, Requirements, Sha256, admit, inspect};

use super::fixture::{Directory, Plugin};

pub(crate) fn admitted(file: &Path) -> Admitted {
    admit(inspect(file).unwrap(), &Requirements::default()).unwrap()
}

pub(crate) fn cache(directory: &Directory) -> Cache {
    ColdCache::open(directory.path()).unwrap().warm()
}

#[test]
fn a_copy_is_named_by_its_content_and_survives_what_happens_to_the_file() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), cache(&directory));
    let content = fs::read(&file).unwrap();
    let admitted = admitted(&file);
    // Between the decision and the copy the file becomes another one: the copy is of what was decided on.
    fs::write(&file, "cut off").unwrap();
    let stored = cache.store(admitted).unwrap();
    let expected = directory
        .path()
        .canonicalize()
        .unwrap()
        .join("plugins/cache")
        .join(format!("{}.so", Sha256::of(&content)));
    assert_eq!((&stored.path, stored.origin), (&expected, Origin::Written));
    assert_eq!((stored.file, stored.manifest.id.as_str()), (file, "pager"));
    assert_eq!(fs::read(&stored.path).unwrap(), content);
    assert_eq!(fs::metadata(&stored.path).unwrap().permissions().mode() & 0o7777, 0o500);
    let folder = fs::metadata(stored.path.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o7777, 0o700);
    assert_eq!(
        fs::read_dir(stored.path.parent().unwrap()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn a_copy_is_made_once() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), cache(&directory));
    let first = cache.store(admitted(&file)).unwrap();
    let before = fs::metadata(&first.path).unwrap();
    let again = cache.store(admitted(&file)).unwrap();
    let after = fs::metadata(&again.path).unwrap();
    assert_eq!((&again.path, again.origin), (&first.path, Origin::Reused));
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn a_damaged_copy_is_replaced_and_whoever_has_it_open_keeps_it() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), cache(&directory));
    let content = fs::read(&file).unwrap();
    let path = cache.store(admitted(&file)).unwrap().path;
    let mut damaged = content.clone();
    damaged[100] ^= 1;
    for damaged in [damaged, content[..content.len() / 2].to_vec(), Vec::new()] {
        fs::remove_file(&path).unwrap();
        fs::write(&path, &damaged).unwrap();
        let open = fs::File::open(&path).unwrap();
        assert_eq!(cache.store(admitted(&file)).unwrap().origin, Origin::Repaired);
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(open.metadata().unwrap().len(), damaged.len() as u64);
        assert_eq!(
            open.metadata().unwrap().nlink(),
            0,
            "it is another file under the same name"
        );
    }
}

#[test]
fn a_link_in_the_place_of_a_copy_is_not_followed() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), cache(&directory));
    let path = cache.store(admitted(&file)).unwrap().path;
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&file, &path).unwrap();
    assert_eq!(cache.store(admitted(&file)).unwrap().origin, Origin::Repaired);
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_copy_that_others_may_write_is_closed_again() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), cache(&directory));
    let path = cache.store(admitted(&file)).unwrap().path;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(cache.store(admitted(&file)).unwrap().origin, Origin::Reused);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o500);
}

#[test]
fn many_at_once_make_one_copy() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), Arc::new(cache(&directory)));
    let stores: Vec<_> = (0..8)
        .map(|_| {
            let (file, cache) = (file.clone(), Arc::clone(&cache));
            thread::spawn(move || cache.store(admitted(&file)).unwrap().origin)
        })
        .collect();
    let origins: Vec<Origin> = stores.into_iter().map(|store| store.join().unwrap()).collect();
    assert_eq!(
        origins.iter().filter(|origin| **origin == Origin::Written).count(),
        1,
        "{origins:?}"
    );
    assert!(!origins.contains(&Origin::Repaired), "{origins:?}");
}

#[test]
fn hosts_that_share_a_directory_see_complete_copies_only() {
    let directory = Directory::new();
    let file = Plugin::good().build(&directory);
    let content = fs::read(&file).unwrap();
    let stores: Vec<_> = (0..8)
        .map(|_| {
            // Each with a cache of its own, so that no lock is between them.
            let (file, cache, content) = (file.clone(), cache(&directory), content.clone());
            thread::spawn(move || {
                for _ in 0..20 {
                    let path = cache.store(admitted(&file)).unwrap().path;
                    // Another one may just have taken it away, to have it written anew.
                    if let Ok(copy) = fs::read(&path) {
                        assert!(copy == content, "a copy of {} bytes", copy.len());
                    }
                    let _ = fs::remove_file(&path);
                }
            })
        })
        .collect();
    stores.into_iter().for_each(|store| store.join().unwrap());
}

#[test]
fn what_cannot_be_written_is_a_refusal() {
    let directory = Directory::new();
    let (file, cache) = (Plugin::good().build(&directory), cache(&directory));
    let path = cache.store(admitted(&file)).unwrap().path;
    fs::remove_file(&path).unwrap();
    // Something that a file cannot take the place of, for root as well.
    fs::create_dir(&path).unwrap();
    let refusal = cache.store(admitted(&file)).unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.plugin.as_deref()),
        (Code::NotStored, Some("pager"))
    );
    assert!(refusal.to_string().contains(path.to_str().unwrap()), "{refusal}");
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "the unfinished copy is taken away: {left:?}");
}

#[test]
fn a_data_directory_that_is_none_is_named() {
    let directory = Directory::new();
    let error = ColdCache::open(&directory.file("data", "")).unwrap_err();
    assert!(error.to_string().contains("data/plugins/cache"), "{error}");
}

#[test]
fn only_what_nothing_names_is_swept() {
    let directory = Directory::new();
    let folder = directory.join("plugins/cache");
    let cold = ColdCache::open(directory.path()).unwrap();
    let (named, other) = (Sha256::of(b"named"), Sha256::of(b"other"));
    for name in [
        format!("{named}.so"),
        format!("{other}.so"),
        format!("{named}.77.unfinished"),
        "notes.txt".to_owned(),
        "libpager.so".to_owned(),
        format!("{other}.so.bak"),
    ] {
        fs::write(folder.join(name), "").unwrap();
    }
    let removed = cold.sweep(&BTreeSet::from([named])).unwrap();
    let mut expected = [format!("{other}.so"), format!("{named}.77.unfinished")];
    expected.sort();
    let names: Vec<_> = removed
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, expected);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
}
