//! What is kept up in the background: leases, schedules, replays, retention, gauges.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use metrics::gauge;
use uuid::Uuid;

use super::Core;
use crate::{
    model::{DedupKey, NewWork, Replay, State, WorkKind},
    store::StoreResult,
};

/// Deliveries that one replay commit looks at.
const REPLAY_CHUNK: u32 = 200;
/// Where replicas say that they are there: when they last did, by the store's clock.
const REPLICAS: &str = "replica/";
/// Between two times that a replica says so.
const SHARE: Duration = Duration::from_secs(5);
/// A replica that was silent for so long is gone.
const GONE_MS: i64 = 20_000;
/// Deliveries that one retention commit removes.
const PURGE_CHUNK: u32 = 500;

/// Heartbeats our runs and takes back the jobs of dead workers; goes on during a drain.
pub(super) async fn keep_leases(core: Arc<Core>) {
    let lease_ms = core.settings.lease_ms();
    loop {
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(core.settings.heartbeat) => {}
        }
        let fences = core.live.fences();
        if !fences.is_empty() {
            match core.store.heartbeat(&fences, lease_ms).await {
                Ok(lost) => {
                    for fence in lost {
                        if let Some(run) = core.live.get(fence) {
                            tracing::warn!(job = %fence.job, "lease lost; the run is dropped");
                            run.lost.cancel();
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot renew leases"),
            }
        }
        match core.store.reclaim().await {
            Ok(0) => {}
            Ok(jobs) => {
                tracing::warn!(jobs, "took back jobs whose worker is gone");
                core.hold_absent().await;
                core.wake.notify_one();
            }
            Err(error) => tracing::warn!(%error, "cannot look for lost leases"),
        }
    }
}

/// Fires schedules.
pub(super) async fn keep_time(core: Arc<Core>) {
    while pause(&core, Duration::from_secs(1)).await {
        if let Err(error) = fire_schedules(&core).await {
            tracing::warn!(%error, "cannot fire schedules");
        }
    }
}

/// Tells the other replicas that this one is there, and learns how many share the rates. Nothing is written while no plugin has
/// a rate.
pub(super) async fn keep_sharing(core: Arc<Core>) {
    let own = format!("{REPLICAS}{}", Uuid::now_v7());
    let mut told = false;
    loop {
        let limited = core.runners.load().values().any(|runner| runner.limits.has_rate());
        if limited {
            match share(&core, &own).await {
                Ok(replicas) => core.rates.share_among(replicas),
                Err(error) => tracing::warn!(%error, "cannot learn how many replicas share the rates"),
            }
        }
        told |= limited;
        // Sooner while nothing was told, because plugins come after the engine has started.
        if !pause(&core, if limited { SHARE } else { Duration::from_secs(1) }).await {
            break;
        }
    }
    // Whoever ends without saying so is forgotten after a while.
    if told
        && !core.stop.is_cancelled()
        && let Err(error) = core.store.set_value(&own, None).await
    {
        tracing::debug!(%error, "the other replicas learn later that this one is gone");
    }
}

/// Writes that `own` is there now; gives how many are.
async fn share(core: &Core, own: &str) -> StoreResult<u32> {
    let now = core.store.now_ms().await?;
    core.store.set_value(own, Some(now.to_string().into())).await?;
    let mut replicas = 0;
    for (name, seen) in core.store.values(REPLICAS).await? {
        let seen: Option<i64> = std::str::from_utf8(&seen).ok().and_then(|text| text.parse().ok());
        if seen.is_some_and(|seen| now - seen < GONE_MS) {
            replicas += 1;
        } else {
            core.store.set_value(&name, None).await?;
        }
    }
    Ok(replicas)
}

/// Stores a job for the current slot of every schedule: once over all replicas by its dedup key; missed slots are gone.
pub(super) async fn fire_schedules(core: &Arc<Core>) -> StoreResult<()> {
    let runners = core.runners.load_full();
    if runners.values().all(|runner| runner.schedules.is_empty()) {
        return Ok(());
    }
    let now = core.store.now_ms().await?;
    for runner in runners.values() {
        for schedule in &runner.schedules {
            let every = i64::try_from(schedule.every_ms).unwrap_or(i64::MAX).max(1);
            let slot = now - now.rem_euclid(every);
            let name = (runner.plugin.to_string(), schedule.job.name.clone());
            let known = core
                .fired
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .get(&name)
                .copied();
            if known == Some(slot) {
                continue;
            }
            let slot_text = crate::when::text(slot);
            let slot_work = NewWork {
                id: Uuid::now_v7(),
                kind: WorkKind::Schedule,
                plugin: name.0.clone(),
                handler: name.1.clone(),
                tenant: String::new(),
                dedup: DedupKey::of(&name.0, &format!("schedule:{}", name.1), "", &slot_text),
                delivery_id: slot_text,
                event: name.1.clone(),
                lane: Some(format!("schedule:{}", name.1)),
                headers: Vec::new(),
                body: Bytes::new(),
                delay_ms: 0,
                held: None,
                lease_ms: None,
                death: None,
            };
            core.writers.accept(slot_work, |_, _| {}).await?;
            core.tell(name.0.clone());
            core.fired
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .insert(name, slot);
        }
    }
    Ok(())
}

/// Works through open replays, so many deliveries a second, also those a dead replica left.
pub(super) async fn keep_replaying(core: Arc<Core>) {
    let rate = core.settings.replay_per_second.max(REPLAY_CHUNK);
    let between = Duration::from_secs_f64(f64::from(REPLAY_CHUNK) / f64::from(rate));
    while pause(&core, between.max(Duration::from_millis(200))).await {
        let open = match core.store.replays_open().await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(%error, "cannot look for replays");
                continue;
            }
        };
        for replay in open {
            match step_replay(&core, replay.id, REPLAY_CHUNK).await {
                Ok(Some(now)) if now.finished => {
                    tracing::info!(replay = %now.id, armed = now.armed, skipped = now.skipped, "replay finished");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, replay = %replay.id, "a replay waits for the store"),
            }
        }
    }
}

/// One commit of a replay. What it armed of plugins that are not there is held.
pub(super) async fn step_replay(core: &Core, id: Uuid, chunk: u32) -> StoreResult<Option<Replay>> {
    let now = core.store.replay_step(id, chunk).await?;
    if now.as_ref().is_some_and(|replay| replay.armed > 0) {
        core.hold_absent().await;
    }
    Ok(now)
}

/// Retention and gauges.
pub(super) async fn keep_house(core: Arc<Core>) {
    let mut rounds = 0_u32;
    let mut shown: HashSet<(String, State)> = HashSet::new();
    while pause(&core, Duration::from_secs(5)).await {
        if let Err(error) = show_counts(&core, &mut shown).await {
            tracing::debug!(%error, "cannot count jobs");
        }
        rounds += 1;
        if rounds.is_multiple_of(12)
            && let Err(error) = purge(&core).await
        {
            tracing::warn!(%error, "cannot remove old deliveries");
        }
    }
}

async fn show_counts(core: &Core, shown: &mut HashSet<(String, State)>) -> StoreResult<()> {
    let counts = core.store.counts().await?;
    let now: HashSet<(String, State)> = counts.iter().map(|count| (count.plugin.clone(), count.state)).collect();
    for (plugin, state) in shown.difference(&now) {
        gauge!("jackfield_jobs", "plugin" => plugin.clone(), "state" => state.as_str()).set(0.0);
        gauge!("jackfield_job_oldest_age_seconds", "plugin" => plugin.clone()).set(0.0);
    }
    for count in &counts {
        gauge!("jackfield_jobs", "plugin" => count.plugin.clone(), "state" => count.state.as_str())
            .set(count.jobs as f64);
        if count.state == State::Pending {
            gauge!("jackfield_job_oldest_age_seconds", "plugin" => count.plugin.clone())
                .set(count.oldest_ms as f64 / 1000.0);
        }
    }
    *shown = now;
    Ok(())
}

async fn purge(core: &Core) -> StoreResult<()> {
    let kept = i64::try_from(core.settings.retention.as_millis()).unwrap_or(i64::MAX);
    let before = core.store.now_ms().await? - kept;
    while core.store.purge(before, PURGE_CHUNK).await? == u64::from(PURGE_CHUNK) {
        if !pause(core, Duration::from_millis(50)).await {
            break;
        }
    }
    Ok(())
}

/// Waits; false when the engine ends.
async fn pause(core: &Core, time: Duration) -> bool {
    tokio::select! {
        () = core.drain.cancelled() => false,
        () = core.stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}
