//! One row of a table: a request, and what must come back.

use std::fmt;

use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::CLEARED;

/// What a body must be.
enum Said {
    /// It is not looked at.
    Anything,
    /// JSON of this shape: see [`fits`].
    Json(Value),
    /// JSON with these values at these pointers, and others.
    Parts(Vec<(&'static str, Value)>),
    /// Exactly this text.
    Text(String),
}

/// What an answer sets as a cookie.
enum Cookie {
    None,
    /// Exactly this.
    Is(&'static str),
    /// The session's: this name, an opaque value, and exactly these attributes.
    Session(&'static str, &'static str),
}

/// A request, and what must come back.
pub(super) struct Row {
    of: &'static str,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    status: u16,
    said: Said,
    has: Vec<(&'static str, String)>,
    lacks: Vec<&'static str>,
    cookie: Cookie,
}

/// A row that expects 200 and looks at no body yet.
pub(super) fn row(of: &'static str, method: Method, path: &str) -> Row {
    Row {
        of,
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
        status: 200,
        said: Said::Anything,
        has: Vec::new(),
        lacks: Vec::new(),
        cookie: Cookie::None,
    }
}

impl Row {
    // What is sent.

    /// A header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The session's cookie, whole.
    pub(super) fn cookie(self, cookie: &str) -> Self {
        self.with("cookie", cookie)
    }

    /// An API key where programs write it.
    pub(super) fn bearer(self, key: &str) -> Self {
        self.with("authorization", format!("Bearer {key}"))
    }

    /// A body.
    pub(super) fn body(mut self, kind: &str, text: impl Into<String>) -> Self {
        self.body = Some(text.into());
        self.with("content-type", kind)
    }

    /// A JSON body.
    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// A form with one field whose value needs no escape.
    pub(super) fn form(self, name: &str, value: &str) -> Self {
        self.body("application/x-www-form-urlencoded", format!("{name}={value}"))
    }

    // What must come back.

    /// The status.
    pub(super) fn gets(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// A JSON body of this shape; see [`fits`].
    pub(super) fn says(mut self, shape: Value) -> Self {
        self.said = Said::Json(shape);
        self
    }

    /// A member of a JSON body; others are not looked at.
    pub(super) fn tells(mut self, pointer: &'static str, shape: Value) -> Self {
        match &mut self.said {
            Said::Parts(parts) => parts.push((pointer, shape)),
            said => *said = Said::Parts(vec![(pointer, shape)]),
        }
        self
    }

    /// A body, to the letter.
    pub(super) fn reads(mut self, text: &str) -> Self {
        self.said = Said::Text(text.to_owned());
        self
    }

    /// A header.
    pub(super) fn has(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.has.push((name, value.into()));
        self
    }

    /// A header that must not be there.
    pub(super) fn lacks(mut self, name: &'static str) -> Self {
        self.lacks.push(name);
        self
    }

    /// The session's cookie is taken away.
    pub(super) fn clears(self) -> Self {
        self.sets_exactly(CLEARED)
    }

    /// A cookie, to the letter.
    pub(super) fn sets_exactly(mut self, line: &'static str) -> Self {
        self.cookie = Cookie::Is(line);
        self
    }

    /// A session's cookie is given: an opaque value and these attributes.
    pub(super) fn sets(mut self, name: &'static str, attributes: &'static str) -> Self {
        self.cookie = Cookie::Session(name, attributes);
        self
    }

    pub(super) fn request(&self, client: &Client, base: &str) -> RequestBuilder {
        let request = client.request(self.method.clone(), format!("{base}{}", self.path));
        let request = match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        self.headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value))
    }

    /// Everything that is not as it must be.
    pub(super) fn differences(&self, status: u16, headers: &HeaderMap, body: &str) -> Vec<String> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let mut wrong = Vec::new();
        if status != self.status {
            wrong.push(format!("{status} and not {}: {body}", self.status));
        }
        for (name, value) in &self.has {
            let there = text(name);
            if there != Some(value) {
                wrong.push(format!("{name} is {there:?} and not `{value}`"));
            }
        }
        for name in &self.lacks {
            if let Some(there) = text(name) {
                wrong.push(format!("{name} is there: `{there}`"));
            }
        }
        wrong.extend(self.wrong_cookies(headers));
        wrong.extend(self.wrong_body(text("content-type"), body));
        // §7: the path decides; a test of its own looks at `/assets`.
        if !self.path.starts_with("/assets") {
            for (name, value) in [
                ("cache-control", "no-cache, no-store, must-revalidate, max-age=0"),
                ("pragma", "no-cache"),
                ("expires", "0"),
            ] {
                if text(name) != Some(value) {
                    wrong.push(format!("{name} is {:?}", text(name)));
                }
            }
        }
        wrong.iter().map(|one| format!("{self}: {one}")).collect()
    }

    fn wrong_cookies(&self, headers: &HeaderMap) -> Option<String> {
        let set: Vec<&str> = headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        let right = match (&self.cookie, &set[..]) {
            (Cookie::None, []) => true,
            (Cookie::Is(line), [one]) => one == line,
            (Cookie::Session(name, attributes), [one]) => one
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('=')?.split_once("; "))
                .is_some_and(|(value, rest)| value.len() == 43 && rest == *attributes),
            _ => false,
        };
        (!right).then(|| format!("cookies are {set:?}"))
    }

    fn wrong_body(&self, kind: Option<&str>, body: &str) -> Option<String> {
        let (pairs, parsed) = match &self.said {
            Said::Anything => return None,
            Said::Text(text) => return (body != text).then(|| format!("`{body}` and not `{text}`")),
            said => {
                if kind != Some("application/json") {
                    return Some(format!("{kind:?} is no JSON: {body}"));
                }
                let Ok(parsed) = serde_json::from_str::<Value>(body) else {
                    return Some(format!("no JSON: {body}"));
                };
                match said {
                    Said::Json(shape) => (vec![("", shape.clone())], parsed),
                    Said::Parts(parts) => (parts.clone(), parsed),
                    _ => return None,
                }
            }
        };
        let bad = pairs
            .iter()
            .find(|(pointer, shape)| !parsed.pointer(pointer).is_some_and(|value| fits(shape, value)))?;
        Some(format!("{parsed} and not `{}` at `{}`", bad.1, bad.0))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} {}", self.of, self.method, self.path)
    }
}

/// Whether a value has a shape: the same members with the same values, where `<int>`, `<text>`, `<time>` (RFC 3339), `<key>`
/// (an API key) and `<any>` stand for one of a kind.
fn fits(shape: &Value, value: &Value) -> bool {
    match (shape, value) {
        (Value::String(kind), _) if kind.starts_with('<') => is_a(kind, value),
        (Value::Object(shape), Value::Object(value)) => {
            shape.len() == value.len()
                && shape
                    .iter()
                    .all(|(name, shape)| value.get(name).is_some_and(|value| fits(shape, value)))
        }
        (Value::Array(shape), Value::Array(value)) => {
            shape.len() == value.len() && shape.iter().zip(value).all(|(shape, value)| fits(shape, value))
        }
        _ => shape == value,
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let text = value.as_str();
    match kind {
        "<any>" => true,
        "<int>" => value.is_i64(),
        "<text>" => text.is_some(),
        "<time>" => text.is_some_and(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok()),
        "<key>" => text
            .and_then(|text| text.strip_prefix("sk-oh-"))
            .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())),
        _ => panic!("no kind `{kind}`"),
    }
}

#[test]
fn a_shape_fits_what_it_describes_and_nothing_else() {
    use serde_json::json;
    let shape = json!({ "a": "<int>", "b": ["<text>"], "at": "<time>" });
    assert!(fits(
        &shape,
        &json!({ "a": 1, "b": ["x"], "at": "2027-01-31T00:00:00Z" })
    ));
    for other in [
        json!({ "a": 1, "b": ["x"], "at": "2027-01-31T00:00:00" }),
        json!({ "a": "1", "b": ["x"], "at": "2027-01-31T00:00:00Z" }),
        json!({ "a": 1, "b": [], "at": "2027-01-31T00:00:00Z" }),
        json!({ "a": 1, "b": ["x"], "at": "2027-01-31T00:00:00Z", "c": null }),
    ] {
        assert!(!fits(&shape, &other), "{other}");
    }
    assert!(!fits(&json!("<key>"), &json!("sk-oh-short")));
}
