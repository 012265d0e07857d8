//! Claiming and running.

use std::{sync::Arc, time::Duration};

use jackfield_sdk::{
    error::{Failure, Fate},
    handler::{DeathRecord, Delivery},
    instance::{JobCall, JobEnd, JobFailure},
    run::RunHead,
};
use metrics::counter;
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Core,
    retry::{Verdict, verdict},
    runner::{AttemptKind, Policy, Runner},
};
use crate::{
    model::{AttemptEnd, Claimed, DedupKey, NewWork, Next, WorkKind, Write, WriteError, key_base},
    store::{ClaimRequest, StoreResult},
};

/// Most jobs of one claim.
const CLAIM: u32 = 128;
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
        let limit = core.breakers.allowed(&runner.plugin, free);
        if limit == 0 {
            return Ok(());
        }
        let request = ClaimRequest {
            plugin: runner.plugin.to_string(),
            limit,
            lease_ms: u64::try_from(core.settings.lease.as_millis()).unwrap_or(u64::MAX),
            except_tenants: core.live.busy_tenants(&runner.plugin, runner.tenant_limit),
        };
        let claimed = core.store.claim(&request).await?;
        let full = claimed.len() == limit as usize;
        if !claimed.is_empty() {
            core.breakers.claimed(&runner.plugin);
        }
        for one in claimed {
            let Ok(permit) = Arc::clone(&runner.slots).acquire_owned().await else {
                return Ok(());
            };
            let (core, runner) = (Arc::clone(core), Arc::clone(runner));
            let span = tracing::info_span!("run", plugin = %runner.plugin, job = %one.fence.job, attempt = one.attempt);
            let tracker = core.tasks.clone();
            started.push(tracker.spawn(run(core, runner, one, permit).instrument(span)));
        }
        if !full {
            return Ok(());
        }
    }
}

/// One attempt, from claim to end.
async fn run(core: Arc<Core>, runner: Arc<Runner>, claimed: Claimed, permit: OwnedSemaphorePermit) {
    let fence = claimed.fence;
    let live = core
        .live
        .begin(fence, Arc::clone(&runner.plugin), &claimed.tenant, &claimed.memos);
    let policy = runner.policies.get(&claimed.handler).copied();
    let deadline = Duration::from_millis(policy.map_or(300_000, |policy| policy.timeout_ms));
    let handler = runner.instance.run(call(&claimed));
    let end = tokio::select! {
        biased;
        () = live.lost.cancelled() => None,
        () = live.parked.cancelled() => {
            observe(&core, &runner, AttemptKind::Ok, "parked");
            None
        }
        () = runner.retired.cancelled() => Some(released(&claimed)),
        end = tokio::time::timeout(deadline, handler) => Some(conclude(&core, &runner, &claimed, policy, end.ok())),
    };
    if let Some(end) = end {
        write_end(&core, Write::End(fence, Box::new(end))).await;
    }
    core.live.end(fence);
    drop(permit);
    core.tell(runner.plugin.to_string());
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

fn released(claimed: &Claimed) -> AttemptEnd {
    AttemptEnd {
        started_ms: claimed.now_ms,
        next: Next::Released,
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
            let text = format!(
                "the handler did not end within {} ms",
                policy.map_or(0, |policy| policy.timeout_ms)
            );
            let next = failed(claimed, policy, transient(text));
            return AttemptEnd {
                started_ms: claimed.now_ms,
                next,
                orphans: Vec::new(),
            };
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
    Failure {
        fate: Fate::Transient,
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
        .map_or(0, |first| claimed.now_ms.saturating_sub(first));
    let since = Duration::from_millis(u64::try_from(since).unwrap_or(0));
    match verdict(retry, &failure, failures, since) {
        Verdict::Again(delay_ms) => Next::Retry { failure, delay_ms },
        Verdict::Dead => {
            let tells = policy.is_some_and(|policy| policy.on_dead) && claimed.kind != WorkKind::Death;
            let notice = tells.then(|| Box::new(death_notice(claimed, &failure)));
            Next::Dead { failure, notice }
        }
    }
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

/// Writes an end, waiting for a store that is away. If the lease runs out meanwhile, the store refuses, and the job runs
/// again elsewhere: its steps are kept.
async fn write_end(core: &Core, end: Write) {
    loop {
        match core.writer.submit(end.clone()).await {
            Ok(Ok(_)) => return,
            Ok(Err(WriteError::Fenced)) => {
                tracing::warn!("the lease was lost; this run's end is not written");
                return;
            }
            Err(error) => tracing::warn!(%error, "a run's end waits for the store"),
        }
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(END_PAUSE) => {}
        }
    }
}
