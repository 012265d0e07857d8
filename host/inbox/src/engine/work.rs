//! What runs next: claiming what is due, and beginning what is stored while there is room.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use super::{
    Core,
    live::Place,
    run::{How, run},
    runner::Runner,
};
use crate::{
    model::{Claimed, NewWork},
    store::{ClaimRequest, StoreResult},
};

/// Most jobs of one claim.
const CLAIM: u32 = 256;
/// Between two claims: what becomes due meanwhile, and places that become free, are claimed for at once, where each alone
/// would cost as much as all.
const GATHER: Duration = Duration::from_millis(2);
/// The same while more is due than there are places.
const GATHER_BEHIND: Duration = Duration::from_millis(4);

/// Turns until the drain begins.
pub(super) async fn keep_turning(core: Arc<Core>) {
    let mut tick = tokio::time::interval(core.settings.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let polled = tokio::select! {
            () = core.drain.cancelled() => return,
            () = core.stop.cancelled() => return,
            () = core.wake.notified() => false,
            _ = tick.tick() => true,
        };
        if let Err(error) = turn(&core, polled).await {
            tracing::warn!(%error, "cannot claim");
            tokio::time::sleep(core.settings.poll).await;
        }
        let pause = if core.backlog.is_any_behind() {
            GATHER_BEHIND
        } else {
            GATHER
        };
        tokio::time::sleep(pause).await;
    }
}

/// Claims for the plugins that were told of, and with `poll` for every plugin that has something due.
pub(super) async fn turn(core: &Arc<Core>, poll: bool) -> StoreResult<Vec<JoinHandle<()>>> {
    let mut plugins = core.take_told();
    if poll {
        for plugin in core.store.due().await? {
            if !plugins.contains(&plugin) {
                plugins.push(plugin);
            }
        }
    }
    let mut started = Vec::new();
    for plugin in plugins {
        let Some(runner) = core.runners.load().get(&plugin).cloned() else {
            continue;
        };
        claim(core, &runner, &mut started).await?;
    }
    Ok(started)
}

async fn claim(core: &Arc<Core>, runner: &Arc<Runner>, started: &mut Vec<JoinHandle<()>>) -> StoreResult<()> {
    let mut again = false;
    loop {
        let free = u32::try_from(runner.slots.available_permits())
            .unwrap_or(u32::MAX)
            .min(CLAIM);
        // The runs that end meanwhile make it more, and wake the loop.
        if again && free < CLAIM.min(runner.limits.jobs).div_ceil(2) {
            return Ok(());
        }
        again = true;
        // What begins as it is stored needs places too, unless it has to wait its turn anyhow.
        let wanted = if core.backlog.is_behind(&runner.plugin) {
            free
        } else {
            free.div_ceil(2)
        };
        let limit = core.breakers.allowed(&runner.plugin, wanted);
        let limit = core.rates.allowed(&runner.plugin, &runner.limits, limit);
        let Ok(mut permits) = Arc::clone(&runner.slots).try_acquire_many_owned(limit) else {
            continue;
        };
        if limit == 0 {
            core.backlog.behind(&runner.plugin);
            return Ok(());
        }
        let (tenant_limit, running) = tenants(core, runner);
        let request = ClaimRequest {
            plugin: runner.plugin.to_string(),
            limit,
            lease_ms: core.settings.lease_ms(),
            tenant_limit,
            running,
        };
        let claimed = core.store.claim(&request).await?;
        let full_before = request.full_tenants().len();
        let mut more = claimed.len() == limit as usize;
        for one in claimed {
            let Some(permit) = permits.split(1) else {
                debug_assert!(false, "more was claimed than there are places");
                break;
            };
            started.push(start(core, runner, one, permit, How::Claimed));
        }
        drop(permits);
        // A tenant that is full from now on may have hidden others behind it.
        let (tenant_limit, running) = tenants(core, runner);
        let request = ClaimRequest {
            tenant_limit,
            running,
            ..request
        };
        more |= request.full_tenants().len() > full_before;
        if more {
            core.backlog.behind(&runner.plugin);
        } else {
            core.backlog.caught_up(&runner.plugin);
            return Ok(());
        }
    }
}

/// A run that begins when its work is stored.
pub(super) struct Begin {
    runner: Arc<Runner>,
    permit: OwnedSemaphorePermit,
    place: Place,
    /// A drain waits for it.
    tracked: TaskTrackerToken,
}

/// Makes room for `work` to begin with the commit that stores it; none while anything of its plugin must wait its turn.
pub(super) fn begin_when_stored(core: &Core, work: &mut NewWork) -> Option<Begin> {
    let runner = core.runners.load().get(&work.plugin).cloned()?;
    let limits = &runner.limits;
    if !core.started.load(Ordering::Acquire)
        || core.drain.is_cancelled()
        || limits.has_rate()
        || runner.retired.is_cancelled()
        || core.backlog.is_behind(&work.plugin)
        || !core.breakers.closed(&work.plugin)
    {
        return None;
    }
    let Ok(permit) = Arc::clone(&runner.slots).try_acquire_owned() else {
        core.backlog.behind(&work.plugin);
        return None;
    };
    let place = core.live.place(&runner.plugin, &work.tenant, limits.tenant_jobs)?;
    work.lease_ms = Some(core.settings.lease_ms());
    Some(Begin {
        runner,
        permit,
        place,
        tracked: core.tasks.token(),
    })
}

impl Begin {
    /// It is stored, and claimed since `now_ms`.
    pub(super) fn go(self, core: &Arc<Core>, work: NewWork, now_ms: i64) {
        if core.stop.is_cancelled() {
            return;
        }
        let claimed = Claimed::begun(work, now_ms);
        start(core, &self.runner, claimed, self.permit, How::Stored);
        drop((self.place, self.tracked));
    }
}

/// Counts the run, and lets it go.
fn start(
    core: &Arc<Core>,
    runner: &Arc<Runner>,
    one: Claimed,
    permit: OwnedSemaphorePermit,
    how: How,
) -> JoinHandle<()> {
    core.breakers.began(&runner.plugin, one.fence.job);
    core.rates.began(&runner.plugin, &runner.limits, &one.tenant);
    let live = core
        .live
        .begin(one.fence, Arc::clone(&runner.plugin), &one.tenant, &one.memos);
    let (core, runner) = (Arc::clone(core), Arc::clone(runner));
    let span = tracing::info_span!("run", plugin = %runner.plugin, job = %one.fence.job, attempt = one.attempt);
    let tracker = core.tasks.clone();
    tracker.spawn(run(core, runner, one, live, permit, how).instrument(span))
}

/// The most jobs of one tenant, and how much of that each has used up, by what it runs or by what it has started lately.
fn tenants(core: &Core, runner: &Runner) -> (u32, HashMap<String, u32>) {
    let at_once = runner.limits.tenant_jobs;
    let mut running = core.live.by_tenant(&runner.plugin);
    let (startable, started) = core.rates.tenants(&runner.plugin, &runner.limits);
    let limit = at_once.min(startable);
    for used in running.values_mut() {
        *used = used.saturating_sub(at_once - limit);
    }
    for (tenant, used) in started {
        let used = used.saturating_sub(startable - limit);
        let before = running.entry(tenant).or_default();
        *before = used.max(*before);
    }
    (limit, running)
}
