//! Conditional requests (RFC 9110 §13) and byte ranges (§14), for `GET` and `HEAD`.

use std::ops::Range;

use http::{HeaderMap, HeaderName, header};

use crate::file::{File, Form};

/// Whether the client has this very form already.
pub(crate) fn is_fresh(headers: &HeaderMap, file: &File, form: &Form) -> bool {
    let mut asked = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
    if asked.peek().is_some() {
        return asked.any(|value| {
            let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
            // Compared weakly: §13.1.2.
            tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag))
                .any(|tag| tag == "*" || tag.as_bytes() == form.tag.as_bytes())
        });
    }
    let since = text(headers, &header::IF_MODIFIED_SINCE).and_then(|text| httpdate::parse_http_date(text).ok());
    match (since, &file.modified) {
        (Some(since), Some((_, modified))) => *modified <= since,
        _ => false,
    }
}

/// The part that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything, which is also the answer to what cannot be read and to several parts at once (§14.2 allows it).
    Whole,
    /// These bytes.
    Of(Range<usize>),
    /// None of it exists.
    Beyond,
}

/// Reads `Range` and `If-Range`. A range is one of the form that is sent, so whoever goes on with a download names its tag.
pub(crate) fn part(headers: &HeaderMap, form: &Form) -> Part {
    let Some(range) = text(headers, &header::RANGE) else {
        return Part::Whole;
    };
    let other = headers
        .get(header::IF_RANGE)
        .is_some_and(|tag| tag.as_bytes() != form.tag.as_bytes());
    if other {
        return Part::Whole;
    }
    let Ok(parsed) = http_range_header::parse_range_header(range) else {
        return Part::Whole;
    };
    let length = form.bytes.len();
    match parsed.validate(length as u64).as_deref() {
        Ok([one]) => {
            let (first, last) = (*one.start() as usize, *one.end() as usize);
            Part::Of(first..(last + 1).min(length))
        }
        Ok(_) => Part::Whole,
        Err(_) => Part::Beyond,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
