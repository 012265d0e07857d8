//! `POST /incidents/*/notes`: a method and what the address looks like.

use url::Url;

/// A method and an address. `*` is anything within one segment (or one query value), `**` anything at all. An address that
/// begins with `/` fits any host; one without `?` fits any query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    method: String,
    address: String,
}

impl Pattern {
    /// Reads `METHOD ADDRESS`; `* ADDRESS` is any method.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let (method, address) = text
            .split_once(' ')
            .ok_or_else(|| format!("`{text}` is no call; write it as `POST /path` or `GET https://host/path`"))?;
        let address = address.trim();
        if !address.starts_with('/') && !address.contains("://") {
            return Err(format!("`{address}` is no address; begin it with `/` or `https://`"));
        }
        Ok(Self {
            method: method.to_ascii_uppercase(),
            address: address.to_owned(),
        })
    }

    pub(crate) fn fits(&self, method: &str, url: &Url) -> bool {
        if self.method != "*" && self.method != method {
            return false;
        }
        let mut address = if self.address.starts_with('/') {
            url.path().to_owned()
        } else {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!(
                "{}://{}{port}{}",
                url.scheme(),
                url.host_str().unwrap_or_default(),
                url.path()
            )
        };
        if self.address.contains('?')
            && let Some(query) = url.query()
        {
            address.push('?');
            address.push_str(query);
        }
        glob(self.address.as_bytes(), address.as_bytes())
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.address)
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let within = text
                .iter()
                .take_while(|byte| !matches!(byte, b'/' | b'?' | b'&'))
                .count();
            (0..=within).any(|at| glob(rest, &text[at..]))
        }
        [first, rest @ ..] => text.first() == Some(first) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stars_stay_in_their_segment() {
        for (pattern, url, fits) in [
            ("GET /a/*/c", "https://h.example/a/b/c", true),
            ("GET /a/*/c", "https://h.example/a/b/x/c", false),
            ("GET /a/**", "https://h.example/a/b/x/c", true),
            ("GET /a", "https://h.example/a?b=c", true),
            ("GET /a?b=c", "https://h.example/a?b=c", true),
            ("GET /a?b=*", "https://h.example/a?b=c&d=e", false),
            ("GET /a?b=c", "https://h.example/a", false),
            ("GET https://h.example/a", "https://h.example/a", true),
            ("GET https://h.example/a", "https://h.example:8443/a", false),
            ("POST /a", "https://h.example/a", false),
            ("* /a", "https://h.example/a", true),
        ] {
            let found = Pattern::of(pattern).unwrap().fits("GET", &url.parse().unwrap());
            assert_eq!(found, fits, "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_no_call_is_said() {
        assert!(Pattern::of("/a").unwrap_err().contains("write it as"));
        assert!(Pattern::of("GET a").unwrap_err().contains("begin it with"));
    }
}
