//! `claim`, `heartbeat`, `reclaim`, `due`.

use std::collections::BTreeMap;

use super::*;

pub(super) async fn oldest_first_and_within_the_limit(subject: Subject) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(subject.add(name).await);
        subject.wait(Duration::from_secs(1));
    }
    assert_eq!(subject.store.due().await.unwrap(), [PLUGIN]);
    let few = ClaimRequest { limit: 3, ..request() };
    let claimed = subject.store.claim(&few).await.unwrap();
    let first: Vec<Uuid> = claimed.iter().map(|one| one.fence.job).collect();
    assert_eq!(first, ids[..3]);
    assert!(
        claimed
            .iter()
            .all(|one| one.attempt == 1 && one.fence.token == 1 && !one.maybe_done)
    );
    assert_eq!(subject.claimed_ids().await, ids[3..]);
    assert_eq!(subject.claim().await, []);
    assert!(subject.store.due().await.unwrap().is_empty());
}

pub(super) async fn one_per_lane_in_order(subject: Subject) {
    let a = [subject.add_in("a", "a1").await, subject.add_in("a", "a2").await];
    let b = [subject.add_in("b", "b1").await, subject.add_in("b", "b2").await];
    let claimed = subject.claim().await;
    let ids: Vec<Uuid> = claimed.iter().map(|one| one.fence.job).collect();
    assert_eq!(ids, [a[0], b[0]]);
    assert_eq!(subject.claim().await, [], "both lanes are taken");
    subject.done(claimed[1].fence).await;
    assert_eq!(subject.claimed_ids().await, [b[1]]);
    subject.dead(claimed[0].fence).await;
    assert_eq!(subject.claimed_ids().await, [a[1]]);
}

pub(super) async fn only_its_own_plugin(subject: Subject) {
    let other = NewWork {
        plugin: "q".to_owned(),
        lane: Some("a".to_owned()),
        dedup: DedupKey::of("q", "webhook", "", "a"),
        ..work("a")
    };
    subject.accept(other).await;
    let mine = subject.add_in("a", "a").await;
    assert_eq!(subject.claimed_ids().await, [mine], "a lane belongs to its plugin");
    assert_eq!(subject.store.due().await.unwrap(), ["q"]);
}

pub(super) async fn tenants_have_a_limit(subject: Subject) {
    let of = |tenant: &str, name: &str| NewWork {
        tenant: tenant.to_owned(),
        ..work(name)
    };
    for name in ["1", "2", "3", "4"] {
        subject.accept(of("t", &format!("t{name}"))).await;
    }
    for name in ["1", "2", "3"] {
        subject.accept(of("u", &format!("u{name}"))).await;
        subject.accept(of("", &format!("none{name}"))).await;
    }
    let limited = ClaimRequest {
        tenant_limit: 2,
        running: HashMap::from([("u".to_owned(), 1), ("v".to_owned(), 2)]),
        ..request()
    };
    let claimed = subject.store.claim(&limited).await.unwrap();
    let of = |tenant: &str| claimed.iter().filter(|one| one.tenant == tenant).count();
    assert_eq!((of("t"), of("u"), of("")), (2, 1, 3));
    let full = ClaimRequest {
        running: HashMap::from([("t".to_owned(), 2), ("u".to_owned(), 2)]),
        ..limited
    };
    assert_eq!(subject.store.claim(&full).await.unwrap(), []);
}

pub(super) async fn a_failing_head_blocks_five_minutes(subject: Subject) {
    let head = subject.add_in("a", "1").await;
    let next = subject.add_in("a", "2").await;
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, head);
    subject.end(run.fence, retry(20 * MINUTE)).await.unwrap();
    assert_eq!(subject.state(next).await, State::Blocked);
    subject.wait(Duration::from_secs(299));
    assert_eq!(subject.claim().await, [], "it is still in the way");
    subject.wait(Duration::from_secs(1));
    assert_eq!(subject.state(next).await, State::Pending);
    let passing = subject.claim_one().await;
    assert_eq!(passing.fence.job, next);
    subject.wait(20 * MINUTE);
    assert_eq!(subject.claim().await, [], "one at a time, also when overtaken");
    subject.done(passing.fence).await;
    let run = subject.claim_one().await;
    assert_eq!((run.fence.job, run.failures), (head, 1));
    assert!(run.first_failed_ms.is_some());
    subject.done(run.fence).await;
    let shown = subject.store.show(head).await.unwrap().unwrap();
    assert!(shown.summary.reason.unwrap().contains("overtaken"));
    let passed = subject.store.show(next).await.unwrap().unwrap();
    assert_eq!(passed.summary.reason, None);
}

pub(super) async fn every_failing_head_is_overtaken(subject: Subject) {
    let (first, second) = (subject.add_in("a", "1").await, subject.add_in("a", "2").await);
    subject
        .end(subject.claim_one().await.fence, retry(60 * MINUTE))
        .await
        .unwrap();
    subject.wait(5 * MINUTE);
    subject
        .end(subject.claim_one().await.fence, retry(60 * MINUTE))
        .await
        .unwrap();
    let third = subject.add_in("a", "3").await;
    assert_eq!(subject.claim().await, [], "the second one blocks in its turn");
    subject.wait(5 * MINUTE);
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, third);
    subject.done(run.fence).await;
    subject.wait(60 * MINUTE);
    for id in [first, second] {
        let run = subject.claim_one().await;
        assert_eq!(run.fence.job, id);
        subject.done(run.fence).await;
        let reason = subject.store.show(id).await.unwrap().unwrap().summary.reason;
        assert!(reason.unwrap().contains("overtaken"));
    }
}

pub(super) async fn delayed_work_does_not_block(subject: Subject) {
    let later = NewWork {
        delay_ms: 60_000,
        ..in_lane("a", "later")
    };
    let later = subject.accept(later).await.id();
    let now = subject.add_in("a", "now").await;
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, now);
    subject.done(run.fence).await;
    assert_eq!(subject.claim().await, [], "its time has not come");
    subject.wait(MINUTE);
    assert_eq!(subject.claimed_ids().await, [later]);
    let shown = subject.store.show(later).await.unwrap().unwrap();
    assert_eq!(shown.summary.reason, None, "it was late by wish, not overtaken");
}

pub(super) async fn waiting_and_held_work_do_not_block(subject: Subject) {
    subject.add_in("a", "parks").await;
    let run = subject.claim_one().await;
    subject.park(run.fence, wait("w", None, 0, 60 * MINUTE)).await;
    let held = NewWork {
        held: Some("paused".to_owned()),
        ..in_lane("a", "held")
    };
    let held = subject.accept(held).await.id();
    assert_eq!(subject.state(held).await, State::Held);
    let next = subject.add_in("a", "next").await;
    assert_eq!(subject.claimed_ids().await, [next]);
}

pub(super) async fn a_woken_one_and_its_successor_do_not_run_together(subject: Subject) {
    let first = subject.add_in("a", "1").await;
    let run = subject.claim_one().await;
    subject.park(run.fence, wait("w", Some("go"), 0, 60 * MINUTE)).await;
    let second = subject.add_in("a", "2").await;
    subject.signal("go", "1").await;
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, first, "of two heads the earlier goes");
    assert_eq!(subject.claim().await, []);
    subject.done(run.fence).await;
    assert_eq!(subject.claimed_ids().await, [second]);
}

pub(super) async fn heartbeats_keep_a_lease(subject: Subject) {
    subject.add("a").await;
    subject.add("b").await;
    let claimed = subject.claim().await;
    let (kept, lost) = (claimed[0].fence, claimed[1].fence);
    subject.wait(Duration::from_secs(15));
    assert_eq!(subject.store.heartbeat(&[kept], LEASE).await.unwrap(), []);
    subject.wait(Duration::from_secs(15));
    assert_eq!(subject.store.reclaim().await.unwrap(), 1);
    assert_eq!(subject.state(kept.job).await, State::Running);
    assert_eq!(subject.store.heartbeat(&[kept, lost], LEASE).await.unwrap(), [lost]);
    let stale = Fence {
        token: kept.token - 1,
        ..kept
    };
    assert_eq!(subject.store.heartbeat(&[stale], LEASE).await.unwrap(), [stale]);
    assert_eq!(subject.store.heartbeat(&[], LEASE).await.unwrap(), []);
    assert_eq!(subject.store.reclaim().await.unwrap(), 0);
}

pub(super) async fn a_lost_lease_is_no_attempt(subject: Subject) {
    let id = subject.add_in("a", "1").await;
    let old = subject.claim_one().await;
    subject.step(old.fence, "one").await;
    subject.wait(Duration::from_secs(21));
    assert_eq!(subject.claim().await, [], "until it is taken back");
    assert_eq!(subject.store.reclaim().await.unwrap(), 1);
    let new = subject.claim_one().await;
    assert_eq!(new.fence.job, id);
    assert!(new.fence.token > old.fence.token);
    assert_eq!((new.attempt, new.failures, new.maybe_done), (1, 0, true));
    assert_eq!(names(&new.memos), ["one"]);
    let late = Write::Memo(old.fence, memo(old.fence, "two"));
    assert_eq!(subject.write(late).await, Err(WriteError::Fenced));
    let late = subject.end(old.fence, Next::Done(Outcome::done("late"))).await;
    assert_eq!(late, Err(WriteError::Fenced));
    assert_eq!(subject.claim().await, [], "the lane is the new one's");
    subject.done(new.fence).await;
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(names(&shown.steps), ["one"]);
    assert_eq!(shown.attempts.len(), 1);
}

impl Subject {
    /// Claims, and lets the lease run out.
    async fn lose(&self) -> Claimed {
        let run = self.claim_one().await;
        self.wait(Duration::from_secs(21));
        assert_eq!(self.store.reclaim().await.unwrap(), 1);
        run
    }
}

pub(super) async fn lost_leases_in_a_row_delay(subject: Subject) {
    subject.add("a").await;
    for lost in 0..3 {
        assert_eq!(subject.lose().await.lost, lost, "the first two delay nothing");
    }
    for lost in 3..lost::MAX {
        subject.wait(Duration::from_millis(lost::delay_ms(lost, 0.0) - 1));
        assert_eq!(subject.claim().await, [], "after {lost} it is delayed");
        subject.wait(Duration::from_millis(lost::delay_ms(lost, 1.0)));
        let run = subject.lose().await;
        assert_eq!((run.lost, run.attempt, run.failures), (lost, 1, 0));
    }
    let run = subject.claim_one().await;
    assert_eq!(run.lost, lost::MAX, "the last one is to be ended, without delay");
    subject.dead(run.fence).await;
}

pub(super) async fn what_is_written_ends_the_row(subject: Subject) {
    subject.add("a").await;
    for _ in 0..2 {
        subject.lose().await;
    }
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    subject.wait(Duration::from_secs(21));
    assert_eq!(subject.store.reclaim().await.unwrap(), 1);
    let run = subject.lose().await;
    assert_eq!(run.lost, 1, "a kept step began anew");
    let run = subject.claim_one().await;
    assert_eq!(run.lost, 2);
    subject.end(run.fence, Next::Released).await.unwrap();
    assert_eq!(subject.lose().await.lost, 0, "an end did");
    let run = subject.claim_one().await;
    assert_eq!(run.lost, 1);
    subject.park(run.fence, wait("w", None, 0, MINUTE)).await;
    subject.wait(MINUTE);
    let run = subject.claim_one().await;
    assert_eq!((run.lost, run.first_failed_ms), (0, None), "a park did");
}

pub(super) async fn a_lost_head_blocks_five_minutes(subject: Subject) {
    let head = subject.add_in("a", "1").await;
    let next = subject.add_in("a", "2").await;
    for lost in 1..lost::MAX {
        assert_eq!(subject.lose().await.fence.job, head);
        if lost == lost::DELAYED {
            assert_eq!(subject.state(next).await, State::Blocked);
        }
        if lost + 1 < lost::MAX {
            subject.wait(Duration::from_millis(lost::delay_ms(lost, 1.0)));
        }
    }
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, next);
    subject.done(run.fence).await;
}

/// Claims, heartbeats, sweeps, writes and time in a random order (the same one every time): whoever was claimed after is the
/// only one who writes.
pub(super) async fn only_the_last_token_writes(subject: Subject) {
    for name in ["a", "b", "c"] {
        subject.add(name).await;
    }
    let (mut now, mut dice) = (0_u64, 0x9E37_79B9_7F4A_7C15_u64);
    let mut roll = move |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    // Who holds which lease until when, and who held one before.
    let (mut held, mut stale): (BTreeMap<Uuid, (Fence, u64)>, Vec<Fence>) = (BTreeMap::new(), Vec::new());
    let mut claims = 0;
    for _ in 0..400 {
        match roll(7) {
            0 | 1 => {
                for one in subject.claim().await {
                    let newest = stale.iter().filter(|old| old.job == one.fence.job).map(|old| old.token);
                    assert!(newest.max().is_none_or(|token| token < one.fence.token));
                    let before = held.insert(one.fence.job, (one.fence, now + LEASE));
                    assert_eq!(before, None, "it was claimed while somebody held it");
                    claims += 1;
                }
            }
            2 => {
                let all: Vec<Fence> = held
                    .values()
                    .map(|(fence, _)| *fence)
                    .chain(stale.iter().copied())
                    .collect();
                let picked: Vec<Fence> = all.into_iter().filter(|_| roll(2) == 0).collect();
                let lost = subject.store.heartbeat(&picked, LEASE).await.unwrap();
                for fence in picked {
                    let current = held.get_mut(&fence.job).filter(|(current, _)| *current == fence);
                    assert_eq!(lost.contains(&fence), current.is_none(), "{fence:?}");
                    if let Some((_, until)) = current {
                        *until = now + LEASE;
                    }
                }
            }
            3 => {
                let passed = roll(15_000);
                subject.wait(Duration::from_millis(passed));
                now += passed;
            }
            4 => {
                let before = held.len();
                held.retain(|_, (fence, until)| {
                    if *until < now {
                        stale.push(*fence);
                    }
                    *until >= now
                });
                assert_eq!(subject.store.reclaim().await.unwrap(), (before - held.len()) as u64);
            }
            5 => {
                for (fence, _) in held.values() {
                    subject.step(*fence, &format!("step {}", roll(3))).await;
                }
            }
            _ => {
                let Some(fence) = held.values().map(|(fence, _)| *fence).next() else {
                    continue;
                };
                held.remove(&fence.job);
                stale.push(fence);
                subject.end(fence, Next::Released).await.unwrap();
            }
        }
        for old in stale.iter().rev().take(6) {
            let late = [
                Write::Memo(*old, memo(*old, "late")),
                Write::End(*old, end(Next::Released)),
            ];
            for late in late {
                assert_eq!(subject.write(late).await, Err(WriteError::Fenced));
            }
        }
    }
    assert!(claims > 20, "{claims} claims show little");
}
