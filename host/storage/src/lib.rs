//! State of record: the SQLite and PostgreSQL stores, their migrations, the data directory's lock, plugins' databases.

mod kv;
mod lock;
mod migrate;
mod open;
mod plugin_database;
mod pubsub;
mod store;
mod vault;

pub use kv::MemoryKv;
pub use lock::{DirectoryLock, LockError};
pub use migrate::{MigrationState, migrations, status, up};
pub use open::{Database, OpenError, OpenOptions, describe};
pub use plugin_database::PluginDatabases;
pub use pubsub::MemoryPubSub;
pub use store::SqlStore;
pub use vault::{KeyRingError, Vault};
