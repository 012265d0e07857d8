//! B11: requests with the cookies of 50,000 sessions, against express with sessions in Redis; and how long a revoked session
//! lives on another replica.
//!
//! Every request is of another session than the one before, and its answer must name that session's person. Ours looks a
//! session up once a minute, so that its rounds last a minute: each session is looked up in them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use super::{
    ground::{Ground, LOAD_CORE, Load, SERVER_CORE},
    host::{Host, Setup},
    peers::{self, Server},
    psql::Psql,
    report::{Peer, Row, Subject, Target, Tried},
    requests::EACH,
    route::{CONNECTIONS, broken},
    stats::{fastest, median},
    wire,
};

const SESSIONS: usize = 50_000;
const ROUTE: &str = "/bench/whoami";
/// Seconds in which every session is seen for the first time.
const WARM: f64 = 10.0;
/// Seconds that count: as long as ours keeps what it looked up.
const SECONDS: f64 = 60.0;
/// The same, when one round is asked for; and of the peer, which looks every session up every time.
const SECONDS_BRIEFLY: f64 = 10.0;
/// Configurations of the peer's program.
const PEERS: [&str; 2] = ["lean", "default"];
/// Sessions that are revoked in a round.
const REVOKED: usize = 20;
/// Longest that a revoked session may live on another replica.
const SEEN_MS: f64 = 1000.0;
/// When looking at the other replica is given up.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// People with an organisation and an open session each. Numbers have five digits, so that all answers are of one length.
const FILL: &str = "WITH numbers AS (SELECT n, lpad(n::text, 5, '0') AS name, (extract(epoch FROM now()) * 1000)::bigint AS ms \
    FROM generate_series(0, {count} - 1) n), \
    people AS (INSERT INTO person (id, provider, username, email, email_key, email_verified, organization, created_ms, signed_in_ms) \
    SELECT 'bench-' || name, 'local', name, name || '@bench.example', name || '@bench.example', true, 'bench-' || name, ms, ms \
    FROM numbers), \
    organizations AS (INSERT INTO organization (id, name, created_ms) SELECT 'bench-' || name, name, ms FROM numbers), \
    memberships AS (INSERT INTO membership (organization, person, role, created_ms) \
    SELECT 'bench-' || name, 'bench-' || name, 'owner', ms FROM numbers) \
    INSERT INTO session (hash, id, person, created_ms, seen_ms) \
    SELECT sha256(convert_to(encode(sha256(convert_to('session ' || n, 'UTF8')), 'hex'), 'UTF8')), 'session-' || name, \
    'bench-' || name, ms, ms FROM numbers";

/// The cookie's value of a session.
fn cookie(number: usize) -> String {
    hex::encode(Sha256::digest(format!("session {number}")))
}

fn person(number: usize) -> String {
    format!("bench-{number:05}")
}

/// The answer that a session's cookie opens.
fn answer(number: usize) -> String {
    format!(r#"{{"user":"{}"}}"#, person(number))
}

/// A request with a session's cookie.
fn request(cookie: &str) -> String {
    format!(
        "GET {ROUTE} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nCookie: keycloak_auth={cookie}\r\n\r\n"
    )
}

/// What a round of ours gave.
#[derive(Default)]
struct Ours {
    rate: f64,
    p99: f64,
    busy: f64,
    /// Milliseconds that each revoked session lived on.
    lived: Vec<f64>,
}

/// B11, in two rows.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let seconds = if ground.rounds > 1 { SECONDS } else { SECONDS_BRIEFLY };
    let cookies = ground.scratch.join("cookies");
    let lines = |number: usize| format!("{}\t{}\n", cookie(number), answer(number));
    std::fs::write(&cookies, (0..SESSIONS).map(lines).collect::<String>())?;
    let (mut rates, mut p99, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    let (mut slowest, mut all_lived, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let (mut theirs, mut theirs_busy) = (vec![Vec::new(); PEERS.len()], vec![Vec::new(); PEERS.len()]);
    let mut unlimited = 0.0;
    for round in 1..=ground.rounds {
        let url = ground.database("bench_ours")?;
        let ours = round_of_ours(ground, round, &url, &cookies, seconds, &mut wrong)?;
        rates.push(ours.rate);
        p99.push(ours.p99);
        busy.push(ours.busy);
        slowest.push(ours.lived.iter().copied().fold(0.0, f64::max));
        all_lived.extend(ours.lived);
        if round == ground.rounds {
            // What the limits cost, once: Redis is asked for every request.
            let host = replica(ground, "host", &url, SERVER_CORE, false)?;
            unlimited = under_load(ground, host.port, &cookies, seconds)?.per_second;
        }
        ground.drop_database("bench_ours")?;
        for (at, configuration) in PEERS.into_iter().enumerate() {
            let (rate, core) = round_of_peer(ground, round, configuration, &mut wrong)?;
            theirs[at].push(rate);
            theirs_busy[at].push(core);
        }
    }
    let late: Vec<String> = slowest
        .iter()
        .filter(|slowest| **slowest > SEEN_MS)
        .map(|slowest| format!("a revoked session lived on for {slowest:.0} ms on the other replica"))
        .collect();
    wrong.extend(late.iter().cloned());
    let best = fastest(&theirs);
    let peer = Peer {
        name: "express-session",
        version: format!(
            "{}, {}, {}; configuration `{}` of sessions.mjs",
            peers::node_package("express-session")?,
            peers::node_package("connect-redis")?,
            peers::node_package("express")?,
            PEERS[best]
        ),
        tried: (0..PEERS.len())
            .filter(|at| *at != best)
            .map(|at| Tried {
                configuration: format!("configuration `{}`", PEERS[at]),
                value: median(&theirs[at]),
            })
            .collect(),
        values: std::mem::take(&mut theirs[best]),
    };
    let subject = Subject {
        row: "B11",
        what: "cookie-session request, 50,000 sessions in turn; two replicas, PostgreSQL and Redis",
        unit: "1/s",
        target: Target::Ratio(8.0),
        settings: format!(
            "{CONNECTIONS} connections; rate limits as shipped, counted in Redis (the peer has none); server on core 0, load on core 1, \
             databases on both; {seconds} s a round of ours, {SECONDS_BRIEFLY} s of the peer's; {}",
            ground.postgres_settings()?
        ),
    };
    let notes = vec![
        format!(
            "p99 of an answer {:.1} ms; server core busy: ours {:.0} %, the peer's {:.0} %",
            median(&p99),
            median(&busy) * 100.0,
            median(&theirs_busy[best]) * 100.0
        ),
        format!("ours without rate limits, as the peer: {unlimited:.0} 1/s (one round)"),
    ];
    let revoked = Subject {
        row: "B11-revoked",
        what: "a session is ended on one replica: time from that answer to the other replica's first 401, the slowest of a round",
        unit: "ms",
        target: Target::AtMost(SEEN_MS),
        settings: format!("{REVOKED} sessions a round, each known to both replicas; asked every 2 ms"),
    };
    let revoked_notes = vec![format!("median of all: {:.0} ms", median(&all_lived))];
    Ok(vec![
        Row::of(subject, &rates, Some(peer), wrong, notes),
        Row::of(revoked, &slowest, None, late, revoked_notes),
    ])
}

fn round_of_ours(
    ground: &Ground,
    round: usize,
    url: &str,
    cookies: &Path,
    seconds: f64,
    wrong: &mut Vec<String>,
) -> Result<Ours> {
    let measured = replica(ground, "host", url, SERVER_CORE, true)?;
    let mut psql = Psql::open(url)?;
    psql.run(&FILL.replace("{count}", &SESSIONS.to_string()))?;
    for table in ["person", "organization", "membership", "session"] {
        psql.run(&format!("VACUUM ANALYZE {table}"))?;
    }
    psql.run("CHECKPOINT")?;
    // Only asked whether it has heard of a revocation, and that more often than a person may come.
    let other = replica(ground, "other", url, None, false)?;
    let (stranger, _) = wire::exchange(measured.port, request("nobody").as_bytes())?;
    if stranger.status != 401 {
        wrong.push(format!(
            "round {round}: a strange cookie is answered {}",
            stranger.status
        ));
    }
    let (before, begun) = (measured.cpu_seconds()?, Instant::now());
    let loaded = under_load(ground, measured.port, cookies, seconds)?;
    let busy = (measured.cpu_seconds()? - before) / begun.elapsed().as_secs_f64();
    wrong.extend(broken(&loaded, round, "ours"));
    let kept = measured.requests(ROUTE, "200")?;
    if kept < loaded.total || loaded.total < SESSIONS as u64 {
        wrong.push(format!(
            "round {round}: {} requests were answered, the metrics count {kept}, there are {SESSIONS} sessions",
            loaded.total
        ));
    }
    let open = psql.count("SELECT count(*) FROM session WHERE ended_ms IS NULL")?;
    if open != SESSIONS as u64 {
        wrong.push(format!("round {round}: {open} sessions are open of {SESSIONS}"));
    }
    let mut lived = Vec::new();
    for turn in 0..REVOKED {
        // The other looks twice a second, and each of ours ends at one of its looks: begin at another time after it.
        std::thread::sleep(Duration::from_millis(turn as u64 * 173 % 500));
        lived.push(revoke(&measured, &other, turn * (SESSIONS / REVOKED))?);
    }
    Ok(Ours {
        rate: loaded.per_second,
        p99: loaded.p99_ms,
        busy,
        lived,
    })
}

/// Ends a session that both replicas know; milliseconds until the other does not know it any more.
fn revoke(here: &Host, there: &Host, number: usize) -> Result<f64> {
    let request = request(&cookie(number));
    for host in [here, there] {
        let (found, bytes) = wire::exchange(host.port, request.as_bytes())?;
        if found.status != 200 || bytes[found.head..] != *answer(number).as_bytes() {
            bail!("session {number} is answered {}", String::from_utf8_lossy(&bytes));
        }
    }
    here.end_session(&person(number), &format!("session-{number:05}"))?;
    let ended = Instant::now();
    loop {
        let (found, bytes) = wire::exchange(there.port, request.as_bytes())?;
        let lived = ended.elapsed();
        match found.status {
            401 => return Ok(lived.as_secs_f64() * 1000.0),
            200 if lived < GIVEN_UP => std::thread::sleep(Duration::from_millis(2)),
            _ => bail!(
                "session {number} was ended {} ms ago and is answered {}",
                lived.as_millis(),
                String::from_utf8_lossy(&bytes)
            ),
        }
    }
}

fn round_of_peer(ground: &Ground, round: usize, configuration: &str, wrong: &mut Vec<String>) -> Result<(f64, f64)> {
    let cookies = ground.scratch.join("peers-cookies");
    // Ours uses the first database of the same Redis.
    let redis = format!("{}/1", ground.redis()?);
    let server = Server::express(&redis, SESSIONS, &cookies, configuration)?;
    let (stranger, _) = wire::exchange(server.port, request("nobody").as_bytes())?;
    if stranger.status != 401 {
        wrong.push(format!(
            "round {round}: the peer answers a strange cookie {}",
            stranger.status
        ));
    }
    let (before, begun) = (server.cpu_seconds()?, Instant::now());
    let loaded = under_load(ground, server.port, &cookies, SECONDS_BRIEFLY)?;
    let busy = (server.cpu_seconds()? - before) / begun.elapsed().as_secs_f64();
    wrong.extend(broken(&loaded, round, &format!("the peer's ({configuration})")));
    Ok((loaded.per_second, busy))
}

fn under_load(ground: &Ground, port: u16, cookies: &Path, seconds: f64) -> Result<super::load::Loaded> {
    let load = Load {
        connections: CONNECTIONS,
        core: LOAD_CORE,
        warm: WARM,
        seconds,
        in_turn: Some(cookies),
        status: Some(200),
        length: None,
    };
    ground.send(port, request(EACH).as_bytes(), &load)
}

/// A host on the database and Redis that all replicas share.
fn replica(ground: &Ground, name: &str, url: &str, core: Option<u32>, limited: bool) -> Result<Host> {
    let mut settings = vec![
        ("JACKFIELD_REDIS_URL", ground.redis()?),
        // One ring for all replicas; nothing here is sealed with it.
        ("JACKFIELD_KEYRING", format!("bench:{}=", "A".repeat(43))),
    ];
    if !limited {
        settings.push(("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "0".to_owned()));
        settings.push(("JACKFIELD_IDENTITY__REQUESTS_PER_MINUTE", "0".to_owned()));
    }
    Host::start(Setup {
        binary: "bench-host",
        directory: ground.directory(name)?,
        core,
        database: Some(url.to_owned()),
        settings,
        ..Setup::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_cookies_and_answers_of_one_length() {
        assert_ne!(cookie(1), cookie(2));
        assert_eq!(answer(7), r#"{"user":"bench-00007"}"#);
        assert_eq!(answer(0).len(), answer(SESSIONS - 1).len());
        assert!(request(EACH).contains("keycloak_auth={each}\r\n"));
    }
}
