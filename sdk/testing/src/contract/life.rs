//! A plugin's life: made, asked how it is, given settings, drained. And what it must not tell.

use std::{sync::Arc, time::Duration};

use http::Method;
use jackfield_plugins::Code;
use jackfield_sdk::{
    health::{Health, HealthStatus},
    manifest::{Described, Manifest},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{Breach, Contract, breach};
use crate::{config, host::TestHost, script::Answer};

/// How long `health` may take.
const HEALTH: Duration = Duration::from_secs(2);
/// The deadline that `drain` is given here.
const DRAIN: Duration = Duration::from_secs(5);
/// Shorter secrets may be part of a text by chance.
const SHORTEST: usize = 4;

pub(super) async fn check<P: Described>(host: &TestHost, contract: &Contract) -> Vec<Breach> {
    let mut breaches = Vec::new();
    health::<P>(host, contract, &mut breaches).await;
    takes_its_own_settings::<P>(host, &mut breaches).await;
    answers(host, contract, P::MANIFEST, &mut breaches).await;
    let begun = Instant::now();
    host.plugins().shut_down(DRAIN).await;
    if begun.elapsed() >= DRAIN {
        let what = format!("`drain` did not return within {} s", DRAIN.as_secs());
        breaches.push(breach(
            9,
            what,
            "give up what is left at once; the host runs it again elsewhere",
        ));
    }
    breaches
}

/// While the provider is well, while it fails, and while it cannot be reached.
async fn health<P: Described>(host: &TestHost, contract: &Contract, breaches: &mut Vec<Breach>) {
    for world in [None, Some(Answer::status(503)), Some(Answer::unreachable())] {
        let all = "* /**";
        let named = match &world {
            None => "while its provider is well",
            Some(_) => "while its provider is not well",
        };
        if let Some(answer) = world {
            host.on(all, answer);
        }
        let begun = Instant::now();
        let health = host.health::<P>().await;
        host.script().forget(all);
        judge(&health, begun.elapsed(), named, breaches);
        let told = health.detail.unwrap_or_default();
        breaches.extend(leaks(contract, P::MANIFEST, "its health", &told));
    }
}

fn judge(health: &Health, took: Duration, named: &str, breaches: &mut Vec<Breach>) {
    let detail = health.detail.as_deref().unwrap_or_default();
    if took >= HEALTH {
        let fix = "ask with `.timeout(…)` below 2 s, and remember the answer";
        breaches.push(breach(7, format!("`health` did not answer within 2 s {named}"), fix));
    } else if detail.starts_with("the plugin panicked") {
        let fix = "give back `Health::degraded(…)` or an error instead";
        breaches.push(breach(7, format!("`health` panicked {named}: {detail}"), fix));
    } else if health.status != HealthStatus::Healthy && detail.trim().is_empty() {
        let fix = "say what is wrong and what to do: `Health::unhealthy(\"…\")`";
        breaches.push(breach(
            7,
            format!("`health` says nothing about what is wrong {named}"),
            fix,
        ));
    }
}

async fn takes_its_own_settings<P: Described>(host: &TestHost, breaches: &mut Vec<Breach>) {
    let Some(code) = host.codes().iter().find(|code| code.manifest().id == P::MANIFEST.id) else {
        return;
    };
    let (code, settings): (Arc<dyn Code>, Value) = (Arc::clone(code), host.config_of(P::MANIFEST.id));
    let taken = match code.create(settings.clone(), host.of::<P>()).await {
        Ok(instance) => instance.reconfigure(settings).await.map(|_| ()),
        Err(reason) => Err(reason),
    };
    if let Err(reason) = taken {
        let what = format!("`reconfigure` refuses the settings that it works with: {reason}");
        breaches.push(breach(
            10,
            what,
            "take them, or ask for a new generation with `Reconfigured::NeedsReload`",
        ));
    }
}

/// What its routes tell must hold no secret.
async fn answers(host: &TestHost, contract: &Contract, manifest: &Manifest, breaches: &mut Vec<Breach>) {
    for code in host.codes() {
        for route in code
            .descriptor()
            .routes
            .iter()
            .filter(|route| !route.path.contains('{'))
        {
            let Ok(method) = route.method.parse::<Method>() else {
                continue;
            };
            let reply = host.call(method, &route.path).as_operator().await;
            let place = format!("the answer of {} {}", route.method, route.path);
            let headers = format!("{:?}", reply.headers());
            breaches.extend(leaks(
                contract,
                manifest,
                &place,
                &format!("{headers} {}", reply.text()),
            ));
        }
    }
}

/// Secrets of the settings that stand in `text`.
pub(super) fn leaks(contract: &Contract, manifest: &Manifest, place: &str, text: &str) -> Vec<Breach> {
    let found = config::secrets(manifest, &contract.settings);
    found
        .into_iter()
        .filter(|(_, secret)| shows(secret, text))
        .map(|(name, _)| {
            let fix = "hand it on by `Secret::expose` only to sign or to send it where it belongs";
            breach(8, format!("the secret `{name}` stands in {place}"), fix)
        })
        .collect()
}

/// Line by line: a text that was escaped or wrapped still shows a key's lines.
fn shows(secret: &str, text: &str) -> bool {
    let lines = secret.split('\n').flat_map(|line| line.split("\\n"));
    lines
        .map(str::trim)
        .filter(|line| line.len() >= SHORTEST && !line.starts_with("-----"))
        .any(|line| text.contains(line))
}
