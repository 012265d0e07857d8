//! The GitHub story, crashed at each of its calls: before GitHub has applied it, and after, when the answer is lost. What was
//! done to GitHub and what is stored equal an uncrashed run.

use std::time::Duration;

use jackfield_tests::{
    carrier::Carrier,
    github::{Call, GitHub, When},
    host::{Host, Setup, binary},
    on_each_carrier,
    scratch::Scratch,
    sign,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

on_each_carrier!(the_host_dies_at_each_call, github_dies_at_each_call_after_applying_it);

/// Every call that the story makes, in its order.
const CALLS: [Call; 4] = [Call::Token, Call::Permission, Call::Reaction, Call::Comments];

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Nobody,
    Host,
    GitHub,
}

/// What can be compared between runs: what GitHub holds, and what the delivery came to.
#[derive(Debug, PartialEq)]
struct Effects {
    reactions: Vec<(String, String)>,
    outcome: Value,
    steps: Vec<Value>,
}

async fn run(carrier: Carrier, victim: Victim, call: Call, when: When) -> Effects {
    let (scratch, mut github) = (Scratch::new("story"), GitHub::start());
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key).carried(carrier);
    let mut host = setup.start().await;
    let trap = (victim != Victim::Nobody).then(|| github.world.trap(call, when));
    assert_eq!(host.deliver("d", "issue_comment", sign::mention(5)).await, Some(200));
    if let Some(mut trap) = trap {
        trap.caught().await;
    }
    match victim {
        Victim::Nobody => {}
        Victim::Host => {
            host.kill();
            host = setup.start().await;
        }
        Victim::GitHub => {
            github.die();
            // Long enough that the host sees the broken connection, and perhaps nobody at home.
            tokio::time::sleep(Duration::from_millis(300)).await;
            github.revive();
        }
    }
    let rows = host.settle(&["done"], Duration::from_secs(120)).await;
    assert_eq!(rows.len(), 1);
    effects(&host, &github, rows[0]["id"].as_str().unwrap()).await
}

async fn effects(host: &Host, github: &GitHub, id: &str) -> Effects {
    let shown = host.admin(&format!("/deliveries/{id}")).await;
    let steps = shown["steps"].as_array().unwrap();
    Effects {
        reactions: github.reactions(),
        outcome: json!([
            shown["state"],
            shown["outcome"],
            shown["outcome_detail"],
            shown["result"]
        ]),
        steps: steps
            .iter()
            .map(|step| json!([step["name"], step["state"], step["result"]]))
            .collect(),
    }
}

async fn compare(carrier: Carrier, victim: Victim, whens: &[When]) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let uncrashed = run(carrier, Victim::Nobody, Call::Other, When::Before).await;
    assert_eq!(uncrashed.reactions.len(), 1);
    assert_eq!(uncrashed.steps.len(), 3, "{:?}", uncrashed.steps);
    let mut runs = JoinSet::new();
    for call in CALLS {
        for when in whens.iter().copied() {
            runs.spawn(async move { (call, when, run(carrier, victim, call, when).await) });
        }
    }
    while let Some(done) = runs.join_next().await {
        let (call, when, crashed) = done.unwrap();
        assert_eq!(crashed, uncrashed, "{victim:?} died at {call:?}, {when:?}");
    }
}

async fn the_host_dies_at_each_call(carrier: Carrier) {
    compare(carrier, Victim::Host, &[When::Before, When::After]).await;
}

async fn github_dies_at_each_call_after_applying_it(carrier: Carrier) {
    compare(carrier, Victim::GitHub, &[When::After]).await;
}
