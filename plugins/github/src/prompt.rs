//! What a conversation is started with: who asked for what, where, and what was said before.
//!
//! Titles, bodies and comments were written by anybody who may write on GitHub: whoever makes a prompt of them marks
//! them as quoted text. Each comment carries its author's standing for that.

use std::cmp::Reverse;

use jackfield_sdk::prelude::*;

use crate::{
    api::Listed,
    event::User,
    trigger::{Place, Request},
};

/// Earlier comments that are handed on.
pub(crate) const MAX_COMMENTS: usize = 10;
/// Characters of an earlier comment that are handed on.
const MAX_CHARACTERS: usize = 500;

/// What GitHub had to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    pub(crate) branch: Option<String>,
    pub(crate) comments: Vec<Earlier>,
}

/// An earlier comment, cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Earlier {
    /// Login.
    author: String,
    /// `OWNER`, `MEMBER`, `COLLABORATOR`, `CONTRIBUTOR`, `NONE`, …
    association: String,
    /// RFC 3339, as GitHub gives it.
    created_at: String,
    body: String,
}

/// The inputs of a conversation's prompts.
#[derive(Debug, Serialize)]
pub(crate) struct PromptInputs<'r> {
    trigger: Trigger,
    /// `owner/name`
    repository: String,
    /// Issue or pull request.
    number: u64,
    installation: u64,
    requested_by: Person<'r>,
    /// What the agent is asked: the comment as it is, or one line for a labelled issue.
    message: String,
    title: &'r str,
    body: &'r str,
    /// The pull request's branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    /// The commented file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'r str>,
    /// The commented line; none when the comment is about the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The comment that asked; replies belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<u64>,
    /// Earlier comments, oldest first; on a diff those of the same thread.
    comments: Vec<Earlier>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Trigger {
    IssueLabel,
    IssueComment,
    PullRequestComment,
    ReviewComment,
}

#[derive(Debug, Serialize)]
struct Person<'r> {
    id: u64,
    login: &'r str,
}

impl<'r> PromptInputs<'r> {
    pub(crate) fn new(request: &'r Request, context: Context) -> Self {
        let (trigger, file, line) = match &request.place {
            Place::Issue { .. } => (Trigger::IssueLabel, None, None),
            Place::IssueComment { .. } => (Trigger::IssueComment, None, None),
            Place::PullComment { .. } => (Trigger::PullRequestComment, None, None),
            Place::ReviewComment { file, line, .. } => (Trigger::ReviewComment, Some(file.as_str()), *line),
        };
        let said = request.said();
        Self {
            trigger,
            repository: request.full_name(),
            number: request.number,
            installation: request.installation,
            requested_by: Person {
                id: request.asker.id,
                login: &request.asker.login,
            },
            message: said.map_or_else(
                || format!("Please fix issue number {}.", request.number),
                |said| said.text.clone(),
            ),
            title: &request.title,
            body: &request.body,
            branch: context.branch,
            file,
            line,
            comment: said.map(|said| said.id),
            comments: context.comments,
        }
    }
}

/// The newest comments before the one that asks, people's before bots', oldest first. An edit may ask long after its
/// comment was written, so then later comments count too.
pub(crate) fn pick(listed: Vec<Listed>, request: &Request) -> Vec<Earlier> {
    let before = |it: &Listed| {
        request
            .said()
            .is_none_or(|said| if said.edited { it.id != said.id } else { it.id < said.id })
    };
    let spoken = |it: &Listed| it.body.as_ref().is_some_and(|body| !body.trim().is_empty());
    let mut listed: Vec<Listed> = listed.into_iter().filter(|it| before(it) && spoken(it)).collect();
    listed.sort_by_key(|it| (it.user.as_ref().is_some_and(User::is_bot), Reverse(it.id)));
    listed.dedup_by_key(|it| it.id);
    listed.truncate(MAX_COMMENTS);
    listed.sort_by_key(|it| it.id);
    listed.into_iter().map(Earlier::from).collect()
}

impl From<Listed> for Earlier {
    fn from(listed: Listed) -> Self {
        Self {
            // GitHub calls the account of those who left "ghost".
            author: listed.user.map_or_else(|| "ghost".to_owned(), |user| user.login),
            association: listed.author_association,
            created_at: listed.created_at,
            body: cut(&listed.body.unwrap_or_default()),
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
