//! The plugin's database: a real SQLite in a temporary directory with the feature `database`, otherwise an error that says so.
//! It is opened for plugins that may have one: a test that stops its clock has no use for a pool that waits.

use std::sync::Arc;

use async_trait::async_trait;
use jackfield_sdk::{
    database::{DatabaseService, Dialect, Rows, Statement},
    manifest::Migration,
    service::ServiceError,
};

/// The capability that a plugin has a database by.
#[cfg(feature = "database")]
const CAPABILITY: &str = "database";

/// Databases of one test.
pub(crate) struct Databases {
    #[cfg(feature = "database")]
    real: Option<real::Real>,
}

impl Databases {
    /// `capabilities` are those of all plugins of the test.
    #[cfg(feature = "database")]
    pub(crate) async fn open(mut capabilities: impl Iterator<Item = &String>) -> Result<Self, String> {
        let real = match capabilities.any(|one| one == CAPABILITY) {
            true => Some(real::Real::open().await?),
            false => None,
        };
        Ok(Self { real })
    }

    #[cfg(feature = "database")]
    pub(crate) fn of(&self, plugin: &str) -> Arc<dyn DatabaseService> {
        match &self.real {
            Some(real) => real.of(plugin),
            None => Arc::new(Absent),
        }
    }

    #[cfg(feature = "database")]
    pub(crate) async fn migrate(&self, plugin: &str, all: &[Migration]) -> Result<(), String> {
        match &self.real {
            Some(real) => real.migrate(plugin, all).await,
            None => absent().map_err(|error| error.to_string()),
        }
    }

    #[cfg(feature = "database")]
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        self.real.as_ref().map(real::Real::directory)
    }
}

#[cfg(not(feature = "database"))]
impl Databases {
    #[expect(clippy::unused_async, reason = "the one with the feature opens a database")]
    pub(crate) async fn open(_: impl Iterator<Item = &String>) -> Result<Self, String> {
        Ok(Self {})
    }

    #[expect(clippy::unused_self, reason = "the one with the feature has state")]
    pub(crate) fn of(&self, _: &str) -> Arc<dyn DatabaseService> {
        Arc::new(Absent)
    }

    #[expect(clippy::unused_async, reason = "the one with the feature has tables")]
    pub(crate) async fn migrate(&self, _: &str, _: &[Migration]) -> Result<(), String> {
        absent().map_err(|error| error.to_string())
    }
}

#[cfg(feature = "database")]
mod real {
    use std::{
        path::{Path, PathBuf},
        sync::Arc,
    };

    use jackfield_sdk::{database::DatabaseService, manifest::Migration};
    use jackfield_storage::{Database, OpenOptions, PluginDatabases};

    /// On a directory that goes with it.
    pub(super) struct Real {
        plugins: PluginDatabases,
        directory: PathBuf,
    }

    impl Real {
        pub(super) async fn open() -> Result<Self, String> {
            let name = format!("jackfield-testing-{}", uuid::Uuid::now_v7());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory)
                .map_err(|error| format!("cannot make `{}`: {error}", directory.display()))?;
            let address = format!("sqlite://{}", directory.join("host.db").display());
            let host = Database::open(&address, &OpenOptions::default())
                .await
                .map_err(|error| error.to_string())?;
            Ok(Self {
                plugins: PluginDatabases::new(host, directory.clone(), true),
                directory,
            })
        }

        pub(super) fn of(&self, plugin: &str) -> Arc<dyn DatabaseService> {
            self.plugins.of(plugin)
        }

        pub(super) fn directory(&self) -> &Path {
            &self.directory
        }

        pub(super) async fn migrate(&self, plugin: &str, all: &[Migration]) -> Result<(), String> {
            self.plugins
                .migrate(plugin, all)
                .await
                .map_err(|error| error.to_string())
        }
    }

    impl Drop for Real {
        fn drop(&mut self) {
            // Left behind when a file is still held: it is in the system's temporary directory.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

struct Absent;

fn absent<T>() -> Result<T, ServiceError> {
    Err(ServiceError::invalid(if cfg!(feature = "database") {
        "no plugin of this test has the capability `database`"
    } else {
        "this test has no database; write `jackfield-testing = { …, features = [\"database\"] }` under [dev-dependencies]"
    }))
}

#[async_trait]
impl DatabaseService for Absent {
    async fn dialect(&self) -> Result<Dialect, ServiceError> {
        absent()
    }
    async fn batch(&self, _: Vec<Statement>) -> Result<Vec<Rows>, ServiceError> {
        absent()
    }
    async fn begin(&self) -> Result<u64, ServiceError> {
        absent()
    }
    async fn within(&self, _: u64, _: Statement) -> Result<Rows, ServiceError> {
        absent()
    }
    async fn commit(&self, _: u64) -> Result<(), ServiceError> {
        absent()
    }
    async fn rollback(&self, _: u64) -> Result<(), ServiceError> {
        absent()
    }
}
