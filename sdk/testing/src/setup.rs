//! Putting a host together.

use std::{collections::BTreeMap, sync::Arc};

use jackfield_config::Environment;
use jackfield_plugins::{BuiltinCode, Code};
use jackfield_sdk::manifest::{Builtin, Described};
use time::OffsetDateTime;

use crate::{
    carrier::Carrier,
    config::{self, Settings},
    crash::Gate,
    host::{START, TestHost},
    script::Script,
};

/// A host that is being put together; [`Setup::start`] starts it.
#[must_use = "a host is started by `.start().await`"]
pub struct Setup {
    plugins: Vec<(fn(Carrier) -> &'static Builtin, Settings)>,
    capabilities: BTreeMap<String, Vec<String>>,
    carrier: Carrier,
    environment: Vec<(String, String)>,
    schedules: Gate,
    begin: OffsetDateTime,
    script: Script,
}

impl TestHost {
    /// Puts a host together.
    #[allow(clippy::new_ret_no_self, reason = "what is new is not started yet")]
    pub fn new() -> Setup {
        Setup {
            plugins: Vec::new(),
            capabilities: BTreeMap::new(),
            carrier: Carrier::default(),
            environment: Vec::new(),
            schedules: Gate::Shut,
            begin: START,
            script: Script::new(),
        }
    }
}

impl Setup {
    /// Adds a plugin with its settings: TOML text, JSON or `()`. Defaults are filled in; a setting that is not there, or has
    /// the wrong type, is an error with a suggestion, as in `plugins.toml`.
    pub fn plugin<P: Described>(mut self, settings: impl Into<Settings>) -> Self {
        self.plugins.push((|carrier| carrier.carry::<P>(), settings.into()));
        self
    }

    /// How the plugins are carried; [`Carrier::Builtin`] unless said.
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// What the operator grants a plugin instead of what it asks for.
    pub fn capabilities<P: Described>(mut self, granted: &[&str]) -> Self {
        let granted = granted.iter().map(|one| (*one).to_owned()).collect();
        self.capabilities.insert(P::MANIFEST.id.to_owned(), granted);
        self
    }

    /// Sets an environment variable for the plugins' settings. The process's own environment is not read.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets schedules fire by the clock. Otherwise they fire by [`TestHost::fire`] alone.
    pub fn with_schedules(mut self) -> Self {
        self.schedules = Gate::Open;
        self
    }

    /// When the clock begins; [`START`] unless said.
    pub fn at(mut self, begin: OffsetDateTime) -> Self {
        self.begin = begin;
        self
    }

    /// The outside world, when it is scripted before the start or shared with another host.
    pub fn script(mut self, script: &Script) -> Self {
        self.script = script.clone();
        self
    }

    /// Starts the host. Panics with the reason when it does not start.
    pub async fn start(self) -> TestHost {
        match self.try_start().await {
            Ok(host) => host,
            Err(reason) => panic!("the host does not start\n{reason}"),
        }
    }

    /// Starts the host, or says why it does not start.
    pub async fn try_start(self) -> Result<TestHost, String> {
        let environment = Environment::from_iter(self.environment);
        let mut codes = Vec::new();
        let mut all = BTreeMap::new();
        for (carry, settings) in &self.plugins {
            let code: Arc<dyn Code> = Arc::new(BuiltinCode::new(carry(self.carrier))?);
            let mut wanted = config::wanted(&code, settings, &environment)?;
            if let Some(granted) = self.capabilities.get(&wanted.id) {
                wanted.capabilities.clone_from(granted);
            }
            codes.push(code);
            if let Some(twice) = all.insert(wanted.id.clone(), wanted) {
                return Err(format!("two plugins are called `{}`", twice.id));
            }
        }
        TestHost::begin(codes, all, environment, self.schedules, self.begin, self.script).await
    }
}
