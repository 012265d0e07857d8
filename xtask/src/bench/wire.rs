//! As much HTTP/1.1 as a load generator needs: where an answer ends, and its status.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// A complete answer at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Bytes of the head, its empty line included.
    pub(super) head: usize,
    /// Bytes of all of it.
    pub(super) length: usize,
}

/// The answer, once all of it is there.
pub(super) fn answer(bytes: &[u8]) -> Option<Answer> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if matches!(status, 204 | 304) {
        // They have no body, whatever length they tell.
        return Some(Answer {
            status,
            head,
            length: head,
        });
    }
    let mut length = Some(0);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            // The last chunk of our peers' answers has no trailers.
            length = find(&bytes[head - 2..], b"\r\n0\r\n\r\n").map(|at| at + 5);
        }
    }
    let length = head + length?;
    (bytes.len() >= length).then_some(Answer { status, head, length })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Sends one request on a connection of its own; gives the answer as it came.
pub(super) fn exchange(port: u16, request: &[u8]) -> Result<(Answer, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            bail!("the answer broke off after {} bytes", bytes.len());
        }
        bytes.extend_from_slice(&part[..count]);
        if let Some(answer) = answer(&bytes) {
            bytes.truncate(answer.length);
            return Ok((answer, bytes));
        }
    }
}

/// The value of a header in an answer's bytes.
pub(super) fn header<'b>(bytes: &'b [u8], answer: Answer, name: &str) -> Option<&'b str> {
    let head = std::str::from_utf8(&bytes[..answer.head]).ok()?;
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(one, _)| one.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// A request without a body; gives the answer's body. Anything but 2xx is an error.
pub(super) fn ask(port: u16, method: &str, path: &str, bearer: Option<&str>) -> Result<String> {
    tell(port, method, path, bearer, "")
}

/// The same with JSON in the request.
pub(super) fn tell(port: u16, method: &str, path: &str, bearer: Option<&str>, json: &str) -> Result<String> {
    let bearer = bearer.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
    let kind = if json.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}{kind}Content-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let (answer, bytes) = exchange(port, request.as_bytes()).with_context(|| format!("{method} {path}"))?;
    let body = String::from_utf8_lossy(&bytes[answer.head..]).into_owned();
    if !(200..300).contains(&answer.status) {
        bail!("{method} {path} answered {}: {body}", answer.status);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_a_length() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabcHTTP/1.1";
        let found = answer(bytes);
        assert_eq!(
            found,
            Some(Answer {
                status: 200,
                head: 44,
                length: 47
            })
        );
        assert_eq!(answer(&bytes[..46]), None);
        assert_eq!(answer(&bytes[..30]), None);
    }

    #[test]
    fn answers_in_chunks() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n3\r\nok\n\r\n0\r\n\r\n";
        assert_eq!(
            answer(bytes).map(|answer| (answer.status, answer.length)),
            Some((202, bytes.len()))
        );
        assert_eq!(answer(&bytes[..bytes.len() - 1]), None);
        let empty = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(answer(empty).map(|answer| answer.length), Some(empty.len()));
    }

    #[test]
    fn answers_without_a_body() {
        let bytes = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(answer(bytes).map(|answer| answer.length), Some(bytes.len()));
        let bytes = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 270000\r\n\r\n";
        assert_eq!(answer(bytes).map(|answer| answer.length), Some(bytes.len()));
    }

    #[test]
    fn headers_by_name() {
        let bytes = b"HTTP/1.1 200 OK\r\nETag: \"a:b\"\r\nX: y\r\n\r\nX-Body: z";
        let found = |name| answer(bytes).and_then(|answer| header(bytes, answer, name));
        assert_eq!(found("etag"), Some("\"a:b\""));
        assert_eq!(found("x-body"), None);
    }
}
