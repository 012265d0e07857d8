//! One `psql` that stays open: statements in, values out, without a client library in this crate.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Ends the output of a statement.
const END: &str = "-- end of the statement --";

/// A session. Ended when dropped.
pub(super) struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    /// Connects.
    pub(super) fn open(url: &str) -> Result<Self> {
        let mut child = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--dbname", url])
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `psql`; install `postgresql-client`")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("`psql` has no pipes");
        };
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Runs a statement for its rows, one string each.
    pub(super) fn rows(&mut self, statement: &str) -> Result<Vec<String>> {
        writeln!(self.input, "{statement};\n\\echo {END}")?;
        self.input.flush()?;
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("PostgreSQL refused `{}`; its answer is above", first_words(statement));
            }
            let line = line.trim_end_matches('\n');
            if line == END {
                return Ok(rows);
            }
            rows.push(line.to_owned());
        }
    }

    /// Runs a statement.
    pub(super) fn run(&mut self, statement: &str) -> Result<()> {
        self.rows(statement).map(|_| ())
    }

    /// The one value of a statement.
    pub(super) fn value(&mut self, statement: &str) -> Result<String> {
        let mut rows = self.rows(statement)?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            count => bail!("`{}` gave {count} rows instead of one", first_words(statement)),
        }
    }

    /// The one count of a statement.
    pub(super) fn count(&mut self, statement: &str) -> Result<u64> {
        self.value(statement)?.parse().context("no number")
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "\\q");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_words(statement: &str) -> String {
    statement.chars().take(60).collect()
}
