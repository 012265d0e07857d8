//! B4 and B4b: draining what is stored, without and with durable steps.
//!
//! Both sides begin with the work stored, vacuumed and checkpointed. Ours is loaded by SQL into the inbox's own tables while
//! the plugin is paused, and the clock runs from `resume` until no job is left.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{
    ground::Ground,
    host::{Host, Setup},
    peers,
    psql::Psql,
    report::{Peer, Row, Subject, Target, Tried},
    stats::median,
};

/// Longest drain.
const DRAIN: Duration = Duration::from_secs(600);

/// Jobs of B4.
const JOBS: u64 = 100_000;
/// Jobs of B4b, of five steps each.
const STORIES: u64 = 20_000;
/// Steps of a job of B4b.
const STEPS: u64 = 5;

/// Drains `count` jobs of `handler`: seconds, and what was wrong.
fn drain(ground: &Ground, handler: &str, count: u64, steps: u64, round: usize) -> Result<(f64, Vec<String>)> {
    let url = ground.database("bench_ours")?;
    let host = Host::start(Setup {
        binary: "bench-host",
        directory: ground.directory("host")?,
        database: Some(url.clone()),
        ..Setup::default()
    })?;
    host.plugin("bench", "pause")?;
    let mut psql = Psql::open(&url)?;
    psql.run(&store(handler, count))?;
    for table in ["delivery", "body", "dedup", "job"] {
        psql.run(&format!("VACUUM ANALYZE {table}"))?;
    }
    psql.run("CHECKPOINT")?;
    let begun = Instant::now();
    host.plugin("bench", "resume")?;
    // The host's counter is a cheap look; its last word is the table's.
    while host.attempts_done("bench")? < count {
        if begun.elapsed() > DRAIN {
            bail!("{count} jobs are not drained after {} s", DRAIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    while psql.count("SELECT count(*) FROM job")? > 0 {
        if begun.elapsed() > DRAIN {
            bail!(
                "{count} jobs have run and some are not written after {} s",
                DRAIN.as_secs()
            );
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut wrong = Vec::new();
    let mut expect = |what: &str, statement: &str, expected: u64| -> Result<()> {
        let found = psql.count(statement)?;
        if found != expected {
            wrong.push(format!("round {round}: {found} {what} instead of {expected}"));
        }
        Ok(())
    };
    expect(
        "jobs are done",
        "SELECT count(*) FROM delivery WHERE state = 'done' AND attempts = 1",
        count,
    )?;
    expect(
        "attempts are kept",
        // The attempt that ended well is kept with its delivery.
        "SELECT count(*) FROM delivery WHERE began_ms IS NOT NULL",
        count,
    )?;
    expect("steps are kept", "SELECT count(*) FROM memo", count * steps)?;
    drop(psql);
    drop(host);
    ground.drop_database("bench_ours")?;
    Ok((seconds, wrong))
}

/// Stores jobs as the inbox does: delivery, body, dedup key and job, with ids that grow.
fn store(handler: &str, count: u64) -> String {
    format!(
        "WITH n AS MATERIALIZED (SELECT i, decode(md5('bench' || i), 'hex') AS key, \
           (extract(epoch from now()) * 1000)::bigint AS now_ms, \
           (lpad(to_hex((extract(epoch from now()) * 1000)::bigint + i / 100), 12, '0') || '7' || substr(md5(i::text), 1, 3) \
             || '8' || substr(md5(i::text), 4, 15))::uuid AS id FROM generate_series(1, {count}) AS i), \
         k AS (INSERT INTO dedup (key, delivery, seen_ms) SELECT key, id, now_ms FROM n), \
         d AS (INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, dedup, received_ms) \
           SELECT id, 'job', 'bench', '{handler}', '', i::text, '', key, now_ms FROM n), \
         b AS (INSERT INTO body (id, headers, body) SELECT id, '', convert_to(json_build_object('i', i)::text, 'UTF8') FROM n) \
         INSERT INTO job (id, plugin, tenant, state, run_at) SELECT id, 'bench', '', 'pending', now_ms FROM n ORDER BY i"
    )
}

/// A configuration of the peer of B4.
struct Workers {
    name: &'static str,
    processes: usize,
    options: &'static str,
}

/// The best documented one first: local queue and batched completion (<https://worker.graphile.org/docs/performance>).
const WORKERS: [Workers; 4] = [
    Workers {
        name: "local queue of 500, batched completion, 24 at once, 1 process",
        processes: 1,
        options: r#"{"concurrency":24,"worker":{"localQueue":{"size":500},"completeJobBatchDelay":0,"failJobBatchDelay":0}}"#,
    },
    Workers {
        name: "local queue of 500, batched completion, 24 at once, 2 processes",
        processes: 2,
        options: r#"{"concurrency":24,"worker":{"localQueue":{"size":500},"completeJobBatchDelay":0,"failJobBatchDelay":0}}"#,
    },
    Workers {
        name: "local queue of 500, no batching, 24 at once, 1 process",
        processes: 1,
        options: r#"{"concurrency":24,"worker":{"localQueue":{"size":500}}}"#,
    },
    Workers {
        name: "neither, 24 at once, 1 process",
        processes: 1,
        options: r#"{"concurrency":24}"#,
    },
];

/// B4.
pub(super) fn drained(ground: &Ground) -> Result<Row> {
    let (mut ours, mut wrong) = (Vec::new(), Vec::new());
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); WORKERS.len()];
    // A configuration that leaves jobs undone is no peer.
    let (mut out, mut notes) = ([false; WORKERS.len()], Vec::new());
    for round in 1..=ground.rounds {
        let (seconds, void) = drain(ground, "noop", JOBS, 0, round)?;
        ours.push(JOBS as f64 / seconds);
        wrong.extend(void);
        for ((workers, values), out) in WORKERS.iter().zip(&mut all).zip(&mut out) {
            let url = ground.database("bench_peer")?;
            let drained = peers::graphile(&url, JOBS, workers.processes, workers.options)?;
            if drained.ran != JOBS || drained.left != 0 {
                *out = true;
                notes.push(format!(
                    "peer with {}: not counted, because in round {round} it ran {} jobs in {:.1} s and left {}",
                    workers.name, drained.ran, drained.seconds, drained.left
                ));
            }
            values.push(JOBS as f64 / drained.seconds);
            ground.drop_database("bench_peer")?;
        }
    }
    let subject = Subject {
        row: "B4",
        what: "job drain, 100,000 durable jobs, claim and complete",
        unit: "jobs/s",
        target: Target::Ratio(10.0),
        settings: format!(
            "{}; 256 jobs at once, every attempt and outcome kept",
            ground.postgres_settings()?
        ),
    };
    let counted = WORKERS.iter().zip(all).zip(out).filter(|(_, out)| !out);
    let (names, all): (Vec<&str>, Vec<Vec<f64>>) = counted.map(|((workers, values), _)| (workers.name, values)).unzip();
    if names.is_empty() {
        bail!("no configuration of the peer runs every job: {}", notes.join("; "));
    }
    let peer = best("graphile-worker", peers::node_package("graphile-worker")?, &names, all);
    Ok(Row::of(subject, &ours, Some(peer), wrong, notes))
}

/// B4b.
pub(super) fn stepped(ground: &Ground) -> Result<Row> {
    // Workflows at once and connections; the second is what its documentation shows for queues.
    let modes = [
        ("started directly, 64 at once, 20 connections", "direct", 64, 20),
        (
            "stored on a queue beforehand, 64 at once, 20 connections",
            "queue",
            64,
            20,
        ),
    ];
    let (mut ours, mut wrong) = (Vec::new(), Vec::new());
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); modes.len()];
    for round in 1..=ground.rounds {
        let (seconds, void) = drain(ground, "five", STORIES, STEPS, round)?;
        ours.push(STORIES as f64 / seconds);
        wrong.extend(void);
        for ((_, mode, at_once, connections), values) in modes.iter().zip(&mut all) {
            let url = ground.database("bench_peer")?;
            let stepped = peers::dbos(&url, STORIES, mode, *at_once, *connections)?;
            if stepped.workflows != STORIES || stepped.steps != STORIES * STEPS {
                wrong.push(format!(
                    "round {round}: the peer ended {} workflows with {} steps",
                    stepped.workflows, stepped.steps
                ));
            }
            values.push(STORIES as f64 / stepped.seconds);
            ground.drop_database("bench_peer")?;
        }
    }
    let subject = Subject {
        row: "B4b",
        what: "durable steps, 20,000 jobs of 5 steps each",
        unit: "jobs/s",
        target: Target::Ratio(5.0),
        settings: format!(
            "{}; 256 jobs at once, every step committed before the next",
            ground.postgres_settings()?
        ),
    };
    let names: Vec<&str> = modes.iter().map(|mode| mode.0).collect();
    let peer = best("DBOS Transact", peers::node_package("@dbos-inc/dbos-sdk")?, &names, all);
    Ok(Row::of(subject, &ours, Some(peer), wrong, Vec::new()))
}

/// The peer with its fastest configuration; the others are kept as tried.
fn best(name: &'static str, version: String, configurations: &[&str], values: Vec<Vec<f64>>) -> Peer {
    let mut ranked: Vec<(&str, Vec<f64>)> = configurations.iter().copied().zip(values).collect();
    ranked.sort_by(|a, b| median(&b.1).total_cmp(&median(&a.1)));
    let mut ranked = ranked.into_iter();
    let (configuration, values) = ranked.next().unwrap_or_default();
    Peer {
        name,
        version: format!("{version}, {configuration}"),
        values,
        tried: ranked
            .map(|(configuration, values)| Tried {
                configuration: configuration.to_owned(),
                value: median(&values).round(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_configuration_is_the_peer() {
        let values = vec![vec![10.0, 11.0], vec![30.0, 29.0], vec![20.0, 20.0]];
        let peer = best("p", "p 1".to_owned(), &["slow", "fast", "middling"], values);
        assert_eq!(peer.version, "p 1, fast");
        assert_eq!(peer.values, [30.0, 29.0]);
        let tried: Vec<&str> = peer.tried.iter().map(|tried| tried.configuration.as_str()).collect();
        assert_eq!(tried, ["middling", "slow"]);
    }
}
