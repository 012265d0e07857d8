//! An origin outside of ours that pages may use, as content security policies write it (CSP 3 §2.3.1).

use serde::{Deserialize, Serialize};

/// `https://cdn.example.com`, `wss://runtime.example.com:8000`, `https://*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageSource(String);

impl PageSource {
    /// As the policy says it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PageSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is no origin that pages may use; write scheme and host, as https://cdn.example.com or https://*.example.com"
            )
        };
        // A wildcard stands for the first labels of a name, which no URL says.
        let plain = text.replacen("://*.", "://", 1);
        let url = url::Url::parse(&plain).map_err(|_| bad())?;
        let known = matches!(url.scheme(), "https" | "http" | "wss" | "ws");
        let rest = plain.split_once("://").map_or("", |(_, rest)| rest);
        let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if known && !rest.is_empty() && rest.chars().all(host) {
            Ok(Self(text))
        } else {
            Err(bad())
        }
    }
}

impl From<PageSource> for String {
    fn from(source: PageSource) -> Self {
        source.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_source_and_nothing_that_says_more_to_a_browser() {
        for good in [
            "https://cdn.example.com",
            "https://*.example.com",
            "wss://runtime.example.com:8000",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
        ] {
            assert_eq!(PageSource::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "*",
            "https:",
            "https://",
            "https://*",
            "cdn.example.com",
            "data:",
            "'unsafe-inline'",
            "https://a.example; script-src *",
            "https://a.example,https://b.example",
            "https://a.example/path",
            "https://user@a.example",
            "https://a.*.example",
        ] {
            assert!(PageSource::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
