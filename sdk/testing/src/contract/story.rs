//! Rule 4: every story, crashed after each step, ends as though nothing had happened.

use std::collections::{BTreeMap, BTreeSet};

use jackfield_inbox::model::{ReplayMode, State};
use jackfield_sdk::{manifest::Described, run::OutcomeResult};
use uuid::Uuid;

use super::{Breach, Contract, Example, breach, life};
use crate::{carrier::Carrier, crash::Crash, host::TestHost, script::Asked, work::Work};

const INTO_STEPS: &str = "put every outside effect into a step (`run.step(\"name\", |attempt| …)`)";
const WITH_A_KEY: &str = "send `attempt.key()` with it (a header, or a hidden mark in the text), or look first when \
     `attempt.maybe_done()`; when the provider keeps it once anyway, say so with `.idempotent(\"POST /…\")`";

/// How a play ended.
struct Played {
    /// States and kinds of outcome, in order of arrival.
    ends: Vec<(State, Option<OutcomeResult>)>,
    /// Steps in order.
    steps: Vec<String>,
    /// Effects as they were asked.
    raw: BTreeMap<String, usize>,
    /// Effects as a provider that knows keys keeps them.
    kept: BTreeMap<String, usize>,
    crashed: bool,
}

pub(super) async fn check<P: Described>(contract: &Contract, carrier: Carrier, example: &Example) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let told = match play::<P>(contract, carrier, example, None, &mut breaches).await {
        Ok(told) => told,
        Err(breach) => return vec![breach],
    };
    let mut crashes: Vec<Crash> = Vec::new();
    for step in &told.steps {
        crashes.extend([Crash::After(step.clone()), Crash::Losing(step.clone())]);
    }
    crashes.push(Crash::AtEnd);
    for crash in crashes {
        let named = format!("{example} after {crash}");
        match play::<P>(contract, carrier, example, Some(crash.clone()), &mut breaches).await {
            Ok(again) => compare(&told, &again, &crash, &named, &mut breaches),
            Err(breach) => breaches.push(breach),
        }
    }
    breaches.extend(from_the_start::<P>(contract, carrier, example, &told).await);
    breaches
}

fn compare(told: &Played, again: &Played, crash: &Crash, named: &str, breaches: &mut Vec<Breach>) {
    if !again.crashed {
        // A wait has no effect of its own, and its memo is the engine's: there is nothing to lose.
        if !matches!(crash, Crash::Losing(_)) {
            let fix = "let a step's name depend on the event alone, not on the attempt, the time or chance";
            breaches.push(breach(4, format!("{named}: the step did not come a second time"), fix));
        }
        return;
    }
    if told.ends != again.ends {
        let what = format!(
            "{named}: it ended as {:?}, without a crash as {:?}",
            again.ends, told.ends
        );
        breaches.push(breach(4, what, "decide from the event and the results of steps alone"));
    }
    let exact = !matches!(crash, Crash::Losing(_));
    let (expected, found) = if exact {
        (&told.raw, &again.raw)
    } else {
        (&told.kept, &again.kept)
    };
    let fix = if exact { INTO_STEPS } else { WITH_A_KEY };
    breaches.extend(differences(expected, found, named, fix));
}

/// Armed again from the start, with the same keys: nothing is doubled.
async fn from_the_start<P: Described>(
    contract: &Contract,
    carrier: Carrier,
    example: &Example,
    told: &Played,
) -> Vec<Breach> {
    let Ok(host) = contract.host::<P>(carrier).await else {
        return Vec::new();
    };
    let Ok(id) = enter::<P>(&host, example).await else {
        return Vec::new();
    };
    host.finish().await;
    if !host.replay(id, ReplayMode::FromStart).await {
        return Vec::new();
    }
    host.finish().await;
    let works = host.list().await;
    let kept = kept(contract, &host, &works);
    differences(
        &told.kept,
        &kept,
        &format!("{example}, replayed from the start"),
        WITH_A_KEY,
    )
}

fn differences(
    expected: &BTreeMap<String, usize>,
    found: &BTreeMap<String, usize>,
    named: &str,
    fix: &str,
) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for call in expected
        .keys()
        .chain(found.keys().filter(|call| !expected.contains_key(*call)))
    {
        let of = |counts: &BTreeMap<String, usize>| counts.get(call).copied().unwrap_or(0);
        let (before, after) = (of(expected), of(found));
        if before != after {
            let what = format!("{named}: `{call}` took effect {after} times, without it {before} times");
            breaches.push(breach(4, what, fix));
        }
    }
    breaches
}

async fn play<P: Described>(
    contract: &Contract,
    carrier: Carrier,
    example: &Example,
    crash: Option<Crash>,
    breaches: &mut Vec<Breach>,
) -> Result<Played, Breach> {
    let broken = |what: String| breach(4, format!("{example} cannot be played: {what}"), "correct the example");
    let host = contract.host::<P>(carrier).await.map_err(broken)?;
    let planned = crash.is_some();
    if let Some(crash) = crash {
        host.disk().plan(crash);
    }
    enter::<P>(&host, example).await.map_err(broken)?;
    host.finish().await;
    let came = !host.disk().unplan();
    let works = host.list().await;
    for work in &works {
        let outcome = serde_json::to_string(&work.outcome()).unwrap_or_default();
        let place = format!("what is kept of {example}");
        breaches.extend(life::leaks(contract, P::MANIFEST, &place, &format!("{work} {outcome}")));
    }
    let ids: Vec<Uuid> = works.iter().map(Work::id).collect();
    let mut raw = BTreeMap::new();
    let mut once = BTreeSet::new();
    for asked in host.asked().iter().filter(|asked| asked.is_effect()) {
        let call = called(asked, &ids);
        if !contract.is_idempotent(asked) || once.insert((call.clone(), asked.body.clone())) {
            *raw.entry(call).or_default() += 1;
        }
    }
    Ok(Played {
        ends: works
            .iter()
            .map(|work| (work.state(), work.outcome().map(|outcome| outcome.result)))
            .collect(),
        steps: works
            .iter()
            .flat_map(|work| work.step_names().into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect(),
        kept: kept(contract, &host, &works),
        raw,
        crashed: planned && came,
    })
}

async fn enter<P: Described>(host: &TestHost, example: &Example) -> Result<Uuid, String> {
    match example {
        Example::Delivery(webhook, make) => {
            let receipt = make(host.deliver(webhook)).await;
            match receipt.stored() {
                Some(stored) => Ok(stored.id()),
                None => Err(format!("it was answered {:?} and not stored", receipt.reply())),
            }
        }
        Example::Job(name, payload) => {
            let stored = host.with_jobs::<P>().jobs().enqueue(name, payload).await;
            stored.map_err(|error| error.to_string())
        }
        Example::Schedule(name) => Ok(host.fire(name).await.id()),
    }
}

/// Effects as a provider keeps them: the same key, or an idempotent call, counts once.
fn kept(contract: &Contract, host: &TestHost, works: &[Work]) -> BTreeMap<String, usize> {
    let ids: Vec<Uuid> = works.iter().map(Work::id).collect();
    let keys: Vec<&str> = works
        .iter()
        .flat_map(|work| work.steps().map(|step| step.key()).collect::<Vec<_>>())
        .collect();
    let mut known: Vec<(String, String)> = Vec::new();
    let mut counts = BTreeMap::new();
    for asked in host.asked().iter().filter(|asked| asked.is_effect()) {
        let call = called(asked, &ids);
        let mark = if contract.is_idempotent(asked) {
            Some(format!("{:?}", asked.body))
        } else {
            keys.iter().find(|key| carries(asked, key)).map(|key| (*key).to_owned())
        };
        if let Some(mark) = mark {
            let effect = (call.clone(), mark);
            if known.contains(&effect) {
                continue;
            }
            known.push(effect);
        }
        *counts.entry(call).or_default() += 1;
    }
    counts
}

fn carries(asked: &Asked, key: &str) -> bool {
    let in_headers = asked
        .headers
        .values()
        .any(|value| String::from_utf8_lossy(value.as_bytes()).contains(key));
    in_headers || asked.url.as_str().contains(key) || String::from_utf8_lossy(&asked.body).contains(key)
}

/// A call without the ids that differ from host to host.
fn called(asked: &Asked, ids: &[Uuid]) -> String {
    let mut call = format!("{} {}", asked.method, asked.url);
    for id in ids {
        call = call.replace(&id.to_string(), "{job}");
    }
    call
}
