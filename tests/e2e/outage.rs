//! The store is away, or full: 503 with `Retry-After`, nothing that was acknowledged is lost, and it goes on without a restart.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use jackfield_tests::{
    carrier::Carrier,
    github::GitHub,
    host::{Host, SECRET, Setup, binary},
    on_each_carrier,
    postgres::Postgres,
    process,
    scratch::Scratch,
    sign,
};
use sqlx::Connection;

on_each_carrier!(
    a_postgresql_that_is_away_is_a_503_and_comes_back_without_a_restart,
    a_full_disk_is_a_503_and_nothing_is_corrupt,
);

/// One delivery: status, and whether the answer says when to come back.
async fn send(host: &Host, id: &str, body: Vec<u8>) -> (u16, bool) {
    let request = sign::hub(host.client.post(host.hook()), SECRET, id, "push", body);
    let answer = request.timeout(Duration::from_secs(60)).send().await.unwrap();
    (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
}

async fn until_taken(host: &Host, id: &str, body: &[u8]) {
    let begun = Instant::now();
    loop {
        match send(host, id, body.to_vec()).await {
            (200, _) => return,
            (status, retry) => assert_eq!((status, retry), (503, true)),
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it does not recover: {}",
            host.log_end()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn a_postgresql_that_is_away_is_a_503_and_comes_back_without_a_restart(carrier: Carrier) {
    if binary().is_none() || !carrier.ready() {
        return;
    }
    let Some(mut postgres) = Postgres::start("outage").await else {
        return;
    };
    let (scratch, github) = (Scratch::new("outage-host"), GitHub::start());
    let mut host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .with("JACKFIELD_DATABASE_URL", &postgres.url())
        .start()
        .await;
    assert_eq!(send(&host, "before", sign::push()).await.0, 200);
    postgres.stop();
    let begun = Instant::now();
    assert_eq!(send(&host, "during", sign::push()).await, (503, true));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "GitHub hangs up after 10 s; this took {:?}",
        begun.elapsed()
    );
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(host.probe("/readyz").await, Some(503), "no new requests, please");
    assert_eq!(host.probe("/livez").await, Some(200), "a restart would not help");
    let ready = host.client.get(host.url("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let text = ready.text().await.unwrap();
    assert!(
        !text.contains("127.0.0.1") && !text.to_lowercase().contains("postgres"),
        "{text}"
    );
    let listed = host.client.get(host.url("/api/admin/v1/deliveries"));
    let listed = listed
        .bearer_auth(jackfield_tests::host::OPERATOR)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (listed.status().as_u16(), listed.headers().contains_key("retry-after")),
        (503, true)
    );
    postgres.resume().await;
    until_taken(&host, "during", &sign::push()).await;
    let rows = host.settle(&["done"], Duration::from_secs(60)).await;
    assert_eq!(rows.len(), 2);
    let begun = Instant::now();
    while !host.ready().await {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it does not become ready again"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(host.child.try_wait().unwrap().is_none());
    let metrics = host.metrics().await;
    assert!(metrics.contains(r#"result="unavailable""#), "the refusal is counted");
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, with the reason printed, where mounting is not permitted.
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(at);
        let (code, _, error) = process::run(command, Duration::from_secs(10));
        if code != 0 {
            println!("skipped: a file system that can be full needs mount: {}", error.trim());
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn a_full_disk_is_a_503_and_nothing_is_corrupt(carrier: Carrier) {
    if binary().is_none() || !carrier.ready_when_long() {
        return;
    }
    let (scratch, github) = (Scratch::new("full"), GitHub::start());
    let data = scratch.0.join("data");
    let Some(_disk) = SmallDisk::mount(&data, 80) else {
        return;
    };
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![0; 52 << 20]).unwrap();
    let mut host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .carried(carrier)
        .start()
        .await;
    let body = |number: usize| {
        let filling: String = (0..(256 << 10))
            .map(|at| char::from(b'a' + ((at * 7 + number * 13) % 26) as u8))
            .collect();
        format!(r#"{{"installation":{{"id":7}},"n":{number},"filling":"{filling}"}}"#).into_bytes()
    };
    let mut taken = Vec::new();
    let mut refused = 0;
    for number in 0..200 {
        match send(&host, &format!("d{number}"), body(number)).await {
            (200, _) => taken.push(number),
            (status, retry) => {
                assert_eq!((status, retry), (503, true), "delivery {number}");
                refused += 1;
                if refused == 3 {
                    break;
                }
            }
        }
    }
    assert_eq!(refused, 3, "28 MB took {} deliveries of 256 KB", taken.len());
    assert!(!taken.is_empty());
    assert!(
        host.child.try_wait().unwrap().is_none(),
        "the host ended: {}",
        host.log_end()
    );
    assert_eq!(host.probe("/livez").await, Some(200));
    std::fs::remove_file(&ballast).unwrap();
    until_taken(&host, "after", &sign::push()).await;
    let rows = host.settle(&["done"], Duration::from_secs(90)).await;
    assert_eq!(rows.len(), taken.len() + 1, "a refused one is not stored");
    for number in &taken {
        let wanted = format!("d{number}");
        let row = rows.iter().find(|row| row["delivery_id"] == wanted.as_str());
        let id = row.unwrap_or_else(|| panic!("{wanted} was acknowledged and is gone"))["id"]
            .as_str()
            .unwrap();
        let shown = host.admin(&format!("/deliveries/{id}")).await;
        assert_eq!(shown["body"].as_str().unwrap().as_bytes(), body(*number), "{wanted}");
    }
    host.signal("TERM");
    assert_eq!(host.ended(Duration::from_secs(60)).await, 0, "{}", host.log_end());
    let url = format!("sqlite://{}", data.join("jackfield.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(verdict, "ok");
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_directory_is_refused_and_names_the_pid() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("second"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .start()
        .await;
    let (code, _, error) = host.setup.run_aside(&["serve"]).await;
    assert_eq!(code, 1);
    assert!(error.contains(&format!("pid {}", host.child.id())), "{error}");
    assert_eq!(
        host.deliver("d", "push", sign::push()).await,
        Some(200),
        "the first one serves on"
    );
}
