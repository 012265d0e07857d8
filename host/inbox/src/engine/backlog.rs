//! What this replica knows of work that is stored and not begun: whether new work may begin at once, and who is to be woken
//! when a run ends. Only hints: what nobody is woken for is found by the next poll.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::model::NewWork;

#[derive(Default)]
pub(super) struct Backlog(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Plugins with more that is due than there was room for.
    behind: HashSet<String>,
    /// Where something was stored that waits for another run's end.
    queues: HashSet<(String, Queue)>,
}

/// What a run's end makes room in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Queue {
    Lane(String),
    Tenant(String),
}

impl Backlog {
    /// There was no room for work of `plugin`: until a claim has room left, the older goes first.
    pub(super) fn behind(&self, plugin: &str) {
        let mut known = self.lock();
        if !known.behind.contains(plugin) {
            known.behind.insert(plugin.to_owned());
        }
    }

    /// A claim had more room than there was work of `plugin`.
    pub(super) fn caught_up(&self, plugin: &str) {
        self.lock().behind.remove(plugin);
    }

    pub(super) fn is_behind(&self, plugin: &str) -> bool {
        self.lock().behind.contains(plugin)
    }

    pub(super) fn is_any_behind(&self) -> bool {
        !self.lock().behind.is_empty()
    }

    /// `work` is stored and not begun.
    pub(super) fn queue(&self, work: &NewWork) {
        let lane = work.lane().map(|lane| Queue::Lane(lane.to_owned()));
        let tenant = Some(&work.tenant).filter(|tenant| !tenant.is_empty());
        let mut known = self.lock();
        for queue in lane
            .into_iter()
            .chain(tenant.map(|tenant| Queue::Tenant(tenant.clone())))
        {
            known.queues.insert((work.plugin.clone(), queue));
        }
    }

    /// Whether something was stored in the lane, or of the tenant, and did not begin; the answer is given once.
    pub(super) fn next_after(&self, plugin: &str, lane: Option<&str>, tenant: &str) -> bool {
        let mut known = self.lock();
        if known.queues.is_empty() {
            return false;
        }
        let lane = lane.is_some_and(|lane| known.queues.remove(&(plugin.to_owned(), Queue::Lane(lane.to_owned()))));
        let tenant = known
            .queues
            .remove(&(plugin.to_owned(), Queue::Tenant(tenant.to_owned())));
        lane || tenant
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
