//! Adding up what `cargo test` prints.

/// Tests that passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Passed.
    pub(crate) passed: u64,
    /// Failed; a suite that did not build or died counts as one.
    pub(crate) failed: u64,
}

impl Summary {
    /// Reads one line of output.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(rest) = line.trim().strip_prefix("test result: ") else {
            return;
        };
        for part in rest.split(['.', ';']) {
            let mut words = part.split_whitespace();
            match (words.next().and_then(|count| count.parse::<u64>().ok()), words.next()) {
                (Some(count), Some("passed")) => self.passed += count,
                (Some(count), Some("failed")) => self.failed += count,
                _ => {}
            }
        }
    }

    /// The suite ended: a failure that no test owns counts as one.
    pub(crate) fn end(&mut self, success: bool, failed_before: u64) {
        if !success && self.failed == failed_before {
            self.failed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up() {
        let mut summary = Summary::default();
        summary.read("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.17s");
        summary.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        summary.read("test result of nothing");
        assert_eq!(summary, Summary { passed: 15, failed: 2 });
        summary.end(false, 2);
        assert_eq!(summary.failed, 3);
        summary.end(false, 2);
        assert_eq!(summary.failed, 3);
    }
}
