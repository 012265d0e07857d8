//! `cargo xtask bench`: ours beside a peer, in the same invocation, row by row (`design/60`).
//!
//! - Release build with the settings we ship: logging, tracing and metrics are on, durability is on.
//! - Rounds are interleaved, ours then the peer's; a row is the median of the rounds' ratios, with the lowest and highest.
//! - Peers are pinned: `tests/peers/package-lock.json`, the packages that `install` names for Python, and whatever PostgreSQL,
//!   Redis, nginx and Python the system brings, by version.
//! - Counts and stored rows must be right in every round, or the row is void and the command fails.
//! - A peer's slower configurations are printed too. A missed target is a figure, not a failure.

mod app;
mod carried;
mod deliveries;
mod ground;
mod growth;
mod host;
mod jobs;
mod limits;
mod load;
mod payload;
mod peers;
mod psql;
mod reloads;
mod report;
mod requests;
mod route;
mod sessions;
mod start;
mod stats;
mod wire;

use anyhow::{Result, bail};

use self::{ground::Ground, report::Row};
pub(crate) use load::{LoadOptions, load};

/// Rows, in the order they run.
const ROWS: [&str; 13] = [
    "B1", "B2", "B3", "B4", "B4b", "B6", "B7", "B11", "B12", "B13", "B14", "B16", "B17",
];

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows to measure (B1, B2, B3, B4, B4b, B6, B7, B11, B12, B13, B14, B16, B17); all when none is named
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// One JSON object a row instead of the table
    #[arg(long)]
    json: bool,
    /// Interleaved rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
}

/// Measures and prints.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let wanted = wanted(&options.rows)?;
    let ground = Ground::prepare(usize::from(options.rounds))?;
    if !options.json {
        println!("{}", report::head());
    }
    let mut void = Vec::new();
    for name in wanted {
        eprintln!("measuring {name}");
        for row in measure(name, &ground)? {
            if options.json {
                println!("{}", serde_json::to_string(&row)?);
            } else {
                print!("{}", row.text());
            }
            if !row.checked {
                void.push(row.row);
            }
        }
    }
    if !void.is_empty() {
        bail!("void, because what was counted is wrong: {}", void.join(", "));
    }
    Ok(())
}

fn measure(name: &str, ground: &Ground) -> Result<Vec<Row>> {
    let one = |row: Result<Row>| row.map(|row| vec![row]);
    match name {
        "B1" => one(deliveries::postgres(ground)),
        "B2" => one(deliveries::sqlite(ground)),
        "B3" => one(deliveries::verifier(ground)),
        "B4" => one(jobs::drained(ground)),
        "B4b" => one(jobs::stepped(ground)),
        "B6" => one(route::route(ground)),
        "B7" => carried::rows(ground),
        "B11" => sessions::rows(ground),
        "B12" => limits::rows(ground),
        "B13" => app::rows(ground),
        "B16" => growth::rows(ground),
        "B17" => one(reloads::row(ground)),
        _ => start::rows(ground),
    }
}

/// The rows that were named, in our order; all when none was.
fn wanted(named: &[String]) -> Result<Vec<&'static str>> {
    if let Some(unknown) = named
        .iter()
        .find(|name| !ROWS.iter().any(|row| row.eq_ignore_ascii_case(name)))
    {
        bail!("`{unknown}` is no row; there are {}", ROWS.join(", "));
    }
    let is_named = |row: &&str| named.is_empty() || named.iter().any(|name| name.eq_ignore_ascii_case(row));
    Ok(ROWS.into_iter().filter(is_named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_in_any_case_and_run_in_order() {
        let named = |names: &[&str]| wanted(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&[]).unwrap_or_default(), ROWS);
        assert_eq!(named(&["b4B", "B1"]).unwrap_or_default(), ["B1", "B4b"]);
        let error = named(&["B5"]).map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(
            error,
            "`B5` is no row; there are B1, B2, B3, B4, B4b, B6, B7, B11, B12, B13, B14, B16, B17"
        );
    }
}
