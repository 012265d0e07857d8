//! Senders that are slow, silent, too big, or many: right answers, bounded memory, and everybody else is served.

use std::time::{Duration, Instant};

use jackfield_tests::{
    github::GitHub,
    host::{Host, SECRET, Setup, binary, long},
    process,
    raw::{chunked, closed, connect, read},
    scratch::Scratch,
    sign,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

async fn host(name: &str, variables: &[(&str, &str)]) -> (Scratch, GitHub, Host) {
    let (scratch, github) = (Scratch::new(name), GitHub::start());
    let mut setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    for (name, value) in variables {
        setup = setup.with(name, value);
    }
    let host = setup.start().await;
    (scratch, github, host)
}

/// The head of a signed delivery, with `framing` (`Content-Length: N` or `Transfer-Encoding: chunked`).
fn head(id: &str, body: &[u8], framing: &str) -> Vec<u8> {
    format!(
        "POST /integration/github/events HTTP/1.1\r\nHost: x\r\nX-GitHub-Delivery: {id}\r\nX-GitHub-Event: push\r\n\
         X-Hub-Signature-256: {}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n",
        sign::hub_signature(SECRET, body)
    )
    .into_bytes()
}

/// A head that announces a body of which only a part follows.
fn half_open() -> Vec<u8> {
    let mut bytes = head("half", b"", "Content-Length: 1000000");
    bytes.extend_from_slice(&[b'x'; 1024]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_posts_do_not_fill_memory_and_others_are_answered() {
    let Some(_) = binary() else { return };
    let count: usize = if long() { 10_000 } else { 1_000 };
    let (_scratch, _github, host) = host("half-open", &[("JACKFIELD_LIMITS__CONNECTIONS", "12000")]).await;
    let files = count as u64 + 1_500;
    if count > 5_000
        && !(process::allow_files(host.child.id(), files) && process::allow_files(std::process::id(), files))
    {
        println!("skipped: {count} connections need as many files");
        return;
    }
    assert_eq!(host.deliver("warm", "push", sign::push()).await, Some(200));
    let before = process::rss(host.child.id());
    let mut open: Vec<TcpStream> = Vec::with_capacity(count);
    let bytes = half_open();
    for _ in 0..count {
        let connecting = connect(&host.setup.listen, &bytes);
        let stream = tokio::time::timeout(Duration::from_secs(20), connecting).await;
        open.push(stream.expect("the host does not accept any more").unwrap());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let grown = process::rss(host.child.id()).saturating_sub(before);
    let each = grown / count as u64;
    println!("{count} half-open posts: {} MiB more, {each} bytes each", grown >> 20);
    // What one connection may cost: its read buffer, the body's buffer (at most what was sent), its task.
    assert!(
        grown < (32 << 20) + count as u64 * (48 << 10),
        "{} MiB more for {count}",
        grown >> 20
    );
    // More than the cap on requests at once are shed, and told when to come back, until those that were refused are let go.
    let begun = Instant::now();
    loop {
        let answer = host.client.get(host.url("/alive")).send().await.unwrap();
        if answer.status() == 200 {
            break;
        }
        assert!(answer.status() == 503 && answer.headers().contains_key("retry-after"));
        assert!(begun.elapsed() < Duration::from_secs(15), "nobody else is answered");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for _ in 0..20 {
        let begun = Instant::now();
        let alive = host
            .client
            .get(host.url("/alive"))
            .timeout(Duration::from_secs(5))
            .send();
        assert_eq!(alive.await.unwrap().status(), 200, "others are answered");
        assert!(begun.elapsed() < Duration::from_secs(3), "in {:?}", begun.elapsed());
    }
    assert_eq!(host.probe("/livez").await, Some(200));
    assert!(host.ready().await);
    drop(open);
    let begun = Instant::now();
    while host.deliver("after", "push", sign::push()).await != Some(200) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "their places are not given back"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rows = host.settle(&["done"], Duration::from_secs(20)).await;
    assert_eq!(rows.len(), 2, "nothing half is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_cut_at_each_deadline() {
    let Some(_) = binary() else { return };
    let limits = [
        ("JACKFIELD_LIMITS__FIRST_BYTE", "1"),
        ("JACKFIELD_LIMITS__HEADER_READ", "2"),
        ("JACKFIELD_LIMITS__IDLE", "2"),
    ];
    let (_scratch, _github, host) = host("slow", &limits).await;
    let address = host.setup.listen.clone();
    let mut senders: JoinSet<()> = JoinSet::new();
    // Says nothing.
    let at = address.clone();
    senders.spawn(async move {
        let mut stream = connect(&at, b"").await.unwrap();
        assert!(
            closed(&mut stream, Duration::from_secs(8)).await,
            "a silent connection is kept"
        );
    });
    // A header byte by byte: slow-loris.
    let at = address.clone();
    senders.spawn(async move {
        let mut stream = connect(&at, b"GET /alive HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await
            .unwrap();
        let begun = Instant::now();
        while stream.write_all(b"a").await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(10), "a trickling header is kept");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    // One request, then silence.
    let at = address.clone();
    senders.spawn(async move {
        let mut stream = connect(&at, b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut stream, Duration::from_secs(5)).await.unwrap().status, 200);
        assert!(
            closed(&mut stream, Duration::from_secs(10)).await,
            "an idle connection is kept"
        );
    });
    // A body byte by byte: it may take 30 s in all.
    let at = address.clone();
    senders.spawn(async move {
        let stream = connect(&at, &head("slow", b"", "Content-Length: 1000000"))
            .await
            .unwrap();
        let (mut incoming, mut outgoing) = stream.into_split();
        let begun = Instant::now();
        let trickle = tokio::spawn(async move {
            while outgoing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        let mut answer = [0; 1024];
        let reading = tokio::io::AsyncReadExt::read(&mut incoming, &mut answer);
        let count = tokio::time::timeout(Duration::from_secs(45), reading)
            .await
            .expect("a trickling body is kept")
            .unwrap();
        let text = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(text.starts_with("HTTP/1.1 408"), "{text}");
        assert!(
            begun.elapsed() > Duration::from_secs(20),
            "cut after {:?} already",
            begun.elapsed()
        );
        trickle.abort();
    });
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    assert_eq!(host.deliver("d", "push", sign::push()).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_big_is_told_so_and_not_stored() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("big", &[]).await;
    let big = vec![b' '; (26 << 20) + 1];
    let address = host.setup.listen.clone();
    // With its length: known to be too big before a byte is read.
    let mut told = head("length", &big, &format!("Content-Length: {}", big.len()));
    told.extend_from_slice(&big);
    // Without: too big once 26 MiB have come.
    let mut chunks = head("chunks", &big, "Transfer-Encoding: chunked");
    chunks.extend_from_slice(&chunked(&big, 64 << 10));
    for (what, bytes) in [("with a length", told), ("in chunks", chunks)] {
        let mut stream = connect(&address, &bytes)
            .await
            .unwrap_or_else(|error| panic!("{what}: the sender sees {error} instead of an answer"));
        let answer = read(&mut stream, Duration::from_secs(20))
            .await
            .unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status, 413, "{what}");
        assert!(
            answer.text.contains("27262976"),
            "it says how much is allowed: {}",
            answer.text
        );
    }
    // A client library sees the same.
    let request = sign::hub(host.client.post(host.hook()), SECRET, "library", "push", big);
    assert_eq!(request.send().await.unwrap().status(), 413);
    // Somebody who only claims to be big and hangs on is let go too.
    let mut stream = connect(&address, &head("claim", b"", "Content-Length: 99999999999"))
        .await
        .unwrap();
    let begun = Instant::now();
    let answer = read(&mut stream, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.status, 413);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let mut just = br#"{"installation":{"id":7}}"#.to_vec();
    just.resize(26 << 20, b' ');
    assert_eq!(
        host.deliver("just", "push", just).await,
        Some(200),
        "26 MiB exactly are welcome"
    );
    let rows = host.settle(&["done"], Duration::from_secs(60)).await;
    assert_eq!(rows.len(), 1);
    assert!(host.metrics().await.contains(r#"result="too_large""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_split_and_twofold_posts() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("chunked", &[]).await;
    let address = host.setup.listen.clone();
    let body = sign::push();
    let answer = async |bytes: &[u8]| {
        let mut stream = connect(&address, bytes).await.unwrap();
        read(&mut stream, Duration::from_secs(10)).await.expect("no answer")
    };
    let mut bytes = head("chunked", &body, "Transfer-Encoding: chunked");
    bytes.extend_from_slice(&chunked(&body, 3));
    assert_eq!(answer(&bytes).await.status, 200);
    // In single bytes, head and all.
    let mut bytes = head("bytes", &body, &format!("Content-Length: {}", body.len()));
    bytes.extend_from_slice(&body);
    let mut stream = connect(&address, b"").await.unwrap();
    for byte in &bytes {
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(read(&mut stream, Duration::from_secs(10)).await.unwrap().status, 200);
    // Two signatures, one of them right: which one counts is nobody's to guess.
    let framing = format!("X-Hub-Signature-256: sha256=00\r\nContent-Length: {}", body.len());
    let mut bytes = head("twice", &body, &framing);
    bytes.extend_from_slice(&body);
    assert_eq!(answer(&bytes).await.status, 401);
    // Two lengths: request smuggling.
    let framing = format!("Content-Length: {}\r\nContent-Length: 3", body.len());
    let mut bytes = head("lengths", &body, &framing);
    bytes.extend_from_slice(&body);
    assert_eq!(answer(&bytes).await.status, 400);
    // A broken chunk.
    let mut bytes = head("broken", &body, "Transfer-Encoding: chunked");
    bytes.extend_from_slice(b"zz\r\nnot hex\r\n");
    let mut stream = connect(&address, &bytes).await.unwrap();
    let refused = read(&mut stream, Duration::from_secs(10)).await;
    assert!(
        refused.is_none_or(|answer| answer.status >= 400),
        "a broken chunk is accepted"
    );
    // Forged and unsigned ones.
    for signature in [Some("sha256=00"), Some("nonsense"), Some(""), None] {
        let mut request = host.client.post(host.hook()).header("x-github-delivery", "forged");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        assert_eq!(request.body("{}").send().await.unwrap().status(), 401, "{signature:?}");
    }
    let rows = host.settle(&["done"], Duration::from_secs(20)).await;
    let mut ids: Vec<&str> = rows.iter().map(|row| row["delivery_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["bytes", "chunked"]);
    for row in &rows {
        let shown = host
            .admin(&format!("/deliveries/{}", row["id"].as_str().unwrap()))
            .await;
        assert_eq!(shown["body"].as_str().unwrap().as_bytes(), body);
    }
    assert!(host.metrics().await.contains(r#"result="bad_signature""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_at_once_than_the_cap_are_shed_with_a_time_to_come_back() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("cap", &[("JACKFIELD_LIMITS__CONCURRENCY", "4")]).await;
    let address = host.setup.listen.clone();
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(connect(&address, &half_open()).await.unwrap());
    }
    let begun = Instant::now();
    loop {
        let answer = host.client.get(host.url("/alive")).send().await.unwrap();
        if answer.status() == 503 {
            assert!(answer.headers().contains_key("retry-after"));
            assert!(answer.text().await.unwrap().contains("Overloaded"));
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "four of four places are taken, and nobody is shed"
        );
        // Our own question may have had the place that one of the four came for.
        open.push(connect(&address, &half_open()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(host.deliver("shed", "push", sign::push()).await, Some(503));
    assert_eq!(host.probe("/livez").await, Some(200), "probes have their own listener");
    drop(open);
    let begun = Instant::now();
    while host.deliver("later", "push", sign::push()).await != Some(200) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the places are not given back"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(host.metrics().await.contains("jackfield_http_shed_total"));
}
