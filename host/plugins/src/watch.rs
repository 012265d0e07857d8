//! Faults that requests and jobs report, until somebody judges them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jackfield_inbox::engine::{AttemptKind, Observer};
use jackfield_sdk::host::ClockService;

use crate::quarantine::{Fault, Faults};

/// Collects faults from requests and jobs; [`Plugins::judge`](crate::Plugins::judge) acts on them.
pub struct Watch {
    watched: Mutex<Watched>,
    clock: Arc<dyn ClockService>,
}

#[derive(Default)]
struct Watched {
    faults: HashMap<String, Faults>,
    guilty: Vec<(String, String)>,
    cleared: Vec<String>,
    /// Plugins in quarantine whose probe of this strike was let through.
    probes: HashMap<String, usize>,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(clock: Arc<dyn ClockService>) -> Self {
        Self {
            watched: Mutex::default(),
            clock,
        }
    }

    pub(crate) fn note(&self, plugin: &str, fault: Option<Fault>, now_ms: i64) {
        let mut watched = self.lock();
        let probing = watched.probes.contains_key(plugin);
        match fault {
            None if probing => watched.cleared.push(plugin.to_owned()),
            None => {}
            Some(fault) => {
                let reason = watched
                    .faults
                    .entry(plugin.to_owned())
                    .or_default()
                    .count(fault, now_ms);
                if let Some(reason) = reason.or_else(|| probing.then(|| "the probe failed".to_owned())) {
                    watched.guilty.push((plugin.to_owned(), reason));
                }
            }
        }
    }

    pub(crate) fn take(&self) -> (Vec<(String, String)>, Vec<String>) {
        let mut watched = self.lock();
        let mut guilty = std::mem::take(&mut watched.guilty);
        guilty.dedup_by(|a, b| a.0 == b.0);
        let mut cleared = std::mem::take(&mut watched.cleared);
        cleared.dedup();
        for (id, _) in &guilty {
            watched.probes.remove(id);
        }
        (guilty, cleared)
    }

    pub(crate) fn probe_begins(&self, plugin: &str, strikes: usize) -> bool {
        self.lock().probes.insert(plugin.to_owned(), strikes) != Some(strikes)
    }

    pub(crate) fn forgive(&self, plugin: &str) {
        let mut watched = self.lock();
        watched.probes.remove(plugin);
        if let Some(faults) = watched.faults.get_mut(plugin) {
            faults.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn attempt(&self, plugin: &str, _generation: u64, kind: AttemptKind) {
        let fault = match kind {
            AttemptKind::Ok => None,
            // A handler that returns an error is well: the provider is not.
            AttemptKind::Failed => return,
            AttemptKind::Panicked => Some(Fault::Panic),
            AttemptKind::TimedOut => Some(Fault::MissedDeadline),
        };
        self.note(plugin, fault, self.clock.now_ms());
    }
}
