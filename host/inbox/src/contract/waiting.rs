//! Waits and signals.

use super::*;

fn signalled(value: &str) -> MemoState {
    MemoState::Signalled {
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

pub(super) async fn a_signal_wakes(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    let waits = wait("w", Some("t"), 0, 60 * MINUTE);
    assert_eq!(subject.park(run.fence, waits.clone()).await, Written::Ok);
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!((shown.summary.state, shown.wait), (State::Waiting, Some(waits)));
    assert_eq!(shown.summary.next_attempt_at, Some(run.now_ms + 3_600_000));
    assert_eq!(shown.attempts, [], "parking is not the end of an attempt");
    assert_eq!(subject.claim().await, []);
    subject.signal("other", "0").await;
    assert_eq!(subject.claim().await, []);
    subject.wait(MINUTE);
    subject.signal("t", "41").await;
    assert_eq!(subject.store.due().await.unwrap(), [PLUGIN]);
    let run = subject.claim_one().await;
    assert_eq!(names(&run.memos), ["one", "w"]);
    let waited = run.memos.iter().find(|memo| memo.name == "w").unwrap();
    assert_eq!(waited.state, signalled("41"));
    assert_eq!(waited.key, format!("{id}/w"));
    assert_eq!((waited.started_ms, waited.ended_ms), (run.now_ms - 60_000, run.now_ms));
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.wait, None);
}

pub(super) async fn a_signal_before_parking(subject: Subject) {
    let id = subject.add_in("a", "1").await;
    let run = subject.claim_one().await;
    subject.signal("t", "7").await;
    let Written::Over(memo) = subject.park(run.fence, wait("w", Some("t"), 0, MINUTE)).await else {
        panic!("the signal is there already");
    };
    assert_eq!((memo.name.as_str(), &memo.state), ("w", &signalled("7")));
    assert_eq!(memo.key, format!("{id}/w"));
    assert_eq!(subject.state(id).await, State::Running, "the run goes on");
    subject.add_in("a", "2").await;
    assert_eq!(subject.claim().await, [], "and keeps its lane");
    subject.end(run.fence, retry(Duration::ZERO)).await.unwrap();
    assert_eq!(subject.claim_one().await.memos, [memo]);
}

pub(super) async fn the_cursor_counts(subject: Subject) {
    assert_eq!(subject.store.cursor(PLUGIN, "t").await.unwrap(), 0);
    let first = subject.signal("t", "1").await;
    assert_eq!(subject.store.cursor(PLUGIN, "t").await.unwrap(), first);
    subject.add("a").await;
    let run = subject.claim_one().await;
    let parked = subject.park(run.fence, wait("w", Some("t"), first, MINUTE)).await;
    assert_eq!(parked, Written::Ok, "the first one is old");
    assert_eq!(subject.claim().await, []);
    let second = subject.signal("t", "2").await;
    assert!(second > first);
    assert_eq!(subject.claim_one().await.memos[0].state, signalled("2"));
}

pub(super) async fn a_timeout_is_absolute(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    subject.park(run.fence, wait("w", Some("t"), 0, 10 * MINUTE)).await;
    let deadline = run.now_ms + 600_000;
    subject.wait(9 * MINUTE);
    subject.store.hold(PLUGIN, "paused").await.unwrap();
    subject.store.unhold(PLUGIN).await.unwrap();
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(
        shown.summary.next_attempt_at,
        Some(deadline),
        "a pause does not move it"
    );
    subject.wait(MINUTE);
    let run = subject.claim_one().await;
    assert_eq!(run.memos[0].state, MemoState::TimedOut);
    // The wait is over for good, whatever comes later.
    subject.signal("t", "1").await;
    subject.end(run.fence, Next::Released).await.unwrap();
    let run = subject.claim_one().await;
    assert_eq!(run.memos.len(), 1);
    assert_eq!(run.memos[0].state, MemoState::TimedOut);
}

pub(super) async fn a_sleep(subject: Subject) {
    subject.add("a").await;
    let run = subject.claim_one().await;
    assert_eq!(subject.park(run.fence, wait("nap", None, 0, MINUTE)).await, Written::Ok);
    subject.wait(Duration::from_millis(59_999));
    assert_eq!(subject.claim().await, []);
    subject.wait(Duration::from_millis(1));
    let run = subject.claim_one().await;
    assert_eq!(
        (names(&run.memos), &run.memos[0].state),
        (vec!["nap"], &MemoState::TimedOut)
    );
    // For ever, as far as a clock goes.
    let endless = Wait {
        timeout_ms: u64::MAX,
        ..wait("endless", None, 0, MINUTE)
    };
    assert_eq!(subject.park(run.fence, endless).await, Written::Ok);
    subject.wait(100_000 * MINUTE);
    assert_eq!(subject.claim().await, []);
}

pub(super) async fn a_wait_frees_the_lane(subject: Subject) {
    let first = subject.add_in("a", "1").await;
    let second = subject.add_in("a", "2").await;
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, first);
    subject.park(run.fence, wait("w", None, 0, MINUTE)).await;
    assert_eq!(
        subject.write(Write::Memo(run.fence, memo(run.fence, "late"))).await,
        Err(WriteError::Fenced)
    );
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, second);
    subject.wait(MINUTE);
    assert_eq!(subject.claim().await, [], "the lane is taken when it wakes");
    subject.done(run.fence).await;
    assert_eq!(subject.claim_one().await.fence.job, first);
}

pub(super) async fn topics_belong_to_plugins(subject: Subject) {
    subject.add("a").await;
    let run = subject.claim_one().await;
    subject.store.signal("q", "t", Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(subject.store.cursor(PLUGIN, "t").await.unwrap(), 0);
    assert_eq!(
        subject.park(run.fence, wait("w", Some("t"), 0, MINUTE)).await,
        Written::Ok
    );
    subject.store.signal("q", "t", Bytes::from_static(b"2")).await.unwrap();
    assert_eq!(subject.claim().await, []);
}

pub(super) async fn the_first_of_two_signals(subject: Subject) {
    for name in ["a", "b"] {
        subject.add(name).await;
    }
    for run in subject.claim().await {
        subject.park(run.fence, wait("w", Some("t"), 0, MINUTE)).await;
    }
    subject.signal("t", "1").await;
    subject.wait(Duration::from_secs(1));
    subject.signal("t", "2").await;
    let runs = subject.claim().await;
    assert_eq!(runs.len(), 2, "all who wait are woken");
    assert!(runs.iter().all(|run| run.memos[0].state == signalled("1")));
}
