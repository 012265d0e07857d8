//! A stored delivery, job or schedule's slot as the test sees it.

use std::fmt;

use bytes::Bytes;
use jackfield_inbox::model::{Detail, State, WorkKind};
use jackfield_sdk::{
    error::Failure,
    run::{Memo, MemoState, Outcome, OutcomeResult},
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// One piece of work: what came in, the steps that were made, and what came of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Work(pub(crate) Detail);

impl Work {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.0.summary.id
    }

    /// Where it came from.
    pub fn kind(&self) -> WorkKind {
        self.0.summary.kind
    }

    /// Name of the webhook, job or schedule.
    pub fn handler(&self) -> &str {
        &self.0.summary.handler
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.0.summary.state
    }

    /// The sender's delivery id, the job's key, or the slot.
    pub fn delivery_id(&self) -> &str {
        &self.0.summary.delivery_id
    }

    /// Whose data it is; empty when not known.
    pub fn tenant(&self) -> &str {
        &self.0.summary.tenant
    }

    /// Lane.
    pub fn lane(&self) -> Option<&str> {
        self.0.summary.lane.as_deref()
    }

    /// Kind of event.
    pub fn event(&self) -> &str {
        &self.0.summary.event
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The first value of a header, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        std::str::from_utf8(&found?.1).ok()
    }

    /// Runs so far.
    pub fn attempts(&self) -> u32 {
        self.0.summary.attempts
    }

    /// The last failure.
    pub fn error(&self) -> Option<&str> {
        self.0.summary.last_error.as_deref()
    }

    /// Why it is in its state.
    pub fn reason(&self) -> Option<&str> {
        self.0.summary.reason.as_deref()
    }

    /// What came of it.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.0.outcome.as_ref()
    }

    /// Its steps in the order of their start.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.0.steps.iter().map(Step)
    }

    /// The names of its steps in the order of their start.
    pub fn step_names(&self) -> Vec<&str> {
        self.0.steps.iter().map(|memo| memo.name.as_str()).collect()
    }

    /// The step called `name`. Panics when it was not made.
    #[track_caller]
    pub fn step(&self, name: &str) -> Step<'_> {
        match self.0.steps.iter().find(|memo| memo.name == name) {
            Some(memo) => Step(memo),
            None => panic!("no step `{name}` was made\n{self}"),
        }
    }

    /// Steps that the last run did not visit.
    pub fn orphans(&self) -> &[String] {
        &self.0.orphans
    }

    /// The summary of an outcome that says `done`. Panics otherwise.
    #[track_caller]
    pub fn done(&self) -> &str {
        self.ended(OutcomeResult::Done)
    }

    /// The summary of an outcome that says `ignored`. Panics otherwise.
    #[track_caller]
    pub fn ignored(&self) -> &str {
        self.ended(OutcomeResult::Ignored)
    }

    /// Why it is dead. Panics when it is not.
    #[track_caller]
    pub fn dead(&self) -> &str {
        match (self.state(), self.error()) {
            (State::Dead, Some(why)) => why,
            _ => panic!("it is not dead\n{self}"),
        }
    }

    #[track_caller]
    fn ended(&self, result: OutcomeResult) -> &str {
        match self.outcome() {
            Some(outcome) if outcome.result == result => &outcome.summary,
            _ => panic!("the outcome is not {result:?}\n{self}"),
        }
    }
}

/// Tells the whole story: what a failed test prints.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = &self.0.summary;
        writeln!(
            f,
            "{} `{}` {} of `{}`: {} after {} runs",
            summary.kind.as_str(),
            summary.handler,
            summary.delivery_id,
            summary.plugin,
            summary.state.as_str(),
            summary.attempts
        )?;
        for step in self.steps() {
            writeln!(f, "  step `{}` (run {}): {}", step.name(), step.0.attempt, step.told())?;
        }
        if let Some(wait) = &self.0.wait {
            writeln!(
                f,
                "  waits in `{}` for {}",
                wait.name,
                wait.topic.as_deref().unwrap_or("a time")
            )?;
        }
        if let Some(outcome) = &self.0.outcome {
            writeln!(f, "  outcome: {:?}, {}", outcome.result, outcome.summary)?;
        }
        if let Some(reason) = &summary.reason {
            writeln!(f, "  reason: {reason}")?;
        }
        if let Some(error) = &summary.last_error {
            writeln!(f, "  last error: {error}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'w>(&'w Memo);

impl<'w> Step<'w> {
    /// Its name.
    pub fn name(&self) -> &'w str {
        &self.0.name
    }

    /// The idempotency key it ran with.
    pub fn key(&self) -> &'w str {
        &self.0.key
    }

    /// The run that made it, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Its result, or the value of the signal that ended its wait. Panics when there is none or it is of another type.
    #[track_caller]
    pub fn result<T: DeserializeOwned>(&self) -> T {
        let (MemoState::Done { result: json } | MemoState::Signalled { value: json }) = &self.0.state else {
            panic!("step `{}` has no result: {}", self.0.name, self.told());
        };
        match serde_json::from_slice(json) {
            Ok(value) => value,
            Err(error) => panic!("step `{}` has another result: {error}", self.0.name),
        }
    }

    /// Why it was refused, when it was.
    pub fn refused(&self) -> Option<&'w Failure> {
        match &self.0.state {
            MemoState::Refused { failure } => Some(failure),
            _ => None,
        }
    }

    /// Whether it is a wait whose deadline came first.
    pub fn timed_out(&self) -> bool {
        self.0.state == MemoState::TimedOut
    }

    fn told(&self) -> String {
        match &self.0.state {
            MemoState::Done { result } => format!("done, {}", String::from_utf8_lossy(result)),
            MemoState::Refused { failure } => format!("refused, {}", failure.message),
            MemoState::Failing { count } => format!("failed {count} times so far"),
            MemoState::Signalled { value } => format!("signalled, {}", String::from_utf8_lossy(value)),
            MemoState::TimedOut => "timed out".to_owned(),
        }
    }
}
