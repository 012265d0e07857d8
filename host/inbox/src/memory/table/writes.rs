//! Writes of runs: memos, parks, ends.

use jackfield_sdk::run::{MemoState, Wait};
use uuid::Uuid;

use super::{Tables, wait_memo};
use crate::model::{AttemptEnd, AttemptRecord, Next, State, Write, WriteError, Written};

impl Tables {
    pub(in crate::memory) fn write(&mut self, write: Write, now: i64) -> Result<Written, WriteError> {
        let fence = write.fence();
        let owned = self.jobs.get_mut(&fence.job);
        let Some(job) = owned.filter(|job| job.state == State::Running && job.token == fence.token) else {
            return Err(WriteError::Fenced);
        };
        if std::mem::take(&mut job.lost) > 0 && job.failures == 0 {
            job.first_failed_ms = None;
        }
        match write {
            Write::Memo(_, memo) => {
                if let Some(delivery) = self.deliveries.get_mut(&fence.job) {
                    delivery.memos.retain(|old| old.name != memo.name);
                    delivery.memos.push(memo);
                }
                Ok(Written::Ok)
            }
            Write::Park(_, wait) => Ok(self.park(fence.job, wait, now)),
            Write::End(_, end) => {
                self.end(fence.job, *end, now);
                Ok(Written::Ok)
            }
        }
    }

    fn park(&mut self, id: Uuid, wait: Wait, now: i64) -> Written {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Written::Ok;
        };
        job.run_at = now.saturating_add_unsigned(wait.timeout_ms);
        job.wait = Some((wait.clone(), now));
        let job = &self.jobs[&id];
        if let Some(value) = self.signal_for(id, job) {
            let Some(delivery) = self.deliveries.get_mut(&id) else {
                return Written::Ok;
            };
            let memo = wait_memo(wait, MemoState::Signalled { value }, delivery.epoch, id, now, now);
            delivery.memos.push(memo.clone());
            if let Some(job) = self.jobs.get_mut(&id) {
                job.wait = None;
            }
            return Written::Over(memo);
        }
        if let Some(lane) = self.lane(id) {
            self.lanes.remove(&lane);
        }
        if let (Some(job), Some(delivery)) = (self.jobs.get_mut(&id), self.deliveries.get_mut(&id)) {
            job.state = State::Waiting;
            (job.failures, job.first_failed_ms) = (0, None);
            job.dirty = false;
            delivery.dirty = false;
        }
        Written::Ok
    }

    fn end(&mut self, id: Uuid, end: AttemptEnd, now: i64) {
        if let Some(lane) = self.lane(id) {
            self.lanes.remove(&lane);
        }
        let (Some(job), Some(delivery)) = (self.jobs.get_mut(&id), self.deliveries.get_mut(&id)) else {
            return;
        };
        let error = match &end.next {
            Next::Retry { failure, .. } | Next::Dead { failure, .. } => Some(failure.message.clone()),
            _ => None,
        };
        if !matches!(end.next, Next::Released | Next::Held(_)) {
            delivery.history.push(AttemptRecord {
                number: job.attempts,
                started_at: end.started_ms,
                ended_at: now,
                error: error.clone(),
            });
            delivery.orphans = end.orphans;
        }
        delivery.last_error = error.or(delivery.last_error.take());
        match end.next {
            Next::Done(outcome) => {
                delivery.outcome = Some(outcome);
                delivery.reason = delivery
                    .overtaken
                    .then(|| "overtaken by later deliveries of its lane".to_owned());
                delivery.dirty = false;
                delivery.ended = Some((State::Done, now));
                self.jobs.remove(&id);
            }
            Next::Retry { delay_ms, .. } => {
                job.state = State::Pending;
                job.failures += 1;
                job.first_failed_ms.get_or_insert(now);
                job.run_at = now.saturating_add_unsigned(delay_ms);
            }
            Next::Dead { failure, notice } => {
                delivery.reason = Some(failure.message);
                delivery.ended = Some((State::Dead, now));
                self.jobs.remove(&id);
                if let Some(notice) = notice {
                    self.accept(*notice, now);
                }
            }
            Next::Released => {
                job.state = State::Pending;
                job.attempts = job.attempts.saturating_sub(1);
                delivery.attempts = job.attempts;
                job.run_at = now;
            }
            Next::Held(reason) => {
                job.state = State::Held;
                job.attempts = job.attempts.saturating_sub(1);
                delivery.attempts = job.attempts;
                delivery.reason = Some(reason);
            }
        }
    }
}
