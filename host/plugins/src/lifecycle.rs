//! Which plugins run, and how that changes: one path for start-up, file edits, signals, the admin API and the console.
//!
//! Every change ends in [`Plugins::rebuild`]: a new route table is built from descriptors and swapped, the engine gets
//! the generations that may run jobs, and what was replaced drains in the background.

mod flags;
mod reload;
mod show;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use jackfield_inbox::{
    engine::{Inbox, Limits},
    store::StoreError,
};
use jackfield_sdk::{Reconfigured, health::Health};
use serde::Serialize;

use self::show::{describe, row, show_state};
use crate::{
    code::Code,
    generation::{DRAIN, Generation},
    guard::{Guard, Rules},
    hook::Hook,
    ingress::Ingress,
    mail::{self, Mount},
    quarantine::{Fault, Quarantine},
    services::{Backends, PluginServices},
    table::{Conflict, Route, RouteRow, RouteTable},
    wanted::{Enablement, PluginState, Wanted},
    watch::Watch,
};

/// Every plugin of this host. Cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

pub(crate) struct Inner {
    slots: Mutex<BTreeMap<String, Slot>>,
    table: ArcSwap<RouteTable>,
    pub(crate) inbox: Inbox,
    backends: Backends,
    guard: Arc<dyn Guard>,
    limits: Limits,
    watch: Arc<Watch>,
    /// The host's own routes, which no plugin may declare.
    own_routes: Vec<RouteRow>,
    /// Changes come one after the other.
    changing: tokio::sync::Mutex<()>,
}

struct Slot {
    wanted: Wanted,
    /// The last code there was: its webhooks are accepted also while nothing of it runs.
    code: Option<Arc<dyn Code>>,
    generation: Option<Arc<Generation>>,
    /// Replaced ones that have not retired.
    leaving: Vec<Arc<Generation>>,
    numbers: u64,
    failed: Option<String>,
    paused: bool,
    quarantine: Option<Quarantine>,
    health: Option<Health>,
    ingress: Arc<Ingress>,
}

/// A row of `plugins list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginRow {
    /// Plugin id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Whether configuration wants it.
    pub enabled: bool,
    /// `builtin` or `dylib`.
    pub carrier: &'static str,
    /// What it is doing.
    pub state: PluginState,
    /// Why.
    pub reason: String,
    /// Number of its generation, 0 when none was made.
    pub generation: u64,
    /// Routes.
    pub routes: usize,
    /// Webhooks.
    pub webhooks: usize,
    /// Its last report.
    pub health: Option<Health>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Two plugins declare the same route. Nothing was changed.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store cannot keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such plugin.
    #[error("there is no plugin `{0}`; `jackfield plugins list` shows those there are")]
    Unknown(String),
    /// It is not in a state that allows it.
    #[error("`{id}` is {state}: {fix}", state = state.as_str())]
    State {
        /// Plugin id.
        id: String,
        /// Its state.
        state: PluginState,
        /// What to do.
        fix: String,
    },
}

impl Plugins {
    /// No plugins until [`Plugins::apply`]. No plugin may declare one of `own_routes`.
    pub fn new(
        inbox: Inbox,
        backends: Backends,
        guard: Arc<dyn Guard>,
        limits: Limits,
        watch: Arc<Watch>,
        own_routes: Vec<RouteRow>,
    ) -> Self {
        Self(Arc::new(Inner {
            slots: Mutex::default(),
            table: ArcSwap::default(),
            inbox,
            backends,
            guard,
            limits,
            watch,
            own_routes,
            changing: tokio::sync::Mutex::default(),
        }))
    }

    /// Whether there is a plugin of that id.
    pub fn knows(&self, id: &str) -> bool {
        self.slots().contains_key(id)
    }

    /// The code of every plugin that is known, running or not.
    pub fn codes(&self) -> Vec<Arc<dyn Code>> {
        self.slots().values().filter_map(|slot| slot.code.clone()).collect()
    }

    /// Ids and declarations of the plugins that are not disabled.
    pub(crate) fn declarations(&self) -> Vec<(String, Arc<dyn Code>)> {
        let on = |slot: &&Slot| !matches!(slot.wanted.enablement, Enablement::Disabled(_));
        let slots = self.slots();
        slots
            .values()
            .filter(on)
            .filter_map(|slot| Some((slot.wanted.id.clone(), slot.code.clone()?)))
            .collect()
    }

    /// The engine.
    pub fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    /// Who decides who passes.
    pub fn guard(&self) -> &dyn Guard {
        &*self.0.guard
    }

    /// The current route table.
    pub fn table(&self) -> Arc<RouteTable> {
        self.0.table.load_full()
    }

    /// Brings every plugin to what is wanted. One that cannot be created does not keep the others from running. On a
    /// conflict nothing changes.
    pub async fn apply(&self, wanted: Vec<Wanted>) -> Result<(), ChangeError> {
        let _one = self.0.changing.lock().await;
        // Before anything changes: a running plugin that took new settings would not give them back.
        RouteTable::check(&self.0.own_routes, &self.declared(&wanted))?;
        let mut replaced = Vec::new();
        for one in self.gone(&wanted).into_iter().chain(wanted) {
            self.bring(one, false, &mut replaced).await;
        }
        self.load_flags().await?;
        self.rebuild().await?;
        self.retire(replaced);
        Ok(())
    }

    /// Asks every active plugin how it is; each gets 2 s.
    pub async fn check_health(&self) {
        let asked: Vec<(String, Arc<Generation>)> = self
            .slots()
            .iter()
            .filter_map(|(id, slot)| Some((id.clone(), slot.generation.clone()?)))
            .collect();
        for (id, generation) in asked {
            let answer = tokio::time::timeout(std::time::Duration::from_secs(2), generation.instance().health()).await;
            let health = match answer {
                Ok(Ok(health)) => health,
                Ok(Err(panic)) => Health::unhealthy(panic.to_string()),
                Err(_) => Health::unhealthy("`health` did not answer within 2 s"),
            };
            if let Some(slot) = self.slots().get_mut(&id) {
                slot.health = Some(health);
            }
        }
    }

    /// What every plugin is doing.
    pub fn list(&self) -> Vec<PluginRow> {
        self.slots().values().map(row).collect()
    }

    /// A request of `plugin` panicked, hung, or went well.
    pub(crate) fn observe(&self, plugin: &str, fault: Option<Fault>) {
        self.0.watch.note(plugin, fault, self.0.backends.clock.now_ms());
    }

    /// The host's clock.
    pub(crate) fn now(&self) -> time::OffsetDateTime {
        let nanos = i128::from(self.0.backends.clock.now_ms()) * 1_000_000;
        time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }

    async fn bring(&self, wanted: Wanted, force: bool, replaced: &mut Vec<Arc<Generation>>) {
        let id = wanted.id.clone();
        let old = self.slots().get(&id).and_then(|slot| slot.generation.clone());
        match &wanted.enablement {
            Enablement::Disabled(_) => {
                replaced.extend(old);
                self.put(wanted, |slot| (slot.generation, slot.failed) = (None, None));
                return;
            }
            // Invalid: the old generation stays and keeps serving.
            Enablement::Refused(reason) => {
                tracing::error!(plugin = id, reason, "refused");
                self.put(wanted, |_| {});
                return;
            }
            Enablement::Enabled(_) => {}
        }
        let Some(code) = wanted.code.clone() else { return };
        if let Some(old) = &old {
            let works_with = old.works_with();
            let only_values = works_with.same_but_config(&wanted);
            if only_values && works_with.config == wanted.config && !force {
                self.put(wanted, |_| {});
                return;
            }
            if only_values
                && !force
                && let Ok(Reconfigured::Applied) = old.instance().reconfigure(wanted.config.clone()).await
            {
                tracing::info!(plugin = id, "reconfigured");
                old.reconfigured(wanted.clone());
                self.put(wanted, |_| {});
                return;
            }
        }
        let number = self.slots().get(&id).map_or(0, |slot| slot.numbers) + 1;
        let jobs = code.descriptor().jobs.iter().map(|job| job.name.clone()).collect();
        let services = PluginServices::new(&wanted, jobs, self.0.inbox.clone(), self.0.backends.clone());
        let made = Generation::create(
            code.as_ref(),
            number,
            wanted.clone(),
            Arc::new(services),
            &self.0.backends,
            self.0.limits,
        )
        .await;
        match made {
            Ok(generation) => {
                replaced.extend(old);
                self.put(wanted, |slot| {
                    (slot.generation, slot.failed, slot.numbers) = (Some(generation), None, number);
                });
            }
            Err(reason) => {
                tracing::error!(plugin = id, reason, "cannot be created");
                self.put(wanted, |slot| slot.failed = Some(reason));
            }
        }
    }

    fn put(&self, wanted: Wanted, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots();
        let slot = slots.entry(wanted.id.clone()).or_insert_with(|| Slot {
            wanted: wanted.clone(),
            code: None,
            generation: None,
            leaving: Vec::new(),
            numbers: 0,
            failed: None,
            paused: false,
            quarantine: None,
            health: None,
            ingress: Arc::default(),
        });
        slot.code = wanted.code.clone().or(slot.code.take());
        slot.wanted = wanted;
        change(slot);
    }

    /// Plugins that configuration no longer names.
    fn gone(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let slots = self.slots();
        slots
            .values()
            .filter(|slot| wanted.iter().all(|one| one.id != slot.wanted.id))
            .map(|slot| Wanted {
                enablement: Enablement::Disabled("plugins.toml no longer names it".to_owned()),
                ..slot.wanted.clone()
            })
            .collect()
    }

    /// Builds and swaps the table, hands the engine its runners.
    async fn rebuild(&self) -> Result<(), ChangeError> {
        let now = self.0.backends.clock.now_ms();
        let (mut routes, mut hooks, mut runners, mut absent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (id, slot) in self.slots().iter() {
            let (state, reason) = describe(slot);
            show_state(id, state);
            let Some(code) = &slot.code else { continue };
            if matches!(slot.wanted.enablement, Enablement::Disabled(_)) {
                absent.push((id.clone(), reason));
                continue;
            }
            let probing = slot
                .quarantine
                .as_ref()
                .is_none_or(|quarantine| quarantine.probing(now));
            let serves = slot.generation.clone().filter(|_| probing);
            let works = serves.clone().filter(|_| !slot.paused);
            let held = works.is_none().then(|| format!("{}: {reason}", state.as_str()));
            for route in &code.descriptor().routes {
                routes.push(Arc::new(Route {
                    plugin: id.as_str().into(),
                    method: route.method.clone(),
                    pattern: route.path.as_str().into(),
                    rules: Rules {
                        policy: route.policy.clone(),
                        before: route.before.clone(),
                        rate_limit: route.rate_limit.clone(),
                    },
                    generation: serves.clone(),
                }));
            }
            // A refused configuration does not take the secrets away from the one that still runs.
            let works_with = slot.generation.as_ref().map(|generation| generation.works_with());
            let config = works_with.as_ref().map_or(&slot.wanted.config, |wanted| &wanted.config);
            for hook in &code.descriptor().webhooks {
                hooks.push(Arc::new(Hook::new(
                    id,
                    hook.clone(),
                    config,
                    held.clone(),
                    serves.clone(),
                    Arc::clone(&slot.ingress),
                )));
            }
            match (works, held) {
                (Some(generation), _) => runners.push(Arc::clone(&generation.runner)),
                (None, held) => absent.push((id.clone(), held.unwrap_or_default())),
            }
        }
        let table = RouteTable::build(&self.0.own_routes, routes, hooks)?;
        self.0.table.store(Arc::new(table));
        self.0.inbox.set_runners(runners, &absent).await?;
        self.0.backends.mail.mount(self.mail());
        Ok(())
    }

    /// Lets what was replaced end in the background.
    fn retire(&self, replaced: Vec<Arc<Generation>>) {
        for generation in replaced {
            let plugins = self.clone();
            let id = generation.runner.plugin.to_string();
            if let Some(slot) = self.slots().get_mut(&id) {
                slot.leaving.push(Arc::clone(&generation));
            }
            tokio::spawn(async move {
                Arc::clone(&generation).retire(DRAIN).await;
                if let Some(slot) = plugins.slots().get_mut(&id) {
                    slot.leaving.retain(|leaving| !Arc::ptr_eq(leaving, &generation));
                    show_state(&id, describe(slot).0);
                }
            });
        }
    }

    /// Waits until the replaced generations of a plugin have retired, for at most `time`.
    pub async fn settled(&self, id: &str, time: std::time::Duration) {
        let leaving = self
            .slots()
            .get(id)
            .map(|slot| slot.leaving.clone())
            .unwrap_or_default();
        let all = futures_util::future::join_all(leaving.iter().map(|generation| generation.ended()));
        if tokio::time::timeout(time, all).await.is_err() {
            tracing::info!(plugin = id, "the replaced generation is still draining");
        }
    }

    /// Lets every generation go; used at the host's own drain.
    pub async fn shut_down(&self, deadline: std::time::Duration) {
        let all: Vec<Arc<Generation>> = self
            .slots()
            .values()
            .filter_map(|slot| slot.generation.clone())
            .collect();
        futures_util::future::join_all(all.into_iter().map(|generation| generation.retire(deadline))).await;
    }

    /// What will be mounted: of every plugin that is not disabled, also of one that cannot run.
    fn declared(&self, wanted: &[Wanted]) -> Vec<(String, Arc<dyn Code>)> {
        let slots = self.slots();
        let last = |id: &str| slots.get(id).and_then(|slot| slot.code.clone());
        wanted
            .iter()
            .filter(|one| !matches!(one.enablement, Enablement::Disabled(_)))
            .filter_map(|one| Some((one.id.clone(), one.code.clone().or_else(|| last(&one.id))?)))
            .collect()
    }

    /// Who sends mail. One that is paused, in quarantine or failed has its settings: its mail is stored and held.
    fn mail(&self) -> Mount {
        let slots = self.slots();
        let Some(slot) = slots.get(mail::PLUGIN) else {
            return Mount::Nobody;
        };
        match &slot.wanted.enablement {
            Enablement::Disabled(reason) => Mount::Off(reason.clone()),
            // A refused change leaves the generation before it at work.
            Enablement::Refused(reason) if slot.generation.is_none() => Mount::Off(reason.clone()),
            Enablement::Refused(_) | Enablement::Enabled(_) => Mount::On,
        }
    }

    fn state_of(&self, id: &str) -> PluginState {
        self.slots()
            .get(id)
            .map_or(PluginState::Disabled, |slot| describe(slot).0)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
