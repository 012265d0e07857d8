//! What can be proved without running the plugin.

use std::collections::BTreeMap;

use jackfield_sdk::{descriptor::Descriptor, manifest::Manifest, webhook::Scheme};
use serde_json::{Map, Value};

use super::{Breach, breach};

/// Names of settings that hold secrets, by their last word.
const SECRET_WORDS: [&str; 6] = ["secret", "secrets", "token", "password", "private_key", "api_key"];

pub(super) fn check(manifest: &Manifest, declare: fn() -> Descriptor) -> Vec<Breach> {
    let mut breaches = Vec::new();
    identity(manifest, &mut breaches);
    settings(manifest, &mut breaches);
    let declared = declare();
    if declared != declare() {
        let fix = "let the declarations depend on nothing: no clock, no environment, no counter";
        breaches.push(breach(4, "it declares something else each time it is asked", fix));
    }
    routes(manifest, &declared, &mut breaches);
    names(&declared, &mut breaches);
    webhooks(&declared, &mut breaches);
    breaches
}

fn identity(manifest: &Manifest, breaches: &mut Vec<Breach>) {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let begins = manifest.id.starts_with(|first: char| first.is_ascii_lowercase());
    if !begins || manifest.id.len() > 40 || !manifest.id.split('-').all(word) {
        let what = format!("`{}` is no plugin id", manifest.id);
        breaches.push(breach(
            1,
            what,
            "write at most 40 lower-case letters and digits in words joined by `-`",
        ));
    }
    let core = manifest.version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    if numbers.len() != 3 || numbers.iter().any(|number| number.parse::<u64>().is_err()) {
        let what = format!("`{}` is no version", manifest.version);
        breaches.push(breach(
            1,
            what,
            "give the crate a version such as 1.0.0 in its Cargo.toml",
        ));
    }
}

fn settings(manifest: &Manifest, breaches: &mut Vec<Breach>) {
    let schema: Value = match serde_json::from_str(manifest.config_schema) {
        Ok(schema) => schema,
        Err(error) => {
            let what = format!("the settings' schema is no JSON: {error}");
            breaches.push(breach(1, what, "derive the settings with #[derive(Config)]"));
            return;
        }
    };
    let empty = Map::new();
    for (name, field) in schema.get("properties").and_then(Value::as_object).unwrap_or(&empty) {
        let described = field.get("description").and_then(Value::as_str);
        if described.is_none_or(|text| text.trim().is_empty()) {
            let fix = format!("write a doc comment above `{name}`: operators read it");
            breaches.push(breach(1, format!("the setting `{name}` has no description"), fix));
        }
        let secret = field.get("x-secret").and_then(Value::as_bool).unwrap_or(false);
        let text = field.get("type").and_then(Value::as_str) == Some("string");
        let sounds = SECRET_WORDS
            .iter()
            .any(|word| name == word || name.strip_suffix(word).is_some_and(|before| before.ends_with('_')));
        if text && sounds && !secret {
            let fix = format!("make `{name}` a `Secret` (or `SigningSecrets`): it cannot be formatted by mistake");
            breaches.push(breach(
                8,
                format!("the setting `{name}` holds a secret as plain text"),
                fix,
            ));
        }
    }
}

fn routes(manifest: &Manifest, declared: &Descriptor, breaches: &mut Vec<Breach>) {
    for route in &declared.routes {
        let (method, path) = (&route.method, &route.path);
        let operation = &declared.openapi["paths"][path.as_str()][method.to_ascii_lowercase().as_str()];
        let responses = operation.get("responses").and_then(Value::as_object);
        let fails = |status: &String| status == "default" || status.starts_with(['4', '5']);
        if !responses.is_some_and(|responses| responses.keys().any(fails)) {
            let fix = "add `Problem` to `responses(…)` of its #[utoipa::path]";
            breaches.push(breach(3, format!("{method} {path} does not say how it fails"), fix));
        }
        let own = format!("/{}", manifest.id);
        let under_own = *path == own || path.starts_with(&format!("{own}/"));
        let granted = manifest
            .capabilities
            .iter()
            .filter_map(|capability| capability.strip_prefix("routes:"))
            .any(|granted| covers(granted, path));
        if !under_own && !granted {
            let fix = format!("put it under `{own}/`, or ask for it with capabilities(\"routes:{path}\")");
            breaches.push(breach(
                3,
                format!("{method} {path} is outside the plugin's own paths"),
                fix,
            ));
        }
    }
}

/// `/prefix/*` covers everything below; otherwise the very path.
fn covers(granted: &str, path: &str) -> bool {
    match granted.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == granted,
    }
}

fn names(declared: &Descriptor, breaches: &mut Vec<Breach>) {
    let hooks = declared.webhooks.iter().map(|hook| (&hook.name, &hook.aliases));
    let jobs = declared.jobs.iter().map(|job| (&job.name, &job.aliases));
    let schedules = declared
        .schedules
        .iter()
        .map(|schedule| (&schedule.job.name, &schedule.job.aliases));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, aliases) in hooks.chain(jobs).chain(schedules) {
        for name in std::iter::once(name).chain(aliases) {
            *counts.entry(name).or_default() += 1;
        }
    }
    for (name, count) in counts {
        if count > 1 {
            let fix = "give each webhook, job and schedule its own name: a waiting job finds its handler by it";
            breaches.push(breach(4, format!("{count} handlers are called `{name}`"), fix));
        }
        if name.trim().is_empty() {
            breaches.push(breach(
                4,
                "a handler has no name",
                "name it, and keep the name for ever",
            ));
        }
    }
}

fn webhooks(declared: &Descriptor, breaches: &mut Vec<Breach>) {
    for hook in &declared.webhooks {
        if matches!(&hook.verify.scheme, Scheme::None { reason } if reason == "not declared") {
            let what = format!(
                "webhook `{}` does not say how a delivery proves that it is authentic",
                hook.name
            );
            let fix = "add `.verify(Verify::…)`; when nothing can be proved, `Verify::none(\"why that is right\")`";
            breaches.push(breach(3, what, fix));
        }
    }
}
