//! `deliveries send`: what a provider would send, signed with the configured secret by the webhook's declared scheme.

use std::{io::Read, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jackfield_config::Loaded;
use jackfield_inbox::verify::sign;
use jackfield_plugins::{Enablement, Wanted};
use jackfield_sdk::{
    config::{Secret, SigningSecrets},
    descriptor::WebhookDescriptor,
    expr::Expr,
    webhook::{Scheme, SecretSource},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use super::{Failure, output};
use crate::{cli::SendOptions, control, fixtures, plan};

pub(super) async fn send(loaded: &Loaded, mut options: SendOptions, as_json: bool) -> Result<(), Failure> {
    let plan = plan::plan(&loaded.settings, None).map_err(|problems| {
        format!(
            "configuration has {} problem(s); `jackfield check` lists them",
            problems.len()
        )
    })?;
    if options.list {
        list(&plan.wanted, as_json);
        return Ok(());
    }
    let body = payload(&mut options)?;
    let takers = takers(loaded, &plan.wanted).await;
    let (plugin, hooks) = choose_plugin(&takers, options.plugin.as_deref())?;
    let hook = choose_webhook(plugin, hooks, options.webhook.as_deref())?;
    let id = options.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let headers = headers(plugin, &hook, &options, &id, &body)?;
    let to = match options.to {
        Some(to) => to,
        None => listener(loaded).await?,
    };
    let address = to.join(&hook.path)?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()?;
    let sent = client.post(address.clone()).headers(headers).body(body).send().await;
    let answer = sent.map_err(|error| format!("cannot reach {address}: {}", root_cause(&error)))?;
    let status = answer.status();
    let text = answer.text().await?;
    let stored = if status.is_success() {
        stored_id(loaded, &plugin.id, &id).await
    } else {
        None
    };
    if as_json {
        output::json(&json!({ "status": status.as_u16(), "answer": text, "delivery_id": id, "id": stored }));
    } else {
        output::line(format_args!("POST {address}\n{status}  {}", text.trim()));
        if let Some(stored) = &stored {
            output::line(format_args!(
                "stored as {stored}; see it with `jackfield deliveries show {stored}`"
            ));
        }
    }
    match status.as_u16() {
        200..=299 => Ok(()),
        401 | 403 => Err(
            "the host refused the signature: it runs with another secret than this command reads; give both the same \
            plugins.toml and environment"
                .into(),
        ),
        404 => Err(format!(
            "the host has no such webhook now; is `{}` active there? `jackfield plugins list` says",
            plugin.id
        )
        .into()),
        _ => Err(format!("the host answered {status}").into()),
    }
}

fn list(wanted: &[Wanted], as_json: bool) {
    let known = |plugin: &str| wanted.iter().any(|one| one.id == plugin);
    let rows: Value = fixtures::ALL
        .iter()
        .filter(|fixture| known(fixture.plugin))
        .map(|fixture| json!({ "name": fixture.name, "plugin": fixture.plugin, "event": fixture.event }))
        .collect();
    output::rows(
        &rows,
        &["name", "plugin", "event"],
        "this program carries no recorded payloads; give a file, or `-` for standard input",
        as_json,
    );
}

/// The bytes; a recorded payload also says whom it is for.
fn payload(options: &mut SendOptions) -> Result<Vec<u8>, Failure> {
    let given = options.fixture.as_deref().unwrap_or_default();
    if given == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    if let Some(fixture) = fixtures::named(given) {
        options.plugin.get_or_insert_with(|| fixture.plugin.to_owned());
        options.event.get_or_insert_with(|| fixture.event.to_owned());
        return Ok(fixture.body.to_vec());
    }
    std::fs::read(given).map_err(|error| {
        format!("cannot read `{given}`: {error}; give a file, `-`, or a name that `deliveries send --list` shows")
            .into()
    })
}

/// A plugin that takes webhooks, and those.
type Taker<'w> = (&'w Wanted, Vec<WebhookDescriptor>);

/// Every one. What a plugin in a file declares is asked of the running host, which has loaded it: nothing of it runs here.
async fn takers<'w>(loaded: &Loaded, wanted: &'w [Wanted]) -> Vec<Taker<'w>> {
    let mut takers = Vec::new();
    for one in wanted {
        let hooks = match &one.code {
            Some(code) => code.descriptor().webhooks.clone(),
            None => {
                let path = format!("/api/admin/v1/plugins/{}/webhooks", one.id);
                let told = control::call(&loaded.settings.data_dir, Method::GET, &path, None).await;
                told.ok()
                    .and_then(|hooks| serde_json::from_value(hooks).ok())
                    .unwrap_or_default()
            }
        };
        if !hooks.is_empty() {
            takers.push((one, hooks));
        }
    }
    takers
}

fn choose_plugin<'t>(
    takers: &'t [Taker<'t>],
    given: Option<&str>,
) -> Result<(&'t Wanted, &'t [WebhookDescriptor]), Failure> {
    let names = || {
        takers
            .iter()
            .map(|(one, _)| one.id.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match given {
        Some(id) => takers.iter().find(|(one, _)| one.id == id),
        None => {
            let enabled = |(one, _): &&Taker<'_>| matches!(one.enablement, Enablement::Enabled(_));
            let mut enabled = takers.iter().filter(enabled);
            enabled.next().filter(|_| enabled.next().is_none())
        }
    };
    let (plugin, hooks) = found.ok_or_else(|| match given {
        Some(id) => format!(
            "no plugin `{id}` takes webhooks; these do: {}. What a plugin in a file takes is known while a host runs it",
            names()
        ),
        None => format!("say which plugin with --plugin: {}", names()),
    })?;
    match &plugin.enablement {
        Enablement::Enabled(_) => Ok((plugin, hooks)),
        Enablement::Disabled(why) | Enablement::Refused(why) => {
            Err(format!("`{}` is off here, so its secret is not known: {why}", plugin.id).into())
        }
    }
}

fn choose_webhook(
    plugin: &Wanted,
    all: &[WebhookDescriptor],
    given: Option<&str>,
) -> Result<WebhookDescriptor, Failure> {
    let names = all.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match given {
        Some(name) => all.iter().find(|hook| hook.name == name || hook.path == name),
        None if all.len() == 1 => all.first(),
        None => None,
    };
    found
        .cloned()
        .ok_or_else(|| format!("say which webhook of `{}` with --webhook: {names}", plugin.id).into())
}

fn headers(
    plugin: &Wanted,
    hook: &WebhookDescriptor,
    options: &SendOptions,
    id: &str,
    body: &[u8],
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("jackfield-deliveries-send"),
    );
    let mut place = |expression: Option<&Expr>, value: Option<&str>, flag: &str, what: &str| {
        match (expression.and_then(header_of), value) {
            (Some(name), Some(value)) => {
                headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
            }
            (None, Some(_)) if flag == "given" => {
                return Err(Failure::from(format!(
                    "webhook `{}` does not take its {what} from a header; put it into the payload",
                    hook.name
                )));
            }
            _ => {}
        }
        Ok(())
    };
    let given = |set: bool| if set { "given" } else { "" };
    place(
        hook.delivery_id.as_ref(),
        Some(id),
        given(options.id.is_some()),
        "delivery id",
    )?;
    place(
        hook.event.as_ref(),
        options.event.as_deref(),
        given(options.event.is_some()),
        "event",
    )?;
    if let Some(secret) = secret(plugin, hook, !options.headers.is_empty())? {
        headers.extend(sign(&hook.verify.scheme, &secret, id, body, OffsetDateTime::now_utc()));
    }
    for (name, value) in &options.headers {
        headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    Ok(headers)
}

/// What to sign with; none where nothing is signed. Of several, the one that ends last.
fn secret(plugin: &Wanted, hook: &WebhookDescriptor, by_hand: bool) -> Result<Option<Secret>, Failure> {
    match (&hook.verify.scheme, &hook.verify.secrets) {
        (Scheme::None { .. }, _) => Ok(None),
        (Scheme::Plugin, _) | (_, SecretSource::Plugin(_)) if by_hand => Ok(None),
        (Scheme::Plugin, _) | (_, SecretSource::Plugin(_)) => Err(format!(
            "the code of `{}` decides how webhook `{}` is signed; sign it yourself and give the headers with --header",
            plugin.id, hook.name
        )
        .into()),
        (_, SecretSource::None) => Ok(None),
        (_, SecretSource::Config(field)) => {
            let secrets: SigningSecrets =
                serde_json::from_value(plugin.config[field.as_str()].clone()).unwrap_or_default();
            let now = OffsetDateTime::now_utc();
            let last = secrets.active(now).last().cloned();
            last.map(Some).ok_or_else(|| {
                format!(
                    "`plugins.{}.config.{field}` holds no secret that is still valid",
                    plugin.id
                )
                .into()
            })
        }
    }
}

/// The first header that an expression looks at.
fn header_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Header(name) => Some(name),
        Expr::First(all) | Expr::Concat(all) => all.iter().find_map(header_of),
        _ => None,
    }
}

/// Where the running host listens, as it says itself.
async fn listener(loaded: &Loaded) -> Result<Url, Failure> {
    let rows = control::call(&loaded.settings.data_dir, Method::GET, "/api/admin/v1/config", None).await?;
    let row = rows.as_array().into_iter().flatten().find(|row| row["key"] == "listen");
    let listen = row
        .and_then(|row| row["value"].as_str())
        .unwrap_or(&loaded.settings.listen);
    // What listens everywhere is reached here.
    let reached = listen
        .replacen("0.0.0.0:", "127.0.0.1:", 1)
        .replacen("[::]:", "[::1]:", 1);
    Ok(Url::parse(&format!("http://{reached}"))?)
}

/// The host's id of what was sent.
async fn stored_id(loaded: &Loaded, plugin: &str, delivery_id: &str) -> Option<String> {
    let path = format!("/api/admin/v1/deliveries?plugin={plugin}&limit=100");
    let found = control::call(&loaded.settings.data_dir, Method::GET, &path, None)
        .await
        .ok()?;
    let rows = found["deliveries"].as_array()?;
    let row = rows.iter().find(|row| row["delivery_id"] == delivery_id);
    row?["id"].as_str().map(str::to_owned)
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
