//! Scripts that Redis runs in one step: nothing comes between what one reads and what it writes.

use std::time::Duration;

use jackfield_sdk::service::ServiceError;

use crate::redis::{PREFIX, Redis, within};

/// A script in Lua. Sent by its digest; in full only to a Redis that does not know it.
pub struct RedisScript(redis::Script);

impl RedisScript {
    /// Of its text, which must give a list of whole numbers.
    pub fn new(text: &str) -> Self {
        Self(redis::Script::new(text))
    }
}

impl Redis {
    /// Runs a script on one of our keys (`KEYS[1]`, with our prefix) with numbers (`ARGV`), and waits no longer than `wait`.
    /// Without an answer in that time it may still run.
    pub async fn run(
        &self,
        script: &RedisScript,
        key: &str,
        numbers: &[i64],
        wait: Duration,
    ) -> Result<Vec<i64>, ServiceError> {
        let mut call = script.0.key(format!("{PREFIX}{key}"));
        call.arg(numbers);
        let mut manager = self.manager.clone();
        within(wait, call.invoke_async(&mut manager)).await
    }
}
