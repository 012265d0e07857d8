//! Eight claimers on two replicas over many lanes on PostgreSQL, with random waits, wake-ups, failures, preemptions and
//! workers that never come back.
//!
//! The model is told of an end before the store is, and of a claim after it, so it never sees more in a lane than there is.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jackfield_inbox::{
    model::{Claimed, Filter, Next, State, Write, WriteError, Written},
    store::Store,
};
use jackfield_sdk::run::{Fence, Wait};
use jackfield_storage::SqlStore;
use rand::RngExt;
use uuid::Uuid;

use super::{
    databases::Postgres,
    work::{PLUGIN, delivery, done, end, failure, request},
};

const LANES: usize = 40;
const PER_LANE: usize = 8;
const CLAIMERS: usize = 8;
const LEASE_MS: u64 = 60_000;
/// How long all of it may take; it stops by itself then.
const BOUND: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Pending,
    Running,
    Waiting,
    Done,
}

/// What is known of every job; a lane's jobs are in the order of their sequence.
struct Model {
    place: HashMap<Uuid, (usize, usize)>,
    lanes: Vec<Vec<(Known, u32)>>,
    /// Fences of workers that never came back.
    frozen: Vec<Fence>,
    left: usize,
}

impl Model {
    fn claimed(&mut self, claimed: &Claimed) {
        let (lane, at) = self.place[&claimed.fence.job];
        let jobs = &mut self.lanes[lane];
        assert!(
            jobs.iter().all(|(known, _)| *known != Known::Running),
            "two of lane {lane} run at once: {jobs:?}"
        );
        assert!(
            jobs[..at].iter().all(|(known, _)| *known != Known::Pending),
            "{at} of lane {lane} was claimed before an earlier one: {jobs:?}"
        );
        assert!(
            matches!(jobs[at].0, Known::Pending | Known::Waiting),
            "{at} of lane {lane} had ended: {jobs:?}"
        );
        jobs[at] = (Known::Running, jobs[at].1 + 1);
    }

    fn becomes(&mut self, fence: Fence, known: Known) {
        let (lane, at) = self.place[&fence.job];
        self.lanes[lane][at].0 = known;
        self.left -= usize::from(known == Known::Done);
    }

    fn claims_of(&self, fence: Fence) -> u32 {
        let (lane, at) = self.place[&fence.job];
        self.lanes[lane][at].1
    }
}

fn topic(lane: usize) -> String {
    format!("lane/{lane}")
}

/// What this attempt comes to. Later attempts are likelier to end, so that all of it does.
fn next(model: &mut Model, fence: Fence, cursors: &HashMap<usize, i64>) -> Write {
    let lane = model.place[&fence.job].0;
    let claims = model.claims_of(fence);
    let (known, write) = match rand::rng().random_range(0..10_u32) {
        dice if dice < 3 + claims => (Known::Done, done(fence)),
        4 | 5 => {
            let delay_ms = rand::rng().random_range(0..40);
            let failure = failure();
            (Known::Pending, end(fence, Next::Retry { failure, delay_ms }))
        }
        6 => (Known::Pending, end(fence, Next::Released)),
        _ => {
            let wait = Wait {
                name: format!("wait {claims}"),
                topic: Some(topic(lane)),
                after: cursors.get(&lane).copied().unwrap_or(0),
                timeout_ms: rand::rng().random_range(0..200),
                attempt: claims,
            };
            (Known::Waiting, Write::Park(fence, wait))
        }
    };
    model.becomes(fence, known);
    write
}

async fn claimer(store: Arc<SqlStore>, model: Arc<Mutex<Model>>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        // Now and then a worker takes one, and is gone with it.
        if rand::rng().random_range(0..25) == 0 {
            for gone in store.claim(&request(1, 1)).await.unwrap() {
                let mut model = model.lock().unwrap();
                model.claimed(&gone);
                model.becomes(gone.fence, Known::Pending);
                model.frozen.push(gone.fence);
            }
            continue;
        }
        let limit = rand::rng().random_range(1..=8);
        let claimed = store.claim(&request(limit, LEASE_MS)).await.unwrap();
        {
            let mut model = model.lock().unwrap();
            claimed.iter().for_each(|one| model.claimed(one));
        }
        if claimed.is_empty() {
            store.reclaim().await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
            continue;
        }
        let mut cursors = HashMap::new();
        for one in &claimed {
            let lane = model.lock().unwrap().place[&one.fence.job].0;
            cursors.insert(lane, store.cursor(PLUGIN, &topic(lane)).await.unwrap());
        }
        let writes: Vec<Write> = {
            let mut model = model.lock().unwrap();
            claimed
                .iter()
                .map(|one| next(&mut model, one.fence, &cursors))
                .collect()
        };
        let answers = store.write(&writes).await.unwrap();
        // A signal came between the cursor and the wait: the run goes on, here to its end.
        for (write, answer) in writes.iter().zip(answers) {
            if let Written::Over(_) = answer.expect("its lease is long") {
                model.lock().unwrap().becomes(write.fence(), Known::Done);
                let ended = store.write(&[done(write.fence())]).await.unwrap();
                assert_eq!(ended, [Ok(Written::Ok)]);
            }
        }
    }
}

async fn signaller(store: Arc<SqlStore>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let lane = rand::rng().random_range(0..LANES);
        store
            .signal(PLUGIN, &topic(lane), Bytes::from_static(b"1"))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_hold_with_eight_claimers() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let replicas = [
        Arc::new(SqlStore::new(postgres.open().await)),
        Arc::new(SqlStore::new(postgres.open().await)),
    ];
    let mut batch = Vec::new();
    let mut place = HashMap::new();
    for at in 0..PER_LANE {
        for lane in 0..LANES {
            let work = delivery(&format!("{lane}-{at}"), Some(topic(lane)));
            place.insert(work.id, (lane, at));
            batch.push(work);
        }
    }
    replicas[0].accept(&batch).await.unwrap();
    let model = Arc::new(Mutex::new(Model {
        left: place.len(),
        place,
        lanes: vec![vec![(Known::Pending, 0); PER_LANE]; LANES],
        frozen: Vec::new(),
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut tasks = vec![tokio::spawn(signaller(Arc::clone(&replicas[0]), Arc::clone(&stop)))];
    for at in 0..CLAIMERS {
        let store = Arc::clone(&replicas[at % 2]);
        tasks.push(tokio::spawn(claimer(store, Arc::clone(&model), Arc::clone(&stop))));
    }
    while model.lock().unwrap().left > 0
        && began.elapsed() < BOUND
        && !tasks.iter().any(tokio::task::JoinHandle::is_finished)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let (left, frozen) = {
        let model = model.lock().unwrap();
        (model.left, model.frozen.clone())
    };
    assert_eq!(left, 0, "jobs that did not end within {BOUND:?}");
    println!(
        "{} jobs, {} frozen workers, {:?}",
        batch.len(),
        frozen.len(),
        began.elapsed()
    );
    let late: Vec<Write> = frozen.iter().map(|fence| done(*fence)).collect();
    let refused = replicas[1].write(&late).await.unwrap();
    assert!(
        refused.iter().all(|answer| *answer == Err(WriteError::Fenced)),
        "{refused:?}"
    );
    let ended = Filter {
        state: Some(State::Done),
        ..Filter::default()
    };
    assert_eq!(replicas[1].count(&ended).await.unwrap(), batch.len() as u64);
    assert!(replicas[1].counts().await.unwrap().is_empty(), "no job is left");
    assert_eq!(
        postgres.number("SELECT count(*) FROM lane_lease").await,
        0,
        "no lane is left"
    );
    postgres.drop_it().await;
}
