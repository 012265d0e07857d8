//! What GitHub delivers. Only what this plugin reads is named; unknown members and unknown kinds are normal.
//!
//! Payloads: <https://docs.github.com/webhooks/webhook-events-and-payloads>.

use jackfield_sdk::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};

/// A delivery, read as far as its kind asks for.
#[derive(Debug)]
pub(crate) enum Event {
    /// Nothing names an installation: the app's `ping`, or a hook that is not the app's.
    NoInstallation {
        /// `ping`
        kind: String,
    },
    /// A kind that never starts anything.
    Other {
        /// `push`, `issues.opened`
        kind: String,
    },
    /// A kind that may start something.
    Candidate(Box<Candidate>),
}

/// The payload of `issues`, `issue_comment` and `pull_request_review_comment`.
#[derive(Debug, Deserialize)]
pub(crate) struct Candidate {
    #[serde(default)]
    pub(crate) action: String,
    pub(crate) installation: Installation,
    pub(crate) repository: Option<Repository>,
    pub(crate) sender: Option<User>,
    pub(crate) issue: Option<Issue>,
    pub(crate) pull_request: Option<PullRequest>,
    pub(crate) label: Option<Label>,
    pub(crate) comment: Option<Comment>,
    pub(crate) changes: Option<Changes>,
}

/// Where the app is installed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Installation {
    pub(crate) id: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) owner: User,
}

/// A person, a bot or an organisation.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    pub(crate) login: String,
    #[serde(default)]
    pub(crate) id: u64,
    /// `User`, `Bot`, `Organization`, `Mannequin`.
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
}

impl User {
    pub(crate) fn is_bot(&self) -> bool {
        self.kind == "Bot" || self.login.ends_with("[bot]")
    }
}

/// An issue; also a pull request seen through its conversation.
#[derive(Debug, Deserialize)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    /// Comments at the time of the event.
    #[serde(default)]
    pub(crate) comments: u64,
    /// There when the issue is a pull request.
    pub(crate) pull_request: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PullRequest {
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) head: Head,
}

/// The branch a pull request comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    #[serde(rename = "ref")]
    pub(crate) branch: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Label {
    pub(crate) name: String,
}

/// A comment on an issue, in a pull request's conversation, or on a line of its diff.
#[derive(Debug, Deserialize)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) body: String,
    pub(crate) user: Option<User>,
    /// The app through which a person's token was used.
    pub(crate) performed_via_github_app: Option<Via>,
    /// File, on review comments.
    pub(crate) path: Option<String>,
    /// Line in the file now; null when the comment is outdated or about the whole file.
    pub(crate) line: Option<u64>,
    /// Line when the comment was written.
    pub(crate) original_line: Option<u64>,
    /// The thread's first comment, on replies.
    pub(crate) in_reply_to_id: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Via {
    #[serde(default)]
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) client_id: String,
}

/// What an edit replaced.
#[derive(Debug, Deserialize)]
pub(crate) struct Changes {
    pub(crate) body: Option<Former>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Former {
    #[serde(default)]
    pub(crate) from: String,
}

/// What every payload may have; a member of another shape counts as missing.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "lenient")]
    action: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    installation: Option<Installation>,
    issue: Option<IgnoredAny>,
    pull_request: Option<IgnoredAny>,
    comment: Option<IgnoredAny>,
}

impl FromDelivery for Event {
    fn from_delivery(delivery: &Delivery) -> Result<Self> {
        let envelope: Envelope = serde_json::from_slice(&delivery.body).map_err(|error| {
            Error::permanent(format!(
                "the body is no JSON object ({error}); the app's webhook must send application/json, not a form"
            ))
        })?;
        let name = delivery
            .header("x-github-event")
            .unwrap_or_else(|| envelope.looks_like());
        let kind = match &envelope.action {
            Some(action) => format!("{name}.{action}"),
            None => name.to_owned(),
        };
        if envelope.installation.is_none_or(|installation| installation.id == 0) {
            return Ok(Self::NoInstallation { kind });
        }
        if !matches!(name, "issues" | "issue_comment" | "pull_request_review_comment") {
            return Ok(Self::Other { kind });
        }
        serde_json::from_slice(&delivery.body)
            .map(Self::Candidate)
            .map_err(|error| Error::permanent(format!("this `{kind}` payload does not parse: {error}")))
    }
}

impl Envelope {
    /// The kind by shape, for a delivery that came without `X-GitHub-Event` (a replay by hand).
    fn looks_like(&self) -> &'static str {
        match (&self.comment, &self.pull_request, &self.issue) {
            (Some(_), Some(_), _) => "pull_request_review_comment",
            (Some(_), None, Some(_)) => "issue_comment",
            (None, None, Some(_)) => "issues",
            _ => "unknown",
        }
    }
}

fn lenient<'de, D, T>(deserializer: D) -> std::result::Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(serde_json::from_value(serde_json::Value::deserialize(deserializer)?).ok())
}

#[cfg(test)]
mod tests;
