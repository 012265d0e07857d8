//! The load generator: keep-alive connections that send a prepared request as soon as the answer to the one before is there.
//!
//! It is a process of its own, built as the host is, so that it can be kept on another core than the server. The requests are
//! made once; only the delivery id, 36 characters that are not signed, differs from one to the next.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{requests::Requests, stats::percentile, wire};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const ANSWER_BYTES: usize = 1 << 20;

/// Arguments of `xtask load`.
#[derive(clap::Args)]
pub(crate) struct LoadOptions {
    /// Port on 127.0.0.1
    pub(super) port: u16,
    /// The request as it goes over the wire
    pub(super) request: PathBuf,
    /// File of what stands in the request at `{each}`, in turn: a text, a tabulator and the body of the right answer a line
    #[arg(long)]
    pub(super) in_turn: Option<PathBuf>,
    /// Status of the right answer; any 2xx when none is told
    #[arg(long)]
    pub(super) status: Option<u16>,
    /// Bytes of the right answer's body
    #[arg(long)]
    pub(super) length: Option<usize>,
    /// Connections
    #[arg(long, default_value_t = 32)]
    pub(super) connections: usize,
    /// Seconds before it counts
    #[arg(long, default_value_t = 1.0)]
    pub(super) warm: f64,
    /// Seconds in which it counts
    #[arg(long, default_value_t = 5.0)]
    pub(super) seconds: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// Right answers per second, while it counted.
    pub(super) per_second: f64,
    /// Right answers, the time before it counted and the last answers included.
    pub(super) total: u64,
    /// Answers with another status, or with another body than the right one.
    pub(super) refused: u64,
    /// Connections that broke.
    pub(super) broken: u64,
    /// Milliseconds until an answer.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// `xtask load`: prints [`Loaded`] as JSON.
pub(crate) fn load(options: &LoadOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let loaded = runtime.block_on(run(options))?;
    println!("{}", serde_json::to_string(&loaded)?);
    Ok(())
}

#[derive(Default)]
struct Seen {
    counted: u64,
    total: u64,
    refused: u64,
    broken: u64,
    micros: Vec<u32>,
}

async fn run(options: &LoadOptions) -> Result<Loaded> {
    let request =
        std::fs::read(&options.request).with_context(|| format!("cannot read `{}`", options.request.display()))?;
    let mut requests = Requests::one(&request, options.status, options.length);
    if let Some(lines) = &options.in_turn {
        requests = requests.in_turn(lines)?;
    }
    let requests = Arc::new(requests);
    let begin = Instant::now() + Duration::from_secs_f64(options.warm);
    let end = begin + Duration::from_secs_f64(options.seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..options.connections {
        tasks.spawn(connection(options.port, number, Arc::clone(&requests), begin, end));
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen?;
        all.counted += seen.counted;
        all.total += seen.total;
        all.refused += seen.refused;
        all.broken += seen.broken;
        all.micros.extend(seen.micros);
    }
    let milliseconds = |micros: u32| f64::from(micros) / 1000.0;
    Ok(Loaded {
        per_second: all.counted as f64 / options.seconds,
        total: all.total,
        refused: all.refused,
        broken: all.broken,
        p50_ms: milliseconds(percentile(&mut all.micros, 50.0)),
        p99_ms: milliseconds(percentile(&mut all.micros, 99.0)),
    })
}

async fn connection(port: u16, number: usize, requests: Arc<Requests>, begin: Instant, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let outcome = tokio::time::timeout(
        end.saturating_duration_since(Instant::now()) + ANSWER,
        send(port, number, &requests, begin, end, &mut seen),
    );
    match outcome.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            eprintln!("load: connection {number}: {error}");
            seen.broken += 1;
        }
        Err(_) => {
            eprintln!("load: connection {number}: no answer within {} s", ANSWER.as_secs());
            seen.broken += 1;
        }
    }
    seen
}

async fn send(
    port: u16,
    number: usize,
    requests: &Requests,
    begin: Instant,
    end: Instant,
    seen: &mut Seen,
) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; ANSWER_BYTES];
    let mut sent = 0u64;
    loop {
        let asked = Instant::now();
        if asked >= end {
            return Ok(());
        }
        let request = requests.next();
        request.write(&mut bytes, number, sent);
        sent += 1;
        stream.write_all(&bytes).await?;
        let mut filled = 0;
        let answer = loop {
            let count = stream.read(&mut buffer[filled..]).await?;
            if count == 0 {
                bail!("the server closed the connection");
            }
            filled += count;
            if let Some(answer) = wire::answer(&buffer[..filled]) {
                break answer;
            }
            if filled == buffer.len() {
                bail!("an answer of more than {} bytes", buffer.len());
            }
        };
        let answered = Instant::now();
        if !requests.is_right(request, answer, &buffer[..filled]) {
            seen.refused += 1;
            continue;
        }
        seen.total += 1;
        if answered >= begin && answered < end {
            seen.counted += 1;
            let micros = answered.duration_since(asked).as_micros();
            seen.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
        }
    }
}
