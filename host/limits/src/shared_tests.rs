//! On a real Redis.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_inbox::clock::{ManualClock, SystemClock};
use jackfield_storage::Redis;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use redis::aio::MultiplexedConnection;

use crate::{
    Class, DEFAULT, Limit, RateLimits, Verdict,
    gcra::{Fulls, Pace, admit},
    redis_server::{RedisServer, shared, until},
    shared::{Shared, Times, key},
    tests::limit,
};

/// With time enough on a busy machine.
const PATIENT: Times = Times {
    answer: Duration::from_secs(5),
    ..Times::USUAL
};
/// With announcements that come and go soon.
const BRISK: Times = Times {
    announce: Duration::from_millis(200),
    announce_away: Duration::from_millis(50),
    gone_secs: 1,
    ..Times::USUAL
};

async fn connection(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

fn replica(url: &str, times: Times) -> RateLimits {
    RateLimits::with_times(Redis::open(url).unwrap(), Arc::new(SystemClock), times)
}

/// Nobody else's.
fn someone() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn a_minute(amount: u32) -> Class {
    let limit = Limit::new(NonZeroU32::new(amount).unwrap(), Duration::from_secs(60));
    Class::new("test", vec![limit])
}

/// Whatever stands in Redis, the script decides and stores what `admit` does.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_and_the_core_agree() {
    let Some(url) = shared() else { return };
    let asked = Shared::start(Redis::open(&url).unwrap(), PATIENT);
    let direct = connection(&url).await;
    let known = prop_oneof![-3_000_000..0_i64, 0..3_000_000_i64, 0..90_000_000_000_i64];
    let cases = (
        prop::collection::vec(limit(), 1..4),
        prop::collection::vec(known, 0..5),
        1..12_usize,
    );
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        TestRunner::new(Config::with_cases(300)).run(&cases, |(limits, known, times)| {
            let (class, who) = (Class::new("test", limits), someone());
            let paces = || class.limits().iter().map(|limit| Pace::of(limit, 1));
            let redis_key = format!("jackfield:{}", key(&class, &who));
            let mut direct = direct.clone();
            let (seconds, micros): (i64, i64) = runtime.block_on(redis::cmd("TIME").query_async(&mut direct)).unwrap();
            let known: Vec<i64> = known
                .iter()
                .map(|offset| seconds * 1_000_000 + micros + offset)
                .collect();
            if !known.is_empty() {
                let text: Vec<String> = known.iter().map(i64::to_string).collect();
                let mut set = redis::cmd("SET");
                set.arg(&redis_key).arg(text.join(" ")).arg("PX").arg(60_000);
                runtime.block_on(set.query_async::<()>(&mut direct)).unwrap();
            }
            let mut fulls: Fulls = known
                .into_iter()
                .chain(std::iter::repeat(0))
                .take(class.limits().len())
                .collect();
            let mut counted = false;
            for _ in 0..times {
                let theirs = runtime.block_on(asked.ask(&class, &who)).unwrap();
                let now = theirs.at();
                let allowed = admit(now, paces(), &mut fulls);
                counted |= allowed;
                prop_assert_eq!(theirs, Verdict::of(&class, 1, now, allowed, &fulls));
            }
            let (stored, left): (Option<String>, i64) = runtime
                .block_on(redis::pipe().get(&redis_key).pttl(&redis_key).query_async(&mut direct))
                .unwrap();
            if counted && stored.is_some() {
                let longest = paces().map(|pace| pace.window / 1000 + 2).max().unwrap();
                prop_assert!(left <= longest, "kept for {} ms of {}", left, longest);
            }
            Ok(())
        })
    };
    tokio::task::spawn_blocking(run).await.unwrap().unwrap();
}

/// One caller, two replicas, all at once: the limit and not one more, and not much less.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_are_never_over_the_limit() {
    let Some(url) = shared() else { return };
    let replicas = [replica(&url, PATIENT), replica(&url, PATIENT)];
    let limit = |amount, per| Limit::new(NonZeroU32::new(amount).unwrap(), Duration::from_millis(per));
    let class = Class::new("test", vec![limit(40, 1_000), limit(60, 2_000)]);
    let who = someone();
    let begun = Instant::now();
    let hammers = (0..24).map(|number| {
        let (limits, class, who) = (replicas[number % 2].clone(), class.clone(), who.clone());
        tokio::spawn(async move {
            let (mut allowed, mut tries) = (0_u32, 0_u32);
            while begun.elapsed() < Duration::from_millis(1500) {
                allowed += u32::from(limits.check(&class, &who).await.is_allowed());
                tries += 1;
            }
            (allowed, tries)
        })
    });
    let (mut allowed, mut tries) = (0, 0);
    for hammer in hammers.collect::<Vec<_>>() {
        let (one, all) = hammer.await.unwrap();
        (allowed, tries) = (allowed + one, tries + all);
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!(replicas.iter().all(RateLimits::is_exact));
    assert!(tries > 5 * allowed, "{tries} tries do not press on the limit");
    for (amount, rate) in [(40.0, 40.0), (60.0, 30.0)] {
        let most = rate * seconds + amount;
        assert!(
            f64::from(allowed) <= most,
            "{allowed} allowed in {seconds} s, {most} at most"
        );
    }
    assert!(allowed >= 40 + 40, "{allowed} allowed in {seconds} s");
}

#[tokio::test]
async fn a_script_that_redis_forgot_is_sent_again() {
    if shared().is_none() {
        return;
    }
    let server = RedisServer::start("--port", &[]).await;
    let (limits, who) = (replica(&server.url(), PATIENT), someone());
    for left in [9, 8] {
        let verdict = limits.check(&DEFAULT, &who).await;
        assert_eq!(verdict.foremost().unwrap().remaining, left);
        let mut direct = connection(&server.url()).await;
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query_async::<()>(&mut direct)
            .await
            .unwrap();
    }
    assert!(limits.is_exact());
}

async fn allowed(limits: &RateLimits, class: &Class, who: &str, tries: u32) -> u32 {
    let mut count = 0;
    for _ in 0..tries {
        let begun = Instant::now();
        count += u32::from(limits.check(class, who).await.is_allowed());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_enforces_its_share_until_it_is_back() {
    if shared().is_none() {
        return;
    }
    let mut server = RedisServer::start("--port", &[]).await;
    let times = Times {
        answer: Duration::from_millis(900),
        ..BRISK
    };
    let replicas = [replica(&server.url(), times), replica(&server.url(), times)];
    until("they know of each other", async || {
        replicas.iter().all(|one| one.known_replicas() == 2 && one.is_exact())
    })
    .await;
    server.down();
    let class = a_minute(20);
    for one in &replicas {
        assert_eq!(allowed(one, &class, "ada", 40).await, 10);
        assert!(!one.is_exact());
        let refused = one.check(&class, "ada").await;
        assert_eq!(
            refused.refusal().as_deref(),
            Some("Rate limit exceeded: 20 per 1 minute")
        );
    }
    // Redis comes back empty, and the first to announce itself is not alone.
    server.up().await;
    until("they ask again", async || replicas.iter().all(RateLimits::is_exact)).await;
    assert!(replicas.iter().all(|one| one.known_replicas() == 2));
    let who = someone();
    assert_eq!(allowed(&replicas[0], &class, &who, 15).await, 15);
    assert_eq!(allowed(&replicas[1], &class, &who, 15).await, 5);
    let [left, gone] = replicas;
    drop(gone);
    until("one that is gone is forgotten", async || left.known_replicas() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_stalls_nobody() {
    if shared().is_none() {
        return;
    }
    let server = RedisServer::start("--port", &[]).await;
    // Its own clock stands still: whatever is allowed here is of one moment.
    let clock = Arc::new(ManualClock::at(0));
    let limits = RateLimits::with_times(Redis::open(&server.url()).unwrap(), clock, BRISK);
    until("it answers", async || {
        limits.is_exact() && limits.check(&DEFAULT, "first").await.at() > 0
    })
    .await;
    let mut direct = connection(&server.url()).await;
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(2_000).arg("ALL");
    pause.query_async::<()>(&mut direct).await.unwrap();
    let begun = Instant::now();
    assert_eq!(allowed(&limits, &DEFAULT, "ada", 200).await, 10);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!limits.is_exact());
    until("it asks again", async || limits.check(&DEFAULT, "ada").await.at() > 0).await;
    assert!(begun.elapsed() > Duration::from_secs(1));
}
