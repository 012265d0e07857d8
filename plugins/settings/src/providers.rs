//! Tokens of git providers: `/api/add-git-providers`, `/api/unset-provider-tokens`.
//!
//! Providers that are not named keep what they have. A token that is left out, empty or masked stays; the rest of its provider
//! is changed all the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use jackfield_sdk::{
    database::{Statement, Value as Cell},
    http::HeaderMap,
    prelude::*,
};
use serde_json::{Value, json};

use crate::{
    Settings,
    answer::{Answer, Mistake, Refused, SettingsError, SettingsMessage, SettingsMistakes, done, failed},
    body::{Body, Given, Null, place},
    change::{Wish, masked, mcp},
    mcp::McpConfig,
    sealed::is_masked,
    store::{self, Columns, Linked},
};

/// Providers that the client knows.
const PROVIDERS: [&str; 6] = [
    "github",
    "gitlab",
    "bitbucket",
    "forgejo",
    "azure_devops",
    "enterprise_sso",
];
/// Longest token, in characters.
const TOKEN: usize = 16 * 1024;

/// Tokens to keep.
#[derive(ToSchema)]
pub(crate) struct GitProviders {
    /// By provider: `github`, `gitlab`, `bitbucket`, `forgejo`, `azure_devops`, `enterprise_sso`.
    #[schema(value_type = BTreeMap<String, GitProvider>)]
    provider_tokens: Vec<(&'static str, GitProvider)>,
    /// As in the settings.
    #[schema(value_type = Option<McpConfig>)]
    mcp_config: Given<McpConfig>,
}

/// A provider's token.
#[derive(ToSchema)]
pub(crate) struct GitProvider {
    /// The token; the one that is there stays when it is left out or empty.
    token: Option<String>,
    /// Id of the person at the provider.
    #[schema(value_type = Option<String>)]
    user_id: Given<String>,
    /// Host, when it is not the provider's own.
    #[schema(value_type = Option<String>)]
    host: Given<String>,
}

/// Keeps tokens of git providers.
#[utoipa::path(post, path = "/api/add-git-providers", request_body = GitProviders,
    responses((status = 200, body = SettingsMessage), (status = 422, body = SettingsMistakes), (status = 500, body = SettingsError)))]
pub(crate) async fn add(settings: This<Settings>, who: Person, body: Bytes) -> Answer<Json<Value>> {
    let mut body = Body::read(&body)?;
    let new = GitProviders {
        provider_tokens: tokens(&mut body),
        mcp_config: mcp(&mut body),
    };
    let new = body.checked(Some(new))?;
    settings.add_providers(&who, new).await?;
    Ok(done("Git providers stored"))
}

/// Removes all tokens of git providers.
#[utoipa::path(post, path = "/api/unset-provider-tokens",
    responses((status = 200, body = SettingsMessage), (status = 500, body = SettingsError)))]
pub(crate) async fn unset(settings: This<Settings>, who: Person) -> Answer<Json<Value>> {
    let failed = failed("Something went wrong unsetting tokens");
    let gone =
        sql("DELETE FROM provider_token WHERE person = $1 AND organization = $2 RETURNING provider, token, host");
    let gone = gone.bind(&who.id).bind(&who.organization);
    let mut done_with = settings
        .database
        .batch([gone, other_version(&who)])
        .await
        .map_err(failed)?;
    let gone: Vec<Linked> = done_with.swap_remove(0).read().map_err(failed)?;
    let mut providers: Vec<String> = gone.iter().map(|one| one.provider.clone()).collect();
    providers.sort();
    settings
        .sealed
        .forget(&who.organization, gone.into_iter().filter_map(|one| one.token))
        .await;
    settings
        .note_tokens(&who, "provider_tokens.removed", &providers)
        .await
        .map_err(failed)?;
    Ok(done("Unset Git provider tokens"))
}

/// Settings show which providers are linked, so they have another version.
fn other_version(who: &Person) -> Statement {
    sql("UPDATE settings SET version = version + 1 WHERE person = $1 AND organization = $2")
        .bind(&who.id)
        .bind(&who.organization)
}

fn tokens(body: &mut Body) -> Vec<(&'static str, GitProvider)> {
    let at = body.loc("provider_tokens");
    let listed = match body.take("provider_tokens") {
        None => return Vec::new(),
        Some(Value::Object(listed)) => listed,
        Some(_) => {
            body.wrong(
                "dict_type",
                "provider_tokens",
                "Input should be a valid dictionary",
                None,
            );
            return Vec::new();
        }
    };
    let mut all = Vec::with_capacity(listed.len());
    for (provider, value) in listed {
        let loc = place(&at, provider.as_str());
        let Some(known) = PROVIDERS.into_iter().find(|known| *known == provider) else {
            let names = PROVIDERS.map(|name| format!("'{name}'"));
            let expected = format!("{} or {}", names[..5].join(", "), names[5]);
            body.mistakes.push(Mistake {
                kind: "enum",
                loc: place(&loc, "[key]"),
                msg: format!("Input should be {expected}"),
                input: Some(json!(provider)),
                ctx: Some(json!({ "expected": expected })),
            });
            continue;
        };
        let Value::Object(fields) = value else {
            body.mistakes.push(Mistake {
                kind: "model_attributes_type",
                loc,
                msg: "Input should be a valid dictionary or object to extract fields from".to_owned(),
                input: None,
                ctx: None,
            });
            continue;
        };
        let mut one = Body::within(fields, loc);
        let read = GitProvider {
            token: one.secret("token", TOKEN, Null::Allowed).flatten(),
            user_id: one.text("user_id"),
            host: one.text("host"),
        };
        body.mistakes.append(&mut one.mistakes);
        all.push((known, read));
    }
    all
}

impl Settings {
    async fn add_providers(&self, who: &Person, new: GitProviders) -> Answer<()> {
        let failed = failed("Something went wrong storing git providers");
        let there: Vec<Linked> = self
            .database
            .query_as(store::select_linked(who))
            .await
            .map_err(failed)?;
        let there: BTreeMap<String, Linked> = there.into_iter().map(|one| (one.provider.clone(), one)).collect();
        let place_of = |provider: &str| there.get(provider).and_then(|one| one.token.as_deref());

        let mut mistakes = Vec::new();
        for (provider, given) in &new.provider_tokens {
            if let Some(token) = given.token.as_deref().filter(|token| is_masked(token)) {
                let stands = self.sealed.is_mask_of(&who.organization, place_of(provider), token);
                if !stands.await.map_err(failed)? {
                    let loc = ["body", "provider_tokens", provider, "token"];
                    mistakes.push(masked(loc.into_iter().map(Value::from).collect()));
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(Refused::Mistakes(mistakes));
        }
        if new.mcp_config.is_some() {
            let wish = Wish::servers(new.mcp_config);
            self.change(who, wish, &HeaderMap::new()).await?;
        }

        let (mut statements, mut replaced, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (provider, given) in new.provider_tokens {
            let mut columns = Columns::new();
            let token = given.token.filter(|token| !token.is_empty() && !is_masked(token));
            if let Some(token) = token {
                let place = self.sealed.seal(&who.organization, token);
                columns.push(("token", place.await.map_err(failed)?.into()));
                replaced.extend(place_of(provider).map(str::to_owned));
            }
            let named = given.user_id.as_ref().is_some_and(|id| is_said(id.as_ref()));
            for (column, given) in [("user_id", given.user_id), ("host", given.host)] {
                let said = given.map(|text| text.filter(|text| is_said(Some(text))));
                columns.extend(said.map(|text| (column, text.into())));
            }
            let links = named || columns.iter().any(|(column, _)| *column == "token");
            // A provider without token and id is none: clients send an empty one for each that they know.
            if columns.is_empty() || !(links || there.contains_key(provider)) {
                continue;
            }
            let keys: [(&str, Cell); 3] = [
                ("person", (&who.id).into()),
                ("organization", (&who.organization).into()),
                ("provider", provider.into()),
            ];
            statements.push(store::upsert("provider_token", &keys, columns));
            changed.push(provider.to_owned());
        }
        if statements.is_empty() {
            return Ok(());
        }
        statements.push(other_version(who));
        self.database.batch(statements).await.map_err(failed)?;
        self.sealed.forget(&who.organization, replaced).await;
        self.note_tokens(who, "provider_tokens.stored", &changed)
            .await
            .map_err(failed)
    }

    async fn note_tokens(&self, who: &Person, action: &str, providers: &[String]) -> Result<()> {
        let target = format!("provider_tokens:{}", who.id);
        self.note(who, action, &target, json!({ "providers": providers })).await
    }
}

fn is_said(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}
