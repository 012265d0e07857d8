//! Adding up what `cargo test` prints.

/// Tests that passed and failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Passed.
    pub(crate) passed: u64,
    /// Failed; a suite that did not build, died or was stopped counts as one.
    pub(crate) failed: u64,
    /// Failures that no test owns, in words.
    pub(crate) problems: Vec<String>,
    /// The suite that runs, until its result is read.
    suite: Option<String>,
    /// What had failed when this run of cargo began.
    failed_before: u64,
}

impl Summary {
    /// Reads one line of output; tells whether a suite begins with it.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        if let Some(suite) = suite(line) {
            self.close_suite();
            self.suite = Some(suite);
            return true;
        }
        let Some((_, rest)) = line.split_once("test result: ") else {
            return false;
        };
        self.suite = None;
        for part in rest.split(['.', ';']) {
            let mut words = part.split_whitespace();
            match (words.next().and_then(|count| count.parse::<u64>().ok()), words.next()) {
                (Some(count), Some("passed")) => self.passed += count,
                (Some(count), Some("failed")) => self.failed += count,
                _ => {}
            }
        }
        false
    }

    /// The suite that runs now.
    pub(crate) fn suite(&self) -> Option<&str> {
        self.suite.as_deref()
    }

    /// Something failed that is no test.
    pub(crate) fn fail(&mut self, problem: String) {
        self.failed += 1;
        self.problems.push(problem);
    }

    /// Cargo ended: a failure that nothing so far accounts for counts as one.
    pub(crate) fn end(&mut self, success: bool) {
        self.close_suite();
        if !success && self.failed == self.failed_before {
            self.fail("cargo failed before it ran a test; its message is above".to_owned());
        }
        self.failed_before = self.failed;
    }

    fn close_suite(&mut self) {
        if let Some(suite) = self.suite.take() {
            self.fail(format!("{suite} ended without a result: it died or was stopped"));
        }
    }
}

/// `Running unittests src/lib.rs (target/debug/deps/xtask-1f)` or `Doc-tests jackfield_sdk`.
fn suite(line: &str) -> Option<String> {
    let line = line.trim();
    let binary = line
        .strip_prefix("Running ")
        .filter(|rest| rest.contains("/deps/") && rest.ends_with(')'));
    let docs = line.strip_prefix("Doc-tests ").filter(|name| !name.contains(' '));
    binary
        .map(str::to_owned)
        .or_else(|| docs.map(|name| format!("the doctests of {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up() {
        let mut summary = Summary::default();
        assert!(summary.read("     Running unittests src/lib.rs (target/debug/deps/a-1f)"));
        summary.read("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.17s");
        assert!(summary.read("   Doc-tests jackfield_sdk"));
        summary.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        summary.read("test result of nothing");
        assert_eq!((summary.passed, summary.failed), (15, 2));
        summary.end(false);
        assert_eq!(summary.failed, 2, "the failed tests account for it");
        summary.end(false);
        assert_eq!(summary.failed, 3, "nothing accounts for it");
    }

    #[test]
    fn a_suite_without_a_result_failed() {
        let mut summary = Summary::default();
        summary.read("     Running unittests src/lib.rs (target/debug/deps/a-1f)");
        summary.read("     Running tests/b.rs (/elsewhere/debug/deps/b-2e)");
        summary.read("test result: ok. 1 passed; 0 failed; 0 ignored");
        summary.end(false);
        assert_eq!((summary.passed, summary.failed), (1, 1));
        assert!(summary.problems[0].contains("src/lib.rs"));
    }
}
