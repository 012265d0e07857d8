//! From configuration to what every plugin should be: the same for `serve`, `check`, a file change and the admin API.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use jackfield_config::{Decision, Environment, Loaded, PluginsFile, Problem, Resolved, Settings, decide, resolve};
use jackfield_plugins::{BuiltinCode, Code, Enablement, Wanted};

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
    let schemas: Vec<serde_json::Value> = codes()
        .unwrap_or_default()
        .iter()
        .filter_map(|code| serde_json::from_str(code.manifest().config_schema).ok())
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

/// The compiled-in code, made once: a plugin whose code is the same keeps its generation.
fn codes() -> Result<&'static [Arc<dyn Code>], Problem> {
    static CODES: OnceLock<Result<Vec<Arc<dyn Code>>, Problem>> = OnceLock::new();
    let make = || {
        let problem = |key: &str, what: String| Problem {
            file: "this program".to_owned(),
            line: None,
            key: key.to_owned(),
            what,
            fix: "leave the plugin's crate out, or correct it".to_owned(),
            suggestion: None,
        };
        let codes = BuiltinCode::all().map_err(|what| problem("(plugins)", what))?;
        let twice = codes
            .windows(2)
            .find(|pair| pair[0].manifest().id == pair[1].manifest().id);
        match twice {
            Some(pair) => Err(problem(
                pair[0].manifest().id,
                "two compiled-in plugins have this id".to_owned(),
            )),
            None => Ok(codes),
        }
    };
    CODES.get_or_init(make).as_deref().map_err(Clone::clone)
}

/// Reads `plugins.toml` and the environment, and decides for each plugin.
pub(crate) fn plan(settings: &Settings) -> Result<Plan, Vec<Problem>> {
    let codes = codes().map_err(|problem| vec![problem])?;
    let ids: Vec<&str> = codes.iter().map(|code| code.manifest().id).collect();
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
    for code in codes {
        let manifest = code.manifest();
        let (id, entry) = (manifest.id, file.entries.get(manifest.id));
        let resolved = resolve(id, &file.file, manifest.config_schema, entry, &environment);
        let enablement = match decide(entry, &resolved) {
            Decision::Enabled(reason) => validated(code.as_ref(), &resolved, reason, &mut plan.problems),
            Decision::Disabled(reason) => Enablement::Disabled(reason),
            Decision::Invalid(problems) => {
                let first = problems
                    .first()
                    .map(|problem| format!("{}: {}", problem.key, problem.what));
                plan.problems.extend(problems);
                Enablement::Refused(first.unwrap_or_default())
            }
        };
        let own = || manifest.capabilities.iter().map(|one| (*one).to_owned()).collect();
        let mut wanted = Wanted {
            id: id.to_owned(),
            code: Some(Arc::clone(code)),
            enablement,
            config: resolved.value.clone(),
            capabilities: entry.and_then(|entry| entry.capabilities.clone()).unwrap_or_else(own),
            egress: resolved.egress.clone(),
        };
        wanted.egress = wanted.granted();
        plan.wanted.push(wanted);
        plan.resolved.insert(id.to_owned(), resolved);
    }
    Ok(plan)
}

/// The plugin's own check, which is pure.
fn validated(code: &dyn Code, resolved: &Resolved, reason: String, problems: &mut Vec<Problem>) -> Enablement {
    match code.validate(resolved.value.clone()) {
        Ok(()) => Enablement::Enabled(reason),
        Err(what) => {
            problems.push(Problem {
                file: "configuration".to_owned(),
                line: None,
                key: format!("plugins.{}.config", code.manifest().id),
                what: what.clone(),
                fix: "correct the setting that the message names".to_owned(),
                suggestion: None,
            });
            Enablement::Refused(what)
        }
    }
}
