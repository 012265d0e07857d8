//! Rate-limit checks of one replica, many at a time: our side of the rate-limit rows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_inbox::clock::SystemClock;
use jackfield_limits::{DEFAULT, RateLimits};
use jackfield_storage::Redis;
use serde_json::json;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Checks at once, as a server has requests at once.
const AT_ONCE: usize = 32;
/// Longest wait for Redis.
const CONNECTED: Duration = Duration::from_secs(10);

/// Prints `ready`, waits for a line, then prints `checks`, `seconds`, `allowed` (of each caller) and `exact` as JSON.
/// Arguments: Redis address, prefix of the callers, number of callers, seconds.
pub(crate) fn check(arguments: &[String]) -> Result<(), Failed> {
    let [url, prefix, callers, seconds] = arguments else {
        return Err("limits REDIS_URL PREFIX CALLERS SECONDS".into());
    };
    let callers: Vec<String> = (0..callers.parse()?)
        .map(|number| format!("{prefix}:{number}"))
        .collect();
    let time = Duration::from_secs_f64(seconds.parse()?);
    // The peer's process has one thread too.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(checks(url, callers.into(), time))
}

async fn checks(url: &str, callers: Arc<[String]>, time: Duration) -> Result<(), Failed> {
    let redis = Redis::open(url)?;
    let limits = RateLimits::redis(redis.clone(), Arc::new(SystemClock));
    let begun = Instant::now();
    while !redis.is_up() {
        if begun.elapsed() > CONNECTED {
            return Err(format!("Redis does not answer within {} s", CONNECTED.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Redis has the script after this; and the caller is nobody's.
    let _ = limits.check(&DEFAULT, &format!("warm {}", std::process::id())).await;
    println!("ready");
    // Not on this thread, which tells the other replicas of this one.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    let begun = Instant::now();
    let running = (0..AT_ONCE).map(|first| {
        let (limits, callers) = (limits.clone(), Arc::clone(&callers));
        tokio::spawn(async move {
            let (mut allowed, mut checks, mut number) = (vec![0_u64; callers.len()], 0_u64, first);
            while begun.elapsed() < time {
                let caller = number % callers.len();
                allowed[caller] += u64::from(limits.check(&DEFAULT, &callers[caller]).await.is_allowed());
                number += AT_ONCE;
                checks += 1;
            }
            (allowed, checks)
        })
    });
    let (mut allowed, mut checks) = (vec![0_u64; callers.len()], 0);
    for one in running.collect::<Vec<_>>() {
        let (theirs, count) = one.await?;
        checks += count;
        for (all, one) in allowed.iter_mut().zip(theirs) {
            *all += one;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let figures = json!({ "checks": checks, "seconds": seconds, "allowed": allowed, "exact": limits.is_exact() });
    println!("{figures}");
    Ok(())
}
