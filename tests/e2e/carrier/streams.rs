//! Bodies over the boundary of a shared library: they stream both ways, nobody runs ahead of who takes, and who goes away ends
//! what was made for him.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use jackfield_tests::{process::rss, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Place, Plugin, SOON, ready};

/// More than every buffer between the plugin and a client that does not read, and much less than what would be sent.
const BUFFERS: i64 = 32 << 20;

/// Waits until a number no longer changes; gives it.
async fn settled(mut number: impl AsyncFnMut() -> i64) -> i64 {
    let (mut last, mut same) = (-1, 0);
    loop {
        let now = number().await;
        same = if now == last { same + 1 } else { 0 };
        if same == 5 && now > 0 {
            return now;
        }
        last = now;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn read_until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut byte = [0];
        while !text.ends_with(end.as_bytes()) {
            stream.read_exact(&mut byte).await.unwrap();
            text.push(byte[0]);
        }
    };
    let read = tokio::time::timeout(SOON, reading).await.is_ok();
    assert!(read, "`{end}` did not come after {}", String::from_utf8_lossy(&text));
    String::from_utf8(text).unwrap()
}

fn head(host: &Plugin, first: &str) -> Vec<u8> {
    format!("{first} HTTP/1.1\r\nhost: {}\r\n", host.setup.listen).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_through_while_it_comes() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-echo");
    let host = place.start().await;
    let mut request = head(&host, "POST /misbehaving/echo");
    request.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    let mut stream = raw::connect(&host.setup.listen, &request).await.unwrap();
    for word in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        // The next chunk is not sent before this one has come back.
        read_until(&mut stream, &chunk).await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut stream, "0\r\n\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_waits_for_its_reader_and_ends_with_him() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-huge");
    let host = place.start().await;
    host.is_fine().await;
    let before = rss(host.child.id());
    let request = [head(&host, "GET /misbehaving/huge?mib=4096"), b"\r\n".to_vec()].concat();
    let mut stream = raw::connect(&host.setup.listen, &request).await.unwrap();
    let produced = settled(async || host.alive("produced").await).await;
    assert!(produced < BUFFERS, "{produced} bytes for a reader that reads nothing");
    let grown = rss(host.child.id()).saturating_sub(before);
    assert!(grown < 2 * BUFFERS as u64, "{grown} bytes more in memory");
    // Who reads gets more.
    let mut taken = vec![0; 16 << 20];
    stream.read_exact(&mut taken).await.unwrap();
    host.until("more is produced", async || host.alive("produced").await > produced)
        .await;
    drop(stream);
    host.until_alive("open", 0).await;
    assert!(host.alive("produced").await < 2 * BUFFERS);
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_a_plugin_that_does_not_take() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-upload");
    let host = place.start().await;
    let (chunk, chunks) = (vec![b'x'; 64 << 10], 1_024);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let body = stream::iter(0..chunks);
    let body = futures_util::StreamExt::map(body, move |_| {
        counted.fetch_add(chunk.len(), Ordering::SeqCst);
        Ok::<_, Infallible>(chunk.clone())
    });
    let request = host.client.post(host.url("/misbehaving/take"));
    let taking = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());
    host.until_alive("open", 1).await;
    let waiting = settled(async || sent.load(Ordering::SeqCst) as i64).await;
    assert!(waiting < BUFFERS, "{waiting} bytes to a plugin that takes nothing");
    assert_eq!(host.post("tell", "take").await, (200, "1".to_owned()));
    let taken = taking.await.unwrap().unwrap().text().await.unwrap();
    assert_eq!(taken, (chunks * (64 << 10)).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_come_one_by_one() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-events");
    let host = place.start().await;
    let mut answer = host.client.get(host.url("/misbehaving/events")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    host.until_alive("open", 1).await;
    for word in ["one", "two", "three"] {
        assert_eq!(host.post("tell", word).await, (200, "1".to_owned()));
        let event = tokio::time::timeout(SOON, answer.chunk()).await.expect("an event");
        assert_eq!(event.unwrap().unwrap(), format!("event: told\ndata: {word}\n\n"));
    }
    drop(answer);
    host.until_alive("open", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_ends_the_plugins_future() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-away");
    let host = place.start().await;
    let request = [head(&host, "GET /misbehaving/hang"), b"\r\n".to_vec()].concat();
    let stream = raw::connect(&host.setup.listen, &request).await.unwrap();
    host.until_alive("open", 1).await;
    drop(stream);
    host.until_alive("open", 0).await;
    host.is_fine().await;
}
