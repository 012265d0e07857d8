//! What each command does: one file per command, this one picks it.

mod admin;
mod backup;
mod check;
mod deliveries;
mod dev;
mod migrate;
mod new_plugin;
mod output;
mod plugins;
mod replay;
mod routes;
mod send;

use clap::{CommandFactory, Parser};
use http::Method;
use jackfield_config::{Flags, Loaded};
use jackfield_storage::{Database, OpenOptions, SqlStore};

use crate::{
    cli::{Cli, Command, ConfigCommand, PluginCommand, PluginsCommand},
    control,
    logs::Logs,
    plan, serve,
};

const GOOD: u8 = 0;
const FAILED: u8 = 1;
const BAD_CONFIG: u8 = 78;

/// Something that ends a command with exit code 1 and one line.
type Failure = Box<dyn std::error::Error>;

pub(crate) async fn run() -> u8 {
    let cli = Cli::parse();
    let mut flags = Flags {
        config: cli.places.config.clone(),
        plugins: cli.places.plugins.clone(),
        ..Flags::default()
    };
    if let Command::Serve {
        listen, admin_listen, ..
    } = &cli.command
    {
        flags.listen.clone_from(listen);
        flags.admin_listen.clone_from(admin_listen);
    }
    let as_json = cli.places.json;
    // What needs no configuration comes first, so that a mistake in one does not get in the way.
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "jackfield", &mut script);
            output::bytes(&script);
            return GOOD;
        }
        Command::Man => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            output::bytes(&page);
            return report(rendered.map_err(Into::into));
        }
        Command::Plugin {
            command: PluginCommand::New { name, dylib, sdk },
        } => return report(new_plugin::new(name, *dylib, sdk.as_deref(), as_json)),
        Command::Plugins {
            command: PluginsCommand::Verify { file },
        } => return plugins::verify(file, as_json),
        _ => {}
    }
    let loaded = match plan::load(&flags) {
        Ok(loaded) => loaded,
        Err(problems) => return check::problems(&problems, as_json),
    };
    match cli.command {
        Command::Serve { until_stdin_closes, .. } => {
            let logs = Logs::start(&loaded.settings);
            match serve::serve(loaded, flags, logs, until_stdin_closes).await {
                Ok(()) => GOOD,
                Err(error) => {
                    eprintln!("jackfield: {error}");
                    error.exit_code()
                }
            }
        }
        Command::Check => check::check(&loaded, as_json),
        Command::Config {
            command: ConfigCommand::Show { sources },
        } => check::show_config(&loaded, sources, as_json),
        Command::Plugins { command } => report(plugins::plugins(&loaded, command, as_json).await),
        Command::Deliveries { command } => report(deliveries::deliveries(&loaded, command, as_json).await),
        Command::Routes => report(routes::routes(&loaded, as_json).await),
        Command::Openapi => report(openapi(&loaded).await),
        Command::Admin { command } => report(admin::admin(&loaded, command, as_json).await),
        Command::Backup { file } => report(backup::backup(&loaded, &file, as_json).await),
        Command::Migrate { command } => report(migrate::migrate(&loaded, command, as_json).await),
        Command::Plugin {
            command: PluginCommand::Dev(options),
        } => report(dev::dev(&loaded, &flags, &options).await),
        Command::Completions { .. } | Command::Man | Command::Plugin { .. } => GOOD,
    }
}

fn report(done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => GOOD,
        Err(error) => {
            eprintln!("jackfield: {error}");
            FAILED
        }
    }
}

async fn openapi(loaded: &Loaded) -> Result<(), Failure> {
    output::json(&control::call(&loaded.settings.data_dir, Method::GET, "/openapi.json", None).await?);
    Ok(())
}

/// Whether there is a database: reading never makes one.
fn database_exists(loaded: &Loaded) -> bool {
    let url = loaded.settings.database();
    url.strip_prefix("sqlite://")
        .is_none_or(|path| std::path::Path::new(path).exists())
}

fn no_database(loaded: &Loaded) -> Failure {
    let data_dir = loaded.settings.data_dir.display();
    format!("there is no database yet in `{data_dir}`; `jackfield serve` makes it, JACKFIELD_DATA_DIR says where")
        .into()
}

/// The store itself: listings work beside a running host and without one.
async fn open_store(loaded: &Loaded) -> Result<SqlStore, Failure> {
    let options = OpenOptions {
        read_only: true,
        connections: 2,
        ..OpenOptions::default()
    };
    if !database_exists(loaded) {
        return Err(no_database(loaded));
    }
    Ok(SqlStore::new(
        Database::open(&loaded.settings.database(), &options).await?,
    ))
}
