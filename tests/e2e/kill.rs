//! `kill -9` at random moments, of the host and of PostgreSQL, during deliveries: nothing that was answered 2xx is missing, and
//! no effect is doubled.

use std::time::Duration;

use jackfield_tests::{
    carrier::Carrier,
    github::GitHub,
    host::{Host, Setup, binary, long},
    load::{Load, assert_complete, assert_effects},
    on_each_carrier,
    postgres::{Postgres, database},
    scratch::Scratch,
};

on_each_carrier!(
    killing_the_host_loses_and_doubles_nothing_on_sqlite,
    killing_the_host_loses_and_doubles_nothing_on_postgresql,
    killing_postgresql_loses_and_doubles_nothing,
);

fn count(carrier: Carrier) -> usize {
    carrier.of(if long() { 20_000 } else { 2_000 }, 1_000)
}

/// How long the stories may take after the last delivery; most of it is the lease of those that a kill interrupted.
fn patience() -> Duration {
    Duration::from_secs(if long() { 900 } else { 180 })
}

/// Moments that differ and come again: a linear congruential generator, so that a failure can be repeated.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(60 + (self.0 >> 33) % 500)
    }
}

async fn everything_is_there_once(host: &Host, github: &GitHub, count: usize) {
    let rows = host.settle(&["done"], patience()).await;
    assert_complete(&rows, count);
    assert_effects(&github.reactions(), count);
}

async fn kill_the_host(setup: Setup, github: &GitHub, count: usize) {
    let mut host = setup.start().await;
    let load = Load::start(host.hook(), count);
    let (mut kills, mut moments) = (0, Moments(1));
    while !load.done() && kills < 12 {
        tokio::time::sleep(moments.next()).await;
        host.kill();
        host = setup.start().await;
        kills += 1;
    }
    load.finish().await;
    // Once more, while stories run that no sender waits for.
    host.kill();
    host = setup.start().await;
    assert!(
        kills >= 3,
        "the host was killed {kills} times during the deliveries; send more"
    );
    everything_is_there_once(&host, github, count).await;
}

async fn killing_the_host_loses_and_doubles_nothing_on_sqlite(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let (scratch, github) = (Scratch::new("kill"), GitHub::start());
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key).carried(carrier);
    kill_the_host(setup, &github, count(carrier)).await;
}

async fn killing_the_host_loses_and_doubles_nothing_on_postgresql(carrier: Carrier) {
    if binary().is_none() || !carrier.ready_when_long() {
        return;
    }
    let Some(url) = database().await else { return };
    let (scratch, github) = (Scratch::new("kill-pg"), GitHub::start());
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .with("JACKFIELD_DATABASE_URL", &url);
    kill_the_host(setup, &github, count(carrier)).await;
}

async fn killing_postgresql_loses_and_doubles_nothing(carrier: Carrier) {
    if binary().is_none() || !carrier.ready_when_long() {
        return;
    }
    let Some(mut postgres) = Postgres::start("kill-of-pg").await else {
        return;
    };
    let (scratch, github) = (Scratch::new("kill-db"), GitHub::start());
    let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .with("JACKFIELD_DATABASE_URL", &postgres.url());
    let mut host = setup.start().await;
    let load = Load::start(host.hook(), count(carrier));
    let (mut kills, mut moments) = (0, Moments(2));
    while !load.done() && kills < 8 {
        tokio::time::sleep(moments.next()).await;
        if kills % 2 == 0 {
            postgres.kill();
            postgres.resume().await;
        } else {
            postgres.kill_backend();
        }
        kills += 1;
    }
    load.finish().await;
    assert!(
        kills >= 3,
        "PostgreSQL was killed {kills} times during the deliveries; send more"
    );
    postgres.kill();
    postgres.resume().await;
    everything_is_there_once(&host, &github, count(carrier)).await;
    assert!(
        host.child.try_wait().unwrap().is_none(),
        "the host ended with its database"
    );
}
