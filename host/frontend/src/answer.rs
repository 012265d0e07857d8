//! From a request to its answer.

use std::{borrow::Cow, collections::HashMap};

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use jackfield_edge::answer::json;
use percent_encoding::percent_decode_str;

use crate::{
    accept::Accepted,
    file::File,
    precondition::{Part, is_fresh, part},
};

type Files = HashMap<Box<str>, File>;

pub(crate) async fn answer(files: &Files, request: Request<Body>) -> Response {
    let head = request.method() == Method::HEAD;
    if !head && request.method() != Method::GET {
        // Whoever is still sending must not see a reset instead of the answer.
        jackfield_edge::body::discard(request.into_body()).await;
        let mut response = json(StatusCode::METHOD_NOT_ALLOWED, r#"{"detail":"Method Not Allowed"}"#);
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match find(files, request.uri()) {
        Found::File(file) => send(file, request.headers(), head),
        Found::Folder(location) => moved(location),
        Found::Nothing => json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#),
    }
}

enum Found<'a> {
    File(&'a File),
    /// A folder with an `index.html`, asked for without its last slash.
    Folder(HeaderValue),
    Nothing,
}

fn find<'a>(files: &'a Files, uri: &Uri) -> Found<'a> {
    let raw = uri.path();
    // A name that is not UTF-8 is in no app.
    let path = match raw.contains('%') {
        true => percent_decode_str(raw).decode_utf8().unwrap_or_default(),
        false => Cow::Borrowed(raw),
    };
    let path = path.strip_prefix('/').unwrap_or_default();
    // Only names that were read are found, so there is nothing that `..` could lead out of.
    if let Some(file) = files.get(path) {
        return Found::File(file);
    }
    if let Some(folder) = path.strip_suffix('/')
        && let Some(file) = files.get(format!("{folder}/index.html").as_str())
    {
        return Found::File(file);
    }
    if !path.is_empty() && files.contains_key(format!("{path}/index.html").as_str()) {
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        if let Ok(location) = HeaderValue::from_str(&format!("{raw}/{query}")) {
            return Found::Folder(location);
        }
    }
    // What the layers would mark as immutable must never be the page instead of a file that a newer build has replaced.
    match files.get("index.html") {
        Some(page) if !raw.starts_with("/assets") => Found::File(page),
        _ => Found::Nothing,
    }
}

fn send(file: &File, asked: &HeaderMap, head: bool) -> Response {
    let form = file.form(if file.varies {
        Accepted::of(asked)
    } else {
        Accepted::default()
    });
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(10);
    headers.insert(header::ETAG, form.tag.clone());
    if file.varies {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some((modified, _)) = &file.modified {
        headers.insert(header::LAST_MODIFIED, modified.clone());
    }
    if is_fresh(asked, file, form) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, file.kind.clone());
    headers.insert(header::CONTENT_LENGTH, form.length.clone());
    if let Some(encoding) = form.encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.token()));
    }
    if let Some(policy) = &file.policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    // A range of a HEAD is none (RFC 9110 §14.2).
    let part = if head { Part::Whole } else { part(asked, form) };
    let (bytes, status) = match part {
        Part::Whole => (form.bytes.clone(), StatusCode::OK),
        Part::Of(range) => {
            let (first, last, all) = (range.start, range.end - 1, form.bytes.len());
            set(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{all}"));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.len()));
            (form.bytes.slice(range), StatusCode::PARTIAL_CONTENT)
        }
        Part::Beyond => {
            set(headers, header::CONTENT_RANGE, &format!("bytes */{}", form.bytes.len()));
            for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_TYPE] {
                headers.remove(name);
            }
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
    };
    *response.status_mut() = status;
    if !head {
        *response.body_mut() = Body::from(bytes);
    }
    response
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn moved(location: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    response
}
