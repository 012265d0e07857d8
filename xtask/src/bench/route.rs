//! B6: a plugin's route through the whole stack, against hyper alone.

use std::time::Instant;

use anyhow::{Result, bail};

use super::{
    ground::{Ground, LOAD_CORE, SERVER_CORE},
    host::{Host, Setup},
    load::Loaded,
    peers::Server,
    report::{Peer, Row, Subject, Target},
    stats::median,
    wire,
};

/// The public route, which rows with other questions call.
pub(super) const REQUEST: &[u8] = b"GET /bench/item HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n";
pub(super) const CONNECTIONS: usize = 32;
pub(super) const SECONDS: f64 = 5.0;

/// The route for whoever is signed in.
const MINE: &str = "/bench/mine";
/// Whose trace our requests are part of.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The limits are counted and refuse nobody: the most that can be told apart.
fn limits() -> Vec<(&'static str, String)> {
    vec![
        ("JACKFIELD_IDENTITY__REQUESTS_PER_SECOND", "1000000".to_owned()),
        ("JACKFIELD_IDENTITY__REQUESTS_PER_MINUTE", "60000000".to_owned()),
    ]
}

/// The request, with a key when there is one.
fn signed_in(key: Option<&str>) -> Vec<u8> {
    let key = key.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
    format!(
        "GET {MINE} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{key}\
         traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    )
    .into_bytes()
}

/// B6.
pub(super) fn route(ground: &Ground) -> Result<Row> {
    let file = ground.scratch.join("answer");
    let (mut ours, mut peer, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_core, mut peer_core) = (Vec::new(), Vec::new());
    let mut size = 0;
    for round in 1..=ground.rounds {
        let host = Host::start(Setup {
            binary: "bench-host",
            directory: ground.directory("host")?,
            core: SERVER_CORE,
            settings: limits(),
            ..Setup::default()
        })?;
        let request = signed_in(Some(&host.api_key()?));
        let (answer, bytes) = wire::exchange(host.port, &request)?;
        if answer.status != 200 || serde_json::from_slice::<serde_json::Value>(&bytes[answer.head..]).is_err() {
            bail!("the route answers {}", String::from_utf8_lossy(&bytes));
        }
        if wire::header(&bytes, answer, "ratelimit-remaining").is_none() {
            wrong.push(format!("round {round}: the request was not counted by a rate limit"));
        }
        let (refused, _) = wire::exchange(host.port, &signed_in(None))?;
        if refused.status != 401 {
            wrong.push(format!("round {round}: without a key the answer is {}", refused.status));
        }
        std::fs::write(&file, &bytes)?;
        let (loaded, busy) = measured(ground, host.port, &request, || host.cpu_seconds())?;
        let kept = host.requests(MINE, "200")?;
        if kept < loaded.total {
            wrong.push(format!(
                "round {round}: the metrics count {kept} requests of {}",
                loaded.total
            ));
        }
        if !host.has_logged(TRACE)? {
            wrong.push(format!("round {round}: the log does not name the caller's trace"));
        }
        wrong.extend(broken(&loaded, round, "ours"));
        ours.push(loaded.per_second);
        our_core.push(busy);
        drop(host);

        let bare = Server::bare(&file)?;
        let (same, peers_bytes) = wire::exchange(bare.port, &request)?;
        if peers_bytes[same.head..] != bytes[answer.head..] || peers_bytes.len() != bytes.len() {
            wrong.push(format!(
                "round {round}: hyper alone answers {} bytes, we answer {}",
                peers_bytes.len(),
                bytes.len()
            ));
        }
        size = bytes.len();
        let (loaded, busy) = measured(ground, bare.port, &request, || bare.cpu_seconds())?;
        wrong.extend(broken(&loaded, round, "the peer's"));
        peer.push(loaded.per_second);
        peer_core.push(busy);
    }
    let subject = Subject {
        row: "B6",
        what: "plugin route through the whole stack, JSON GET with an API key; rate limits, log line, metrics, trace context, request id on",
        unit: "1/s",
        target: Target::Ratio(0.6),
        settings: format!(
            "{CONNECTIONS} connections, {size} bytes an answer; limits counted in memory, too high to refuse; \
             server on core 0, load on core 1; {SECONDS} s a round"
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
pub(super) fn measured(
    ground: &Ground,
    port: u16,
    request: &[u8],
    cpu: impl Fn() -> Result<f64>,
) -> Result<(Loaded, f64)> {
    let (before, begun) = (cpu()?, Instant::now());
    let loaded = ground.load(port, request, CONNECTIONS, LOAD_CORE, SECONDS)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_key_and_one_without() {
        let text = |key| String::from_utf8(signed_in(key)).unwrap_or_default();
        let with = text(Some("sk-oh-1"));
        assert!(with.contains("\r\nAuthorization: Bearer sk-oh-1\r\ntraceparent: 00-"));
        assert!(with.ends_with("-01\r\n\r\n"));
        assert_eq!(text(None), with.replace("Authorization: Bearer sk-oh-1\r\n", ""));
    }
}
