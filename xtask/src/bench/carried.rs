//! B7: a plugin's route from a shared library, against the same plugin compiled in; and what the calls cost in parts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    ground::{self, Ground, SERVER_CORE},
    host::Host,
    report::{Peer, Row, Subject, Target},
    route::{CONNECTIONS, REQUEST, SECONDS, broken, measured},
    stats::median,
    wire,
};
use crate::plugins::{self, Library, Profile};

/// The plugin in a shared library.
const LIBRARY: Library = Library {
    package: "bench-plugin",
    file: "libbench_plugin.so",
    features: "",
    name: "bench",
};
/// Most that the boundary may add to a request.
const ADDED_NS: f64 = 1000.0;

/// The shared library of the plugin that is compiled into `bench-host`.
pub(super) fn library() -> Result<PathBuf> {
    Ok(plugins::build(&[LIBRARY], &ground::PACKAGES, Profile::Dist)?.join("bench.so"))
}

/// `plugins.toml` of a host whose plugin is in the file `bench.so` beside it.
pub(super) const CARRIED: &str = "[plugins.bench]\nenabled = true\ncarrier = \"dylib\"\npath = \"bench.so\"\n";

/// Requests a second, and microseconds of the server's CPU for each.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    micros: Vec<f64>,
}

/// B7, in three rows.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let library = library()?;
    let (mut dylib, mut builtin) = (Side::default(), Side::default());
    let (mut wrong, mut bodies) = (Vec::new(), Vec::new());
    for round in 1..=ground.rounds {
        for (side, carried) in [(&mut dylib, true), (&mut builtin, false)] {
            let directory = ground.directory("host")?;
            if carried {
                std::fs::copy(&library, directory.join("bench.so"))?;
                std::fs::write(directory.join("plugins.toml"), CARRIED)?;
            }
            let host = Host::of_plugins(directory)?;
            let (answer, bytes) = wire::exchange(host.port, REQUEST)?;
            if answer.status != 200 {
                bail!("the route answers {}", String::from_utf8_lossy(&bytes));
            }
            bodies.push(bytes[answer.head..].to_vec());
            let (loaded, busy) = measured(ground, host.port, REQUEST, || host.cpu_seconds())?;
            let kept = host.requests("/bench/item", "200")?;
            if kept < loaded.total {
                wrong.push(format!(
                    "round {round}: the metrics count {kept} requests of {}",
                    loaded.total
                ));
            }
            wrong.extend(broken(
                &loaded,
                round,
                if carried { "the shared library" } else { "compiled in" },
            ));
            side.rates.push(loaded.per_second);
            side.micros.push(busy / loaded.per_second * 1e6);
        }
    }
    if bodies.windows(2).any(|pair| pair[0] != pair[1]) {
        wrong.push("the carriers do not answer the same bytes".to_owned());
    }
    let settings = format!("{CONNECTIONS} connections; server on core 0, load on core 1; {SECONDS} s a round");
    let added: Vec<f64> = dylib
        .micros
        .iter()
        .zip(&builtin.micros)
        .map(|(ours, theirs)| (ours - theirs) * 1000.0)
        .collect();
    let route = Subject {
        row: "B7",
        what: "a plugin's public route from a shared library, against the same plugin compiled in",
        unit: "1/s",
        target: Target::Ratio(0.95),
        settings: settings.clone(),
    };
    let peer = Peer {
        name: "compiled in",
        version: "the same source, host and settings".to_owned(),
        values: builtin.rates,
        tried: Vec::new(),
    };
    let per_request = Subject {
        row: "B7-added",
        what: "server's CPU time that the boundary adds to a request",
        unit: "ns",
        target: Target::AtMost(ADDED_NS),
        settings,
    };
    let notes = vec![format!(
        "CPU of a request: {:.2} us from the shared library, {:.2} us compiled in",
        median(&dylib.micros),
        median(&builtin.micros)
    )];
    Ok(vec![
        Row::of(route, &dylib.rates, Some(peer), wrong.clone(), Vec::new()),
        Row::of(per_request, &added, None, wrong, notes),
        calls(ground, &library)?,
    ])
}

/// Nanoseconds of a call.
#[derive(Deserialize)]
struct Call {
    /// Without a header.
    bare: f64,
    /// With eight.
    headers: f64,
    /// Without a header, with a handler that is woken once.
    yielding: f64,
}

#[derive(Deserialize)]
struct Calls {
    direct: Call,
    dylib: Call,
}

/// B7-call.
fn calls(ground: &Ground, library: &Path) -> Result<Row> {
    let (mut whole, mut parts) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..ground.rounds {
        let output = ground::on_core(SERVER_CORE, &ground::shipped("bench-host"))
            .arg("calls")
            .arg(library)
            .current_dir(ground.directory("calls")?)
            .output()?;
        if !output.status.success() {
            bail!("`bench-host calls`: {}", String::from_utf8_lossy(&output.stderr));
        }
        let Calls { direct, dylib } =
            serde_json::from_slice(&output.stdout).context("`bench-host calls` printed something else")?;
        let (call, headers) = (dylib.bare - direct.bare, dylib.headers - direct.headers);
        whole.push(headers);
        for (part, value) in parts
            .iter_mut()
            .zip([call, headers - call, (dylib.yielding - direct.yielding) - call])
        {
            part.push(value);
        }
    }
    let [call, conversion, wake] = parts.map(|part| median(&part));
    let subject = Subject {
        row: "B7-call",
        what: "what a call over the boundary adds, without a server around it",
        unit: "ns",
        target: Target::AtMost(ADDED_NS),
        settings: "8 headers; the fastest of 300 rounds of 500 calls, on one core".to_owned(),
    };
    let notes = vec![format!(
        "call and answer {call:.0} ns, conversion of 8 headers {conversion:.0} ns, one wake more {wake:.0} ns"
    )];
    Ok(Row::of(subject, &whole, None, Vec::new(), notes))
}
