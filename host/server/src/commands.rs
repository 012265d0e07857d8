//! What each command does.

use std::{io::Write, time::Duration};

use clap::{CommandFactory, Parser};
use http::Method;
use jackfield_config::{Flags, Loaded, Problem};
use jackfield_inbox::{
    model::{Filter, ReplayMode},
    store::Store,
};
use jackfield_plugins::Enablement;
use jackfield_storage::{Database, OpenOptions, PluginDatabases, SqlStore};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{Cli, Command, ConfigCommand, DeliveriesCommand, MigrateCommand, PluginsCommand},
    control,
    logs::Logs,
    plan, serve, show,
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
    if let Command::Serve { listen, admin_listen } = &cli.command {
        flags.listen.clone_from(listen);
        flags.admin_listen.clone_from(admin_listen);
    }
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "jackfield", &mut std::io::stdout());
            return GOOD;
        }
        Command::Man => {
            return report(
                clap_mangen::Man::new(Cli::command())
                    .render(&mut std::io::stdout())
                    .map_err(Into::into),
            );
        }
        _ => {}
    }
    let loaded = match plan::load(&flags) {
        Ok(loaded) => loaded,
        Err(problems) => return print_problems(&problems, cli.places.json),
    };
    let json_wanted = cli.places.json;
    match cli.command {
        Command::Serve { .. } => {
            let logs = Logs::start(&loaded.settings);
            match serve::serve(loaded, flags, logs).await {
                Ok(()) => GOOD,
                Err(error) => {
                    eprintln!("jackfield: {error}");
                    error.exit_code()
                }
            }
        }
        Command::Check => check(&loaded, json_wanted),
        Command::Config {
            command: ConfigCommand::Show { sources },
        } => show_config(&loaded, sources, json_wanted),
        Command::Plugins { command } => report(plugins(&loaded, command, json_wanted).await),
        Command::Deliveries { command } => report(deliveries(&loaded, command, json_wanted).await),
        Command::Routes => report(ask(&loaded, "/api/admin/v1/routes").await),
        Command::Openapi => report(ask(&loaded, "/openapi.json").await),
        Command::Migrate { command } => report(migrate(&loaded, command, json_wanted).await),
        Command::Completions { .. } | Command::Man => GOOD,
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

fn print(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    // A reader that went away (`| head`) is no error.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn print_problems(problems: &[Problem], as_json: bool) -> u8 {
    if as_json {
        print(&json!({ "ok": false, "problems": problems }));
    } else {
        for problem in problems {
            eprintln!("{problem}\n");
        }
        eprintln!("{} problem(s)", problems.len());
    }
    BAD_CONFIG
}

fn check(loaded: &Loaded, as_json: bool) -> u8 {
    let plan = match plan::plan(&loaded.settings, None) {
        Ok(plan) => plan,
        Err(problems) => return print_problems(&problems, as_json),
    };
    let rows: Vec<Value> = plan
        .wanted
        .iter()
        .map(|wanted| {
            let (enabled, reason) = match &wanted.enablement {
                Enablement::Enabled(reason) => (true, reason),
                Enablement::Disabled(reason) | Enablement::Refused(reason) => (false, reason),
            };
            json!({ "id": wanted.id, "enabled": enabled, "reason": reason, "egress": wanted.egress })
        })
        .collect();
    if as_json {
        print(&json!({ "ok": plan.problems.is_empty(), "problems": plan.problems, "plugins": rows }));
    } else {
        for row in &rows {
            let state = if row["enabled"] == true { "on" } else { "off" };
            println!(
                "{:<16} {state:<4} {}",
                row["id"].as_str().unwrap_or_default(),
                row["reason"].as_str().unwrap_or_default()
            );
            for url in row["egress"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                println!("{:<16}      may reach {url}", "");
            }
        }
        for problem in &plan.problems {
            eprintln!("\n{problem}");
        }
    }
    if plan.problems.is_empty() { GOOD } else { BAD_CONFIG }
}

fn show_config(loaded: &Loaded, sources: bool, as_json: bool) -> u8 {
    let mut rows = loaded.rows();
    match plan::plan(&loaded.settings, None) {
        Ok(plan) => {
            for (id, resolved) in &plan.resolved {
                let values = resolved.redacted();
                for (name, value) in values.as_object().into_iter().flatten() {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let source = resolved.sources.get(name).map(ToString::to_string).unwrap_or_default();
                    rows.push((format!("plugins.{id}.config.{name}"), shown, source));
                }
            }
        }
        Err(problems) => return print_problems(&problems, as_json),
    }
    if as_json {
        let row =
            |(key, value, source): &(String, String, String)| json!({ "key": key, "value": value, "source": source });
        print(&rows.iter().map(row).collect());
    } else {
        for (key, value, source) in rows {
            if sources {
                println!("{key} = {value}  # {source}");
            } else {
                println!("{key} = {value}");
            }
        }
    }
    GOOD
}

async fn ask(loaded: &Loaded, path: &str) -> Result<(), Failure> {
    print(&control::call(&loaded.settings.data_dir, Method::GET, path, None).await?);
    Ok(())
}

async fn plugins(loaded: &Loaded, command: PluginsCommand, as_json: bool) -> Result<(), Failure> {
    let data_dir = &loaded.settings.data_dir;
    let (id, action) = match command {
        PluginsCommand::List => {
            let rows = match control::call(data_dir, Method::GET, "/api/admin/v1/plugins", None).await {
                Ok(rows) => rows,
                Err(control::ControlError::NotRunning(_)) => planned_rows(loaded),
                Err(error) => return Err(error.into()),
            };
            print_rows(
                &rows,
                &["id", "version", "enabled", "carrier", "state", "reason"],
                as_json,
            );
            return Ok(());
        }
        PluginsCommand::Enable { id } => (id, "enable"),
        PluginsCommand::Disable { id } => (id, "disable"),
        PluginsCommand::Reload { id } => (id, "reload"),
        PluginsCommand::Pause { id } => (id, "pause"),
        PluginsCommand::Resume { id } => (id, "resume"),
    };
    let path = format!("/api/admin/v1/plugins/{id}/{action}");
    let row = control::call(data_dir, Method::POST, &path, None).await?;
    if as_json {
        print(&row);
    } else {
        let text = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
        println!("{id}: {} ({})", text("state"), text("reason"));
    }
    Ok(())
}

/// Without a running host: what configuration says.
fn planned_rows(loaded: &Loaded) -> Value {
    let Ok(plan) = plan::plan(&loaded.settings, None) else {
        return json!([]);
    };
    let row = |wanted: &jackfield_plugins::Wanted| {
        let code = wanted.code.as_ref();
        let descriptor = code.map(|code| code.descriptor().clone()).unwrap_or_default();
        let (state, reason) = match &wanted.enablement {
            Enablement::Enabled(_) => ("disabled", "no host is running".to_owned()),
            Enablement::Disabled(reason) => ("disabled", reason.clone()),
            Enablement::Refused(reason) => ("refused", reason.clone()),
        };
        json!({
            "id": wanted.id, "version": code.map(|code| code.manifest().version),
            "enabled": matches!(wanted.enablement, Enablement::Enabled(_)), "carrier": code.map(|code| code.carrier()), "state": state,
            "reason": reason, "generation": 0, "routes": descriptor.routes.len(), "webhooks": descriptor.webhooks.len(),
            "health": null,
        })
    };
    plan.wanted.iter().map(row).collect()
}

fn print_rows(rows: &Value, columns: &[&str], as_json: bool) {
    if as_json {
        print(rows);
        return;
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(columns);
    for row in rows.as_array().into_iter().flatten() {
        let cell = |column: &&str| match &row[*column] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        table.add_row(columns.iter().map(cell));
    }
    let _ = writeln!(std::io::stdout(), "{table}");
}

/// The store itself: listings work beside a running host and without one.
async fn open_store(loaded: &Loaded) -> Result<SqlStore, Failure> {
    let options = OpenOptions {
        migrate: false,
        connections: 2,
        ..OpenOptions::default()
    };
    if loaded.settings.database_url.is_none() && !loaded.settings.data_dir.join("jackfield.db").exists() {
        return Err(format!("`{}` holds no database yet", loaded.settings.data_dir.display()).into());
    }
    Ok(SqlStore::new(
        Database::open(&loaded.settings.database(), &options).await?,
    ))
}

fn since(text: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let parsed = jackfield_inbox::when::parse(text);
    parsed
        .map(Some)
        .ok_or_else(|| format!("--since `{text}` is no RFC 3339 time such as 2026-11-01T00:00:00Z").into())
}

async fn deliveries(loaded: &Loaded, command: DeliveriesCommand, as_json: bool) -> Result<(), Failure> {
    match command {
        DeliveriesCommand::List {
            plugin,
            state,
            since: from,
            limit,
        } => {
            let filter = Filter {
                plugin,
                state,
                since_ms: since(from.as_deref())?,
                ..Filter::default()
            };
            let rows = open_store(loaded).await?.list(&filter, None, limit).await?;
            let columns = [
                "id",
                "plugin",
                "event",
                "lane",
                "state",
                "attempts",
                "received_at",
                "outcome",
            ];
            print_rows(&serde_json::to_value(rows)?, &columns, as_json);
        }
        DeliveriesCommand::Show { id } => {
            let found = open_store(loaded).await?.show(id).await?;
            print(&show::detail(
                &found.ok_or_else(|| format!("there is no delivery {id}"))?,
            ));
        }
        DeliveriesCommand::Cancel { id } => {
            let path = format!("/api/admin/v1/deliveries/{id}/cancel");
            control::call(&loaded.settings.data_dir, Method::POST, &path, None).await?;
            println!("cancelled {id}");
        }
        DeliveriesCommand::Replay {
            ids,
            plugin,
            state,
            since: from,
            dry_run,
            from_start,
            again,
        } => {
            if ids.is_empty() && plugin.is_none() && state.is_none() && from.is_none() {
                return Err("say which: ids, or --plugin, --state, --since".into());
            }
            let filter = Filter {
                plugin,
                state,
                since_ms: since(from.as_deref())?,
                until_ms: None,
                ids,
            };
            let mode = match (from_start, again) {
                (true, _) => ReplayMode::FromStart,
                (_, true) => ReplayMode::Again,
                _ => ReplayMode::Resume,
            };
            replay(loaded, &filter, mode, dry_run, as_json).await?;
        }
    }
    Ok(())
}

async fn replay(
    loaded: &Loaded,
    filter: &Filter,
    mode: ReplayMode,
    dry_run: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let data_dir = &loaded.settings.data_dir;
    let mut request = serde_json::to_value(filter)?;
    request["mode"] = serde_json::to_value(mode)?;
    request["dry_run"] = dry_run.into();
    let begun = control::call(
        data_dir,
        Method::POST,
        "/api/admin/v1/deliveries/replay",
        Some(&request),
    )
    .await?;
    if dry_run {
        if as_json {
            print(&begun);
        } else {
            println!("{} deliveries match", begun["total"]);
        }
        return Ok(());
    }
    let id: Uuid = serde_json::from_value(begun["id"].clone())?;
    let bar = indicatif::ProgressBar::new(begun["total"].as_u64().unwrap_or(0));
    let mut now = begun;
    while now["finished"] != true {
        tokio::time::sleep(Duration::from_millis(200)).await;
        now = control::call(data_dir, Method::GET, &format!("/api/admin/v1/replays/{id}"), None).await?;
        bar.set_position(now["seen"].as_u64().unwrap_or(0));
    }
    bar.finish_and_clear();
    if as_json {
        print(&now);
        return Ok(());
    }
    println!("{} armed, {} left as they were", now["armed"], now["skipped"]);
    if now["armed"] == 0 && now["skipped"] != 0 && mode == ReplayMode::Resume {
        println!("what is done stays done; --from-start repeats its steps with the same keys, --again with new ones");
    }
    Ok(())
}

async fn migrate(loaded: &Loaded, command: MigrateCommand, as_json: bool) -> Result<(), Failure> {
    let options = OpenOptions {
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
        let migrations = wanted.code.as_ref()?.manifest().migrations;
        (!migrations.is_empty()).then_some((wanted, migrations))
    });
    if matches!(command, MigrateCommand::Up) {
        jackfield_storage::up(&database).await?;
        // A plugin that is off gets no tables.
        for (wanted, migrations) in migrating
            .clone()
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
    if matches!(command, MigrateCommand::Plan) {
        rows.retain(|row| !row.applied);
    }
    print_rows(&serde_json::to_value(rows)?, &["set", "name", "applied"], as_json);
    Ok(())
}
