//! What the load generator sends, and which answer is right: one prepared request again and again, or many in turn.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, bail};

use super::wire::Answer;

/// What stands in a request where the delivery id belongs.
pub(super) const ID: &str = "00000000-0000-0000-0000-000000000000";
/// What stands in a request where a line's text belongs.
pub(super) const EACH: &str = "{each}";

/// A request as it goes over the wire.
pub(super) struct Prepared {
    bytes: Vec<u8>,
    /// Where a new delivery id is written.
    ids: Vec<usize>,
    /// The answer's body, where it is known.
    body: Option<Vec<u8>>,
}

/// All of them, and what is common to the right answers.
pub(super) struct Requests {
    prepared: Vec<Prepared>,
    next: AtomicUsize,
    status: Option<u16>,
    length: Option<usize>,
}

impl Requests {
    /// One request. A right answer has this status, or is any 2xx; its body has this length, when one is told.
    pub(super) fn one(request: &[u8], status: Option<u16>, length: Option<usize>) -> Self {
        let ids = request
            .windows(ID.len())
            .enumerate()
            .filter(|(_, window)| *window == ID.as_bytes())
            .map(|(at, _)| at)
            .collect();
        let one = Prepared {
            bytes: request.to_vec(),
            ids,
            body: None,
        };
        Self {
            prepared: vec![one],
            next: AtomicUsize::new(0),
            status,
            length,
        }
    }

    /// A request for each line of a file: a text for the place that [`EACH`] marks, a tabulator, the body of the right answer.
    pub(super) fn in_turn(mut self, lines: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(lines).with_context(|| format!("cannot read `{}`", lines.display()))?;
        let place = || format!("`{}`", lines.display());
        let Some(one) = self.prepared.pop().and_then(|one| String::from_utf8(one.bytes).ok()) else {
            bail!(
                "the request is no text, so the lines of {} have no place in it",
                place()
            );
        };
        let Some((before, after)) = one.split_once(EACH) else {
            bail!("the request has no `{EACH}` for the lines of {}", place());
        };
        for line in text.lines() {
            let Some((each, body)) = line.split_once('\t') else {
                bail!("a line of {} is not a text, a tabulator and a body", place());
            };
            self.prepared.push(Prepared {
                bytes: [before, each, after].concat().into_bytes(),
                ids: Vec::new(),
                body: Some(body.as_bytes().to_vec()),
            });
        }
        if self.prepared.is_empty() {
            bail!("{} is empty", place());
        }
        Ok(self)
    }

    /// The next one.
    pub(super) fn next(&self) -> &Prepared {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.prepared[turn % self.prepared.len()]
    }

    /// Whether this is a right answer to it.
    pub(super) fn is_right(&self, request: &Prepared, answer: Answer, bytes: &[u8]) -> bool {
        let body = &bytes[answer.head..answer.length];
        let status = match self.status {
            Some(status) => answer.status == status,
            None => (200..300).contains(&answer.status),
        };
        status
            && self.length.is_none_or(|length| body.len() == length)
            && request.body.as_ref().is_none_or(|right| body == right)
    }
}

impl Prepared {
    /// Puts it into `buffer`, with a delivery id of its own where it has one.
    pub(super) fn write(&self, buffer: &mut Vec<u8>, connection: usize, sent: u64) {
        buffer.clear();
        buffer.extend_from_slice(&self.bytes);
        for at in &self.ids {
            buffer[*at..*at + ID.len()].copy_from_slice(delivery_id(connection, sent).as_bytes());
        }
    }
}

/// In the form of a UUID. Two rounds on one database are two processes, and may not send the same one.
fn delivery_id(connection: usize, sent: u64) -> String {
    let process = std::process::id();
    format!("{process:08x}-{connection:04x}-4000-8000-{sent:012x}")
}

#[cfg(test)]
mod tests {
    use super::{super::wire, *};

    #[test]
    fn ids_differ_and_fit() {
        assert_eq!(delivery_id(31, 4711).len(), ID.len());
        assert_ne!(delivery_id(1, 2), delivery_id(2, 1));
        assert_ne!(delivery_id(1, 2), delivery_id(1, 3));
    }

    #[test]
    fn a_delivery_is_sent_with_its_own_id() {
        let requests = Requests::one(format!("id: {ID}!").as_bytes(), None, None);
        let mut buffer = b"what was sent before".to_vec();
        requests.next().write(&mut buffer, 1, 2);
        assert_eq!(buffer, format!("id: {}!", delivery_id(1, 2)).as_bytes());
    }

    #[test]
    fn an_answer_is_held_against_what_is_known() {
        let bytes = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 500";
        let right = |status, length| {
            let requests = Requests::one(b"GET", status, length);
            wire::answer(bytes).is_some_and(|answer| requests.is_right(requests.next(), answer, bytes))
        };
        assert!(right(None, None) && right(Some(201), Some(3)));
        assert!(!right(Some(200), None));
        assert!(!right(None, Some(4)));
    }

    #[test]
    fn lines_are_sent_in_turn_and_know_their_answers() {
        let file = std::env::temp_dir().join(format!("xtask-in-turn-{}", std::process::id()));
        std::fs::write(&file, "one\tabc\ntwo\tabd\n").unwrap();
        let turns = |request: &[u8]| Requests::one(request, None, None).in_turn(&file);
        let error = turns(b"Cookie: none").err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("{each}")));
        let requests = turns(b"Cookie: a={each};").unwrap();
        std::fs::remove_file(&file).unwrap();
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let answer = wire::answer(bytes).unwrap();
        let sent: Vec<(String, bool)> = (0..3)
            .map(|sent| {
                let (one, mut buffer) = (requests.next(), Vec::new());
                one.write(&mut buffer, 0, sent);
                (
                    String::from_utf8(buffer).unwrap(),
                    requests.is_right(one, answer, bytes),
                )
            })
            .collect();
        let expected = [
            ("Cookie: a=one;", true),
            ("Cookie: a=two;", false),
            ("Cookie: a=one;", true),
        ];
        assert_eq!(sent, expected.map(|(text, right)| (text.to_owned(), right)));
    }
}
