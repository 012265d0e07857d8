//! Claiming and running.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jackfield_sdk::{
    error::{Failure, Fate},
    handler::{DeathRecord, Delivery},
    instance::{JobCall, JobEnd, JobFailure},
    run::RunHead,
};
use metrics::counter;
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Core,
    live::{LiveRun, Place},
    retry::{Verdict, verdict},
    runner::{AttemptKind, Policy, Runner},
};
use crate::{
    lost,
    model::{AttemptEnd, Claimed, DedupKey, NewWork, Next, WorkKind, Write, WriteError, key_base},
    store::{ClaimRequest, StoreError, StoreResult},
};

/// Most jobs of one claim.
const CLAIM: u32 = 256;
/// Between two claims: what becomes due meanwhile is claimed at once, where each alone would cost as much as all.
const GATHER: Duration = Duration::from_millis(2);
/// Between two tries to write an end while the store is away.
const END_PAUSE: Duration = Duration::from_millis(250);

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
        tokio::time::sleep(GATHER).await;
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
    loop {
        let free = u32::try_from(runner.slots.available_permits())
            .unwrap_or(u32::MAX)
            .min(CLAIM);
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
    let counted = limits.jobs_per_minute.is_some() || limits.tenant_jobs_per_minute.is_some();
    if !core.started.load(Ordering::Acquire)
        || core.drain.is_cancelled()
        || counted
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

/// How a run came to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By a claim: there may be more where it came from.
    Claimed,
    /// With the commit that stored it.
    Stored,
}

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

/// One attempt, from claim to end.
async fn run(
    core: Arc<Core>,
    runner: Arc<Runner>,
    claimed: Claimed,
    live: LiveRun,
    permit: OwnedSemaphorePermit,
    how: How,
) {
    let fence = claimed.fence;
    let policy = runner.policies.get(&claimed.handler).copied();
    let end = match unfit(&claimed) {
        Some(failure) => Some(ended(&claimed, dead(&claimed, policy, failure))),
        None => attempt(&core, &runner, &claimed, policy, &live).await,
    };
    if let Some(end) = end {
        let held = matches!(end.next, Next::Held(_));
        let goes_on = !matches!(end.next, Next::Done(_) | Next::Held(_));
        write_end(&core, &claimed, policy, end).await;
        if held {
            let_go_again(&core, &runner).await;
        }
        // Its plugin was disabled or paused while it ran: what is to be tried again, and a death's notice, wait for it.
        if goes_on {
            core.hold_if_absent(&runner.plugin).await;
        }
    }
    core.live.end(fence);
    core.breakers.ended(&runner.plugin, fence.job);
    drop(permit);
    let next = core
        .backlog
        .next_after(&runner.plugin, claimed.lane.as_deref(), &claimed.tenant);
    if how == How::Claimed || next || core.backlog.is_behind(&runner.plugin) {
        core.tell(runner.plugin.to_string());
    }
}

/// Runs the handler; `None` when nothing is left to write.
async fn attempt(
    core: &Core,
    runner: &Runner,
    claimed: &Claimed,
    policy: Option<Policy>,
    live: &LiveRun,
) -> Option<AttemptEnd> {
    let deadline = Duration::from_millis(policy.map_or(300_000, |policy| policy.timeout_ms));
    let handler = runner.instance.run(call(claimed));
    tokio::select! {
        biased;
        () = live.lost.cancelled() => None,
        () = live.parked.cancelled() => {
            observe(core, runner, AttemptKind::Ok, "parked");
            core.breakers.succeeded(&runner.plugin);
            None
        }
        () = runner.retired.cancelled() => Some(ended(claimed, Next::Released)),
        end = tokio::time::timeout(deadline, handler) => Some(conclude(core, runner, claimed, policy, end.ok())),
    }
}

/// Why a job is not given to its handler.
fn unfit(claimed: &Claimed) -> Option<Failure> {
    if claimed.lost >= lost::MAX {
        return Some(permanent(format!(
            "{} runs in a row lost their lease and kept no step; it may be the job that ends the process, so it is not run \
             again; replay it when the cause is found",
            claimed.lost
        )));
    }
    let wait = claimed.refused_wait.as_ref()?;
    Some(permanent(format!(
        "the database refuses what the wait `{wait}` ended with; the log says why"
    )))
}

fn call(claimed: &Claimed) -> JobCall {
    JobCall {
        handler: claimed.handler.clone(),
        head: RunHead {
            fence: claimed.fence,
            key_base: key_base(claimed.fence.job, claimed.epoch),
            attempt: claimed.attempt,
            maybe_done: claimed.maybe_done,
            memos: claimed.memos.clone(),
            now_ms: claimed.now_ms,
        },
        delivery: Delivery {
            delivery_id: claimed.delivery_id.clone(),
            event: claimed.event.clone(),
            tenant: claimed.tenant.clone(),
            headers: claimed.headers.clone(),
            body: claimed.body.clone(),
            received_ms: claimed.received_ms,
        },
        death: claimed.death.clone(),
    }
}

fn ended(claimed: &Claimed, next: Next) -> AttemptEnd {
    AttemptEnd {
        started_ms: claimed.now_ms,
        next,
        orphans: Vec::new(),
    }
}

/// What an attempt's end means; `None` is a missed deadline.
fn conclude(
    core: &Core,
    runner: &Runner,
    claimed: &Claimed,
    policy: Option<Policy>,
    end: Option<JobEnd>,
) -> AttemptEnd {
    let (result, orphans) = match end {
        Some(end) => (end.result, end.orphans),
        None => {
            observe(core, runner, AttemptKind::TimedOut, "timed_out");
            core.breakers.failed(&runner.plugin);
            let text = format!(
                "the handler did not end within {} ms",
                policy.map_or(0, |policy| policy.timeout_ms)
            );
            return ended(claimed, failed(claimed, policy, transient(text)));
        }
    };
    let next = match result {
        Ok(outcome) => {
            observe(core, runner, AttemptKind::Ok, "done");
            core.breakers.succeeded(&runner.plugin);
            Next::Done(outcome)
        }
        Err(JobFailure::Failed(failure)) => {
            let label = if failure.fate == Fate::Permanent {
                "permanent"
            } else {
                "failed"
            };
            observe(core, runner, AttemptKind::Failed, label);
            if failure.fate == Fate::Permanent {
                core.breakers.succeeded(&runner.plugin);
            } else {
                core.breakers.failed(&runner.plugin);
            }
            failed(claimed, policy, failure)
        }
        Err(JobFailure::Panicked(text)) => {
            observe(core, runner, AttemptKind::Panicked, "panicked");
            core.breakers.failed(&runner.plugin);
            failed(claimed, policy, transient(format!("the handler panicked: {text}")))
        }
        Err(JobFailure::NoHandler) => Next::Held(format!(
            "generation {} of `{}` has no handler `{}`; bring it back under that name, or as its `alias`",
            runner.generation, runner.plugin, claimed.handler
        )),
        // The write below is refused by the store as well, should the lease be lost; if it is not, run again.
        Err(JobFailure::Fenced) => Next::Released,
    };
    AttemptEnd {
        started_ms: claimed.now_ms,
        next,
        orphans,
    }
}

fn transient(message: String) -> Failure {
    failure(Fate::Transient, message)
}

fn permanent(message: String) -> Failure {
    failure(Fate::Permanent, message)
}

fn failure(fate: Fate, message: String) -> Failure {
    Failure {
        fate,
        message,
        tell: None,
        code: None,
    }
}

fn failed(claimed: &Claimed, policy: Option<Policy>, failure: Failure) -> Next {
    let retry = policy.map(|policy| policy.retry).unwrap_or_default();
    let failures = claimed.failures + 1;
    let since = claimed
        .first_failed_ms
        .filter(|_| claimed.failures > 0)
        .map_or(0, |first| claimed.now_ms.saturating_sub(first));
    let since = Duration::from_millis(u64::try_from(since).unwrap_or(0));
    match verdict(retry, &failure, failures, since) {
        Verdict::Again(delay_ms) => Next::Retry { failure, delay_ms },
        Verdict::Dead => dead(claimed, policy, failure),
    }
}

/// Death with its notice, if the handler has one.
fn dead(claimed: &Claimed, policy: Option<Policy>, failure: Failure) -> Next {
    let tells = policy.is_some_and(|policy| policy.on_dead) && claimed.kind != WorkKind::Death;
    let notice = tells.then(|| Box::new(death_notice(claimed, &failure)));
    Next::Dead { failure, notice }
}

/// The linked job that tells people. Its dedup key is the death itself, so it is there once per arming.
fn death_notice(claimed: &Claimed, failure: &Failure) -> NewWork {
    let dead = format!("{}#{}", key_base(claimed.fence.job, claimed.epoch), claimed.fence.token);
    NewWork {
        id: Uuid::now_v7(),
        kind: WorkKind::Death,
        plugin: claimed.plugin.clone(),
        handler: claimed.handler.clone(),
        tenant: claimed.tenant.clone(),
        dedup: DedupKey::of(&claimed.plugin, "death", &claimed.tenant, &dead),
        delivery_id: dead,
        event: claimed.event.clone(),
        lane: None,
        headers: claimed.headers.clone(),
        body: claimed.body.clone(),
        delay_ms: 0,
        held: None,
        lease_ms: None,
        death: Some(DeathRecord {
            failure: failure.clone(),
            attempts: claimed.attempt,
            job: claimed.fence.job,
        }),
    }
}

fn observe(core: &Core, runner: &Runner, kind: AttemptKind, result: &'static str) {
    core.observer.attempt(&runner.plugin, runner.generation, kind);
    counter!("jackfield_job_attempts_total", "plugin" => runner.plugin.to_string(), "result" => result).increment(1);
}

/// A newer generation that came meanwhile let held work go before this was held; it may know the handler.
async fn let_go_again(core: &Core, runner: &Runner) {
    let newer = core.runners.load().get(&*runner.plugin).map(|now| now.generation);
    if newer.is_some_and(|newer| newer != runner.generation)
        && let Err(error) = core.store.unhold(&runner.plugin).await
    {
        tracing::warn!(plugin = %runner.plugin, %error, "held work cannot be let go");
    }
}

/// Writes an end, waiting for a store that is away. If the lease runs out meanwhile, the store refuses, and the job runs
/// again elsewhere: its steps are kept. An end whose data the store refuses is written with less and less of it
/// ([`plainer`]), so that the job does not run again only to be refused again.
async fn write_end(core: &Core, claimed: &Claimed, policy: Option<Policy>, mut end: AttemptEnd) {
    let fence = claimed.fence;
    let mut refusals = 0;
    loop {
        match core.writers.write(Write::End(fence, Box::new(end.clone()))).await {
            Ok(Ok(_)) => return,
            Ok(Err(WriteError::Fenced)) => {
                tracing::warn!("the lease was lost; this run's end is not written");
                return;
            }
            Err(StoreError::Refused(why)) => {
                refusals += 1;
                let Some(next) = plainer(refusals, claimed, policy) else {
                    tracing::error!(%why, "the store refuses even a plain hold; the lease runs out");
                    return;
                };
                tracing::error!(%why, "the store refuses a run's end; a plainer one is tried");
                end = ended(claimed, next);
                continue;
            }
            Err(error) => tracing::warn!(%error, "a run's end waits for the store"),
        }
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(END_PAUSE) => {}
        }
    }
}

/// What is written instead of an end that was refused so many times: a death with nothing of the run in it, the same
/// without its notice, held for an operator to look at.
fn plainer(refusals: u32, claimed: &Claimed, policy: Option<Policy>) -> Option<Next> {
    let failure = permanent("the database refused what the run ended with; the log says why".to_owned());
    match refusals {
        1 => Some(dead(claimed, policy, failure)),
        2 => Some(Next::Dead { failure, notice: None }),
        3 => Some(Next::Held(
            "the database refuses the run's end, and its death too; the log says why".to_owned(),
        )),
        _ => None,
    }
}
