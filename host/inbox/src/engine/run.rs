//! One run: its handler, what its end means, and the end's commit.

use std::{sync::Arc, time::Duration};

use jackfield_sdk::{
    error::{Failure, Fate},
    handler::{DeathRecord, Delivery},
    instance::{JobCall, JobEnd, JobFailure},
    run::RunHead,
};
use metrics::counter;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{
    Core,
    live::LiveRun,
    retry::{Verdict, verdict},
    runner::{AttemptKind, Policy, Runner},
};
use crate::{
    lost,
    model::{AttemptEnd, Claimed, DedupKey, NewWork, Next, WorkKind, Write, WriteError, key_base},
    store::StoreError,
};

/// Between two tries to write an end while the store is away.
const END_PAUSE: Duration = Duration::from_millis(250);

/// How a run came to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By a claim: there may be more where it came from.
    Claimed,
    /// With the commit that stored it.
    Stored,
}

/// One attempt, from claim to end.
pub(super) async fn run(
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
