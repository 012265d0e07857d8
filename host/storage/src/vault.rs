//! Secrets per tenant, sealed with AES-256-GCM under a key that is not in the database.
//!
//! - The key ring holds several keys: the last one seals, every one opens. A sealed value names its key.
//! - A sealed value is bound to its place: copied to another row it does not open.
//! - What is sealed for a row of somebody else's is given back as bytes: its key's id, a line break, nonce and ciphertext.
//! - All replicas on one database need the same ring. A host whose ring does not open what the others seal says so at
//!   start, and refuses to read or write secrets; the rest of it serves.

mod keyring;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{host::VaultService, service::ServiceError};
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};

use keyring::Sealed;
pub use keyring::{KeyRing, KeyRingError};

use crate::open::{Database, OpenError};

/// The row by which a host knows whether its ring is the one of this database.
const CHECK: &str = "check";

/// Secrets in the database.
pub struct Vault {
    database: Database,
    ring: KeyRing,
    /// The key that others seal with and that is not in our ring.
    unknown: Option<String>,
}

impl Vault {
    /// On an open database. Looks whether the ring is the one that this database's secrets are sealed with.
    pub async fn open(database: Database, ring: KeyRing) -> Result<Self, OpenError> {
        let mut vault = Self {
            database,
            ring,
            unknown: None,
        };
        let failed = |source| vault.database.failed(source);
        let own = vault
            .ring
            .seal(CHECK, b"")
            .map_err(|error| failed(DbErr::Custom(error.to_string())))?;
        let note = "INSERT INTO secret (place, key_id, sealed) VALUES ($1, $2, $3) ON CONFLICT (place) DO NOTHING";
        vault.execute(note, CHECK, Some(own.clone())).await.map_err(failed)?;
        let newest = vault.row(CHECK).await.map_err(failed)?;
        match newest {
            Some(sealed) if vault.ring.open(CHECK, &sealed).is_err() => {
                tracing::error!(
                    key = sealed.key,
                    "secrets of this database are sealed with a key that is not in this host's key ring; {FIX}"
                );
                vault.unknown = Some(sealed.key);
            }
            // A key was added: from now on the others need it too.
            Some(sealed) if sealed.key != own.key => {
                let note = "UPDATE secret SET key_id = $2, sealed = $3 WHERE place = $1";
                vault.execute(note, CHECK, Some(own)).await.map_err(failed)?;
            }
            _ => {}
        }
        Ok(vault)
    }

    /// One exact read.
    async fn row(&self, place: &str) -> Result<Option<Sealed>, DbErr> {
        let statement = Statement::from_sql_and_values(
            self.database.backend,
            "SELECT key_id, sealed FROM secret WHERE place = $1",
            [place.into()],
        );
        let Some(row) = self.database.read.query_one_raw(statement).await? else {
            return Ok(None);
        };
        Ok(Some(Sealed {
            key: row.try_get_by_index(0)?,
            bytes: row.try_get_by_index(1)?,
        }))
    }

    async fn execute(&self, text: &str, place: &str, sealed: Option<Sealed>) -> Result<(), DbErr> {
        let mut values: Vec<Value> = vec![place.into()];
        if let Some(sealed) = sealed {
            values.extend([sealed.key.into(), sealed.bytes.into()]);
        }
        let statement = Statement::from_sql_and_values(self.database.backend, text, values);
        self.database.write.execute_raw(statement).await.map(|_| ())
    }

    fn usable(&self) -> Result<(), ServiceError> {
        match &self.unknown {
            Some(key) => Err(unknown(key)),
            None => Ok(()),
        }
    }
}

const FIX: &str =
    "give every replica the same ring: JACKFIELD_KEYRING, JACKFIELD_KEYRING_FILE, or `keyring` in the data directory";

fn unknown(key: &str) -> ServiceError {
    ServiceError::invalid(format!(
        "secrets are sealed with key `{key}`, which is not in this host's key ring; {FIX}"
    ))
}

/// Lengths keep (a, bc) and (ab, c) apart.
fn place(tenant: &str, name: &str) -> String {
    format!("vault/{}:{tenant}/{name}", tenant.len())
}

/// As [`place`], and never the same: what is kept elsewhere is no row of the vault.
fn elsewhere(tenant: &str, name: &str) -> String {
    format!("sealed/{}:{tenant}/{name}", tenant.len())
}

fn away(error: DbErr) -> ServiceError {
    ServiceError::unavailable(error.to_string())
}

#[async_trait]
impl VaultService for Vault {
    async fn get(&self, tenant: String, name: String) -> Result<Option<Bytes>, ServiceError> {
        self.usable()?;
        let place = place(&tenant, &name);
        let Some(sealed) = self.row(&place).await.map_err(away)? else {
            return Ok(None);
        };
        match self.ring.open(&place, &sealed) {
            Ok(opened) => Ok(Some(opened)),
            Err(KeyRingError::Unknown(key)) => Err(unknown(&key)),
            Err(error) => Err(ServiceError::invalid(format!("the secret `{name}`: {error}"))),
        }
    }

    async fn put(&self, tenant: String, name: String, value: Bytes) -> Result<(), ServiceError> {
        self.usable()?;
        let place = place(&tenant, &name);
        let sealed = self.ring.seal(&place, &value);
        let sealed = sealed.map_err(|error| ServiceError::invalid(error.to_string()))?;
        let text = "INSERT INTO secret (place, key_id, sealed) VALUES ($1, $2, $3) \
                    ON CONFLICT (place) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed";
        self.execute(text, &place, Some(sealed)).await.map_err(away)
    }

    async fn delete(&self, tenant: String, name: String) -> Result<(), ServiceError> {
        let text = "DELETE FROM secret WHERE place = $1";
        self.execute(text, &place(&tenant, &name), None).await.map_err(away)
    }

    async fn seal(&self, tenant: String, name: String, value: Bytes) -> Result<Bytes, ServiceError> {
        self.usable()?;
        let sealed = self.ring.seal(&elsewhere(&tenant, &name), &value);
        let sealed = sealed.map_err(|error| ServiceError::invalid(error.to_string()))?;
        let key = sealed.key.into_bytes().into_iter();
        Ok(key.chain([b'\n']).chain(sealed.bytes).collect())
    }

    async fn open(&self, tenant: String, name: String, sealed: Bytes) -> Result<Bytes, ServiceError> {
        let unsound = |why: &str| ServiceError::invalid(format!("the sealed value `{name}`: {why}"));
        let end = sealed.iter().position(|byte| *byte == b'\n');
        let (key, bytes) = sealed.split_at(end.ok_or_else(|| unsound("it names no key"))?);
        let sealed = Sealed {
            key: String::from_utf8_lossy(key).into_owned(),
            bytes: bytes[1..].to_vec(),
        };
        match self.ring.open(&elsewhere(&tenant, &name), &sealed) {
            Ok(opened) => Ok(opened),
            Err(KeyRingError::Unknown(key)) => Err(unknown(&key)),
            Err(error) => Err(unsound(&error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
