#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    open::OpenOptions,
    test_places::{Place, places},
};

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn ring(keys: &[(&str, u8)]) -> KeyRing {
    let entries: Vec<String> = keys.iter().map(|(id, byte)| format!("{id}:{}", key(*byte))).collect();
    KeyRing::parse(&entries.join("\n")).unwrap()
}

async fn seal(vault: &Vault, tenant: &str) -> Bytes {
    let sealed = VaultService::seal(vault, tenant.to_owned(), "n".to_owned(), Bytes::from_static(b"canary"));
    sealed.await.unwrap()
}

async fn open(vault: &Vault, tenant: &str, name: &str, sealed: &[u8]) -> Result<Bytes, ServiceError> {
    let sealed = Bytes::copy_from_slice(sealed);
    VaultService::open(vault, tenant.to_owned(), name.to_owned(), sealed).await
}

async fn database(place: &Place) -> Database {
    Database::open(&place.url, &OpenOptions::default()).await.unwrap()
}

async fn put(vault: &Vault, name: &str, value: &'static str) {
    let put = vault.put("t".to_owned(), name.to_owned(), Bytes::from_static(value.as_bytes()));
    put.await.unwrap();
}

async fn get(vault: &Vault, name: &str) -> Result<Option<Bytes>, ServiceError> {
    vault.get("t".to_owned(), name.to_owned()).await
}

#[tokio::test]
async fn what_is_kept_elsewhere_opens_at_its_place_alone_and_after_a_rotation() {
    for place in places().await {
        let database = database(&place).await;
        let vault = Vault::open(database.clone(), ring(&[("a", 1)])).await.unwrap();
        let sealed = seal(&vault, "t").await;
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_eq!(open(&vault, "t", "n", &sealed).await.unwrap(), "canary");
        for (tenant, name) in [("t", "m"), ("u", "n"), ("", "n")] {
            let error = open(&vault, tenant, name, &sealed).await.unwrap_err();
            assert!(error.to_string().contains("belongs to another place"), "{error}");
        }
        let mut changed = sealed.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        for unsound in [b"".as_slice(), b"a", b"a\n", &changed] {
            let error = open(&vault, "t", "n", unsound).await.unwrap_err();
            assert!(matches!(error, ServiceError::Invalid { .. }), "{error}");
        }
        let rotated = Vault::open(database.clone(), ring(&[("a", 1), ("b", 2)]))
            .await
            .unwrap();
        assert_eq!(open(&rotated, "t", "n", &sealed).await.unwrap(), "canary");
        let newer = seal(&rotated, "t").await;
        let error = open(&vault, "t", "n", &newer).await.unwrap_err();
        assert!(error.to_string().contains("key `b`"), "{error}");
        // A row of the vault is no value that was sealed for elsewhere.
        put(&rotated, "n", "row").await;
        let row = rotated.row(&super::place("t", "n")).await.unwrap().unwrap();
        let row: Vec<u8> = row
            .key
            .into_bytes()
            .into_iter()
            .chain([b'\n'])
            .chain(row.bytes)
            .collect();
        assert!(open(&rotated, "t", "n", &row).await.is_err());
    }
}

#[tokio::test]
async fn secrets_are_sealed_bound_to_their_row_and_read_exactly() {
    for place in places().await {
        let database = database(&place).await;
        let vault = Vault::open(database.clone(), ring(&[("a", 1)])).await.unwrap();
        put(&vault, "n", "canary").await;
        put(&vault, "n/longer", "other").await;
        put(&vault, "%", "percent").await;
        assert_eq!(get(&vault, "n").await.unwrap().unwrap(), "canary");
        assert_eq!(get(&vault, "n/longer").await.unwrap().unwrap(), "other");
        assert_eq!(get(&vault, "_").await.unwrap(), None);
        let sealed = vault.row(&super::place("t", "n")).await.unwrap().unwrap();
        assert!(!sealed.bytes.windows(6).any(|window| window == b"canary"));
        let text = "INSERT INTO secret (place, key_id, sealed) VALUES ($1, $2, $3)";
        vault
            .execute(text, &super::place("t", "copy"), Some(sealed))
            .await
            .unwrap();
        let error = get(&vault, "copy").await.unwrap_err();
        assert!(matches!(error, ServiceError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("belongs to another place"), "{error}");
        vault.delete("t".to_owned(), "n".to_owned()).await.unwrap();
        assert_eq!(get(&vault, "n").await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_newest_key_seals_and_every_key_opens() {
    for place in places().await {
        let database = database(&place).await;
        let vault = Vault::open(database.clone(), ring(&[("a", 1)])).await.unwrap();
        put(&vault, "old", "one").await;
        let rotated = Vault::open(database.clone(), ring(&[("a", 1), ("b", 2)]))
            .await
            .unwrap();
        put(&rotated, "new", "two").await;
        assert_eq!(get(&rotated, "old").await.unwrap().unwrap(), "one");
        let keys = [("old", "a"), ("new", "b")];
        for (name, key) in keys {
            assert_eq!(rotated.row(&super::place("t", name)).await.unwrap().unwrap().key, key);
        }
        // The old key is retired too early: what it sealed is named, the rest works.
        let early = Vault::open(database, ring(&[("b", 2)])).await.unwrap();
        assert_eq!(get(&early, "new").await.unwrap().unwrap(), "two");
        let error = get(&early, "old").await.unwrap_err().to_string();
        assert!(
            error.contains("key `a`") && error.contains("JACKFIELD_KEYRING"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_replica_with_another_ring_reads_and_writes_no_secret() {
    for place in places().await {
        let database = database(&place).await;
        let first = Vault::open(database.clone(), ring(&[("a", 1)])).await.unwrap();
        put(&first, "n", "one").await;
        // Of the same name or of another.
        for other in [("z", 9), ("a", 9)] {
            let second = Vault::open(database.clone(), ring(&[other])).await.unwrap();
            let error = get(&second, "n").await.unwrap_err().to_string();
            assert!(error.contains("key `a`") && error.contains("same ring"), "{error}");
            let put = second
                .put("t".to_owned(), "n".to_owned(), Bytes::from_static(b"two"))
                .await;
            assert!(put.is_err());
        }
        // One that was not told of the rotation neither.
        Vault::open(database.clone(), ring(&[("a", 1), ("b", 2)]))
            .await
            .unwrap();
        let behind = Vault::open(database.clone(), ring(&[("a", 1)])).await.unwrap();
        assert!(get(&behind, "n").await.unwrap_err().to_string().contains("key `b`"));
        assert_eq!(get(&first, "n").await.unwrap().unwrap(), "one");
    }
}

#[test]
fn a_ring_is_made_once_for_its_owner_alone() {
    let directory = std::env::temp_dir().join(format!("jackfield-ring-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("keyring");
    let made = format!("{:?}", KeyRing::in_directory(&directory).unwrap());
    assert_eq!(made, format!("{:?}", KeyRing::in_directory(&directory).unwrap()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeyRing::in_directory(&directory).unwrap_err().to_string();
    assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_ring_that_cannot_be_read_says_which_entry_and_shows_no_key() {
    let canary = STANDARD.encode(b"canary canary canary");
    for (text, what) in [
        (String::new(), "holds no key"),
        ("# nothing\n".to_owned(), "holds no key"),
        (format!("a:{}\nb:{canary}", key(1)), "entry 2"),
        (canary.clone(), "entry 1"),
        (format!(":{}", key(1)), "entry 1"),
        (format!("a:{} a:{}", key(1), key(2)), "two keys `a`"),
    ] {
        let error = KeyRing::parse(&text).unwrap_err().to_string();
        assert!(error.contains(what) && !error.contains(&canary), "{error}");
    }
    let ring = KeyRing::parse(&format!("# c\na:{}, b:{}\n", key(1), key(2))).unwrap();
    assert_eq!(format!("{ring:?}"), "[\"a\", \"b\"]");
}
