//! HTTP by hand, for what no client library sends.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came back on a raw connection.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Head and body as text.
    pub text: String,
}

impl Answer {
    /// Reads a text.
    fn of(text: String) -> Option<Self> {
        let status = text.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        Some(Self { status, text })
    }

    /// Whether a header line is there, in any case.
    pub fn has(&self, line: &str) -> bool {
        self.text.to_ascii_lowercase().contains(&line.to_ascii_lowercase())
    }
}

/// A connection that has sent `bytes`.
pub async fn connect(address: &str, bytes: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// Reads until the server closes or one answer with its `Content-Length` is complete. None when nothing came within the time.
pub async fn read(stream: &mut TcpStream, within: Duration) -> Option<Answer> {
    let mut bytes = Vec::new();
    let reading = async {
        let mut chunk = [0; 8192];
        while !complete(&bytes) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
    };
    let _ = tokio::time::timeout(within, reading).await;
    Answer::of(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the server has closed the connection, within the time.
pub async fn closed(stream: &mut TcpStream, within: Duration) -> bool {
    let closing = async {
        let mut chunk = [0; 1024];
        loop {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(within, closing).await.is_ok()
}

fn complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// A body in chunks of this many bytes, with its end.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
