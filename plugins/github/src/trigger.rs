//! Does a delivery ask for something? Pure: a predicate on the payload.
//!
//! Four places ask: the label on an issue, a mention in a comment on an issue, in a pull request's conversation, or on a
//! line of its diff. An edit asks when it adds a mention. Bots never ask, and neither does this app through a person's
//! token: that ends loops before they begin.

use crate::{
    event::{Candidate, Comment, User},
    mention::Mention,
};

/// What asks, from the settings.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    label: String,
    mention: Mention,
    /// The app's client id or app id.
    app: String,
}

/// What a delivery comes to.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Somebody asks.
    Start(Request),
    /// Nobody asks, and why.
    Nothing(String),
}

/// Who asks for what, and where.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) installation: u64,
    pub(crate) owner: String,
    pub(crate) repository: String,
    /// Issue or pull request.
    pub(crate) number: u64,
    pub(crate) asker: User,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) place: Place,
}

/// Where it was asked: also where the acknowledgement belongs.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The label on an issue.
    Issue {
        /// Comments at the time.
        comments: u64,
    },
    /// A comment on an issue.
    IssueComment {
        /// The comment.
        said: Said,
        /// Comments at the time.
        comments: u64,
    },
    /// A comment in a pull request's conversation.
    PullComment {
        /// The comment.
        said: Said,
        /// Comments at the time.
        comments: u64,
    },
    /// A comment on a pull request's diff.
    ReviewComment {
        /// The comment.
        said: Said,
        /// The thread's first comment.
        thread: u64,
        /// The branch the pull request comes from.
        branch: String,
        /// The file.
        file: String,
        /// The line, unless it is about the whole file.
        line: Option<u64>,
    },
}

/// A comment that asks.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) id: u64,
    pub(crate) text: String,
    /// An edit asked: later comments are older than the question.
    pub(crate) edited: bool,
}

impl Request {
    /// `owner/name`
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }

    /// The comment that asks; none when it is a label.
    pub(crate) fn said(&self) -> Option<&Said> {
        match &self.place {
            Place::Issue { .. } => None,
            Place::IssueComment { said, .. } | Place::PullComment { said, .. } | Place::ReviewComment { said, .. } => {
                Some(said)
            }
        }
    }
}

impl Rule {
    /// `label` is the issue label (exact) and the name that is mentioned (any case).
    pub(crate) fn new(label: &str, app: &str) -> Self {
        Self {
            label: label.to_owned(),
            mention: Mention::of(label),
            app: app.to_owned(),
        }
    }

    /// Decides about a payload.
    pub(crate) fn decide(&self, event: &Candidate) -> Decision {
        self.request(event).map_or_else(Decision::Nothing, Decision::Start)
    }

    fn request(&self, event: &Candidate) -> Result<Request, String> {
        let repository = event.repository.as_ref().ok_or("the payload names no repository")?;
        let asker = event.sender.as_ref().ok_or("the payload names no sender")?;
        if asker.is_bot() {
            return Err(format!("{} is a bot", asker.login));
        }
        let (number, title, body, place) = match event.action.as_str() {
            "labeled" => self.labelled(event)?,
            "created" => self.commented(event, false)?,
            "edited" => self.commented(event, true)?,
            other => return Err(format!("action `{other}` never starts a conversation")),
        };
        Ok(Request {
            installation: event.installation.id,
            owner: repository.owner.login.clone(),
            repository: repository.name.clone(),
            number,
            asker: asker.clone(),
            title: title.to_owned(),
            body: body.clone().unwrap_or_default(),
            place,
        })
    }

    fn labelled<'e>(&self, event: &'e Candidate) -> Result<Asked<'e>, String> {
        let (Some(label), Some(issue)) = (&event.label, &event.issue) else {
            return Err("only a label on an issue starts a conversation".to_owned());
        };
        if issue.pull_request.is_some() {
            return Err("a label on a pull request starts no conversation".to_owned());
        }
        if label.name != self.label {
            return Err(format!("the label is not `{}`", self.label));
        }
        Ok((
            issue.number,
            &issue.title,
            &issue.body,
            Place::Issue {
                comments: issue.comments,
            },
        ))
    }

    fn commented<'e>(&self, event: &'e Candidate, edited: bool) -> Result<Asked<'e>, String> {
        let comment = event.comment.as_ref().ok_or("the payload has no comment")?;
        if comment.user.as_ref().is_some_and(User::is_bot) {
            return Err("the comment was written by a bot".to_owned());
        }
        if self.is_ours(comment) {
            return Err("the comment was written through this app".to_owned());
        }
        if !self.mention.occurs(&comment.body) {
            return Err(format!("the comment does not mention @{}", self.label));
        }
        if edited {
            let former = event.changes.as_ref().and_then(|changes| changes.body.as_ref());
            let former = former.ok_or("the edit left the text as it was")?;
            if self.mention.occurs(&former.from) {
                return Err(format!("the text before the edit mentioned @{} already", self.label));
            }
        }
        let said = Said {
            id: comment.id,
            text: comment.body.clone(),
            edited,
        };
        if let Some(pull) = &event.pull_request {
            let place = Place::ReviewComment {
                said,
                thread: comment.in_reply_to_id.unwrap_or(comment.id),
                branch: pull.head.branch.clone(),
                file: comment.path.clone().unwrap_or_default(),
                line: comment.line.or(comment.original_line),
            };
            return Ok((pull.number, &pull.title, &pull.body, place));
        }
        let issue = event
            .issue
            .as_ref()
            .ok_or("the comment is on neither an issue nor a pull request")?;
        let comments = issue.comments;
        let place = match issue.pull_request {
            Some(_) => Place::PullComment { said, comments },
            None => Place::IssueComment { said, comments },
        };
        Ok((issue.number, &issue.title, &issue.body, place))
    }

    fn is_ours(&self, comment: &Comment) -> bool {
        comment
            .performed_via_github_app
            .as_ref()
            .is_some_and(|via| via.client_id == self.app || via.id.to_string() == self.app)
    }
}

/// Number, title, body, place.
type Asked<'e> = (u64, &'e str, &'e Option<String>, Place);

#[cfg(test)]
mod tests;
