//! What a route is compared with: hyper alone, answering bytes it was given, on the runtime and allocator that we use.

use std::{convert::Infallible, path::Path};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Serves what stands in `answer` (head lines, an empty line, the body, as they go over the wire) until it is ended. Prints
/// its port.
pub(crate) fn serve(answer: &Path) -> Result<(), Failed> {
    let answer = std::fs::read(answer)?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("the answer has no head")?;
    let head = std::str::from_utf8(&answer[..end])?;
    let body = Bytes::copy_from_slice(&answer[end + 4..]);
    let mut headers = Vec::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").ok_or("a header line has no colon")?;
        // hyper writes these two itself.
        if !["date", "content-length"].contains(&name) {
            headers.push((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(accept(headers, body))
}

async fn accept(headers: Vec<(HeaderName, HeaderValue)>, body: Bytes) -> Result<(), Failed> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (headers, body) = (headers.clone(), body.clone());
        let service = service_fn(move |_: Request<Incoming>| {
            let mut response = Response::new(Full::new(body.clone()));
            response.headers_mut().extend(headers.iter().cloned());
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            let served = builder
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                eprintln!("connection ended: {error}");
            }
        });
    }
}
