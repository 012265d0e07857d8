//! Secrets per tenant, encrypted with AES-256-GCM under a key that never leaves the data directory.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use async_trait::async_trait;
use bytes::Bytes;
use jackfield_inbox::store::{Store, StoreError};
use jackfield_sdk::{host::VaultService, service::ServiceError};

/// Secrets in the store's small values, under `vault/`.
pub struct Vault {
    store: Arc<dyn Store>,
    cipher: Aes256Gcm,
}

/// The key ring cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key ring `{}` cannot be used: {source}; it is 32 random bytes, mode 0600", path.display())]
pub struct KeyRingError {
    path: PathBuf,
    source: std::io::Error,
}

impl Vault {
    /// Reads the key ring in `data_dir`, or makes it.
    pub fn open(store: Arc<dyn Store>, data_dir: &Path) -> Result<Self, KeyRingError> {
        let path = data_dir.join("keyring");
        let failed = |source| KeyRingError {
            path: path.clone(),
            source,
        };
        let key: [u8; 32] = match std::fs::read(&path) {
            Ok(bytes) => bytes
                .try_into()
                .map_err(|_| failed(std::io::ErrorKind::InvalidData.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(failed)?;
                file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
                key
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            store,
            cipher: Aes256Gcm::new(&key.into()),
        })
    }

    async fn find(&self, place: &str) -> Result<Option<Bytes>, ServiceError> {
        let found = self.store.values(place).await.map_err(away)?;
        Ok(found.into_iter().find(|(key, _)| key == place).map(|(_, value)| value))
    }
}

/// Lengths keep (a, bc) and (ab, c) apart.
fn place(tenant: &str, name: &str) -> String {
    format!("vault/{}:{tenant}/{name}", tenant.len())
}

fn away(error: StoreError) -> ServiceError {
    ServiceError::unavailable(error.to_string())
}

#[async_trait]
impl VaultService for Vault {
    async fn get(&self, tenant: String, name: String) -> Result<Option<Bytes>, ServiceError> {
        let place = place(&tenant, &name);
        let Some(sealed) = self.find(&place).await? else {
            return Ok(None);
        };
        let broken = || ServiceError::invalid("a secret cannot be opened with this host's key ring");
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or_else(broken)?;
        let payload = Payload {
            msg: sealed,
            aad: place.as_bytes(),
        };
        let opened = self
            .cipher
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| broken())?;
        Ok(Some(opened.into()))
    }

    async fn put(&self, tenant: String, name: String, value: Bytes) -> Result<(), ServiceError> {
        let place = place(&tenant, &name);
        let nonce: [u8; 12] = rand::random();
        let payload = Payload {
            msg: &value,
            aad: place.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| ServiceError::invalid("the secret is too long to be sealed"))?;
        let kept: Vec<u8> = nonce.into_iter().chain(sealed).collect();
        self.store.set_value(&place, Some(kept.into())).await.map_err(away)
    }

    async fn delete(&self, tenant: String, name: String) -> Result<(), ServiceError> {
        self.store.set_value(&place(&tenant, &name), None).await.map_err(away)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jackfield_inbox::{clock::SystemClock, memory::MemoryStore};

    use super::*;

    #[tokio::test]
    async fn secrets_are_sealed_and_bound_to_their_place() {
        let directory = std::env::temp_dir().join(format!("jackfield-vault-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let vault = Vault::open(Arc::clone(&store), &directory).unwrap();
        vault
            .put("t".to_owned(), "n".to_owned(), Bytes::from_static(b"canary"))
            .await
            .unwrap();
        let kept = store.values("vault/").await.unwrap();
        assert!(!kept[0].1.windows(6).any(|window| window == b"canary"));
        let again = Vault::open(Arc::clone(&store), &directory).unwrap();
        assert_eq!(
            again.get("t".to_owned(), "n".to_owned()).await.unwrap().unwrap(),
            "canary"
        );
        store
            .set_value(&place("u", "n"), Some(kept[0].1.clone()))
            .await
            .unwrap();
        assert!(again.get("u".to_owned(), "n".to_owned()).await.is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
