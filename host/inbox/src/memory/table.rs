//! The memory store's tables and the transitions on them.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use jackfield_sdk::run::{Fence, Memo, MemoState, Outcome, Wait};
use rand::RngExt;
use uuid::Uuid;

mod shown;
mod writes;

use crate::{
    model::{AttemptRecord, Claimed, DedupKey, LANE_BLOCK_MS, NewWork, Replay, ReplayMode, State, Stored},
    store::ClaimRequest,
};

#[derive(Default)]
pub(super) struct Tables {
    deliveries: BTreeMap<Uuid, Delivery>,
    jobs: BTreeMap<Uuid, Job>,
    dedup: HashMap<DedupKey, Uuid>,
    lanes: HashMap<(String, String), Uuid>,
    signals: HashMap<(String, String), Vec<(i64, i64, Bytes)>>,
    next_seq: u64,
    pub(super) replays: BTreeMap<Uuid, (Replay, Vec<Uuid>, i64)>,
    pub(super) values: BTreeMap<String, Bytes>,
}

struct Delivery {
    work: NewWork,
    received_ms: i64,
    ended: Option<(State, i64)>,
    outcome: Option<Outcome>,
    reason: Option<String>,
    last_error: Option<String>,
    attempts: u32,
    token: i64,
    epoch: u32,
    memos: Vec<Memo>,
    history: Vec<AttemptRecord>,
    orphans: Vec<String>,
    overtaken: bool,
    dirty: bool,
}

struct Job {
    seq: u64,
    state: State,
    run_at: i64,
    lease_until: i64,
    token: i64,
    attempts: u32,
    failures: u32,
    lost: u32,
    first_failed_ms: Option<i64>,
    dirty: bool,
    delayed: bool,
    wait: Option<(Wait, i64)>,
}

impl Tables {
    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = Uuid> + '_ {
        self.deliveries.keys().copied()
    }

    pub(super) fn accept(&mut self, work: NewWork, now: i64) -> Stored {
        if let Some(&id) = self.dedup.get(&work.dedup) {
            let dead = self
                .deliveries
                .get(&id)
                .is_some_and(|old| old.ended.is_some_and(|(state, _)| state == State::Dead));
            if dead && work.kind.rearms() {
                self.arm(id, ReplayMode::Resume, now);
                return Stored::Rearmed(id);
            }
            return Stored::Duplicate(id);
        }
        let id = work.id;
        self.dedup.insert(work.dedup, id);
        let state = if work.held.is_some() {
            State::Held
        } else {
            State::Pending
        };
        let job = self.new_job(state, now, work.delay_ms, 0);
        self.jobs.insert(id, job);
        let reason = work.held.clone();
        self.deliveries.insert(
            id,
            Delivery {
                work,
                received_ms: now,
                ended: None,
                outcome: None,
                reason,
                last_error: None,
                attempts: 0,
                token: 0,
                epoch: 0,
                memos: Vec::new(),
                history: Vec::new(),
                orphans: Vec::new(),
                overtaken: false,
                dirty: false,
            },
        );
        Stored::New(id)
    }

    /// Claims what was just stored, when nothing of its lane runs and nothing else of it is pending before it.
    pub(super) fn begin(&mut self, id: Uuid, lease_ms: u64, now: i64) -> bool {
        let lane = self.lane(id);
        let Some(seq) = self.jobs.get(&id).map(|job| job.seq) else {
            return false;
        };
        let free =
            lane.as_ref().is_none_or(|lane| !self.lanes.contains_key(lane)) && self.earlier(id, seq, now).is_empty();
        let (Some(job), Some(delivery)) = (self.jobs.get_mut(&id), self.deliveries.get_mut(&id)) else {
            return false;
        };
        if !free {
            return false;
        }
        job.state = State::Running;
        (job.token, job.attempts, job.dirty) = (1, 1, true);
        job.lease_until = now.saturating_add_unsigned(lease_ms);
        (delivery.token, delivery.attempts, delivery.dirty) = (1, 1, true);
        if let Some(lane) = lane {
            self.lanes.insert(lane, id);
        }
        true
    }

    fn new_job(&mut self, state: State, now: i64, delay_ms: u64, token: i64) -> Job {
        self.next_seq += 1;
        Job {
            seq: self.next_seq,
            state,
            run_at: now.saturating_add_unsigned(delay_ms),
            lease_until: 0,
            token,
            attempts: 0,
            failures: 0,
            lost: 0,
            first_failed_ms: None,
            dirty: false,
            delayed: delay_ms > 0,
            wait: None,
        }
    }

    /// Arms ended work again.
    pub(super) fn arm(&mut self, id: Uuid, mode: ReplayMode, now: i64) {
        let Some(delivery) = self.deliveries.get_mut(&id) else {
            return;
        };
        if mode != ReplayMode::Resume {
            delivery.memos.clear();
        }
        if mode == ReplayMode::Again {
            delivery.epoch += 1;
        }
        delivery.ended = None;
        delivery.outcome = None;
        delivery.reason = None;
        delivery.overtaken = false;
        let (token, attempts) = (delivery.token, delivery.attempts);
        let dirty = match mode {
            ReplayMode::Resume => delivery.dirty,
            ReplayMode::FromStart => delivery.attempts > 0,
            ReplayMode::Again => false,
        };
        let mut job = self.new_job(State::Pending, now, 0, token);
        job.attempts = attempts;
        job.dirty = dirty;
        self.jobs.insert(id, job);
    }

    pub(super) fn due(&self, now: i64) -> Vec<String> {
        let plugins: HashSet<&str> = self
            .jobs
            .iter()
            .filter(|(id, job)| self.is_due(**id, job, now))
            .filter_map(|(id, _)| self.deliveries.get(id).map(|delivery| delivery.work.plugin.as_str()))
            .collect();
        plugins.into_iter().map(str::to_owned).collect()
    }

    fn is_due(&self, id: Uuid, job: &Job, now: i64) -> bool {
        match job.state {
            State::Pending => job.run_at <= now,
            State::Waiting => job.run_at <= now || self.signal_for(id, job).is_some(),
            _ => false,
        }
    }

    fn signal_for(&self, id: Uuid, job: &Job) -> Option<Bytes> {
        let (wait, _) = job.wait.as_ref()?;
        let topic = wait.topic.clone()?;
        let plugin = self.deliveries.get(&id)?.work.plugin.clone();
        let signals = self.signals.get(&(plugin, topic))?;
        signals
            .iter()
            .find(|(seq, _, _)| *seq > wait.after)
            .map(|(_, _, value)| value.clone())
    }

    fn lane(&self, id: Uuid) -> Option<(String, String)> {
        let work = &self.deliveries.get(&id)?.work;
        Some((work.plugin.clone(), work.lane()?.to_owned()))
    }

    /// Earlier pending jobs of the same lane, with whether each is still in the way.
    fn earlier(&self, id: Uuid, seq: u64, now: i64) -> Vec<(Uuid, bool)> {
        let Some(lane) = self.lane(id) else { return Vec::new() };
        self.jobs
            .iter()
            .filter(|(other, job)| {
                job.seq < seq && job.state == State::Pending && self.lane(**other) == Some(lane.clone())
            })
            .map(|(other, job)| {
                let overtakable = job.first_failed_ms.is_some_and(|first| first + LANE_BLOCK_MS <= now)
                    || (job.delayed && job.first_failed_ms.is_none() && job.run_at > now);
                (*other, !overtakable)
            })
            .collect()
    }

    fn blocked(&self, id: Uuid, job: &Job, now: i64) -> bool {
        self.lane(id).is_some_and(|lane| self.lanes.contains_key(&lane))
            || self.earlier(id, job.seq, now).iter().any(|(_, in_the_way)| *in_the_way)
    }

    pub(super) fn claim_one(
        &mut self,
        request: &ClaimRequest,
        taken: &mut HashMap<String, u32>,
        now: i64,
    ) -> Option<Claimed> {
        let heads: Vec<(Uuid, &Job)> = self
            .jobs
            .iter()
            .map(|(id, job)| (*id, job))
            .filter(|(id, job)| {
                self.is_due(*id, job, now)
                    && self.deliveries.get(id).is_some_and(|one| {
                        one.work.plugin == request.plugin && request.admit(&mut taken.clone(), &one.work.tenant)
                    })
                    && !self.blocked(*id, job, now)
            })
            .collect();
        let (oldest, _) = heads.iter().min_by_key(|(_, job)| (job.run_at, job.seq))?;
        let lane = self.lane(*oldest);
        let same_lane = |id: Uuid| id == *oldest || lane.is_some() && self.lane(id) == lane;
        let (id, _) = *heads
            .iter()
            .filter(|(id, _)| same_lane(*id))
            .min_by_key(|(_, job)| job.seq)?;
        let signal = self.jobs.get(&id).and_then(|job| self.signal_for(id, job));
        let overtaken: Vec<Uuid> = self
            .jobs
            .get(&id)
            .map(|job| self.earlier(id, job.seq, now))?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        for other in overtaken {
            if self.jobs.get(&other).is_some_and(|job| job.first_failed_ms.is_some())
                && let Some(delivery) = self.deliveries.get_mut(&other)
            {
                delivery.overtaken = true;
            }
        }
        if let Some(lane) = self.lane(id) {
            self.lanes.insert(lane, id);
        }
        let job = self.jobs.get_mut(&id)?;
        let delivery = self.deliveries.get_mut(&id)?;
        request.admit(taken, &delivery.work.tenant);
        job.state = State::Running;
        job.token += 1;
        job.attempts += 1;
        job.lease_until = now.saturating_add_unsigned(request.lease_ms);
        let maybe_done = std::mem::replace(&mut job.dirty, true);
        delivery.token = job.token;
        delivery.attempts = job.attempts;
        delivery.dirty = true;
        delivery.reason = None;
        if let Some((wait, since)) = job.wait.take() {
            let state = match signal {
                Some(value) => MemoState::Signalled { value },
                None => MemoState::TimedOut,
            };
            delivery
                .memos
                .push(wait_memo(wait, state, delivery.epoch, id, since, now));
        }
        Some(Claimed {
            fence: Fence {
                job: id,
                token: job.token,
            },
            kind: delivery.work.kind,
            plugin: delivery.work.plugin.clone(),
            handler: delivery.work.handler.clone(),
            tenant: delivery.work.tenant.clone(),
            delivery_id: delivery.work.delivery_id.clone(),
            event: delivery.work.event.clone(),
            lane: delivery.work.lane().map(str::to_owned),
            headers: delivery.work.headers.clone(),
            body: delivery.work.body.clone(),
            received_ms: delivery.received_ms,
            attempt: job.attempts,
            failures: job.failures,
            lost: job.lost,
            first_failed_ms: job.first_failed_ms,
            maybe_done,
            epoch: delivery.epoch,
            memos: delivery.memos.clone(),
            death: delivery.work.death.clone(),
            refused_wait: None,
            now_ms: now,
        })
    }

    pub(super) fn extend(&mut self, fence: Fence, now: i64, lease_ms: u64) -> bool {
        match self.jobs.get_mut(&fence.job) {
            Some(job) if job.state == State::Running && job.token == fence.token => {
                job.lease_until = now.saturating_add_unsigned(lease_ms);
                true
            }
            _ => false,
        }
    }

    pub(super) fn reclaim(&mut self, now: i64) -> u64 {
        let lost: Vec<Uuid> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.state == State::Running && job.lease_until < now)
            .map(|(id, _)| *id)
            .collect();
        for id in &lost {
            if let Some(lane) = self.lane(*id) {
                self.lanes.remove(&lane);
            }
            if let Some(job) = self.jobs.get_mut(id) {
                job.state = State::Pending;
                job.attempts = job.attempts.saturating_sub(1);
                job.lost += 1;
                let delay = crate::lost::delay_ms(job.lost, rand::rng().random());
                job.run_at = now.saturating_add_unsigned(delay);
                if delay > 0 {
                    job.first_failed_ms.get_or_insert(now);
                }
            }
            if let (Some(job), Some(delivery)) = (self.jobs.get(id), self.deliveries.get_mut(id)) {
                delivery.attempts = job.attempts;
            }
        }
        lost.len() as u64
    }

    pub(super) fn signal(&mut self, plugin: &str, topic: &str, value: Bytes, now: i64) -> i64 {
        let signals = self.signals.entry((plugin.to_owned(), topic.to_owned())).or_default();
        let seq = signals.last().map_or(now, |(seq, _, _)| now.max(*seq + 1));
        signals.push((seq, now, value));
        seq
    }

    pub(super) fn cursor(&self, plugin: &str, topic: &str) -> i64 {
        let signals = self.signals.get(&(plugin.to_owned(), topic.to_owned()));
        signals.and_then(|signals| signals.last()).map_or(0, |(seq, _, _)| *seq)
    }

    pub(super) fn forget_signals(&mut self, before_ms: i64) {
        for signals in self.signals.values_mut() {
            signals.retain(|(_, at, _)| *at >= before_ms);
        }
        self.signals.retain(|_, signals| !signals.is_empty());
    }

    pub(super) fn cancel(&mut self, id: Uuid, reason: &str, now: i64) -> bool {
        if self.jobs.remove(&id).is_none() {
            return false;
        }
        if let Some(lane) = self.lane(id)
            && self.lanes.get(&lane) == Some(&id)
        {
            self.lanes.remove(&lane);
        }
        if let Some(delivery) = self.deliveries.get_mut(&id) {
            delivery.ended = Some((State::Cancelled, now));
            delivery.reason = Some(reason.to_owned());
        }
        true
    }

    pub(super) fn hold(&mut self, plugin: &str, reason: &str) -> u64 {
        self.shift(plugin, State::Pending, State::Held, Some(reason))
    }

    pub(super) fn unhold(&mut self, plugin: &str) -> u64 {
        self.shift(plugin, State::Held, State::Pending, None)
    }

    fn shift(&mut self, plugin: &str, from: State, to: State, reason: Option<&str>) -> u64 {
        let mut moved = 0;
        for (id, job) in &mut self.jobs {
            let Some(delivery) = self.deliveries.get_mut(id) else {
                continue;
            };
            if job.state == from && delivery.work.plugin == plugin {
                job.state = to;
                delivery.reason = reason.map(str::to_owned);
                moved += 1;
            }
        }
        moved
    }

    pub(super) fn forget(&mut self, id: Uuid) {
        if let Some(delivery) = self.deliveries.remove(&id) {
            self.dedup.remove(&delivery.work.dedup);
        }
    }
}

fn wait_memo(wait: Wait, state: MemoState, epoch: u32, job: Uuid, started_ms: i64, ended_ms: i64) -> Memo {
    let key = format!("{}/{}", crate::model::key_base(job, epoch), wait.name);
    Memo {
        name: wait.name,
        key,
        state,
        attempt: wait.attempt,
        started_ms,
        ended_ms,
    }
}
