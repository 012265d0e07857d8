//! B17: hot reloads under load, against the same load without them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::{
    carried::{CARRIED, library},
    ground::{Ground, LOAD_CORE},
    host::Host,
    load::Loaded,
    report::{Row, Subject, Target},
    route::{CONNECTIONS, REQUEST, broken},
    stats::median,
};

/// Reloads, and the seconds that they are spread over.
const RELOADS: u32 = 54;
const SECONDS: f64 = 4.0;
/// What the load generator warms up with before it counts.
const WARM: Duration = Duration::from_secs(1);

/// B17.
pub(super) fn row(ground: &Ground) -> Result<Row> {
    let content = std::fs::read(library()?)?;
    // Another file of the same plugin: nothing reads what stands behind its last byte.
    let other = [&content[..], b"the other build"].concat();
    let (mut ratios, mut wrong, mut quiet, mut busy, mut rates) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ground.rounds {
        let directory = ground.directory("host")?;
        let file = directory.join("bench.so");
        std::fs::write(&file, &content)?;
        std::fs::write(directory.join("plugins.toml"), CARRIED)?;
        let host = Host::of_plugins(directory)?;
        let still = ground.load(host.port, REQUEST, CONNECTIONS, LOAD_CORE, SECONDS)?;
        wrong.extend(broken(&still, round, "without reloads"));
        let (loaded, took) = reloading(ground, &host, &file, [&other, &content])?;
        wrong.extend(broken(&loaded, round, "with reloads"));
        quiet.push(still.p99_ms);
        busy.push(loaded.p99_ms);
        ratios.push(loaded.p99_ms / still.p99_ms.max(0.001));
        rates.push(loaded.per_second / still.per_second);
        if took > WARM.as_secs_f64() + 1.5 * SECONDS {
            wrong.push(format!("round {round}: the reloads took {took:.1} s"));
        }
    }
    let subject = Subject {
        row: "B17",
        what: "p99 of requests under 54 hot reloads in 4 s, against our own without reloads; none may fail",
        unit: "x",
        target: Target::AtMost(2.0),
        settings: format!("{CONNECTIONS} connections, two files in turn; server on core 0, load on core 1"),
    };
    let notes = vec![format!(
        "p99 {:.2} ms with reloads, {:.2} ms without; {:.0} % of the requests",
        median(&busy),
        median(&quiet),
        median(&rates) * 100.0
    )];
    Ok(Row::of(subject, &ratios, None, wrong, notes))
}

/// The load while the plugin is reloaded; how long the reloads took, the warm-up included.
fn reloading(ground: &Ground, host: &Host, file: &Path, contents: [&[u8]; 2]) -> Result<(Loaded, f64)> {
    std::thread::scope(|scope| {
        let reloads = scope.spawn(|| reload(host, file, contents));
        let loaded = ground.load(host.port, REQUEST, CONNECTIONS, LOAD_CORE, SECONDS)?;
        let took = reloads
            .join()
            .map_err(|_| anyhow!("the thread of the reloads panicked"))??;
        Ok((loaded, took))
    })
}

fn reload(host: &Host, file: &Path, contents: [&[u8]; 2]) -> Result<f64> {
    let begun = Instant::now();
    for reload in 0..RELOADS {
        let due = WARM + Duration::from_secs_f64(SECONDS / f64::from(RELOADS) * f64::from(reload));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let beside = file.with_extension("new");
        std::fs::write(&beside, contents[reload as usize % 2])?;
        std::fs::rename(&beside, file)?;
        host.plugin("bench", "reload")
            .with_context(|| format!("reload {reload}"))?;
    }
    Ok(begun.elapsed().as_secs_f64())
}
