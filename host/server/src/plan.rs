//! From configuration to what every plugin should be: the same for `serve`, `check`, a file change and the admin API.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jackfield_config::{Decision, Environment, Loaded, PluginsFile, Problem, Resolved, Settings, decide, resolve};
use jackfield_plugins::{Enablement, Wanted};
use jackfield_sdk::manifest::{Builtin, builtins};

/// Every plugin with its settings.
pub(crate) struct Plan {
    /// What the host brings about.
    pub(crate) wanted: Vec<Wanted>,
    /// How each plugin's settings came about.
    pub(crate) resolved: BTreeMap<String, Resolved>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// The plugins file: the configured one, else `./plugins.toml` when it is there.
pub(crate) fn plugins_file(settings: &Settings) -> Option<PathBuf> {
    let default = Path::new("plugins.toml");
    settings
        .plugins_file
        .clone()
        .or_else(|| default.exists().then(|| default.to_owned()))
}

/// Every file that configuration comes from: both settings files, and those that `NAME_FILE` variables name.
pub(crate) fn sources(flags: &jackfield_config::Flags, settings: &Settings) -> Vec<PathBuf> {
    let environment = Environment::of_process();
    let schemas: Vec<serde_json::Value> = builtins()
        .into_iter()
        .filter_map(|builtin| serde_json::from_str(builtin.manifest.config_schema).ok())
        .collect();
    let of_plugins = schemas
        .iter()
        .filter_map(|schema| schema["properties"].as_object())
        .flat_map(serde_json::Map::values)
        .filter(|field| field["x-secret"] == true)
        .filter_map(|field| field["x-env"].as_array())
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned));
    let secrets = jackfield_config::secret_variables()
        .map(str::to_owned)
        .chain(of_plugins)
        .filter_map(|name| environment.get(&format!("{name}_FILE")).map(PathBuf::from));
    let host = flags.config.clone().unwrap_or_else(|| PathBuf::from("jackfield.toml"));
    let plugins = settings
        .plugins_file
        .clone()
        .unwrap_or_else(|| PathBuf::from("plugins.toml"));
    [host, plugins].into_iter().chain(secrets).collect()
}

/// Host settings.
pub(crate) fn load(flags: &jackfield_config::Flags) -> Result<Loaded, Vec<Problem>> {
    jackfield_config::load(flags, &Environment::of_process())
}

/// Reads `plugins.toml` and the environment, and decides for each compiled-in plugin.
pub(crate) fn plan(settings: &Settings) -> Result<Plan, Vec<Problem>> {
    let all = builtins();
    let ids: Vec<&str> = all.iter().map(|builtin| builtin.manifest.id).collect();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(vec![Problem {
            file: "this program".to_owned(),
            line: None,
            key: twice[0].to_owned(),
            what: "two compiled-in plugins have this id".to_owned(),
            fix: "leave one of their crates out".to_owned(),
            suggestion: None,
        }]);
    }
    let file = match plugins_file(settings) {
        Some(path) => PluginsFile::read(&path, &ids)?,
        None => PluginsFile::default(),
    };
    let environment = Environment::of_process();
    let mut plan = Plan {
        wanted: Vec::new(),
        resolved: BTreeMap::new(),
        problems: Vec::new(),
    };
    for builtin in all {
        let id = builtin.manifest.id;
        let entry = file.entries.get(id);
        let resolved = resolve(id, &file.file, builtin.manifest.config_schema, entry, &environment);
        let enablement = match decide(entry, &resolved) {
            Decision::Enabled(reason) => validated(builtin, id, &resolved, reason, &mut plan.problems),
            Decision::Disabled(reason) => Enablement::Disabled(reason),
            Decision::Invalid(problems) => {
                let first = problems
                    .first()
                    .map(|problem| format!("{}: {}", problem.key, problem.what));
                plan.problems.extend(problems);
                Enablement::Refused(first.unwrap_or_default())
            }
        };
        let own = || {
            builtin
                .manifest
                .capabilities
                .iter()
                .map(|one| (*one).to_owned())
                .collect()
        };
        plan.wanted.push(Wanted {
            id: id.to_owned(),
            enablement,
            config: resolved.value.clone(),
            capabilities: entry.and_then(|entry| entry.capabilities.clone()).unwrap_or_else(own),
            egress: resolved.egress.clone(),
        });
        plan.resolved.insert(id.to_owned(), resolved);
    }
    Ok(plan)
}

/// The plugin's own check, which is pure.
fn validated(
    builtin: &Builtin,
    id: &str,
    resolved: &Resolved,
    reason: String,
    problems: &mut Vec<Problem>,
) -> Enablement {
    match (builtin.validate)(resolved.value.clone()) {
        Ok(()) => Enablement::Enabled(reason),
        Err(what) => {
            problems.push(Problem {
                file: "configuration".to_owned(),
                line: None,
                key: format!("plugins.{id}.config"),
                what: what.clone(),
                fix: "correct the setting that the message names".to_owned(),
                suggestion: None,
            });
            Enablement::Refused(what)
        }
    }
}
