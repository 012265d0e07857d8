//! What listings show.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Tables;
use crate::model::{Count, Detail, State, Summary};

impl Tables {
    pub(in crate::memory) fn counts(&self, now: i64) -> Vec<Count> {
        let mut counts: BTreeMap<(String, State), (u64, i64)> = BTreeMap::new();
        for (id, job) in &self.jobs {
            let Some(delivery) = self.deliveries.get(id) else {
                continue;
            };
            let entry = counts.entry((delivery.work.plugin.clone(), job.state)).or_default();
            entry.0 += 1;
            if job.run_at <= now {
                entry.1 = entry.1.max(now - job.run_at);
            }
        }
        let row = |((plugin, state), (jobs, oldest_ms))| Count {
            plugin,
            state,
            jobs,
            oldest_ms,
        };
        counts.into_iter().map(row).collect()
    }

    pub(in crate::memory) fn summary(&self, id: Uuid, now: i64) -> Option<Summary> {
        let delivery = self.deliveries.get(&id)?;
        let job = self.jobs.get(&id);
        let state = match (delivery.ended, job) {
            (Some((state, _)), _) => state,
            (None, Some(job)) if job.state == State::Pending && self.blocked(id, job, now) => State::Blocked,
            (None, Some(job)) => job.state,
            (None, None) => State::Cancelled,
        };
        Some(Summary {
            id,
            kind: delivery.work.kind,
            plugin: delivery.work.plugin.clone(),
            handler: delivery.work.handler.clone(),
            tenant: delivery.work.tenant.clone(),
            delivery_id: delivery.work.delivery_id.clone(),
            event: delivery.work.event.clone(),
            lane: delivery.work.lane().map(str::to_owned),
            state,
            attempts: delivery.attempts,
            received_at: delivery.received_ms,
            next_attempt_at: job
                .filter(|job| matches!(job.state, State::Pending | State::Waiting))
                .map(|job| job.run_at),
            finished_at: delivery.ended.map(|(_, at)| at),
            outcome: delivery.outcome.as_ref().map(|outcome| outcome.summary.clone()),
            reason: delivery.reason.clone(),
            last_error: delivery.last_error.clone(),
        })
    }

    pub(in crate::memory) fn detail(&self, id: Uuid, now: i64) -> Option<Detail> {
        let summary = self.summary(id, now)?;
        let delivery = self.deliveries.get(&id)?;
        Some(Detail {
            summary,
            headers: delivery.work.headers.clone(),
            body: delivery.work.body.clone(),
            outcome: delivery.outcome.clone(),
            attempts: delivery.history.clone(),
            steps: delivery.memos.clone(),
            wait: self
                .jobs
                .get(&id)
                .and_then(|job| job.wait.as_ref())
                .map(|(wait, _)| wait.clone()),
            orphans: delivery.orphans.clone(),
        })
    }
}
