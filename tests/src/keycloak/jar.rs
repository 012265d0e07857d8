//! Cookies as a browser keeps them, for servers on the loopback interface: there Keycloak marks its cookies `Secure` even over plain
//! HTTP, browsers send such cookies back, and strict HTTP clients do not. Ports do not tell hosts apart. `SameSite` has no part in it: all is one site.

use reqwest::{
    Url,
    header::{HeaderMap, SET_COOKIE},
};

/// One cookie, with its attributes as they were sent.
#[derive(Debug, Clone)]
pub(super) struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Jar(Vec<Cookie>);

impl Jar {
    /// Takes what an answer sets, and throws out what it ends.
    pub(super) fn take(&mut self, url: &Url, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let (cookie, over) = read(url, line.to_str().unwrap());
            self.0
                .retain(|old| (&old.host, &old.path, &old.name) != (&cookie.host, &cookie.path, &cookie.name));
            if !over {
                self.0.push(cookie);
            }
        }
    }

    /// The `Cookie` header of a request; none when there is nothing to send. Longer paths come first (RFC 6265, 5.4).
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let mut fitting: Vec<&Cookie> = self.0.iter().filter(|cookie| cookie.fits(url)).collect();
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = fitting
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The value of a cookie that a request to this address would have.
    pub(super) fn value(&self, url: &Url, name: &str) -> Option<String> {
        let cookie = self.0.iter().find(|cookie| cookie.name == name && cookie.fits(url));
        cookie.map(|cookie| cookie.value.clone())
    }
}

impl Cookie {
    fn fits(&self, url: &Url) -> bool {
        let path = url.path();
        let below = path
            .strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        Some(self.host.as_str()) == url.host_str() && below
    }
}

/// A `Set-Cookie` line, and whether it ends the cookie. Keycloak and we end cookies by `Max-Age`, or by a date long ago.
fn read(url: &Url, line: &str) -> (Cookie, bool) {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).unwrap_or((line, ""));
    let directory = url.path().rsplit_once('/').map_or("/", |(before, _)| before);
    let mut cookie = Cookie {
        host: url.host_str().unwrap().to_owned(),
        path: if directory.is_empty() { "/" } else { directory }.to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut over = false;
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        match attribute.to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "max-age" => over |= value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            "expires" => over |= value.contains("1970"),
            _ => {}
        }
    }
    (cookie, over)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn set(jar: &mut Jar, from: &str, line: &str) {
        let headers = HeaderMap::from_iter([(SET_COOKIE, line.parse().unwrap())]);
        jar.take(&url(from), &headers);
    }

    #[test]
    fn sends_what_a_browser_sends() {
        let mut jar = Jar::default();
        set(
            &mut jar,
            "http://127.0.0.1:1/realms/a/login",
            "kc=1; Path=/realms/a/; Secure; SameSite=None",
        );
        set(&mut jar, "http://127.0.0.1:2/", "own=2; HttpOnly");
        set(&mut jar, "http://127.0.0.1:2/deep/er", "deep=3");
        let sent = |place: &str| jar.header(&url(place));
        assert_eq!(sent("http://127.0.0.1:9/realms/a/x").unwrap(), "kc=1; own=2");
        assert_eq!(sent("http://127.0.0.1:9/realms/ab").unwrap(), "own=2");
        assert_eq!(sent("http://127.0.0.1:9/deep").unwrap(), "deep=3; own=2");
        assert_eq!(sent("http://127.0.0.1:9/deeper").unwrap(), "own=2");
        assert_eq!(sent("http://localhost:2/"), None);
    }

    #[test]
    fn replaces_and_ends() {
        let mut jar = Jar::default();
        let place = "http://127.0.0.1/";
        set(&mut jar, place, "a=1");
        set(&mut jar, place, "a=2; Path=/");
        assert_eq!(jar.value(&url(place), "a").unwrap(), "2");
        set(&mut jar, place, "a=; Max-Age=0");
        assert_eq!(jar.header(&url(place)), None);
        set(&mut jar, place, "b=1");
        set(&mut jar, place, "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(jar.header(&url(place)), None);
    }
}
