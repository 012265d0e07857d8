//! Lanes against a simple model, under random histories.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use jackfield_inbox::{
    clock::ManualClock,
    lost::delay_ms,
    memory::MemoryStore,
    model::{AttemptEnd, Claimed, Filter, LANE_BLOCK_MS, NewWork, Next, State, Write, WriteError},
    store::{ClaimRequest, Store},
};
use jackfield_sdk::{
    error::{Failure, Fate},
    run::{Fence, Outcome, Wait},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::world::job;

#[derive(Debug, Clone)]
enum Act {
    Accept { lane: usize, delay: u64 },
    Claim { limit: u32 },
    Succeed(usize),
    Fail(usize, u64),
    Park(usize, u64),
    Release(usize),
    Lose,
    Pass(u64),
    Signal,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3usize, prop_oneof![4 => Just(0), 1 => 1..600_000u64]).prop_map(|(lane, delay)| Act::Accept { lane, delay }),
        4 => (1..6u32).prop_map(|limit| Act::Claim { limit }),
        3 => any::<usize>().prop_map(Act::Succeed),
        2 => (any::<usize>(), 0..900_000u64).prop_map(|(one, delay)| Act::Fail(one, delay)),
        2 => (any::<usize>(), 0..600_000u64).prop_map(|(one, time)| Act::Park(one, time)),
        1 => any::<usize>().prop_map(Act::Release),
        1 => Just(Act::Lose),
        3 => (0..400_000u64).prop_map(Act::Pass),
        1 => Just(Act::Signal),
    ]
}

/// What the model knows of one job; the order of the vector is the order of arrival.
struct Known {
    id: Uuid,
    lane: usize,
    state: State,
    run_at: i64,
    delayed: bool,
    failures: u32,
    lost: u32,
    first_failed: Option<i64>,
    token: i64,
    lease_until: i64,
}

#[derive(Default)]
struct Model {
    jobs: Vec<Known>,
    stale: Vec<Fence>,
}

impl Model {
    fn running(&self, pick: usize) -> Option<usize> {
        let running: Vec<usize> = (0..self.jobs.len())
            .filter(|at| self.jobs[*at].state == State::Running)
            .collect();
        (!running.is_empty()).then(|| running[pick % running.len()])
    }

    fn due(&self, at: usize, now: i64) -> bool {
        matches!(self.jobs[at].state, State::Pending | State::Waiting) && self.jobs[at].run_at <= now
    }

    /// The rule of the lane, in the words of the contract.
    fn free(&self, at: usize, now: i64) -> bool {
        let lane = self.jobs[at].lane;
        let busy = self
            .jobs
            .iter()
            .any(|one| one.lane == lane && one.state == State::Running);
        let in_the_way = self.jobs[..at].iter().any(|one| {
            let overtakable = one.first_failed.is_some_and(|first| now - first >= LANE_BLOCK_MS);
            let not_yet = one.delayed && one.first_failed.is_none() && one.run_at > now;
            one.lane == lane && one.state == State::Pending && !overtakable && !not_yet
        });
        !busy && !in_the_way
    }

    /// A run wrote its end: leases lost before it are forgotten.
    fn wrote(&mut self, at: usize, state: State, run_at: i64) {
        let one = &mut self.jobs[at];
        if std::mem::take(&mut one.lost) > 0 && one.failures == 0 {
            one.first_failed = None;
        }
        (one.state, one.run_at) = (state, run_at);
    }

    fn fence(&self, at: usize) -> Fence {
        Fence {
            job: self.jobs[at].id,
            token: self.jobs[at].token,
        }
    }
}

fn request(limit: u32) -> ClaimRequest {
    ClaimRequest {
        plugin: "p".to_owned(),
        limit,
        lease_ms: 20_000,
        tenant_limit: 100,
        running: HashMap::new(),
    }
}

fn end(fence: Fence, next: Next) -> Write {
    Write::End(
        fence,
        Box::new(AttemptEnd {
            started_ms: 0,
            next,
            orphans: Vec::new(),
        }),
    )
}

fn failure() -> Failure {
    Failure {
        fate: Fate::Transient,
        message: "no".to_owned(),
        tell: None,
        code: None,
    }
}

fn check_claim(model: &mut Model, claimed: &[Claimed], limit: u32, now: i64) {
    let could = |model: &Model| -> Vec<usize> {
        (0..model.jobs.len())
            .filter(|at| model.due(*at, now) && model.free(*at, now))
            .collect()
    };
    for one in claimed {
        let possible = could(model);
        let at = model.jobs.iter().position(|known| known.id == one.fence.job).unwrap();
        assert!(possible.contains(&at), "job {at} is not at the head of a free lane");
        assert!(one.fence.token > model.jobs[at].token);
        // Of several heads in one lane the earliest.
        let lane = model.jobs[at].lane;
        assert!(
            possible
                .iter()
                .all(|other| model.jobs[*other].lane != lane || *other >= at)
        );
        model.jobs[at].state = State::Running;
        model.jobs[at].token = one.fence.token;
        model.jobs[at].lease_until = now + 20_000;
    }
    if claimed.len() < limit as usize {
        assert!(could(model).is_empty(), "a head was left although there was room");
    }
}

async fn play(acts: Vec<Act>) {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    let mut model = Model::default();
    for (number, act) in acts.into_iter().enumerate() {
        let now = store.now_ms().await.unwrap();
        let write = async |write: Write| store.write(&[write]).await.unwrap().remove(0);
        match act {
            Act::Accept { lane, delay } => {
                let work = NewWork {
                    lane: Some(lane.to_string()),
                    delay_ms: delay,
                    ..job("job", &number.to_string())
                };
                model.jobs.push(Known {
                    id: work.id,
                    lane,
                    state: State::Pending,
                    run_at: now + delay as i64,
                    delayed: delay > 0,
                    failures: 0,
                    lost: 0,
                    first_failed: None,
                    token: 0,
                    lease_until: 0,
                });
                store.accept(&[work]).await.unwrap();
            }
            Act::Claim { limit } => {
                let claimed = store.claim(&request(limit)).await.unwrap();
                check_claim(&mut model, &claimed, limit, now);
            }
            Act::Succeed(pick) => {
                let Some(at) = model.running(pick) else { continue };
                write(end(model.fence(at), Next::Done(Outcome::done("ok"))))
                    .await
                    .unwrap();
                model.jobs[at].state = State::Done;
            }
            Act::Fail(pick, delay_ms) => {
                let Some(at) = model.running(pick) else { continue };
                let next = Next::Retry {
                    failure: failure(),
                    delay_ms,
                };
                write(end(model.fence(at), next)).await.unwrap();
                model.wrote(at, State::Pending, now + delay_ms as i64);
                model.jobs[at].failures += 1;
                model.jobs[at].first_failed.get_or_insert(now);
            }
            Act::Park(pick, timeout_ms) => {
                let Some(at) = model.running(pick) else { continue };
                let cursor = store.cursor("p", "t").await.unwrap();
                let wait = Wait {
                    name: format!("w{number}"),
                    topic: Some("t".to_owned()),
                    after: cursor,
                    timeout_ms,
                    attempt: 1,
                };
                write(Write::Park(model.fence(at), wait)).await.unwrap();
                model.wrote(at, State::Waiting, now + timeout_ms as i64);
                (model.jobs[at].failures, model.jobs[at].first_failed) = (0, None);
            }
            Act::Release(pick) => {
                let Some(at) = model.running(pick) else { continue };
                write(end(model.fence(at), Next::Released)).await.unwrap();
                model.wrote(at, State::Pending, now);
            }
            Act::Lose => {
                clock.advance(Duration::from_secs(21));
                let now = now + 21_000;
                let mut lost = Vec::new();
                for at in 0..model.jobs.len() {
                    if model.jobs[at].state == State::Running && model.jobs[at].lease_until < now {
                        model.stale.push(model.fence(at));
                        model.jobs[at].state = State::Pending;
                        model.jobs[at].lost += 1;
                        lost.push(at);
                    }
                }
                assert_eq!(store.reclaim().await.unwrap(), lost.len() as u64);
                for at in lost {
                    let one = &mut model.jobs[at];
                    let shown = store.show(one.id).await.unwrap().unwrap();
                    one.run_at = shown.summary.next_attempt_at.unwrap();
                    let delay = (one.run_at - now) as u64;
                    assert!((delay_ms(one.lost, 0.0)..=delay_ms(one.lost, 1.0)).contains(&delay));
                    if delay > 0 {
                        one.first_failed.get_or_insert(now);
                    }
                }
            }
            Act::Pass(ms) => clock.advance(Duration::from_millis(ms)),
            Act::Signal => {
                store.signal("p", "t", Bytes::from_static(b"1")).await.unwrap();
                for one in model.jobs.iter_mut().filter(|one| one.state == State::Waiting) {
                    one.run_at = one.run_at.min(now);
                }
            }
        }
        for fence in &model.stale {
            let late = write(end(*fence, Next::Done(Outcome::done("late")))).await;
            assert_eq!(late, Err(WriteError::Fenced));
        }
    }
    let mut left = model.jobs.iter().filter(|one| one.state != State::Done).count();
    // Nothing is lost: everything ends when every run succeeds.
    for _ in 0..1_000 {
        clock.advance(Duration::from_secs(3_600));
        store.reclaim().await.unwrap();
        for run in store.claim(&request(100)).await.unwrap() {
            store
                .write(&[end(run.fence, Next::Done(Outcome::done("ok")))])
                .await
                .unwrap();
            left = left.saturating_sub(1);
        }
        if left == 0 {
            break;
        }
    }
    let done = Filter {
        state: Some(State::Done),
        ..Filter::default()
    };
    assert_eq!(store.count(&done).await.unwrap(), model.jobs.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn lanes_follow_the_model(acts in proptest::collection::vec(act(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(acts));
    }
}
