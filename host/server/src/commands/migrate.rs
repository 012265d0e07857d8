//! `migrate`: the host's own migrations and those of each plugin. `status` and `plan` only read.

use jackfield_config::Loaded;
use jackfield_plugins::Enablement;
use jackfield_storage::{Database, OpenOptions, PluginDatabases};
use serde_json::Value;

use super::{Failure, database_exists, output};
use crate::{cli::MigrateCommand, plan};

pub(super) async fn migrate(loaded: &Loaded, command: MigrateCommand, as_json: bool) -> Result<(), Failure> {
    if !matches!(command, MigrateCommand::Up) && !database_exists(loaded) {
        // Looking does not make a database.
        return Err(format!(
            "there is no database yet in `{}`; `jackfield migrate up` makes it",
            loaded.settings.data_dir.display()
        )
        .into());
    }
    let options = OpenOptions {
        read_only: !matches!(command, MigrateCommand::Up),
        connections: 2,
        ..OpenOptions::default()
    };
    let database = Database::connect(&loaded.settings.database(), &options)?;
    let databases = PluginDatabases::new(database.clone(), loaded.settings.data_dir.clone(), true);
    let plan = plan::plan(&loaded.settings, None).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        all.join("\n")
    })?;
    let migrating = plan.wanted.iter().filter_map(|wanted| {
        // A shared library is not loaded for this: its migrations stand in its manifest.
        let migrations = match (&wanted.code, plan.manifests.get(&wanted.id)) {
            (Some(code), _) => code.manifest().migrations,
            (None, manifest) => manifest?.lasting().migrations,
        };
        (!migrations.is_empty()).then_some((wanted, migrations))
    });
    let migrating: Vec<_> = migrating.collect();
    if matches!(command, MigrateCommand::Up) {
        std::fs::create_dir_all(&loaded.settings.data_dir)?;
        jackfield_storage::up(&database).await?;
        // A plugin that is off gets no tables.
        for (wanted, migrations) in migrating
            .iter()
            .filter(|(wanted, _)| matches!(wanted.enablement, Enablement::Enabled(_)))
        {
            let done = databases.migrate(&wanted.id, migrations).await;
            done.map_err(|error| format!("plugin `{}`: {error}", wanted.id))?;
        }
    }
    let mut rows = jackfield_storage::status(&database).await?;
    for (wanted, migrations) in migrating {
        rows.extend(databases.status(&wanted.id, migrations).await?);
    }
    let mut rows = serde_json::to_value(rows)?;
    if let (MigrateCommand::Plan, Value::Array(rows)) = (command, &mut rows) {
        rows.retain(|row| row["applied"] == false);
    }
    output::rows(&rows, &["set", "name", "applied"], "nothing is pending", as_json);
    Ok(())
}
