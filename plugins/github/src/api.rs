//! What this plugin asks of GitHub on behalf of one installation.

use jackfield_sdk::{
    http::StatusCode,
    http_client::{HttpResponse, RequestBuilder},
    prelude::*,
};

use crate::{
    app::App,
    event::{Head, User},
    prompt::{Context, MAX_COMMENTS, pick},
    rest::{Rest, accepted},
    trigger::{Place, Request},
};

/// The reaction that says "seen".
const EYES: &str = "eyes";
/// Largest page that GitHub gives.
const PAGE: u64 = 100;
/// Pages of a pull request's review comments that are searched for a thread.
const THREAD_PAGES: u64 = 5;

/// GitHub as one installation of the app sees it.
pub(crate) struct Api {
    rest: Rest,
    app: App,
}

/// What somebody may do in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// `admin`, `maintain`, `write`, `triage`, `read` or `none`.
    permission: String,
}

impl Access {
    pub(crate) fn may_write(&self) -> bool {
        matches!(self.permission.as_str(), "admin" | "maintain" | "write")
    }
}

/// A comment as GitHub lists it.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: u64,
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) author_association: String,
    #[serde(default)]
    pub(crate) created_at: String,
    pub(crate) body: Option<String>,
    /// The thread's first comment, on replies to review comments.
    pub(crate) in_reply_to_id: Option<u64>,
}

#[derive(Deserialize)]
struct Reaction {
    id: u64,
    user: Option<User>,
}

impl Api {
    pub(crate) fn new(rest: Rest, app: App) -> Self {
        Self { rest, app }
    }

    /// The app's own identity.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The transport, for calls as the app itself.
    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// What the asker may do in the repository. Somebody whom GitHub does not know there may do nothing.
    pub(crate) async fn permission(&self, request: &Request) -> Result<Access> {
        let path = inside(request, &["collaborators", &request.asker.login, "permission"]);
        let answer = self.call(request, || self.rest.get(&path, &[])).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(Access {
                permission: "none".to_owned(),
            });
        }
        accepted(answer)?.json()
    }

    /// Adds the reaction where it was asked; gives its id. GitHub keeps one per user and content, so doing it again
    /// changes nothing, and an attempt after a crash looks first.
    pub(crate) async fn acknowledge(&self, request: &Request, attempt: Attempt) -> Result<u64> {
        #[derive(Serialize)]
        struct React {
            content: &'static str,
        }
        if attempt.maybe_done()
            && let Some(id) = self.own_reaction(request).await?
        {
            return Ok(id);
        }
        let path = reactions(request);
        let answer = self
            .call(request, || self.rest.post(&path).json(&React { content: EYES }))
            .await?;
        Ok(accepted(answer)?.json::<Reaction>()?.id)
    }

    /// What was said before, and the branch of a pull request.
    pub(crate) async fn context(&self, request: &Request) -> Result<Context> {
        Ok(match &request.place {
            Place::Issue { comments } | Place::IssueComment { comments, .. } => Context {
                branch: None,
                comments: pick(self.conversation(request, *comments).await?, request),
            },
            Place::PullComment { comments, .. } => Context {
                branch: Some(self.branch(request).await?),
                comments: pick(self.conversation(request, *comments).await?, request),
            },
            Place::ReviewComment {
                thread, branch, said, ..
            } => {
                let alone = *thread == said.id && !said.edited;
                let listed = if alone {
                    Vec::new()
                } else {
                    self.thread(request, *thread).await?
                };
                Context {
                    branch: Some(branch.clone()),
                    comments: pick(listed, request),
                }
            }
        })
    }

    async fn own_reaction(&self, request: &Request) -> Result<Option<u64>> {
        let bot = format!("{}[bot]", self.app.slug().await?);
        let path = reactions(request);
        let query = [("content", EYES), ("per_page", "100")];
        let answer = self.call(request, || self.rest.get(&path, &query)).await?;
        let all: Vec<Reaction> = accepted(answer)?.json()?;
        let ours = |user: &User| user.login.eq_ignore_ascii_case(&bot);
        Ok(all
            .into_iter()
            .find(|reaction| reaction.user.as_ref().is_some_and(ours))
            .map(|reaction| reaction.id))
    }

    /// GitHub lists a conversation from its beginning; the newest comments are on the last page, and when that one is
    /// short, on the page before.
    async fn conversation(&self, request: &Request, comments: u64) -> Result<Vec<Listed>> {
        let path = inside(request, &["issues", &request.number.to_string(), "comments"]);
        let last = comments.div_ceil(PAGE).max(1);
        let mut listed = self.page(request, &path, last, &[]).await?;
        if last > 1 && listed.len() <= 2 * MAX_COMMENTS {
            listed.extend(self.page(request, &path, last - 1, &[]).await?);
        }
        Ok(listed)
    }

    /// The comments of one review thread, newest first, as far back as the bounded search finds them.
    async fn thread(&self, request: &Request, thread: u64) -> Result<Vec<Listed>> {
        let path = inside(request, &["pulls", &request.number.to_string(), "comments"]);
        let mut found = Vec::new();
        for page in 1..=THREAD_PAGES {
            let listed = self
                .page(request, &path, page, &[("sort", "created"), ("direction", "desc")])
                .await?;
            let full = listed.len() as u64 >= PAGE;
            let oldest = listed.iter().map(|comment| comment.id).min().unwrap_or_default();
            found.extend(
                listed
                    .into_iter()
                    .filter(|it| it.id == thread || it.in_reply_to_id == Some(thread)),
            );
            if !full || oldest <= thread || found.len() > MAX_COMMENTS {
                break;
            }
        }
        Ok(found)
    }

    async fn branch(&self, request: &Request) -> Result<String> {
        #[derive(Deserialize)]
        struct Pull {
            head: Head,
        }
        let path = inside(request, &["pulls", &request.number.to_string()]);
        let answer = self.call(request, || self.rest.get(&path, &[])).await?;
        Ok(accepted(answer)?.json::<Pull>()?.head.branch)
    }

    async fn page(&self, request: &Request, path: &[String], page: u64, order: &[(&str, &str)]) -> Result<Vec<Listed>> {
        let (size, page) = (PAGE.to_string(), page.to_string());
        let mut query = vec![("per_page", size.as_str()), ("page", page.as_str())];
        query.extend_from_slice(order);
        let answer = self.call(request, || self.rest.get(path, &query)).await?;
        accepted(answer)?.json()
    }

    /// Sends as the installation. A token that GitHub refuses is fetched anew, once.
    async fn call(&self, request: &Request, make: impl Fn() -> RequestBuilder) -> Result<HttpResponse> {
        let token = self.app.token(request.installation).await?;
        let answer = self.rest.send(make().bearer(&token)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.app.forget(request.installation, &token).await;
        let token = self.app.token(request.installation).await?;
        self.rest.send(make().bearer(&token)).await
    }
}

/// A path inside the repository.
fn inside(request: &Request, tail: &[&str]) -> Vec<String> {
    ["repos", &request.owner, &request.repository]
        .into_iter()
        .chain(tail.iter().copied())
        .map(str::to_owned)
        .collect()
}

/// The reactions of what asked: the issue or the comment.
fn reactions(request: &Request) -> Vec<String> {
    let number = request.number.to_string();
    match &request.place {
        Place::Issue { .. } => inside(request, &["issues", &number, "reactions"]),
        Place::IssueComment { said, .. } | Place::PullComment { said, .. } => {
            inside(request, &["issues", "comments", &said.id.to_string(), "reactions"])
        }
        Place::ReviewComment { said, .. } => inside(request, &["pulls", "comments", &said.id.to_string(), "reactions"]),
    }
}

#[cfg(test)]
mod tests;
