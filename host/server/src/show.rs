//! Deliveries as people and scripts see them: secrets redacted, bodies as text where they are text.

use base64::Engine;
use jackfield_inbox::model::Detail;
use jackfield_sdk::run::{Memo, MemoState};
use serde_json::{Value, json};

/// Headers whose value lets somebody act in the sender's name.
const SECRET_HEADERS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-gitlab-token",
    "x-api-key",
    "x-session-api-key",
];

/// JSON of one delivery.
pub(crate) fn detail(detail: &Detail) -> Value {
    let mut value = serde_json::to_value(&detail.summary).unwrap_or_default();
    let headers: Vec<Value> = detail
        .headers
        .iter()
        .map(|(name, value)| {
            let secret = SECRET_HEADERS.contains(&name.as_str()) || name.contains("token") || name.contains("secret");
            let shown = if secret {
                "[redacted]".into()
            } else {
                String::from_utf8_lossy(value)
            };
            json!({ "name": name, "value": shown })
        })
        .collect();
    value["headers"] = headers.into();
    match std::str::from_utf8(&detail.body) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["body_base64"] = base64::engine::general_purpose::STANDARD.encode(&detail.body).into(),
    }
    value["attempts_log"] = serde_json::to_value(&detail.attempts).unwrap_or_default();
    value["steps"] = detail.steps.iter().map(step).collect();
    value["outcome_detail"] = detail
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.detail.clone())
        .unwrap_or_default();
    value["result"] = detail
        .outcome
        .as_ref()
        .map(|outcome| json!(outcome.result))
        .unwrap_or_default();
    value["waits_for"] = detail
        .wait
        .as_ref()
        .map(|wait| json!({ "step": wait.name, "topic": wait.topic }))
        .unwrap_or_default();
    value["orphaned_steps"] = json!(detail.orphans);
    value
}

fn step(memo: &Memo) -> Value {
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map(redacted).unwrap_or_default();
    let (state, result) = match &memo.state {
        MemoState::Done { result } => ("done", parsed(result)),
        MemoState::Refused { failure } => ("refused", json!(failure.message)),
        MemoState::Failing { count } => ("failing", json!(count)),
        MemoState::Signalled { value } => ("signalled", parsed(value)),
        MemoState::TimedOut => ("timed_out", Value::Null),
    };
    json!({
        "name": memo.name, "key": memo.key, "state": state, "result": result, "attempt": memo.attempt,
        "started_at": jackfield_inbox::when::text(memo.started_ms),
        "ended_at": jackfield_inbox::when::text(memo.ended_ms),
    })
}

/// Members whose name says that they are secret are not shown.
fn redacted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (String, Value)| {
                let lower = name.to_ascii_lowercase();
                let secret = ["token", "secret", "password", "private_key"]
                    .iter()
                    .any(|word| lower.contains(word));
                (name, if secret { "[redacted]".into() } else { redacted(value) })
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_members_are_not_shown() {
        let shown = redacted(json!({ "a": [{ "access_token": "canary", "n": 1 }], "PASSWORD": "canary" }));
        assert_eq!(
            shown,
            json!({ "a": [{ "access_token": "[redacted]", "n": 1 }], "PASSWORD": "[redacted]" })
        );
    }
}
