//! State of record: the SQLite and PostgreSQL stores, their migrations, the data directory's lock, plugins' databases.

pub mod entity;
mod kv;
mod lock;
mod migrate;
mod open;
mod plugin_database;
mod pubsub;
mod redis;
mod redis_pubsub;
mod redis_script;
mod snapshot;
mod sql;
mod store;
#[cfg(test)]
mod test_places;
mod vault;

pub use kv::MemoryKv;
pub use lock::{DirectoryLock, LockError};
pub use migrate::{MigrationState, status, up};
pub use open::{Database, OpenError, OpenOptions, describe};
pub use plugin_database::{PluginDatabases, PluginMigrationError};
pub use pubsub::MemoryPubSub;
pub use redis::{Redis, RedisError};
pub use redis_script::RedisScript;
pub use snapshot::{SnapshotError, snapshot};
pub use store::SqlStore;
pub use vault::{KeyRing, KeyRingError, Vault};
