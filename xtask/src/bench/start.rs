//! B14: start to ready, and memory. No peer: the targets are absolute.

use std::time::Duration;

use anyhow::Result;

use super::{
    deliveries,
    ground::Ground,
    host::{Host, Setup},
    report::{Row, Subject, Target},
};

/// After this much quiet, memory is what an idle host holds.
const QUIET: Duration = Duration::from_secs(2);
/// Seconds of B1 before memory is read.
const LOADED: f64 = 60.0;
/// The same, when one round is asked for.
const LOADED_BRIEFLY: f64 = 10.0;

/// B14: three rows.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let (mut ready, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..ground.rounds {
        let host = Host::start(Setup {
            binary: "jackfield",
            directory: ground.directory("host")?,
            private_key: Some(ground.private_key()?),
            ..Setup::default()
        })?;
        ready.push(host.ready.as_secs_f64() * 1000.0);
        std::thread::sleep(QUIET);
        idle.push(host.resident()?);
    }
    let seconds = if ground.rounds > 1 { LOADED } else { LOADED_BRIEFLY };
    let (loaded, wrong) = deliveries::resident_after(ground, seconds)?;
    let row = |row, what, unit, most, settings: String, values: &[f64], wrong| {
        let target = Target::AtMost(most);
        let subject = Subject {
            row,
            what,
            unit,
            target,
            settings,
        };
        Row::of(subject, values, None, wrong, Vec::new())
    };
    let sqlite = "every plugin on, SQLite, empty directory, migrations included".to_owned();
    Ok(vec![
        row(
            "B14",
            "spawn to 200 on /readyz",
            "ms",
            100.0,
            sqlite.clone(),
            &ready,
            Vec::new(),
        ),
        row(
            "B14-idle",
            "resident memory, idle",
            "MB",
            40.0,
            sqlite,
            &idle,
            Vec::new(),
        ),
        row(
            "B14-load",
            "resident memory after B1",
            "MB",
            64.0,
            format!("{seconds} s of B1 on PostgreSQL"),
            &[loaded],
            wrong,
        ),
    ])
}
