//! B1, B2 and B3: signed deliveries, stored and deduplicated before they are answered.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{
    ground::{Ground, LOAD_CORE, SERVER_CORE, delivery},
    host::{Host, Setup},
    load::Loaded,
    peers::{self, Server},
    psql::Psql,
    report::{Peer, Row, Subject, Target},
    stats::median,
};
use crate::install;

/// Connections, and clients of the peer.
const CONNECTIONS: usize = 32;
/// Seconds that count.
const SECONDS: f64 = 5.0;
/// Longest wait for the jobs of what was delivered.
const HANDLED: Duration = Duration::from_secs(120);

/// What the peer of B1 inserts into: the same bytes, one table.
const PEER_TABLE: &str = "CREATE TABLE delivery (id uuid PRIMARY KEY, dedup bytea NOT NULL UNIQUE, event text NOT NULL, \
    received_ms bigint NOT NULL, headers bytea NOT NULL, body bytea COMPRESSION lz4 NOT NULL)";
const PEER_SCRIPT: &str = "INSERT INTO delivery VALUES (gen_random_uuid(), uuid_send(gen_random_uuid()), 'push', \
    (extract(epoch from clock_timestamp()) * 1000)::bigint, convert_to(repeat('x', 512), 'UTF8'), convert_to(:body, 'UTF8')) \
    ON CONFLICT (dedup) DO NOTHING;\n";

/// What a measured round gave, and what was wrong with it.
struct Round {
    loaded: Loaded,
    wrong: Vec<String>,
}

impl Round {
    fn of(loaded: Loaded, stored: u64, done: u64, round: usize) -> Self {
        let mut wrong = Vec::new();
        if loaded.refused + loaded.broken > 0 {
            wrong.push(format!(
                "round {round}: {} deliveries were refused, {} connections broke",
                loaded.refused, loaded.broken
            ));
        }
        if stored != loaded.total {
            wrong.push(format!(
                "round {round}: {stored} deliveries are stored, {} were answered 2xx",
                loaded.total
            ));
        }
        if done != loaded.total {
            wrong.push(format!(
                "round {round}: {done} deliveries were handled of {}",
                loaded.total
            ));
        }
        Self { loaded, wrong }
    }
}

/// B1.
pub(super) fn postgres(ground: &Ground) -> Result<Row> {
    let bin = install::pgbench()?;
    let body = std::fs::read_to_string(ground.body())?;
    let script = ground.scratch.join("insert.sql");
    std::fs::write(&script, PEER_SCRIPT)?;
    let (mut ours, mut peer, mut wrong, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ground.rounds {
        let measured = postgres_round(ground, round, None, SECONDS)?;
        ours.push(measured.loaded.per_second);
        p99.push(measured.loaded.p99_ms);
        wrong.extend(measured.wrong);
        let url = ground.database("bench_peer")?;
        Psql::open(&url)?.run(PEER_TABLE)?;
        let (rate, said) = peers::pgbench(&bin, &url, &script, &body, CONNECTIONS, SECONDS)?;
        let stored = Psql::open(&url)?.count(&format!(
            "SELECT count(*) FROM delivery WHERE length(body) = {}",
            body.len()
        ))?;
        if stored != said {
            wrong.push(format!("round {round}: pgbench stored {stored} rows and says {said}"));
        }
        peer.push(rate);
        ground.drop_database("bench_peer")?;
    }
    let subject = Subject {
        row: "B1",
        what: "signed GitHub delivery, 14 KB, 32 connections, durable and deduplicated before 2xx",
        unit: "1/s",
        target: Target::Ratio(1.3),
        settings: format!("{}; {SECONDS} s a round", ground.postgres_settings()?),
    };
    let peer = Peer {
        name: "pgbench",
        version: peers::first_line(std::process::Command::new(bin.join("pgbench")).arg("--version"))?
            + ", one table, unique key, -M prepared -j 2 -c 32",
        values: peer,
        tried: Vec::new(),
    };
    let notes = vec![format!("p99 of an answer: {:.1} ms", median(&p99))];
    Ok(Row::of(subject, &ours, Some(peer), wrong, notes))
}

fn postgres_round(ground: &Ground, round: usize, core: Option<u32>, seconds: f64) -> Result<Round> {
    let url = ground.database("bench_ours")?;
    let host = start(ground, Some(url.clone()), core)?;
    let loaded = deliver(ground, &host, core.and(LOAD_CORE), seconds)?;
    let mut psql = Psql::open(&url)?;
    let begun = Instant::now();
    while psql.count("SELECT count(*) FROM job j JOIN delivery d USING (id) WHERE d.kind = 'webhook'")? > 0 {
        if begun.elapsed() > HANDLED {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let length = std::fs::metadata(ground.body())?.len();
    let stored = psql.count(&format!(
        "SELECT count(*) FROM delivery d JOIN body b USING (id) JOIN dedup k ON k.key = d.dedup AND k.delivery = d.id \
         WHERE d.kind = 'webhook' AND length(b.body) = {length}"
    ))?;
    let done = psql.count("SELECT count(*) FROM delivery WHERE kind = 'webhook' AND state = 'done'")?;
    drop(psql);
    drop(host);
    ground.drop_database("bench_ours")?;
    Ok(Round::of(loaded, stored, done, round))
}

pub(super) fn start(ground: &Ground, database: Option<String>, core: Option<u32>) -> Result<Host> {
    Host::start(Setup {
        binary: "jackfield",
        directory: ground.directory("host")?,
        core,
        database,
        private_key: Some(ground.private_key()?),
        ..Setup::default()
    })
}

pub(super) fn deliver(ground: &Ground, host: &Host, core: Option<u32>, seconds: f64) -> Result<Loaded> {
    let request = delivery(&std::fs::read(ground.body())?);
    ground.load(host.port, &request, CONNECTIONS, core, seconds)
}

fn sqlite_round(ground: &Ground, round: usize) -> Result<Round> {
    let host = start(ground, None, SERVER_CORE)?;
    let loaded = deliver(ground, &host, LOAD_CORE, SECONDS)?;
    let file = host.directory.join("data/jackfield.db");
    let begun = Instant::now();
    let (stored, done) = loop {
        let (stored, done) = peers::sqlite_counts(ground, &file)?;
        if done >= stored || begun.elapsed() > HANDLED {
            break (stored, done);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    Ok(Round::of(loaded, stored, done, round))
}

/// B2.
pub(super) fn sqlite(ground: &Ground) -> Result<Row> {
    let (mut ours, mut peer, mut wrong, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut version = String::new();
    for round in 1..=ground.rounds {
        let measured = sqlite_round(ground, round)?;
        ours.push(measured.loaded.per_second);
        p99.push(measured.loaded.p99_ms);
        wrong.extend(measured.wrong);
        let rows = peers::python_rows(&ground.directory("python")?, &ground.body(), SECONDS)?;
        if rows.stored != rows.rows {
            wrong.push(format!(
                "round {round}: Python stored {} rows of {}",
                rows.stored, rows.rows
            ));
        }
        peer.push(rows.rows as f64 / rows.seconds);
        version = rows.sqlite;
    }
    let subject = Subject {
        row: "B2",
        what: "the same on SQLite",
        unit: "1/s",
        target: Target::Ratio(2.5),
        settings: format!("WAL synchronous=FULL, both sides; server on core 0, load on core 1; {SECONDS} s a round"),
    };
    let python = peers::first_line(std::process::Command::new("python3").arg("--version"))?;
    let peer = Peer {
        name: "sqlite3 of Python",
        version: format!("{python}, SQLite {version}, one commit per row, on core 0"),
        values: peer,
        tried: Vec::new(),
    };
    let notes = vec![format!("p99 of an answer: {:.1} ms", median(&p99))];
    Ok(Row::of(subject, &ours, Some(peer), wrong, notes))
}

/// B3.
pub(super) fn verifier(ground: &Ground) -> Result<Row> {
    let request = delivery(&std::fs::read(ground.body())?);
    let (mut ours, mut postgres, mut peer, mut wrong) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ground.rounds {
        let measured = sqlite_round(ground, round)?;
        ours.push(measured.loaded.per_second);
        wrong.extend(measured.wrong);
        let receiver = Server::octokit()?;
        let loaded = ground.load(receiver.port, &request, CONNECTIONS, LOAD_CORE, SECONDS)?;
        let seen = receiver.count(loaded.total)?;
        if seen != loaded.total || loaded.refused + loaded.broken > 0 {
            wrong.push(format!(
                "round {round}: the peer answered {} and handled {seen}",
                loaded.total
            ));
        }
        peer.push(loaded.per_second);
        drop(receiver);
        let measured = postgres_round(ground, round, None, SECONDS)?;
        postgres.push(measured.loaded.per_second);
        wrong.extend(measured.wrong);
    }
    let subject = Subject {
        row: "B3",
        what: "the same on SQLite, against a receiver that verifies and stores nothing",
        unit: "1/s",
        target: Target::Ratio(1.0),
        settings: format!("ours WAL synchronous=FULL; server on core 0, load on core 1; {SECONDS} s a round"),
    };
    let peer = Peer {
        name: "@octokit/webhooks",
        version: peers::node_package("@octokit/webhooks")? + ", createNodeMiddleware on node:http, one process",
        values: peer,
        tried: Vec::new(),
    };
    let notes = vec![format!(
        "ours on PostgreSQL (B1's configuration, host, load and database on both cores): {:.0} 1/s",
        median(&postgres)
    )];
    Ok(Row::of(subject, &ours, Some(peer), wrong, notes))
}

/// Resident memory after B1 has run for `seconds`.
pub(super) fn resident_after(ground: &Ground, seconds: f64) -> Result<(f64, Vec<String>)> {
    let url = ground.database("bench_ours")?;
    let host = start(ground, Some(url), None)?;
    let loaded = deliver(ground, &host, None, seconds)?;
    let resident = host.resident()?;
    drop(host);
    ground.drop_database("bench_ours")?;
    if loaded.total == 0 {
        bail!("nothing was delivered");
    }
    let wrong = if loaded.refused + loaded.broken > 0 {
        vec![format!("{} deliveries were refused", loaded.refused + loaded.broken)]
    } else {
        Vec::new()
    };
    Ok((resident, wrong))
}
