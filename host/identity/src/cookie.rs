//! The session's cookie: its attributes, and how it is taken away (spec/10 §8, §5; the value is opaque and without `Domain`).

use http::{HeaderMap, HeaderValue, header};

use crate::core::Identity;

impl Identity {
    /// The value of our cookie in a request.
    pub(crate) fn cookie<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        value_of(headers, &self.0.settings.cookie)
    }

    /// `Set-Cookie` of a new session.
    pub(crate) fn set_cookie(&self, value: &str, headers: &HeaderMap) -> Option<HeaderValue> {
        let name = &self.0.settings.cookie;
        let secure = secure(self.is_secure(headers) || is_secure_by_name(name));
        let text = format!("{name}={value}; HttpOnly; Path=/; SameSite=lax{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// `Set-Cookie` that takes it away.
    pub(crate) fn clear_cookie(&self) -> Option<HeaderValue> {
        let name = &self.0.settings.cookie;
        let secure = secure(is_secure_by_name(name));
        let text =
            format!("{name}=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=lax{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// The value of the cookie that a sign-in at Keycloak is bound to.
    pub(crate) fn login_cookie<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        value_of(headers, self.login_cookie_name(headers))
    }

    /// `Set-Cookie` of a sign-in that begins.
    pub(crate) fn set_login_cookie(&self, value: &str, age_s: i64, headers: &HeaderMap) -> Option<HeaderValue> {
        let name = self.login_cookie_name(headers);
        let secure = secure(self.is_secure(headers));
        let text = format!("{name}={value}; HttpOnly; Path=/; SameSite=lax; Max-Age={age_s}{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// Browsers take a cookie with the prefix from nobody but us.
    fn login_cookie_name(&self, headers: &HeaderMap) -> &'static str {
        if self.is_secure(headers) {
            "__Host-jackfield_login"
        } else {
            "jackfield_login"
        }
    }

    /// Whether browsers reach us over TLS: as the public address says, and without one unless they are on this machine.
    fn is_secure(&self, headers: &HeaderMap) -> bool {
        match &self.0.places.load().public_url {
            Some(url) => url.scheme() == "https",
            None => !is_this_machine(headers),
        }
    }

    /// Address that people use, without a slash at its end.
    pub(crate) fn base(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.0.places.load().public_url {
            return url.as_str().trim_end_matches('/').to_owned();
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let scheme = if is_this_machine(headers) { "http" } else { "https" };
        format!("{scheme}://{}", host.unwrap_or("localhost"))
    }
}

fn secure(yes: bool) -> &'static str {
    if yes { "; Secure" } else { "" }
}

/// Browsers ignore a `Set-Cookie` of such a name without `Secure`, also one that takes the cookie away.
fn is_secure_by_name(name: &str) -> bool {
    name.starts_with("__Host-") || name.starts_with("__Secure-")
}

fn value_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn is_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.and_then(|host| url::Url::parse(&format!("http://{host}")).ok()) else {
        return false;
    };
    match host.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
