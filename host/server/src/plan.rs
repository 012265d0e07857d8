//! From configuration to what every plugin should be: the same for `serve`, `check`, a file change and the admin API.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use jackfield_config::{
    Carrier, Decision, Enabled, Environment, Loaded, PluginEntry, PluginsFile, Problem, Resolved, Settings, decide,
    resolve,
};
use jackfield_loader::{Admitted, Manifest, Refusal, Sha256};
use jackfield_plugins::{BuiltinCode, Code, Enablement, Wanted};

use crate::dylibs::{self, Dylibs, LoadedFile};

/// Every plugin with its settings.
pub(crate) struct Plan {
    /// What the host brings about.
    pub(crate) wanted: Vec<Wanted>,
    /// How each plugin's settings came about.
    pub(crate) resolved: BTreeMap<String, Resolved>,
    /// What the admitted files say about themselves.
    pub(crate) manifests: BTreeMap<String, Manifest>,
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

/// Every file that configuration comes from: both settings files, and those that `NAME_FILE` variables name for the host or
/// for one of the plugins that `known` is the code of.
pub(crate) fn sources(flags: &jackfield_config::Flags, settings: &Settings, known: &[Arc<dyn Code>]) -> Vec<PathBuf> {
    let environment = Environment::of_process();
    let mut secrets = BTreeSet::new();
    // The plugins' schemas are read for nobody who names no file: this runs every other second.
    if environment.names().any(|name| name.ends_with("_FILE")) {
        secrets.extend(jackfield_config::secret_variables().map(str::to_owned));
        secrets.extend(variables(known, |field| field["x-secret"] == true));
    }
    let secrets = secrets
        .iter()
        .filter_map(|name| environment.get(&format!("{name}_FILE")).map(PathBuf::from));
    let host = flags.config.clone().unwrap_or_else(|| PathBuf::from("jackfield.toml"));
    let plugins = settings
        .plugins_file
        .clone()
        .unwrap_or_else(|| PathBuf::from("plugins.toml"));
    [host, plugins].into_iter().chain(secrets).collect()
}

/// Names of the variables that the settings of these plugins are read from, of the fields that `which` chooses.
fn variables(codes: &[Arc<dyn Code>], which: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
    let schemas: Vec<serde_json::Value> = codes
        .iter()
        .filter_map(|code| serde_json::from_str(code.manifest().config_schema).ok())
        .collect();
    schemas
        .iter()
        .filter_map(|schema| schema["properties"].as_object())
        .flat_map(serde_json::Map::values)
        .filter(|field| which(field))
        .filter_map(|field| field["x-env"].as_array())
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// Files of plugins that are not switched off.
pub(crate) fn plugin_files(settings: &Settings) -> Vec<PathBuf> {
    let entries = plugins(settings).unwrap_or_default().entries;
    let on = entries.into_values().filter(|entry| entry.enabled != Enabled::Off);
    on.filter_map(|entry| entry.path).collect()
}

/// Host settings.
pub(crate) fn load(flags: &jackfield_config::Flags) -> Result<Loaded, Vec<Problem>> {
    let codes = codes().map_err(|problem| vec![problem])?;
    let loaded = jackfield_config::load(flags, &Environment::of_process(), &variables(codes, |_| true))?;
    crate::logs::hide(loaded.settings.secret_values());
    Ok(loaded)
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

/// `plugins.toml`, read.
pub(crate) fn plugins(settings: &Settings) -> Result<PluginsFile, Vec<Problem>> {
    let codes = codes().map_err(|problem| vec![problem])?;
    let ids: Vec<&str> = codes.iter().map(|code| code.manifest().id).collect();
    match plugins_file(settings) {
        Some(path) => PluginsFile::read(&path, &ids),
        None => Ok(PluginsFile::default()),
    }
}

/// Reads `plugins.toml` and the environment, and decides for each plugin. With `dylibs` the files of those that run are
/// loaded; without, they are only looked at.
pub(crate) fn plan(settings: &Settings, dylibs: Option<&Dylibs>) -> Result<Plan, Vec<Problem>> {
    let file = plugins(settings)?;
    let codes = codes().map_err(|problem| vec![problem])?;
    let mut planning = Planning {
        file: &file,
        environment: Environment::of_process(),
        plan: Plan {
            wanted: Vec::new(),
            resolved: BTreeMap::new(),
            manifests: BTreeMap::new(),
            problems: Vec::new(),
        },
    };
    let carried_in_a_file = |id: &str| {
        file.entries
            .get(id)
            .is_some_and(|entry| entry.carrier == Carrier::Dylib)
    };
    for code in codes.iter().filter(|code| !carried_in_a_file(code.manifest().id)) {
        planning.builtin(code);
    }
    for (id, entry) in file.entries.iter().filter(|(_, entry)| entry.carrier == Carrier::Dylib) {
        planning.dylib(id, entry, dylibs);
    }
    planning.plan.wanted.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(planning.plan)
}

/// What there is of an entry's file.
enum Found {
    /// It was loaded before, and is the same.
    Loaded(LoadedFile),
    Admitted(Admitted),
}

/// A plan being made.
struct Planning<'f> {
    file: &'f PluginsFile,
    environment: Environment,
    plan: Plan,
}

impl Planning<'_> {
    fn builtin(&mut self, code: &Arc<dyn Code>) {
        let manifest = code.manifest();
        let (id, entry) = (manifest.id, self.file.entries.get(manifest.id));
        let resolved = resolve(id, &self.file.file, manifest.config_schema, entry, &self.environment);
        let mut enablement = self.decided(decide(entry, &resolved));
        if let Enablement::Enabled(reason) = enablement {
            enablement = validated(code.as_ref(), &resolved, reason, &mut self.plan.problems);
        }
        let own = || manifest.capabilities.iter().map(|one| (*one).to_owned()).collect();
        let capabilities = entry.and_then(|entry| entry.capabilities.clone()).unwrap_or_else(own);
        self.want(id, Some(Arc::clone(code)), enablement, resolved, capabilities);
    }

    fn dylib(&mut self, id: &str, entry: &PluginEntry, dylibs: Option<&Dylibs>) {
        let capabilities = entry.capabilities.clone().unwrap_or_default();
        if entry.enabled == Enabled::Off {
            let off = Enablement::Disabled("disabled in plugins.toml".to_owned());
            return self.want(id, None, off, Resolved::default(), capabilities);
        }
        if let Some((sum, line)) = entry.sha256.as_ref().filter(|(sum, _)| sum.parse::<Sha256>().is_err()) {
            self.plan.problems.push(Problem {
                file: self.file.file.clone(),
                line: Some(*line),
                key: format!("plugins.{id}.sha256"),
                what: format!("`{sum}` is no SHA-256 sum"),
                fix: "write its 64 hexadecimal digits, as `sha256sum` prints them".to_owned(),
                suggestion: None,
            });
        }
        // Before it is read.
        let looked_at = dylibs.and_then(|_| dylibs::look_at(entry));
        let known = looked_at.as_ref().and_then(|now| dylibs?.known(id, now));
        let (manifest, found) = match known {
            Some(loaded) => (loaded.manifest.clone(), Found::Loaded(loaded)),
            None => match dylibs::admitted(id, entry) {
                Ok(admitted) => (admitted.candidate().manifest().clone(), Found::Admitted(admitted)),
                Err(refusal) => return self.refuse(id, entry, &refusal, Resolved::default(), capabilities, dylibs),
            },
        };
        let schema = dylibs::schema(&manifest);
        self.plan.manifests.insert(id.to_owned(), manifest.clone());
        let resolved = resolve(id, &self.file.file, &schema, Some(entry), &self.environment);
        let enablement = self.decided(decide(Some(entry), &resolved));
        let (Enablement::Enabled(reason), Some(loading)) = (&enablement, dylibs) else {
            return self.want(id, None, enablement, resolved, capabilities);
        };
        let code = match found {
            Found::Loaded(loaded) => loaded.code,
            Found::Admitted(admitted) => match loading.load(admitted, &capabilities) {
                Ok(code) => {
                    if let Some(looked_at) = looked_at {
                        let code = Arc::clone(&code);
                        loading.remember(id, looked_at, LoadedFile { manifest, code });
                    }
                    code
                }
                Err(refusal) => return self.refuse(id, entry, &refusal, resolved, capabilities, dylibs),
            },
        };
        let enablement = validated(code.as_ref(), &resolved, reason.clone(), &mut self.plan.problems);
        self.want(id, Some(code), enablement, resolved, capabilities);
    }

    /// A file that is not loaded harms nobody else: to a host that starts it is a state, to `check` a problem.
    fn refuse(
        &mut self,
        id: &str,
        entry: &PluginEntry,
        refusal: &Refusal,
        resolved: Resolved,
        capabilities: Vec<String>,
        dylibs: Option<&Dylibs>,
    ) {
        if dylibs.is_none() {
            self.plan.problems.push(Problem {
                file: self.file.file.clone(),
                line: Some(entry.line),
                key: format!("plugins.{id}"),
                what: format!("{}: {}: {}", refusal.code(), refusal.file.display(), refusal.reason),
                fix: refusal.code().fix().to_owned(),
                suggestion: None,
            });
        }
        let why = format!("{}: {}; {}", refusal.code(), refusal.reason, refusal.code().fix());
        self.want(id, None, Enablement::Refused(why), resolved, capabilities);
    }

    fn decided(&mut self, decision: Decision) -> Enablement {
        match decision {
            Decision::Enabled(reason) => Enablement::Enabled(reason),
            Decision::Disabled(reason) => Enablement::Disabled(reason),
            Decision::Invalid(problems) => {
                let first = problems
                    .first()
                    .map(|problem| format!("{}: {}", problem.key, problem.what));
                self.plan.problems.extend(problems);
                Enablement::Refused(first.unwrap_or_default())
            }
        }
    }

    fn want(
        &mut self,
        id: &str,
        code: Option<Arc<dyn Code>>,
        enablement: Enablement,
        resolved: Resolved,
        capabilities: Vec<String>,
    ) {
        let mut wanted = Wanted {
            id: id.to_owned(),
            code,
            enablement,
            config: resolved.value.clone(),
            capabilities,
            egress: resolved.egress.clone(),
        };
        wanted.egress = wanted.granted();
        crate::logs::hide(resolved.secret_values());
        self.plan.wanted.push(wanted);
        self.plan.resolved.insert(id.to_owned(), resolved);
    }
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
