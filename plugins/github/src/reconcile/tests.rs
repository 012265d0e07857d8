#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::sample::NOW;

fn sent(id: u64, guid: &str, at: i64, status_code: i64) -> Sent {
    Sent {
        id,
        guid: guid.to_owned(),
        delivered_at: OffsetDateTime::from_unix_timestamp(at).unwrap(),
        status_code,
    }
}

#[test]
fn what_failed_is_asked_for_and_what_arrived_is_not() {
    let list = vec![
        sent(6, "redelivered", NOW - 10, 200),
        sent(5, "lost", NOW - 20, 0),
        sent(4, "refused", NOW - 30, 503),
        sent(3, "fine", NOW - 40, 200),
        sent(2, "redelivered", NOW - 50, 502),
        sent(1, "arrived before", NOW - 60, 204),
        sent(7, "arrived before", NOW - 5, 500),
    ];
    let plan = plan(State::default(), list, NOW);
    assert_eq!(plan.due, [4, 5], "oldest first");
    assert_eq!(plan.state.until, NOW);
}

#[test]
fn the_newest_sending_of_a_delivery_is_repeated() {
    let first = plan(State::default(), vec![sent(1, "a", NOW - 60, 500)], NOW);
    assert_eq!(first.due, [1]);
    let again = plan(
        first.state,
        vec![sent(2, "a", NOW, 500), sent(1, "a", NOW - 60, 500)],
        NOW + 300,
    );
    assert_eq!(again.due, [2]);
    assert_eq!(again.state.open[0].tries, 2);
}

#[test]
fn a_delivery_that_arrives_is_forgotten() {
    let first = plan(State::default(), vec![sent(1, "a", NOW - 60, 500)], NOW);
    let then = plan(first.state, vec![sent(2, "a", NOW + 1, 202)], NOW + 300);
    assert_eq!((then.due.len(), then.state.open.len(), then.given_up), (0, 0, 0));
}

/// A delivery that is refused every time is asked for less and less, then given up.
#[test]
fn gaps_grow_and_end_after_three_days() {
    let (mut state, mut listed, mut asked, mut id, mut given_up) =
        (State::default(), vec![sent(1, "a", NOW, 401)], Vec::new(), 1, 0);
    for slot in 1..=(4 * 86_400 / 300) {
        let now = NOW + slot * 300;
        let step = plan(state, std::mem::take(&mut listed), now);
        for due in step.due {
            assert_eq!(due, id);
            id += 1;
            asked.push(now);
            listed.push(sent(id, "a", now + 1, 401));
        }
        given_up += step.given_up;
        state = step.state;
    }
    let gaps: Vec<i64> = asked.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
    assert_eq!(gaps[..8], [5, 10, 20, 40, 80, 160, 320, 360]);
    assert!(gaps[8..].iter().all(|gap| *gap == 360), "{gaps:?}");
    assert_eq!(given_up, 1);
    assert!(asked.last().unwrap() - NOW < KEPT);
    assert!(state.open.is_empty());
}

#[test]
fn a_flood_is_worked_off_oldest_first_and_nothing_is_skipped() {
    let all: Vec<Sent> = (0..2_300)
        .map(|n| sent(n, &format!("g{n}"), NOW - 3_000 + n as i64, 503))
        .collect();
    let (mut state, mut now) = (
        State {
            until: NOW - 3_000,
            open: Vec::new(),
        },
        NOW,
    );
    // When each redelivery arrived, in the order in which they were asked for.
    let mut done: Vec<(u64, i64)> = Vec::new();
    let mut first = None;
    while done.len() < all.len() {
        let from = since(&state, now);
        let mut listed: Vec<Sent> = all.clone();
        listed.extend(
            done.iter()
                .map(|(id, at)| sent(id + 10_000, &format!("g{id}"), *at, 200)),
        );
        listed.retain(|sent| sent.delivered_at.unix_timestamp() >= from);
        let step = plan(state, listed, now);
        assert!(step.due.len() <= MAX_DUE && step.state.open.len() <= MAX_OPEN);
        assert!(!step.due.is_empty(), "{} of {} done", done.len(), all.len());
        first.get_or_insert_with(|| step.due.clone());
        done.extend(step.due.into_iter().map(|id| (id, now + 1)));
        state = step.state;
        now += 300;
    }
    assert_eq!(first.unwrap(), (0..MAX_DUE as u64).collect::<Vec<_>>());
    done.sort_unstable();
    done.dedup_by_key(|(id, _)| *id);
    assert_eq!(done.len(), all.len());
}

#[test]
fn a_look_begins_where_the_last_one_ended_with_an_overlap() {
    let state = |until| State {
        until,
        open: Vec::new(),
    };
    assert_eq!(since(&state(0), NOW), NOW - 3600);
    assert_eq!(since(&state(NOW - 300), NOW), NOW - 900);
    assert_eq!(since(&state(NOW - 30 * 86_400), NOW), NOW - KEPT);
}

#[test]
fn a_full_state_fits_into_a_step() {
    let all = (0..2_000).map(|n| {
        sent(
            100_000_000_000_000 + n,
            &format!("0b989ba4-242f-11e5-81e1-{n:012}"),
            NOW - 60,
            503,
        )
    });
    let plan = plan(State::default(), all.collect(), NOW);
    assert!(serde_json::to_vec(&plan).unwrap().len() < jackfield_sdk::run::MAX_STEP_BYTES);
}
