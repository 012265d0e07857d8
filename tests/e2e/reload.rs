//! Reloads under load: builds of one plugin are exchanged many times a second, and nobody notices but the memory. A file that is
//! written over, cut or deleted while it is loaded is harmless.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jackfield_tests::{
    carrier::{place, variant},
    process::rss,
    turnstile::{Site, builds, coin},
};
use tokio::task::JoinSet;

/// Reloads of the load test, and the time they are spread over.
const RELOADS: u32 = 54;
const SPREAD: Duration = Duration::from_secs(4);
/// Images of one plugin that a host keeps.
const MOST_IMAGES: u64 = 50;

/// Reloads of the same content, before and while memory is looked at.
const WARM_UP: u64 = 40;
const AGAIN: u64 = 100;

/// What the load saw.
#[derive(Default)]
struct Seen {
    requests: usize,
    builds: BTreeSet<String>,
}

/// Asks until it is told to stop; every answer must be good.
async fn asks(client: reqwest::Client, url: String, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::SeqCst) {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "request {}", seen.requests);
        let about: serde_json::Value = answer.json().await.unwrap();
        seen.builds.insert(about["build"].as_str().unwrap().to_owned());
        seen.requests += 1;
    }
    seen
}

/// Reads an event stream to its end: every event, in order, from one build.
async fn listens(client: reqwest::Client, url: String, count: usize) {
    let text = client
        .get(format!("{url}/{count}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let build = data[0].split(' ').next().unwrap();
    let expected: Vec<String> = (0..count).map(|at| format!("{build} {at}")).collect();
    assert_eq!(data, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_four_reloads_under_load_fail_nobody() {
    let Some([first, second]) = builds() else { return };
    let site = Site::start("reloads", &first).await;
    let contents = [std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap()];
    let (client, stop) = (site.host.client.clone(), Arc::new(AtomicBool::new(false)));
    let mut asking = JoinSet::new();
    for _ in 0..6 {
        asking.spawn(asks(client.clone(), site.host.url("/turnstile"), Arc::clone(&stop)));
    }
    // Coins until the end; the sender is never refused.
    let coins = Arc::new(AtomicUsize::new(0));
    let mut working = JoinSet::new();
    for _ in 0..4 {
        let (client, url, stop, coins) = (
            client.clone(),
            site.host.url("/turnstile/coins"),
            Arc::clone(&stop),
            Arc::clone(&coins),
        );
        working.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let number = coins.fetch_add(1, Ordering::SeqCst);
                assert_eq!(coin(&client, &url, number).await, 200, "coin {number}");
            }
        });
    }
    // Streams and slow requests that outlive many reloads each.
    for at in 0..6 {
        working.spawn(listens(
            client.clone(),
            site.host.url("/turnstile/events"),
            30 + 20 * at,
        ));
        let slow = client.get(site.host.url(&format!("/turnstile/slow/{}", 400 + 500 * at)));
        working.spawn(async move {
            let answer = slow.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(["first", "second"].contains(&answer.text().await.unwrap().as_str()));
        });
    }
    let (before, begun) = (rss(site.host.child.id()), Instant::now());
    let mut pace = tokio::time::interval(SPREAD / RELOADS);
    for reload in 0..RELOADS as usize {
        pace.tick().await;
        // Two of three bring the other build, the third the same once more.
        if reload % 3 != 2 {
            place(&contents[(reload - reload / 3 + 1) % 2], &site.file);
        }
        let (status, row) = site.reload().await;
        assert_eq!((status, row["state"].as_str()), (200, Some("active")), "{row}");
    }
    let took = begun.elapsed();
    stop.store(true, Ordering::SeqCst);
    let (mut requests, mut seen) = (0, BTreeSet::new());
    while let Some(one) = asking.join_next().await {
        let one = one.unwrap();
        requests += one.requests;
        seen.extend(one.builds);
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
    assert_eq!(Vec::from_iter(seen), ["first", "second"], "both builds answered");
    let coins = coins.load(Ordering::SeqCst);
    assert!(coins > 0);
    let rows = site.host.settle(&["done"], Duration::from_secs(120)).await;
    assert_eq!(rows.len(), coins);
    site.counter.assert_each_once(coins);
    site.await_one_generation().await;
    assert_eq!(site.metric("jackfield_plugin_images").await, 2);
    println!(
        "{RELOADS} reloads in {took:?}: {requests} requests and {coins} deliveries, none failed; resident {} KiB before, {} KiB after",
        before >> 10,
        rss(site.host.child.id()) >> 10
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_images_stay_and_are_counted_and_the_last_place_is_not_overrun() {
    let Some([first, second]) = builds() else { return };
    let site = Site::start("images", &first).await;
    let pid = site.host.child.id();
    // The same content again: a new generation of the image that is there. The first ones warm the allocators up.
    let mut resident = Vec::new();
    for reloads in [WARM_UP, AGAIN] {
        for _ in 0..reloads {
            assert_eq!(site.reload().await.0, 200);
        }
        site.await_one_generation().await;
        resident.push(rss(pid));
    }
    assert_eq!(site.metric("jackfield_plugin_images").await, 1);
    let again = resident[1].saturating_sub(resident[0]) / AGAIN;
    // Other content: one image more each time.
    let begin = rss(pid);
    for number in 2..=MOST_IMAGES {
        variant(&first, &site.file, usize::try_from(number).unwrap());
        let (status, row) = site.reload().await;
        assert_eq!(status, 200, "{row}");
        assert_eq!(site.metric("jackfield_plugin_images").await, number);
    }
    site.await_one_generation().await;
    let each = rss(pid).saturating_sub(begin) / (MOST_IMAGES - 1);
    let size = std::fs::metadata(&first).unwrap().len();
    println!(
        "resident memory of a retired image {} KiB, of a reload without a new one {} KiB; the file has {} KiB",
        each >> 10,
        again >> 10,
        size >> 10
    );
    assert!(each < size + (2 << 20), "a retired image costs {each} bytes");
    assert!(again < 128 << 10, "a retired generation leaves {again} bytes");
    // There is no room for another one: it is refused by its code, and what runs runs on.
    place(&std::fs::read(&second).unwrap(), &site.file);
    let (status, refusal) = site.reload().await;
    assert_eq!(status, 409);
    assert!(refusal["detail"].as_str().unwrap().contains("JF-P028"), "{refusal}");
    assert_eq!(site.build().await, "first");
    assert_eq!(site.coin(0).await, 200);
    assert_eq!(site.metric("jackfield_plugin_images").await, MOST_IMAGES);
    // One that was loaded before needs no room.
    place(&std::fs::read(&first).unwrap(), &site.file);
    let (status, row) = site.reload().await;
    assert_eq!((status, row["state"].as_str()), (200, Some("active")), "{row}");
    site.host.settle(&["done"], Duration::from_secs(30)).await;
    site.counter.assert_each_once(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_over_cut_or_deleted_harms_nobody() {
    let Some([first, second]) = builds() else { return };
    let site = Site::start("in-place", &first).await;
    let contents = [std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap()];
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(asks(
        site.host.client.clone(),
        site.host.url("/turnstile"),
        Arc::clone(&stop),
    ));
    // Written over where it lies, which would pull the pages from under a program that had loaded this very file.
    std::fs::write(&site.file, &contents[1]).unwrap();
    site.await_build("second").await;
    assert_eq!(site.coin(0).await, 200);
    // Cut while it is loaded.
    let cut = |length| {
        let file = std::fs::File::options().write(true).open(&site.file).unwrap();
        file.set_len(length).unwrap();
    };
    cut(contents[1].len() as u64 / 2);
    site.await_refusal("JF-P006").await;
    assert_eq!(site.build().await, "second", "what runs runs on");
    assert_eq!(site.coin(1).await, 200);
    let (code, _, error) = site.host.setup.run_aside(&["plugins", "reload", "turnstile"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("JF-P006"), "{error}");
    cut(0);
    site.await_refusal("after 0 bytes").await;
    assert_eq!(site.build().await, "second");
    // A good one is taken by itself.
    place(&contents[0], &site.file);
    site.await_build("first").await;
    assert_eq!(site.host.plugin_state("turnstile").await, "active");
    // Deleted while it is loaded.
    std::fs::remove_file(&site.file).unwrap();
    site.await_refusal("JF-P001").await;
    assert_eq!(site.build().await, "first");
    assert_eq!(site.coin(2).await, 200);
    place(&contents[0], &site.file);
    site.host
        .await_plugin("turnstile", "active", Duration::from_secs(30))
        .await;
    // Another one that is no plugin at all.
    place(b"#!/bin/sh\nexit 1\n", &site.file);
    site.await_refusal("JF-P005").await;
    place(&contents[1], &site.file);
    site.await_build("second").await;
    stop.store(true, Ordering::SeqCst);
    assert!(asking.await.unwrap().requests > 0);
    assert_eq!(site.host.settle(&["done"], Duration::from_secs(30)).await.len(), 3);
    site.counter.assert_each_once(3);
    let log = site.host.log();
    for code in ["JF-P001", "JF-P005", "JF-P006"] {
        assert!(log.contains(code), "the log does not say {code}");
    }
}
