//! B6: a plugin's route through the whole stack, against hyper alone.

use std::time::Instant;

use anyhow::{Result, bail};

use super::{
    ground::{Ground, LOAD_CORE},
    host::Host,
    load::Loaded,
    peers::Server,
    report::{Peer, Row, Subject, Target},
    stats::median,
    wire,
};

pub(super) const REQUEST: &[u8] = b"GET /bench/item HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n";
pub(super) const CONNECTIONS: usize = 32;
pub(super) const SECONDS: f64 = 5.0;

/// B6.
pub(super) fn route(ground: &Ground) -> Result<Row> {
    let file = ground.scratch.join("answer");
    let (mut ours, mut peer, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_core, mut peer_core) = (Vec::new(), Vec::new());
    let mut size = 0;
    for round in 1..=ground.rounds {
        let host = Host::of_plugins(ground.directory("host")?)?;
        let (answer, bytes) = wire::exchange(host.port, REQUEST)?;
        if answer.status != 200 || serde_json::from_slice::<serde_json::Value>(&bytes[answer.head..]).is_err() {
            bail!("the route answers {}", String::from_utf8_lossy(&bytes));
        }
        std::fs::write(&file, &bytes)?;
        let (loaded, busy) = measured(ground, host.port, || host.cpu_seconds())?;
        let kept = counted(&host)?;
        if kept < loaded.total {
            wrong.push(format!(
                "round {round}: the metrics count {kept} requests of {}",
                loaded.total
            ));
        }
        wrong.extend(broken(&loaded, round, "ours"));
        ours.push(loaded.per_second);
        our_core.push(busy);
        drop(host);

        let bare = Server::bare(&file)?;
        let (same, peers_bytes) = wire::exchange(bare.port, REQUEST)?;
        if peers_bytes[same.head..] != bytes[answer.head..] || peers_bytes.len() != bytes.len() {
            wrong.push(format!(
                "round {round}: hyper alone answers {} bytes, we answer {}",
                peers_bytes.len(),
                bytes.len()
            ));
        }
        size = bytes.len();
        let (loaded, busy) = measured(ground, bare.port, || bare.cpu_seconds())?;
        wrong.extend(broken(&loaded, round, "the peer's"));
        peer.push(loaded.per_second);
        peer_core.push(busy);
    }
    let subject = Subject {
        row: "B6",
        what: "plugin route through the whole stack, JSON GET; log line, metrics, trace context, request id on; no API key yet",
        unit: "1/s",
        target: Target::Ratio(0.6),
        settings: format!(
            "{CONNECTIONS} connections, {size} bytes an answer; server on core 0, load on core 1; {SECONDS} s a round"
        ),
    };
    let peer = Peer {
        name: "hyper",
        version: "the hyper of Cargo.lock, http1, same bytes, same allocator and runtime".to_owned(),
        values: peer,
        tried: Vec::new(),
    };
    let notes = vec![format!(
        "server core busy: ours {:.0} %, the peer's {:.0} %",
        median(&our_core) * 100.0,
        median(&peer_core) * 100.0
    )];
    Ok(Row::of(subject, &ours, Some(peer), wrong, notes))
}

/// The load, and which part of a core the server used meanwhile.
pub(super) fn measured(ground: &Ground, port: u16, cpu: impl Fn() -> Result<f64>) -> Result<(Loaded, f64)> {
    let (before, begun) = (cpu()?, Instant::now());
    let loaded = ground.load(port, REQUEST, CONNECTIONS, LOAD_CORE, SECONDS)?;
    Ok((loaded, (cpu()? - before) / begun.elapsed().as_secs_f64()))
}

pub(super) fn broken(loaded: &Loaded, round: usize, whose: &str) -> Option<String> {
    (loaded.refused + loaded.broken > 0).then(|| {
        format!(
            "round {round}: {whose}: {} requests were refused, {} connections broke",
            loaded.refused, loaded.broken
        )
    })
}

/// Requests to the route that the host's own metrics count.
pub(super) fn counted(host: &Host) -> Result<u64> {
    let metrics = wire::ask(host.admin, "GET", "/metrics", None)?;
    Ok(super::host::counter(
        &metrics,
        "jackfield_http_requests_total",
        &[("route", "/bench/item"), ("status", "200")],
    ))
}
