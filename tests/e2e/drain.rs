//! The end of a host: not ready first, then everything in flight ends, then leases go back, then exit 0; and two replicas
//! that are restarted in turn under load fail nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jackfield_tests::{
    github::{Call, GitHub, When},
    host::{Host, SECRET, Setup, binary, client},
    load::assert_effects,
    postgres::database,
    raw::{connect, read},
    scratch::Scratch,
    sign,
};
use tokio::{io::AsyncWriteExt, task::JoinSet};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_sigterm_ends_well() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("drain"), GitHub::start());
    let mut host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .with("JACKFIELD_LIMITS__DRAIN_DELAY", "1.5")
        .with("JACKFIELD_LIMITS__DRAIN_DEADLINE", "10")
        .start()
        .await;
    let body = sign::push();
    let head = format!(
        "POST /integration/github/events HTTP/1.1\r\nHost: x\r\nX-GitHub-Delivery: slow\r\nX-GitHub-Event: push\r\n\
         X-Hub-Signature-256: {}\r\nContent-Length: {}\r\n\r\n",
        sign::hub_signature(SECRET, &body),
        body.len()
    );
    let mut request = connect(&host.setup.listen, head.as_bytes()).await.unwrap();
    request.write_all(&body[..5]).await.unwrap();
    // A story in flight too: its call is answered only after the signal.
    let mut trap = github.world.trap(Call::Permission, When::After);
    assert_eq!(
        host.deliver("story", "issue_comment", sign::mention(1)).await,
        Some(200)
    );
    trap.caught().await;
    host.signal("TERM");
    let begun = Instant::now();
    while host.probe("/readyz").await != Some(503) {
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "it does not say that it is leaving"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(host.probe("/livez").await, Some(200));
    assert_eq!(
        host.deliver("late", "push", sign::push()).await,
        Some(200),
        "it serves on until it is out of the load balancer"
    );
    // Listening has ended; what was begun goes on.
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(begun.elapsed())).await;
    assert!(
        connect(&host.setup.listen, b"").await.is_err(),
        "it still takes connections"
    );
    trap.release();
    request.write_all(&body[5..]).await.unwrap();
    let answer = read(&mut request, Duration::from_secs(10)).await;
    assert_eq!(answer.expect("the request in flight was cut").status, 200);
    assert_eq!(host.ended(Duration::from_secs(20)).await, 0, "{}", host.log_end());
    assert!(host.log().contains("drained"));
    let host = host.setup.start().await;
    let rows = host.settle(&["done"], Duration::from_secs(10)).await;
    assert_eq!(rows.len(), 3);
    assert_eq!(github.reactions().len(), 1);
}

/// The drain's deadline, not the lease's end, decides when another one may go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_the_deadline_is_released_at_once() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("release"), GitHub::start());
    let mut host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .with("JACKFIELD_LIMITS__DRAIN_DEADLINE", "1")
        .start()
        .await;
    let mut trap = github.world.trap(Call::Reaction, When::After);
    assert_eq!(host.deliver("d", "issue_comment", sign::mention(1)).await, Some(200));
    trap.caught().await;
    host.signal("TERM");
    assert_eq!(host.ended(Duration::from_secs(12)).await, 0, "{}", host.log_end());
    let begun = Instant::now();
    let host = host.setup.start().await;
    let rows = host.settle(&["done"], Duration::from_secs(15)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "a lease of 20 s was left to run out: {:?}",
        begun.elapsed()
    );
    assert_eq!(rows.len(), 1);
    assert_eq!(github.reactions().len(), 1, "the next one looked first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_is_now() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("now"), GitHub::start());
    let mut host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .with("JACKFIELD_LIMITS__DRAIN_DELAY", "30")
        .start()
        .await;
    host.signal("TERM");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        host.child.try_wait().unwrap().is_none(),
        "it does not wait for its drain delay"
    );
    host.signal("TERM");
    assert_eq!(host.ended(Duration::from_secs(3)).await, 1);
}

/// What a load balancer knows: who was ready a moment ago.
struct Balancer {
    targets: Vec<(String, String, AtomicBool)>,
    next: AtomicUsize,
}

impl Balancer {
    async fn watch(self: Arc<Self>) {
        let client = client();
        loop {
            for (admin, _, up) in &self.targets {
                let asked = client
                    .get(format!("http://{admin}/readyz"))
                    .timeout(Duration::from_secs(2))
                    .send()
                    .await;
                up.store(asked.is_ok_and(|answer| answer.status() == 200), Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn pick(&self) -> String {
        loop {
            let at = self.next.fetch_add(1, Ordering::SeqCst);
            let (_, listen, up) = &self.targets[at % self.targets.len()];
            if up.load(Ordering::SeqCst) {
                return format!("http://{listen}/integration/github/events");
            }
            let any = self.targets.iter().any(|(_, _, up)| up.load(Ordering::SeqCst));
            assert!(any, "no replica is ready");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_nobody() {
    let Some(_) = binary() else { return };
    let Some(url) = database().await else { return };
    let github = GitHub::start();
    let scratches = [Scratch::new("roll-one"), Scratch::new("roll-two")];
    let mut hosts: Vec<Host> = Vec::new();
    for scratch in &scratches {
        let setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
            .with("JACKFIELD_DATABASE_URL", &url)
            .with("JACKFIELD_LIMITS__DRAIN_DELAY", "1");
        hosts.push(setup.start().await);
    }
    let balancer = Arc::new(Balancer {
        targets: hosts
            .iter()
            .map(|host| {
                (
                    host.setup.admin.clone(),
                    host.setup.listen.clone(),
                    AtomicBool::new(true),
                )
            })
            .collect(),
        next: AtomicUsize::new(0),
    });
    let watching = tokio::spawn(Arc::clone(&balancer).watch());
    let (number, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut senders = JoinSet::new();
    for _ in 0..4 {
        let (balancer, number, stop) = (Arc::clone(&balancer), Arc::clone(&number), Arc::clone(&stop));
        senders.spawn(async move {
            let client = client();
            let mut failed = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let at = number.fetch_add(1, Ordering::SeqCst);
                let (url, id) = (balancer.pick(), format!("delivery-{at}"));
                let request = sign::hub(client.post(&url), SECRET, &id, "issue_comment", sign::mention(at));
                match request.send().await {
                    Ok(answer) if answer.status() == 200 => {}
                    Ok(answer) => failed.push(format!("{id} at {url}: {}", answer.status())),
                    Err(error) => failed.push(format!("{id}: {error:?}")),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            failed
        });
    }
    for host in &mut hosts {
        tokio::time::sleep(Duration::from_millis(700)).await;
        host.signal("TERM");
        assert_eq!(host.ended(Duration::from_secs(60)).await, 0, "{}", host.log_end());
        *host = host.setup.clone().start().await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::SeqCst);
    let mut failed = Vec::new();
    while let Some(done) = senders.join_next().await {
        failed.extend(done.unwrap());
    }
    watching.abort();
    assert!(failed.is_empty(), "{} requests failed: {failed:#?}", failed.len());
    let sent = number.load(Ordering::SeqCst);
    assert!(sent > 100, "only {sent} deliveries were sent");
    let rows = hosts[0].settle(&["done"], Duration::from_secs(60)).await;
    assert_eq!(rows.len(), sent);
    assert_effects(&github.reactions(), sent);
    println!("{sent} deliveries during a rolling restart, 0 failed");
}
