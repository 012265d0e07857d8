//! B16: what growth costs: plugins and routes, deliveries that are kept.

use anyhow::{Result, bail};

use super::{
    deliveries,
    ground::Ground,
    host::Host,
    psql::Psql,
    report::{Peer, Row, Subject, Target},
    route::{CONNECTIONS, REQUEST, SECONDS, broken, measured},
    stats::median,
    wire,
};

/// Throughput that must be left.
const LEFT: f64 = 0.9;
/// Plugins that are compiled into `bench-host` beside the one that is called.
const GROWN: usize = 99;
/// Deliveries kept, from and to.
const KEPT: [u64; 2] = [10_000, 1_000_000];

/// What there is after some time: of each, a delivery, its body of 64 bytes and its key, over the last 20 days.
const FILL: &str = "WITH kept AS (SELECT n, (extract(epoch FROM now()) * 1000)::bigint - 86400000 - n * 1728000 / {count} * 1000 AS ms \
    FROM generate_series(1, {count}::bigint) n), \
    named AS (SELECT ms, sha256(n::text::bytea) AS dedup, (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' \
    || substr(md5(n::text), 4, 15))::uuid AS id, n FROM kept), \
    bodies AS (INSERT INTO body (id, headers, body) SELECT id, '[]', convert_to(repeat(md5(n::text), 2), 'UTF8') FROM named), \
    keys AS (INSERT INTO dedup (key, delivery, seen_ms) SELECT dedup, id, ms FROM named) \
    INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, dedup, received_ms, state, finished_ms, summary, attempts) \
    SELECT id, 'webhook', 'github', 'events', '7', id::text, 'push', dedup, ms, 'done', ms, 'nothing to do', 1 FROM named";

/// B16, in two rows.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    Ok(vec![plugins(ground)?, kept(ground)?])
}

fn plugins(ground: &Ground) -> Result<Row> {
    let (mut many, mut few, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ready, mut resident) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 1..=ground.rounds {
        for (rates, grown) in [(&mut many, true), (&mut few, false)] {
            let directory = ground.directory("host")?;
            if grown {
                let on = |number: usize| format!("[plugins.grown-{number}.config]\non = \"yes\"\n");
                std::fs::write(directory.join("plugins.toml"), (1..=GROWN).map(on).collect::<String>())?;
            }
            let host = Host::of_plugins(directory)?;
            // The last route of the last plugin is there, or is a page of the app.
            let far = format!("GET /grown-{GROWN}/things-49/x/part HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let (answer, bytes) = wire::exchange(host.port, far.as_bytes())?;
            if (&bytes[answer.head..] == b"49") != grown {
                bail!(
                    "the host with {} plugins answers {} {}",
                    if grown { 100 } else { 1 },
                    answer.status,
                    String::from_utf8_lossy(&bytes[answer.head..])
                );
            }
            let (loaded, _) = measured(ground, host.port, REQUEST, || host.cpu_seconds())?;
            wrong.extend(broken(&loaded, round, if grown { "100 plugins" } else { "1 plugin" }));
            rates.push(loaded.per_second);
            ready[usize::from(grown)].push(host.ready.as_secs_f64() * 1000.0);
            resident[usize::from(grown)].push(host.resident()?);
        }
    }
    let subject = Subject {
        row: "B16",
        what: "a plugin's public route on a host of 100 plugins and 5,000 routes, against one of 1 plugin and 10 routes",
        unit: "1/s",
        target: Target::Ratio(LEFT),
        settings: format!("{CONNECTIONS} connections; server on core 0, load on core 1; {SECONDS} s a round"),
    };
    let notes = vec![format!(
        "start to ready {:.0} ms, with one plugin {:.0} ms; resident {:.1} MB, with one plugin {:.1} MB",
        median(&ready[1]),
        median(&ready[0]),
        median(&resident[1]),
        median(&resident[0])
    )];
    Ok(Row::of(subject, &many, Some(ourselves("1 plugin", few)), wrong, notes))
}

fn kept(ground: &Ground) -> Result<Row> {
    let names = KEPT.map(|count| format!("bench_kept_{count}"));
    let mut urls = Vec::new();
    for (name, count) in names.iter().zip(KEPT) {
        let url = ground.database(name)?;
        // The host makes the schema.
        drop(deliveries::start(ground, Some(url.clone()), None)?);
        let mut psql = Psql::open(&url)?;
        psql.run(&FILL.replace("{count}", &count.to_string()))?;
        psql.run("VACUUM ANALYZE")?;
        psql.run("CHECKPOINT")?;
        urls.push(url);
    }
    let (mut rates, mut wrong) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 1..=ground.rounds {
        for at in [1, 0] {
            let mut psql = Psql::open(&urls[at])?;
            let before = psql.count("SELECT count(*) FROM delivery WHERE kind = 'webhook'")?;
            let host = deliveries::start(ground, Some(urls[at].clone()), None)?;
            let loaded = deliveries::deliver(ground, &host, None, SECONDS)?;
            drop(host);
            let stored = psql.count("SELECT count(*) FROM delivery WHERE kind = 'webhook'")? - before;
            if before < KEPT[at] || stored != loaded.total {
                wrong.push(format!(
                    "round {round}: {before} were kept of {}, and {stored} are stored of {}",
                    KEPT[at], loaded.total
                ));
            }
            wrong.extend(broken(&loaded, round, &format!("{} kept", KEPT[at])));
            rates[at].push(loaded.per_second);
        }
    }
    for name in &names {
        ground.drop_database(name)?;
    }
    let subject = Subject {
        row: "B16-kept",
        what: "B1's delivery with 1,000,000 deliveries kept, against 10,000",
        unit: "1/s",
        target: Target::Ratio(LEFT),
        settings: format!("64-byte bodies, loaded by SQL; {}", ground.postgres_settings()?),
    };
    let [few, many] = rates;
    Ok(Row::of(
        subject,
        &many,
        Some(ourselves("10,000 kept", few)),
        wrong,
        Vec::new(),
    ))
}

/// The peer is our own smallest size.
fn ourselves(name: &'static str, values: Vec<f64>) -> Peer {
    Peer {
        name,
        version: "the same host".to_owned(),
        values,
        tried: Vec::new(),
    }
}
