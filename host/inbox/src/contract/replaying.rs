//! Replays.

use super::*;

/// Dead with one step kept; gives its id.
async fn died(subject: &Subject, name: &str) -> Uuid {
    let id = subject.add(name).await;
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    subject.dead(run.fence).await;
    id
}

pub(super) async fn resume_goes_on(subject: Subject) {
    let dead = died(&subject, "dead").await;
    let cancelled = subject.add("cancelled").await;
    subject.store.cancel(cancelled, "by mistake").await.unwrap();
    let replay = subject.replay(Filter::default(), ReplayMode::Resume).await;
    assert_eq!((replay.total, replay.seen, replay.armed, replay.skipped), (2, 2, 2, 0));
    let shown = subject.store.show(dead).await.unwrap().unwrap();
    assert_eq!(
        (shown.summary.state, shown.summary.finished_at, shown.summary.reason),
        (State::Pending, None, None)
    );
    let runs = subject.claim().await;
    assert_eq!(runs.len(), 2);
    let run = runs.iter().find(|run| run.fence.job == dead).unwrap();
    assert_eq!(names(&run.memos), ["one"]);
    assert_eq!((run.attempt, run.failures, run.epoch, run.maybe_done), (2, 0, 0, true));
    let run = runs.iter().find(|run| run.fence.job == cancelled).unwrap();
    assert!(!run.maybe_done, "it never ran");
}

pub(super) async fn from_start_uses_the_same_keys(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    subject.done(run.fence).await;
    let replay = subject.replay(only(&[id]), ReplayMode::FromStart).await;
    assert_eq!(replay.armed, 1);
    let again = subject.claim_one().await;
    assert_eq!((again.memos.len(), again.epoch), (0, 0));
    assert!(
        again.maybe_done,
        "every effect may be there already, so steps look first"
    );
    assert!(again.fence.token > run.fence.token);
    assert_eq!(subject.end(run.fence, Next::Released).await, Err(WriteError::Fenced));
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!((shown.outcome, shown.steps.len()), (None, 0));
    // A wait of the new round starts anew.
    assert_eq!(subject.park(again.fence, wait("w", None, 0, MINUTE)).await, Written::Ok);
}

pub(super) async fn again_uses_new_keys(subject: Subject) {
    let id = died(&subject, "a").await;
    subject.replay(only(&[id]), ReplayMode::Again).await;
    let run = subject.claim_one().await;
    assert_eq!((run.memos.len(), run.epoch, run.maybe_done), (0, 1, false));
    subject.signal("t", "1").await;
    let Written::Over(memo) = subject.park(run.fence, wait("w", Some("t"), 0, MINUTE)).await else {
        panic!("the signal is there");
    };
    assert_eq!(memo.key, format!("{id}~1/w"));
    subject.done(run.fence).await;
    subject.replay(only(&[id]), ReplayMode::Again).await;
    assert_eq!(subject.claim_one().await.epoch, 2);
}

pub(super) async fn done_is_left_alone(subject: Subject) {
    let done = subject.add("done").await;
    subject.done(subject.claim_one().await.fence).await;
    let waiting = subject.add("waiting").await;
    subject
        .park(subject.claim_one().await.fence, wait("w", None, 0, MINUTE))
        .await;
    let replay = subject.replay(only(&[done, waiting]), ReplayMode::Resume).await;
    assert_eq!((replay.total, replay.armed, replay.skipped), (2, 0, 2));
    let replay = subject.replay(only(&[waiting]), ReplayMode::Again).await;
    assert_eq!((replay.armed, replay.skipped), (0, 1), "what lives is not armed");
    assert_eq!(subject.state(done).await, State::Done);
    assert_eq!(subject.state(waiting).await, State::Waiting);
    assert_eq!(subject.claim().await, []);
}

pub(super) async fn chunk_by_chunk(subject: Subject) {
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(died(&subject, &n.to_string()).await);
    }
    subject.wait(MINUTE);
    let filter = Filter {
        state: Some(State::Dead),
        ..Filter::default()
    };
    let replay = subject.store.replay_begin(&filter, ReplayMode::Resume).await.unwrap();
    assert_eq!((replay.total, replay.seen, replay.finished), (7, 0, false));
    assert_eq!(
        subject.store.replays_open().await.unwrap(),
        std::slice::from_ref(&replay)
    );
    let now = subject.store.replay_step(replay.id, 3).await.unwrap().unwrap();
    assert_eq!((now.seen, now.armed, now.finished), (3, 3, false));
    assert_eq!(subject.store.replay_get(replay.id).await.unwrap(), Some(now));
    // The oldest first; what dies again behind the cursor is not armed a second time.
    let runs = subject.claim().await;
    assert_eq!(runs.iter().map(|run| run.fence.job).collect::<Vec<_>>(), ids[..3]);
    subject.dead(runs[0].fence).await;
    // One that is stored after the beginning is not meant.
    subject.wait(MINUTE);
    let late = died(&subject, "late").await;
    let mut now = subject.store.replay_step(replay.id, 3).await.unwrap().unwrap();
    while !now.finished {
        now = subject.store.replay_step(replay.id, 3).await.unwrap().unwrap();
    }
    assert_eq!((now.seen, now.armed), (7, 7));
    assert_eq!(subject.claimed_ids().await, ids[3..]);
    assert_eq!(subject.state(late).await, State::Dead);
    assert_eq!(subject.state(ids[0]).await, State::Dead);
    assert!(subject.store.replays_open().await.unwrap().is_empty());
    let same = subject.store.replay_step(replay.id, 3).await.unwrap();
    assert_eq!(same, Some(now));
    assert_eq!(subject.store.replay_step(Uuid::now_v7(), 3).await.unwrap(), None);
}

pub(super) async fn only_what_the_filter_means(subject: Subject) {
    let dead = died(&subject, "dead").await;
    let done = subject.add("done").await;
    subject.done(subject.claim_one().await.fence).await;
    let in_state = |state| Filter {
        state: Some(state),
        ..Filter::default()
    };
    let replay = subject.replay(in_state(State::Dead), ReplayMode::FromStart).await;
    assert_eq!((replay.total, replay.armed), (1, 1));
    assert_eq!(subject.claimed_ids().await, [dead]);
    assert_eq!(subject.state(done).await, State::Done);
    // Work that lives is not armed, whatever the mode, and neither is anything else by that filter.
    let replay = subject.replay(in_state(State::Running), ReplayMode::Again).await;
    assert_eq!((replay.total, replay.armed, replay.skipped), (1, 0, 1));
    assert_eq!(subject.state(done).await, State::Done);
}

pub(super) async fn nothing_to_do(subject: Subject) {
    let replay = subject
        .store
        .replay_begin(&Filter::default(), ReplayMode::Resume)
        .await
        .unwrap();
    assert!(replay.finished);
    assert_eq!(replay.total, 0);
    assert!(subject.store.replays_open().await.unwrap().is_empty());
}
