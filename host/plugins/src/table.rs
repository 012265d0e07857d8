//! The route table: an immutable value, rebuilt when a plugin changes and swapped. Conflicts between plugins are found
//! when it is built, never while it serves.

use std::{collections::BTreeMap, sync::Arc};

use jackfield_sdk::descriptor::Policy;
use serde::Serialize;

use crate::{code::Code, generation::Generation, guard::Rules, hook::Hook};

/// Where a request goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// A plugin's route.
    Route(Arc<Route>),
    /// A webhook.
    Hook(Arc<Hook>),
    /// The host's own, which answers before this table is asked.
    Host,
}

impl Target {
    /// Whether whoever is not signed in may call it.
    fn is_public(&self) -> bool {
        match self {
            Self::Route(route) => route.rules.policy == Policy::Public,
            // Its signature is looked at, and nothing else.
            Self::Hook(_) => true,
            Self::Host => false,
        }
    }
}

/// A plugin's route.
pub(crate) struct Route {
    pub(crate) plugin: Arc<str>,
    pub(crate) method: String,
    pub(crate) pattern: Arc<str>,
    pub(crate) rules: Rules,
    /// None while the plugin is quarantined or has failed: the route answers 503.
    pub(crate) generation: Option<Arc<Generation>>,
}

/// What of two declarations is the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {pattern} is declared by both `{first}` and `{second}`; {}", self.fix())]
pub struct Conflict {
    /// HTTP method.
    pub method: String,
    /// Pattern of the later one.
    pub pattern: String,
    /// Plugin that has it.
    pub first: String,
    /// Plugin that wants it too.
    pub second: String,
}

impl Conflict {
    fn fix(&self) -> String {
        if self.first == HOST {
            format!(
                "the host's own routes cannot be taken: disable `{}` in plugins.toml",
                self.second
            )
        } else {
            "disable one of them in plugins.toml".to_owned()
        }
    }
}

/// Who declares the host's own routes.
pub const HOST: &str = "host";

/// A row of `jackfield routes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteRow {
    /// HTTP method.
    pub method: String,
    /// Pattern.
    pub path: String,
    /// Plugin id, or `host`.
    pub plugin: String,
    /// `public`, `signed_in`, `scopes: …`, `signature`, `operator`.
    pub policy: String,
    /// Rate-limit class.
    pub rate_limit: Option<String>,
}

/// Method and path to target.
#[derive(Default)]
pub struct RouteTable {
    methods: BTreeMap<String, matchit::Router<Target>>,
    rows: Vec<RouteRow>,
}

/// What a lookup came to.
pub(crate) enum Found {
    Target(Target),
    /// The path is there with other methods.
    OtherMethods {
        /// Which, as `Allow` lists them.
        allow: String,
        /// Whether whoever is not signed in may use one of them.
        public: bool,
    },
    Nothing,
}

impl RouteTable {
    /// `own` are the host's routes: they come first, so that whoever declares one of them too is told.
    pub(crate) fn build(own: &[RouteRow], routes: Vec<Arc<Route>>, hooks: Vec<Arc<Hook>>) -> Result<Self, Conflict> {
        let mut table = Self::default();
        for row in own {
            table.insert(row.clone(), Target::Host)?;
        }
        for route in routes {
            let row = RouteRow {
                method: route.method.clone(),
                path: route.pattern.to_string(),
                plugin: route.plugin.to_string(),
                policy: policy_text(&route.rules.policy),
                rate_limit: route.rules.rate_limit.clone(),
            };
            table.insert(row, Target::Route(route))?;
        }
        for hook in hooks {
            let row = RouteRow {
                method: "POST".to_owned(),
                path: hook.descriptor.path.clone(),
                plugin: hook.plugin.to_string(),
                policy: "signature".to_owned(),
                rate_limit: None,
            };
            table.insert(row, Target::Hook(hook))?;
        }
        table
            .rows
            .sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
        Ok(table)
    }

    /// Whether declarations can stand beside each other and the host's own routes.
    pub(crate) fn check(own: &[RouteRow], declarations: &[(String, Arc<dyn Code>)]) -> Result<(), Conflict> {
        let mut table = Self::default();
        let mut declare = |method: &str, path: &str, plugin: &str| {
            let row = RouteRow {
                method: method.to_owned(),
                path: path.to_owned(),
                plugin: plugin.to_owned(),
                policy: String::new(),
                rate_limit: None,
            };
            table.insert(row, Target::Host)
        };
        for row in own {
            declare(&row.method, &row.path, &row.plugin)?;
        }
        for (id, code) in declarations {
            for route in &code.descriptor().routes {
                declare(&route.method, &route.path, id)?;
            }
            for hook in &code.descriptor().webhooks {
                declare("POST", &hook.path, id)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, row: RouteRow, target: Target) -> Result<(), Conflict> {
        let router = self.methods.entry(row.method.clone()).or_default();
        if let Err(error) = router.insert(row.path.clone(), target) {
            let with = match &error {
                matchit::InsertError::Conflict { with } => with.clone(),
                _ => row.path.clone(),
            };
            let first = self
                .rows
                .iter()
                .find(|old| old.method == row.method && old.path == with);
            return Err(Conflict {
                first: first.map_or_else(|| row.plugin.clone(), |old| old.plugin.clone()),
                method: row.method,
                pattern: row.path,
                second: row.plugin,
            });
        }
        self.rows.push(row);
        Ok(())
    }

    /// Everything mounted, by path and method.
    pub fn rows(&self) -> &[RouteRow] {
        &self.rows
    }

    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Found {
        let at = |method: &str| self.methods.get(method).and_then(|router| router.at(path).ok());
        if let Some(found) = at(method.as_str()) {
            return Found::Target(found.value.clone());
        }
        if method == http::Method::HEAD
            && let Some(found) = at("GET")
        {
            return Found::Target(found.value.clone());
        }
        let others: Vec<(&str, &Target)> = self
            .methods
            .iter()
            .filter_map(|(other, router)| Some((other.as_str(), router.at(path).ok()?.value)))
            .collect();
        if others.is_empty() {
            return Found::Nothing;
        }
        let mut names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
            names.sort_unstable();
        }
        Found::OtherMethods {
            allow: names.join(", "),
            public: others.iter().any(|(_, target)| target.is_public()),
        }
    }
}

fn policy_text(policy: &Policy) -> String {
    match policy {
        Policy::Public => "public".to_owned(),
        Policy::SignedIn => "signed_in".to_owned(),
        Policy::Scopes(scopes) => format!("scopes: {}", scopes.join(" ")),
    }
}
