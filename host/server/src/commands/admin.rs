//! `admin …`: the running host does it, over its control socket.

use std::path::Path;

use http::Method;
use jackfield_config::Loaded;
use serde_json::{Value, json};

use super::{Failure, output};
use crate::{
    cli::{AdminCommand, AuditCommand, BlockedDomainsCommand, KeysCommand, SessionsCommand, UsersCommand},
    control,
};

/// Entries of one request.
const PAGE: i64 = 1_000;

pub(super) async fn admin(loaded: &Loaded, command: AdminCommand, as_json: bool) -> Result<(), Failure> {
    let host = Host(&loaded.settings.data_dir);
    match command {
        AdminCommand::SignInLink { email } => {
            let link = host.post("sign-in-links", &json!({ "email": email })).await?;
            shown(&link, "url", as_json);
        }
        AdminCommand::Users { command } => match command {
            UsersCommand::List => {
                let columns = ["id", "email", "email_verified", "username", "provider", "operator"];
                output::rows(&host.get("users").await?, &columns, "nobody yet", as_json);
            }
            UsersCommand::Set {
                user,
                operator,
                disabled,
            } => {
                let id = host.id_of(&user).await?;
                let change = json!({ "operator": operator, "disabled": disabled });
                let user = host.post(&format!("users/{id}"), &change).await?;
                if as_json {
                    output::json(&user);
                }
            }
        },
        AdminCommand::Sessions { command } => match command {
            SessionsCommand::List { user } => {
                let id = host.id_of(&user).await?;
                let rows = host.get(&format!("users/{id}/sessions")).await?;
                let columns = ["id", "created_ms", "seen_ms", "address", "user_agent"];
                output::rows(&rows, &columns, "no open session", as_json);
            }
            SessionsCommand::Revoke { user, session } => {
                let id = host.id_of(&user).await?;
                let which = session.map(|session| format!("/{session}")).unwrap_or_default();
                let ended = host
                    .call(Method::DELETE, &format!("users/{id}/sessions{which}"), None)
                    .await?;
                if as_json {
                    output::json(&ended);
                } else {
                    output::line(format_args!("{} ended", ended["ended"]));
                }
                if ended["ended"] == 0 {
                    return Err("no open session was ended; `jackfield admin sessions list` shows them".into());
                }
            }
        },
        AdminCommand::Keys {
            command: KeysCommand::Create { email, name, scopes },
        } => {
            let new = json!({ "email": email, "name": name, "scopes": scopes });
            shown(&host.post("keys", &new).await?, "key", as_json);
        }
        AdminCommand::BlockedDomains { command } => match command {
            BlockedDomainsCommand::List => {
                output::rows(
                    &host.get("blocked-domains").await?,
                    &["domain"],
                    "none is blocked",
                    as_json,
                );
            }
            BlockedDomainsCommand::Add { domain } => {
                let blocked = host.post("blocked-domains", &json!({ "domain": domain })).await?;
                shown(&blocked, "domain", as_json);
            }
            BlockedDomainsCommand::Remove { domain } => {
                host.call(Method::DELETE, &format!("blocked-domains/{domain}"), None)
                    .await?;
            }
        },
        AdminCommand::Audit {
            command: AuditCommand::Export { after },
        } => export(&host, after).await?,
    }
    Ok(())
}

fn shown(value: &Value, member: &str, as_json: bool) {
    if as_json {
        output::json(value);
    } else {
        output::line(value[member].as_str().unwrap_or_default());
    }
}

async fn export(host: &Host<'_>, mut after: i64) -> Result<(), Failure> {
    let mut broken = Vec::new();
    loop {
        let page = host.get(&format!("audit?after={after}&limit={PAGE}")).await?;
        let rows = page.as_array().map(Vec::as_slice).unwrap_or_default();
        for row in rows {
            output::line(row);
            after = row["seq"].as_i64().unwrap_or(after);
            if row["sound"] != true {
                broken.push(after);
            }
        }
        if i64::try_from(rows.len()).unwrap_or(0) < PAGE {
            break;
        }
    }
    match broken.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!(
            "{} entries do not follow from the one before, the first is {first}: it was changed, or one before it is missing",
            broken.len()
        )
        .into()),
    }
}

/// The running host.
struct Host<'d>(&'d Path);

impl Host<'_> {
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        Ok(control::call(self.0, method, &format!("/api/admin/v1/{path}"), body).await?)
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// The id of who has this address or id.
    async fn id_of(&self, user: &str) -> Result<String, Failure> {
        let all = self.get("users").await?;
        let same = |row: &&Value| {
            let email = row["email"].as_str().unwrap_or_default();
            row["id"] == user || email.eq_ignore_ascii_case(user)
        };
        let mut found = all.as_array().into_iter().flatten().filter(same);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
            (Some(_), Some(_)) => Err(format!("several people have the address `{user}`; give the id").into()),
            (None, _) => Err(format!("there is no person `{user}`; see `jackfield admin users list`").into()),
        }
    }
}
